"""docs/explanation/builtin-demo.md tells where the demo's clients land: it must stay true."""

from pathlib import Path

import numpy as np
import pytest

from ridgeline.net.place import great_circle_km
from ridgeline.routing.announce import announcements
from ridgeline.routing.forward import CertaintyCode, Forwarding, forward
from ridgeline.spec.model import Spec
from ridgeline.spec.parse import parse_spec
from ridgeline.topology import demo as demo_room
from ridgeline.topology.demo import demo

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "builtin-demo.md"
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
NET = demo()


def spec(*edits: tuple[str, str]) -> Spec:
    text = EXAMPLE.read_text("utf-8")
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return parse_spec(text, file=EXAMPLE.name)


def way(*edits: tuple[str, str]) -> Forwarding:
    return forward(NET, announcements(spec(*edits), NET))


def pop_of(name: str, city: str) -> int:
    pops = NET.pops_of(NET.as_name.index(name))
    return next(i for i in pops if NET.pop_code[i] == city)


def site_of(found: Forwarding, name: str, city: str) -> str:
    return found.announcements.site_names[int(found.site[pop_of(name, city)])]


def row_of(found: Forwarding, pop: int) -> list[str]:
    """What the model says of a client, in the words of the page's table."""
    site = found.announcements.site_names[found.site[pop]]
    here = NET.pop_lat[pop], NET.pop_lon[pop]
    km = {s.name: great_circle_km(*here, s.place.lat, s.place.lon) for s in spec().sites}
    nearest = min(km, key=lambda name: km[name])
    names = {int(n): name for n, name in zip(NET.asn, NET.as_name, strict=True)}
    possible = [found.announcements.site_names[s] for s in found.possible_sites(pop)]
    certainty = CertaintyCode(found.certainty[pop]).name.lower()
    return [
        NET.as_name[NET.pop_as[pop]],
        NET.pop_code[pop],
        f"{NET.pop_users[pop] / 1e6:.0f}",
        site,
        "" if nearest == site else nearest,
        " ".join(names.get(asn, str(asn)) for asn in found.as_path(pop)),
        certainty if len(possible) == 1 else f"{certainty}: {', '.join(possible)}",
    ]


def test_the_table_is_what_the_model_says() -> None:
    lines = PAGE.read_text("utf-8").split("| client |")[1].splitlines()[2:]
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]
    told = told[: next(i for i, row in enumerate(told) if len(row) != 7)]
    found = way()
    assert told == [row_of(found, i) for i in np.flatnonzero(NET.pop_users).tolist()]


def test_every_client_of_a_network_is_in_the_figures_of_the_page() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    assert (
        f"{NET.n_as} networks with {NET.n_pop} routers in {len(set(NET.pop_code))} cities" in page
    )
    assert f"{NET.pop_users.sum() / 1e9:.1f} billion" in page


@pytest.mark.parametrize(
    ("name", "city", "km", "ms"),
    [
        ("fynbos", "jnb", 9074, 135),
        ("banyan", "bom", None, 151),
        ("redwood", "lax", 8754, 130),
        ("ceibo", "eze", None, 169),
    ],
)
def test_the_figures_of_the_stories_hold(name: str, city: str, km: int | None, ms: int) -> None:
    found, pop = way(), pop_of(name, city)
    assert round(found.rtt_ms[pop]) == ms
    page = PAGE.read_text("utf-8")
    assert f"{ms} ms" in page
    if km is not None:
        site = spec().sites[found.site[pop]].place
        here = NET.pop_lat[pop], NET.pop_lon[pop]
        assert round(great_circle_km(*here, site.lat, site.lon)) == km
        assert f"{km:,} km" in page


AT_JNB = ("upstreams: [{asn: 65546}]", "upstreams: [{asn: 65546}, {asn: 65536}]")
AT_NRT = ("# - {asn: 65551}", "- {asn: 65551}")
AT_SYD = ("      - {asn: 65549} ", "      - {asn: 65549, prepend: 1} ")
AT_GRU = ("      - {asn: 65544} ", "      - {asn: 65542}\n      - {asn: 65544} ")


def test_announcing_to_norrsken_at_jnb_brings_fynbos_home() -> None:
    assert site_of(way(AT_JNB), "fynbos", "jnb") == "jnb"


def test_mumbai_comes_home_by_both_changes_and_by_neither_alone() -> None:
    bom = pop_of("banyan", "bom")
    assert site_of(way(AT_SYD), "banyan", "bom") == "syd"
    tied = way(AT_NRT)
    assert [tied.announcements.site_names[s] for s in tied.possible_sites(bom)] == ["nrt", "syd"]
    both = way(AT_NRT, AT_SYD)
    assert (both.site[bom], both.certainty[bom]) == (0, CertaintyCode.CERTAIN)


def test_announcing_to_lince_at_gru_hauls_more_than_it_brings_home() -> None:
    found = way(AT_GRU)
    assert site_of(found, "ceibo", "eze") == "gru"
    hauled = [pop_of("lavande", "cdg"), pop_of("romero", "mad")]
    assert {found.announcements.site_names[found.site[i]] for i in hauled} == {"gru"}
    assert NET.pop_users[hauled].sum() == 89e6


def test_without_the_exchange_heather_is_answered_from_washington(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heather = int(NET.asn[NET.as_name.index("heather")])
    fewer = [(city, [m for m in members if m != heather]) for city, members in demo_room._EXCHANGES]
    monkeypatch.setattr(demo_room, "_EXCHANGES", fewer)
    net = demo_room.demo()
    found = forward(net, announcements(spec(), net))
    assert site_of(found, "heather", "lhr") == "iad"


def test_the_example_has_the_shape_that_the_lab_counts_on() -> None:
    example = spec()
    assert [site.name for site in example.sites] == ["nrt", "lhr", "iad", "gru", "jnb", "syd"]
    assert sum(any(u.bfd for u in site.upstreams) for site in example.sites) >= 2
    assert {service.name for service in example.services} == {"dns", "resolver", "web"}
