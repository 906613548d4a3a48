"""Whatever strangers' files hold: values or an `InputError`, and never anything faster than light."""

import base64
import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catchment.jsonl import read_jsonl
from ridgeline.catchment.model import CatchmentMap, Kind, Row
from ridgeline.errors import InputError
from ridgeline.net.place import great_circle_km
from ridgeline.probe.atlas import AtlasResult, Skipped, identity_of_wire, parse_result
from ridgeline.probe.atlasmap import AtlasMap
from ridgeline.probe.changes import find_changes
from ridgeline.probe.discs import KM_PER_RTT_MS
from ridgeline.probe.enumerate import Evidence, enumerate_sites
from ridgeline.probe.jsonstream import iter_objects
from ridgeline.probe.locations import Location, read_locations
from ridgeline.probe.places import Sighting, decode, decode_header
from ridgeline.probe.rules import shipped_rules
from ridgeline.probe.vantage import VantagePoint
from ridgeline.probe.vantagefiles import read_vantage_points
from ridgeline.probe.verfploeter import survey, to_jsonl, to_map

NUMBERS = st.floats() | st.integers() | st.integers(-(10**400), 10**400)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
KEYS = st.sampled_from(
    ["prb_id", "type", "result", "resultset", "rt", "rtt", "abuf", "answers", "RDATA", "TYPE", "from",
     "hop", "x", "late", "error", "min", "rcvd", "dst_addr", "timestamp", "time", "id", "latitude",
     "longitude", "geometry", "coordinates", "lat", "lon", "rtt_ms", "name", "site", "results"]
) | st.text(max_size=5)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS | st.sampled_from(["ping", "dns", "traceroute", "192.0.2.1", "AAAAhAAAAAAAAAAA"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
RESULTS = st.dictionaries(KEYS, DOCUMENTS, max_size=8).map(
    lambda d: {"prb_id": 1, "type": "dns", **d}
)
LATS, LONS = st.floats(-90, 90), st.floats(-180, 180)
RTTS = st.floats(0.01, 400)


def wire(document: Any) -> str:
    return json.dumps(document)


@given(RESULTS | st.dictionaries(KEYS, DOCUMENTS, max_size=8))
@settings(deadline=None)
def test_any_atlas_document_is_a_result_or_skipped(document: dict[str, Any]) -> None:
    for parsed in parse_result(document):
        assert isinstance(parsed, AtlasResult | Skipped)
        if isinstance(parsed, AtlasResult):
            assert parsed.rtt_ms is None or parsed.rtt_ms > 0
            assert parsed.identity.isprintable()
            assert len(parsed.identity) <= 255


@given(st.binary(max_size=300))
def test_any_bytes_as_a_dns_message_tell_some_text(message: bytes) -> None:
    assert identity_of_wire(base64.b64encode(message).decode()).isprintable()


@given(st.lists(DOCUMENTS, max_size=6), st.integers(0, 60), st.text(max_size=3))
@settings(deadline=None)
def test_a_damaged_stream_of_objects_ends(documents: list[Any], at: int, noise: str) -> None:
    text = "\n".join(map(wire, documents))
    damaged = text[:at] + noise + text[at + 1 :]
    garbage: list[tuple[int, str]] = []
    for document in iter_objects(io.StringIO(damaged), lambda o, why: garbage.append((o, why))):
        assert isinstance(document, dict)
    assert all(0 <= offset <= len(damaged) for offset, _ in garbage)


@given(st.lists(st.dictionaries(KEYS, SCALARS, max_size=4), max_size=5))
def test_every_object_of_a_whole_stream_is_found(documents: list[dict[str, Any]]) -> None:
    plain = [d for d in documents if "results" not in d]
    text = json.dumps(plain)
    found = list(iter_objects(io.StringIO(text), lambda *_: None))
    assert json.dumps(found) == text


TABLES = st.text(max_size=200) | st.lists(
    st.lists(st.text("abc.-1234567890 \t,\"'#", max_size=8), max_size=6).map("\t".join), max_size=6
).map("\n".join)


@given(TABLES | st.lists(RESULTS, max_size=4).map(wire))
@settings(deadline=None)
def test_any_text_as_vantage_points_is_read_or_refused(text: str) -> None:
    try:
        read = read_vantage_points(io.StringIO(text), file="f", locations={"1": Location(1.0, 2.0)})
    except InputError:
        return
    assert read.vantage_points
    enumerate_sites(read.vantage_points)


@given(TABLES | DOCUMENTS.map(wire))
def test_any_text_as_locations_is_read_or_refused(text: str) -> None:
    try:
        assert read_locations(io.StringIO(text), file="f")
    except InputError:
        return


@given(st.lists(RESULTS, max_size=5))
@settings(deadline=None)
def test_any_results_make_a_map_or_say_why_not(documents: list[dict[str, Any]]) -> None:
    gathered = AtlasMap()
    for document in documents:
        for result in parse_result(document):
            gathered.take(result)
    try:
        made = gathered.make({"1": Location(1.0, 2.0)}, source="f")
    except InputError:
        return
    assert len(made) >= 1


LINES = st.lists(
    st.lists(st.text('ab1."\\,é', max_size=6), min_size=1, max_size=4).map(",".join), max_size=8
)


@given(LINES, st.sampled_from(["client_id,source_address", "x,source_address,client_id,ttl"]))
def test_any_replies_are_counted_the_same_way_in_every_form(lines: list[str], head: str) -> None:
    file = [f"{text}\n".encode() for text in (head, *lines)]
    try:
        found = survey(file, file="f")
    except InputError:
        return
    made = to_map(file, found, file="f")
    text = b"".join(to_jsonl(file, found, file="f")).decode()
    assert read_jsonl(io.StringIO(text), file="out") == made
    assert len(made) == found.n_targets
    assert len(set(made.name)) == len(made)


NAMES = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["fra", "nrt1", "london", "tokyjp05", "jp", "de", "ca", "us", "maes1", "egll", "fr-par", "xe-0-0-0",
         "new-york", "core1", "ap-northeast-1", "NRT57-P2", "net", "example", "com", "x", "ch", "is"]
    ), max_size=6,
).map(".".join)  # fmt: skip
SIGHTINGS = st.lists(st.builds(Sighting, lat=LATS, lon=LONS, rtt_ms=RTTS), max_size=4)


