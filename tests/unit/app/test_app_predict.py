"""The whole of a prediction, on the built-in Internet: from a file and a name to the figures."""

from dataclasses import replace

import pytest

from ridgeline.app.check import read_spec
from ridgeline.app.maps import read_map, write_map
from ridgeline.app.picture_file import write_picture
from ridgeline.app.predict import Prepend, parse_prepend, predict, predict_file
from ridgeline.app.predict_map import draw_prediction
from ridgeline.app.prediction_document import comparison_document, prediction_document
from ridgeline.catchment.diff import compare
from ridgeline.catchment.model import Certainty, Kind
from ridgeline.errors import InputError, MachineError
from ridgeline.spec.model import Spec
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.demo import demo

DEMO = "examples/demo/ridgeline.yaml"


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(DEMO)


def site_of(spec: Spec, name: str, *, down: tuple[str, ...] = ()) -> str | None:
    found = predict(spec, demo(), down=down).map
    return found.site[found.name.index(name)]


def test_shares_add_up_to_everybody(spec: Spec) -> None:
    prediction = predict(spec, demo())
    assert sum(share.share for share in prediction.sites.values()) == pytest.approx(1.0)
    assert prediction.unreached is None
    assert sum(prediction.certainty.values()) == pytest.approx(1.0)
    assert list(prediction.sites) == [site.name for site in spec.sites]


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("bramble.lhr", "lhr"),
        ("fynbos.jnb", "lhr"),  # its provider carries it out of Africa
        ("protea.jnb", "jnb"),
        ("banyan.bom", "syd"),  # over the exchange in Singapore
        ("ceibo.eze", "lhr"),  # over a provider from Spain
        ("dogwood.ord", "iad"),
    ],
)
def test_the_stories_of_the_built_in_internet(spec: Spec, client: str, site: str) -> None:
    assert site_of(spec, client) == site


def test_a_site_that_is_down_is_not_in_the_answer_and_its_clients_go_elsewhere(spec: Spec) -> None:
    prediction = predict(spec, demo(), down=["lhr"])
    assert "lhr" not in prediction.sites
    assert "lhr" not in prediction.map.site
    assert site_of(spec, "bramble.lhr", down=("lhr",)) == "iad"


def test_a_prepend_replaces_what_the_spec_says(spec: Spec) -> None:
    without = predict(spec, demo())
    with_two = predict(spec, demo(), prepend=[Prepend(site="syd", asn=None, copies=2)])
    assert with_two.sites["syd"].share < without.sites["syd"].share
    back = [Prepend(site="syd", asn=None, copies=2), Prepend(site="syd", asn=None, copies=0)]
    assert predict(spec, demo(), prepend=back).map == without.map


def test_load_is_shared_out_as_users_are(spec: Spec) -> None:
    prediction = predict(spec, demo(), load=1000.0)
    assert sum(prediction.load.values()) == pytest.approx(1000.0)
    assert predict(spec, demo()).load_is_users


def test_the_document_has_the_keys_of_the_design(spec: Spec) -> None:
    document = prediction_document(predict(spec, demo()))
    assert document["schema"] == "ridgeline.prediction/1"
    assert document["sites"]["nrt"].keys() >= {
        "share",
        "users",
        "load",
        "median_rtt_ms",
        "p95_rtt_ms",
    }
    client = document["clients"][0]
    keys = {"asn", "city", "site", "certainty", "possible", "rtt_ms", "as_path"}
    assert client.keys() >= keys
    assert client["certainty"] in set(Certainty)
    assert "clients" not in prediction_document(predict(spec, demo()), clients=False)


def test_a_prefix_that_is_announced_otherwise_is_pointed_at(spec: Spec) -> None:
    site = spec.sites[0]
    only_first = replace(site.upstreams[0], prefixes=spec.prefixes[:1])
    other = replace(
        spec, sites=(replace(site, upstreams=(only_first, *site.upstreams[1:])), *spec.sites[1:])
    )
    (note,) = predict(other, demo()).notes
    assert "2001:db8:53::/48 is announced differently" in note
    assert predict(spec, demo()).notes == ()


