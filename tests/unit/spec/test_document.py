from ridgeline.spec.document import (
    MAX_CHARACTERS,
    MAX_PROBLEMS,
    Entries,
    Position,
    find,
    plain,
    read_document,
)
from ridgeline.spec.parse import examine_spec


def root_of(text: str) -> Entries:
    root, problems = read_document(text, file="spec.yaml")
    assert problems == []
    assert root is not None
    return root


def test_every_scalar_is_the_text_that_was_typed() -> None:
    text = "{no: off, asdot: 1.10, time: 22:30, octal: 010, float: 1e3, quoted: 'null', hex: 0x1F}"
    assert plain(root_of(text)) == {
        "no": "off",
        "asdot": "1.10",
        "time": "22:30",
        "octal": "010",
        "float": "1e3",
        "quoted": "null",
        "hex": "0x1F",
    }


def test_a_value_is_found_with_its_line_and_column() -> None:
    root = root_of("sites:\n  nrt:\n    upstreams:\n      - {asn: 65550, prepend: 1}\n")
    found = find(root, ("sites", "nrt", "upstreams", 0, "prepend"))
    assert (found.at, found.key_at) == (Position(4, 31), Position(4, 22))
    assert found.where == "sites.nrt.upstreams[0].prepend"


def test_a_value_on_the_lines_below_is_placed_at_its_key() -> None:
    root = root_of("sites:\n  nrt:\n    upstreams: []\n")
    assert find(root, ("sites",)).at == Position(1, 1)
    assert find(root, ("sites", "nrt")).at == Position(2, 3)
    assert find(root, ("sites", "nrt", "upstreams")).at == Position(3, 16)


def test_what_is_missing_is_placed_at_its_parent() -> None:
    root = root_of("sites:\n  nrt:\n    capacity: 5\n")
    found = find(root, ("sites", "nrt", "upstreams"))
    assert found.node is None
    assert found.at == Position(2, 3)
    assert found.where == "sites.nrt.upstreams"


def test_a_key_that_is_no_word_is_quoted_in_the_path() -> None:
    assert find(root_of('"a.b\\n": {c: 1}'), ("a.b\n", "c")).where == "'a.b\\n'.c"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert plain(root_of("\ufeffa: b")) == {"a": "b"}


def test_windows_line_ends_count_as_one() -> None:
    found = find(root_of("a: b\r\nc: d\r\n"), ("c",))
    assert found.at == Position(2, 4)


def test_a_pair_of_surrogate_escapes_is_one_character() -> None:
    assert plain(root_of('a: "\\ud83d\\ude00"')) == {"a": "\U0001f600"}


def test_a_huge_text_is_refused_unread() -> None:
    root, (problem,) = read_document("x" * (MAX_CHARACTERS + 1), file="spec.yaml")
    assert root is None
    assert "1048577 characters; a spec has at most 1048576" in problem.message


def test_problems_without_end_are_cut_off_and_that_is_said() -> None:
    text = "".join(f"k{n}: 1\n" for n in range(MAX_PROBLEMS + 10))
    *problems, last = examine_spec(text, file="spec.yaml").problems
    assert len(problems) == MAX_PROBLEMS
    assert last.message == "more follow; mend these first"
