import pytest

from ridgeline.render.explain import explain

TEXT = "".join(f"word-{n} value-{n};\n" for n in range(1, 61))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("2026-11-22T14:31:55+0000 error: config, file '/r/k.conf', line 3, item 'x' (invalid)", 3),
        ("error: config, line 3, item 'x' (invalid item)\nerror: failed to load file 'k.conf'", 3),
        ("/r/unbound.conf:4: error: unknown keyword 'x'\n/r/unbound.conf:5: error: stray ':'", 4),
        ('2026/11/22 14:31:55 [emerg] 1#1: unknown directive "x" in /a b/nginx.conf:5\nfailed', 5),
        ("bird: /a b/bird.conf:6:2 syntax error, unexpected CF_SYM_UNDEFINED", 6),
        ("2026-11-22 14:31:55.001 <ERR> /r/bird.conf:7:2 syntax error", 7),
        ("/r/bird.conf:8:1 Neighbor must be configured", 8),
    ],
)
def test_a_numbered_line_is_found(message: str, line: int) -> None:
    assert explain(TEXT, message) == f"line {line}: word-{line} value-{line};"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Nov 22 14:20:44 unbound[1:0] notice: init module 0: iterator",
        "2026-11-22 14:31:55 <INFO> Started",
        "2026/11/22 14:31:55 [alert] 1#1: worker process 2 exited on signal 9",
        "2026-11-22T14:20:41+0000 info: binding to interface 127.0.0.53@53",
        "nothing is called 'word-99'",
        "several lines hold 'word-'",
    ],
)
def test_a_message_about_no_line_points_to_none(message: str) -> None:
    assert explain(TEXT, message) is None


def test_a_value_that_stands_once_is_found() -> None:
    assert explain(TEXT, "cannot use 'word-60'") == "line 60: word-60 value-60;"


def test_a_message_about_another_file_is_not_taken_for_ours() -> None:
    message = "bird: /r/include.conf:2:1 syntax error"
    assert explain(TEXT, message, file="/r/bird.conf") is None
    assert explain(TEXT, message, file="/r/include.conf") == "line 2: word-2 value-2;"
    assert explain(TEXT, "bird: ./bird.conf:2:1 x", file="/r/bird.conf") == (
        "line 2: word-2 value-2;"
    )


def test_a_line_past_the_last_is_the_end() -> None:
    message = 'unexpected end of file, expecting "}" in /r/nginx.conf:61'
    assert explain(TEXT, message) == "line 61: (the end of the file)"


def test_lines_are_counted_as_daemons_count_them() -> None:
    assert explain("a\f\u2028b\nc\n", "bird: bird.conf:2:1 x") == "line 2: c"