def test_an_internet_without_users_counts_networks(spec: Spec) -> None:
    builder = InternetBuilder("bare")
    for site in spec.sites:
        for upstream in site.upstreams:
            if upstream.asn not in builder._ases:
                builder.add_as(upstream.asn)
    builder.add_as(1)
    builder.buys(1, 65550)
    prediction = predict(spec, builder.build())
    assert prediction.weighs_networks
    assert prediction.map.site[prediction.map.asn.index(1)] == "nrt"
    assert prediction.map.rtt_ms[prediction.map.asn.index(1)] is None
    with pytest.raises(InputError, match="places no client on the globe"):
        draw_prediction(prediction)


def test_our_own_network_in_the_topology_is_no_client(spec: Spec) -> None:
    builder = InternetBuilder("ours")
    for site in spec.sites:
        for upstream in site.upstreams:
            if upstream.asn not in builder._ases:
                builder.add_as(upstream.asn)
    builder.add_as(64500)
    builder.buys(64500, 65550)
    prediction = predict(spec, builder.build())
    assert 64500 not in prediction.map.asn
    assert prediction.unreached is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("syd", "expected SITE=N or SITE:ASN=N"),
        ("syd=x", "expected SITE=N or SITE:ASN=N"),
        ("syd=-1", "expected SITE=N or SITE:ASN=N"),
        ("syd=51", "N from 0 to 50"),
        ("tyo=1", "no site is named 'tyo'"),
        ("syd:AS1=1", "syd does not announce to AS1; upstreams: AS65549, AS65537"),
        ("syd:x=1", "'x' is not an AS number"),
    ],
)
def test_a_prepend_that_makes_no_sense_is_refused(spec: Spec, text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_prepend(spec, text)
    assert complaint in str(caught.value)


def test_a_prepend_names_a_site_or_a_session(spec: Spec) -> None:
    assert parse_prepend(spec, "syd=2") == Prepend(site="syd", asn=None, copies=2)
    assert parse_prepend(spec, "syd:AS65537=0") == Prepend(site="syd", asn=65537, copies=0)


def test_a_prefix_of_somebody_else_is_refused() -> None:
    with pytest.raises(InputError, match=r"198\.51\.100\.0/24 is none of its prefixes"):
        predict_file(DEMO, "builtin:demo", prefix="198.51.100.0/24")


@pytest.mark.parametrize("name", ["map.jsonl", "map.parquet"])
def test_a_map_is_the_same_after_a_trip_to_the_disk(
    spec: Spec, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    path = str(tmp_path_factory.mktemp("maps") / name)
    found = predict(spec, demo()).map
    write_map(found, path)
    assert read_map(path) == found
    assert compare(found, read_map(path)).overall.part == 1.0
    assert found.kind is Kind.PREDICTED


def test_a_file_that_is_no_map_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("maps") / "map.jsonl"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_map(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="neither JSON Lines nor Parquet"):
        read_map(str(path))


def test_a_comparison_document_tells_both_sides(spec: Spec) -> None:
    a, b = predict(spec, demo()).map, predict(spec, demo(), down=["syd"]).map
    document = comparison_document(compare(a, b))
    assert document["schema"] == "ridgeline.comparison/1"
    assert document["a"]["source"] == document["b"]["source"] == "builtin:demo"
    assert document["agreement"] < 1.0
    assert {move["from"] for move in document["moved"]} == {"syd"}


def test_a_map_of_the_world_shows_every_site(
    spec: Spec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    svg = draw_prediction(predict(spec, demo(), down=["jnb"]))
    for site in spec.sites:
        assert f">{site.name}<" in svg
    for name in ("map.svg", "map.html"):
        write_picture(svg, str(folder / name), title="map")
        assert "</svg>" in (folder / name).read_text()
    pytest.importorskip("resvg_py")
    write_picture(svg, str(folder / "map.png"), title="map")
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_map_that_cannot_be_written_is_told(
    spec: Spec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    svg = draw_prediction(predict(spec, demo()))
    with pytest.raises(MachineError, match="cannot be written"):
        write_picture(svg, str(folder / "no" / "map.svg"), title="map")