@given(NAMES, SIGHTINGS)
@settings(deadline=None)
def test_no_accepted_place_is_faster_than_light(name: str, sightings: list[Sighting]) -> None:
    decoded = decode(name, sightings=sightings)
    for guess in decoded.guesses:
        assert 0 < guess.confidence < 1
        assert guess.reason
        for seen in sightings:
            km = great_circle_km(seen.lat, seen.lon, guess.place.lat, guess.place.lon)
            assert km <= seen.rtt_ms * KM_PER_RTT_MS
    confidences = [guess.confidence for guess in decoded.guesses]
    assert confidences == sorted(confidences, reverse=True)


@given(st.sampled_from(sorted(shipped_rules().headers)), NAMES)
@settings(deadline=None)
def test_any_header_is_read_or_tells_nothing(header: str, value: str) -> None:
    assert decode_header(header, value).name == value


POINTS = st.lists(
    st.builds(
        VantagePoint,
        name=st.integers(0, 50).map(str),
        lat=LATS | st.floats(),
        lon=LONS | st.floats(),
        rtt_ms=RTTS | st.floats(),
        site=st.sampled_from(["", "a", "b"]),
    ),
    max_size=25,
)


@given(POINTS)
@settings(deadline=None)
def test_an_enumeration_is_within_the_laws_of_nature(points: list[VantagePoint]) -> None:
    found = enumerate_sites(points)
    for site in found.sites:
        km = great_circle_km(site.disc.lat, site.disc.lon, site.lat, site.lon)
        assert km <= site.disc.radius_km + 0.01
        assert 0 <= site.confidence <= 1
    if found.proof is not None:
        a, b = found.proof
        assert great_circle_km(a.lat, a.lon, b.lat, b.lon) > a.radius_km + b.radius_km - 0.01
        assert len(found.sites) >= 2
    else:
        assert len(found.sites) == bool(found.n_vantage_points)
    proved = [site.disc for site in found.sites if site.evidence is Evidence.PROOF]
    for i, a in enumerate(proved):
        for b in proved[i + 1 :]:
            assert great_circle_km(a.lat, a.lon, b.lat, b.lon) > a.radius_km + b.radius_km - 0.01


CLIENTS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from(["nrt", "lhr", None]), min_size=1
)


@given(st.lists(CLIENTS, min_size=1, max_size=6))
def test_changes_add_up(sweeps: list[dict[str, str | None]]) -> None:
    maps = [
        CatchmentMap.from_rows(
            [Row(name=name, site=site) for name, site in clients.items()],
            kind=Kind.OBSERVED, network="", sites=(),
        )
        for clients in sweeps
    ]  # fmt: skip
    try:
        found = find_changes(maps, labels=[str(i) for i in range(len(maps))])
    except InputError:
        return
    assert len(found.steps) == len(maps) - 1
    for step in found.steps:
        assert step.n_moved == sum(flow.n for flow in step.flows) <= step.n_common
        assert 0 <= step.part_moved <= 1
    assert found.n_steady + len(found.flippers) == found.n_clients
    assert sorted(s for mode in found.modes for s in mode.sweeps) == sorted(
        s.label for s in found.sweeps
    )
    for i, row in enumerate(found.alike):
        assert row[i] == 1
        assert all(found.alike[j][i] == value for j, value in enumerate(row))
