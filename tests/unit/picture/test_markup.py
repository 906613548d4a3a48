import pytest

from ridgeline.picture.markup import count, esc, milliseconds, num, percent


def test_nothing_escapes_from_text_or_attribute() -> None:
    assert esc("<b a=\"1\" b='2'>&") == "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;"


def test_what_xml_cannot_hold_is_replaced() -> None:
    assert esc("a\x00b\x1bc\ud800d\ufffee") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert esc("tab\tand\nline, Zürich, 東京") == "tab\tand\nline, Zürich, 東京"


@pytest.mark.parametrize(
    ("value", "written"), [(12.0, "12"), (12.34, "12.3"), (-0.01, "0"), (100.0, "100"), (0.0, "0")]
)
def test_coordinates_are_short(value: float, written: str) -> None:
    assert num(value) == written


def test_whole_numbers_keep_their_zeros() -> None:
    assert num(100.0, 0) == "100"


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.998, ">99 %"), (1.0, "100 %")],
)
def test_a_trace_is_neither_nothing_nor_all(share: float, written: str) -> None:
    assert percent(share) == written


@pytest.mark.parametrize(
    ("ms", "written"),
    [(0.0, "0 ms"), (0.84, "0.8 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (71.4, "71 ms"),
     (994.0, "994 ms"), (999.9, "1.0 s"), (3600.0, "3.6 s"), (61_000.0, "61 s")],
)  # fmt: skip
def test_times_are_as_precise_as_it_matters(ms: float, written: str) -> None:
    assert milliseconds(ms) == written


def test_thousands_are_set_apart() -> None:
    assert count(3900) == "3\u202f900"
    assert count(243) == "243"
