import pytest

from ridgeline.picture.labels import Box, Placer, text_width

AREA = Box(0, 0, 1000, 500)


def place_all(placer: Placer, spots: list[tuple[float, float]], reach: int = 5) -> list[Box]:
    found = [placer.place(x, y, gap=8, width=60, height=14, reach=reach) for x, y in spots]
    return [label.box for label in found if label is not None]


def test_a_lone_label_stands_to_the_right() -> None:
    label = Placer(AREA).place(100, 100, gap=8, width=60, height=14)
    assert label is not None
    assert (label.box.left, label.box.top) == (108, 93)
    assert not label.leader
    assert label.box.top < label.baseline < label.box.bottom


def test_at_the_right_edge_it_stands_to_the_left() -> None:
    label = Placer(AREA).place(980, 100, gap=8, width=60, height=14)
    assert label is not None
    assert label.box.right == 972


def test_thirty_labels_in_a_crowd_do_not_touch() -> None:
    placer = Placer(AREA)
    spots = [(300.0 + 40 * (n % 6), 150.0 + 30 * (n // 6)) for n in range(30)]
    for x, y in spots:
        placer.block(Box(x - 5, y - 5, x + 5, y + 5))
    boxes = place_all(placer, spots)
    assert len(boxes) >= 24
    overlaps = [a.overlap(b) for n, a in enumerate(boxes) for b in boxes[:n]]
    assert max(overlaps) == 0


def test_a_label_without_room_is_left_out_unless_it_must_stand() -> None:
    placer = Placer(Box(0, 0, 100, 40))
    placer.block(Box(0, 0, 100, 40))
    assert placer.place(50, 20, gap=5, width=30, height=12) is None
    assert placer.place(50, 20, gap=5, width=30, height=12, must=True) is not None


def test_a_label_goes_around_a_dot() -> None:
    placer = Placer(AREA)
    placer.discourage(Box(120, 95, 130, 105))
    label = placer.place(100, 100, gap=8, width=60, height=14)
    assert label is not None
    assert label.box.overlap(Box(120, 95, 130, 105)) == 0


def test_a_label_wider_than_the_map_finds_no_room_even_if_it_must() -> None:
    assert Placer(AREA).place(100, 100, gap=8, width=2000, height=14, must=True) is None


@pytest.mark.parametrize(
    ("text", "measured"),
    [("Hamburgefons", 655.9), ("Buenos Aires 27 ms", 889.3), ("São Paulo", 461.5),
     ("lhr 27 %", 366.8), ("Mumbai 185 ms", 711.3), ("WASHINGTON", 683.4), ("illicit", 188.9)],
)  # fmt: skip
def test_width_is_near_what_liberation_sans_measures(text: str, measured: float) -> None:
    assert text_width(text, 100) == pytest.approx(measured, rel=0.04)


def test_wide_scripts_and_bold_type_are_wider() -> None:
    assert text_width("東京", 10) == 20
    assert text_width("nrt", 13, bold=True) > text_width("nrt", 13)
