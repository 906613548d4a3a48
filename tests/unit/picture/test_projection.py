from itertools import pairwise

import pytest

from ridgeline.net.place import great_circle_km
from ridgeline.picture.projection import (
    CENTRE_LON,
    HALF_HEIGHT,
    HALF_WIDTH,
    great_circle,
    project,
    project_east,
    project_line,
    wrap_lon,
)


@pytest.mark.parametrize(
    ("lat", "east", "x", "y"),
    [  # as d3-geo 3.1 has them (geoNaturalEarth1Raw)
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 180.0, 2.735384723480633, 0.0),
        (45.0, 90.0, 1.2319937779929164, 0.7930513944125289),
        (-33.9, 151.2, 2.17138715504807, -0.5981757350315164),
        (64.1, -21.9, -0.2638238204104766, 1.1093487635011212),
        (-90.0, 30.0, 0.2509260653361617, -1.422390506730596),
        (80.0, -179.0, -1.8397083104623155, 1.337035371414347),
    ],
)
def test_the_projection_agrees_with_another_implementation(
    lat: float, east: float, x: float, y: float
) -> None:
    assert project_east(lat, east) == pytest.approx((x, y), abs=1e-9)


def test_the_sheet_is_as_large_as_it_says() -> None:
    assert project_east(0, 180)[0] == pytest.approx(HALF_WIDTH)
    assert project_east(90, 0)[1] == pytest.approx(HALF_HEIGHT, abs=1e-6)


def test_the_centre_is_in_the_middle_and_a_turn_changes_nothing() -> None:
    assert project(0, CENTRE_LON) == (0.0, 0.0)
    assert project(40, -200) == pytest.approx(project(40, 160))
    assert wrap_lon(CENTRE_LON + 180) == -180


def test_a_line_over_the_date_line_is_not_cut_but_one_over_our_edge_is() -> None:
    assert len(project_line([(52.0, 178.0), (52.0, -178.0)])) == 1
    assert len(project_line([(0.0, -160.0), (0.0, -175.0)])) == 2


def test_a_cut_line_ends_at_one_edge_and_goes_on_at_the_other() -> None:
    lat1, lat2 = 10.0, 30.0
    out, back = project_line([(lat1, 181.0), (lat2, -159.0)])  # 10 degrees on either side
    edge = project_east(20.0, 180.0)
    assert out[-1] == pytest.approx(edge)
    assert back[0] == pytest.approx((-edge[0], edge[1]))
    assert out[0] == pytest.approx(project(lat1, 181.0))
    assert back[-1] == pytest.approx(project(lat2, -159.0))


def test_great_circle_is_the_shortest_way() -> None:
    tokyo, washington = (35.7647, 140.3864), (38.9445, -77.4558)
    points = list(great_circle(*tokyo, *washington))
    legs = sum(great_circle_km(*a, *b) for a, b in pairwise(points))
    assert legs == pytest.approx(great_circle_km(*tokyo, *washington), rel=1e-9)
    assert points[0] == pytest.approx(tokyo)
    assert points[-1] == pytest.approx(washington)
    middle = points[len(points) // 2]
    assert great_circle_km(*middle, 66.94394523, -152.07141872) < 200  # d3-geo, geoInterpolate


@pytest.mark.parametrize(
    "ends",
    [((10.0, 20.0), (10.0, 20.0)), ((10.0, 20.0), (-10.0, -160.0)), ((90.0, 0.0), (-90.0, 0.0))],
)
def test_ways_without_a_direction_still_join_their_ends(
    ends: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    start, end = ends
    points = list(great_circle(*start, *end))
    assert great_circle_km(*points[0], *start) < 0.1
    assert great_circle_km(*points[-1], *end) < 0.1
    gaps = [great_circle_km(*a, *b) for a, b in pairwise(points)]
    assert max(gaps) < 3000
