"""One address in six cities: who answers whom, by which way, and under which names."""

from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml"
SITES = {"nrt", "lhr", "iad", "gru", "jnb", "syd"}


def test_every_city_is_answered_on_every_service_over_both_families(demo_lab: Any) -> None:
    for options in ((), ("-6",)):
        clients = demo_lab.ask("status", *options)["clients"]
        assert len(clients) >= 12
        for city, client in clients.items():
            assert set(client["services"]) == {"dns", "resolver", "web"}
            for service, answer in client["services"].items():
                assert answer["site"] in SITES, f"{city} {service} {options}: {answer}"


def test_every_site_answers_somebody(demo_lab: Any) -> None:
    assert set(demo_lab.sites().values()) == SITES


def test_prediction_and_rehearsal_can_be_compared(demo_lab: Any, tmp_path: Path) -> None:
    rehearsed, predicted = str(tmp_path / "rehearsed.jsonl"), str(tmp_path / "predicted.parquet")
    assert demo_lab.run("status", "-o", rehearsed).returncode == 0
    run = demo_lab.program
    assert run("predict", str(EXAMPLE), "-o", predicted).returncode == 0
    done = run("compare", predicted, rehearsed, "--json", "--require", "100")
    assert done.returncode == 0, done.stdout + done.stderr


def test_some_city_does_not_reach_its_nearest_site(demo_lab: Any) -> None:
    # Los Angeles is hauled to Tokyo by its provider although Washington is nearer.
    assert demo_lab.sites()["lax"] == "nrt"


def test_all_surfaces_name_the_same_site(demo_lab: Any) -> None:
    expected = demo_lab.sites()
    for name in ("id.server", "hostname.bind", "whoami.anycast.test"):
        for server in ("dns", "resolver"):
            for answer in demo_lab.ask("dig", name, "TXT", "--server", server)["answers"]:
                site = expected[answer["from"]]
                assert answer["site"] == site, (name, server, answer)
                assert answer["answer"] == [f'TXT "{site}"'], (name, server, answer)
    for item in demo_lab.ask("get")["fetched"]:
        site = expected[item["from"]]
        assert item["site"] == site
        assert f"site={site}\n" in item["body"]


def test_dns_over_tcp_and_ipv6_name_the_site_too(demo_lab: Any) -> None:
    expected = demo_lab.sites()
    for options in (["--tcp"], ["-6"], ["-6", "--tcp"]):
        for answer in demo_lab.ask("dig", "www.example.test", "AAAA", *options)["answers"]:
            assert answer["status"] == "NOERROR"
            assert answer["answer"] == ["AAAA 2001:db8:53::80"]
            assert answer["site"] == expected[answer["from"]]


@pytest.mark.parametrize("options", [(), ("-6",)], ids=["ipv4", "ipv6"])
def test_traceroutes_part_and_their_last_hops_name_the_data_centre(
    demo_lab: Any, options: tuple[str, ...]
) -> None:
    expected = demo_lab.sites("dns", *options)
    cities = ["nrt", "lhr", "iad", "gru", "syd", "los"]
    traces = demo_lab.ask("trace", "dns", "--from", ",".join(cities), *options)["traces"]
    assert [trace["from"] for trace in traces] == cities
    for trace in traces:
        site = expected[trace["from"]]
        assert trace["reached"], trace
        assert trace["site"] == site
        hops = trace["hops"]
        assert hops[0]["city"] == trace["from"]
        assert hops[-2]["name"].endswith(f"edge1.{site}.example-anycast.example")
        assert hops[-1]["name"] == "dns.anycast.example-anycast.example"
    assert len({trace["site"] for trace in traces}) >= 4
    # No hop is heard from sooner than the one before it, but for a little jitter.
    least = times_of(traces)
    for _ in range(5):  # other work adds to a time, and takes nothing away
        if rise(least):
            break
        again = demo_lab.ask("trace", "dns", "--from", ",".join(cities), *options)["traces"]
        pairs = zip(least, times_of(again), strict=True)
        least = [[min(both) for both in zip(*pair, strict=True)] for pair in pairs]
    assert rise(least), least


def times_of(traces: list[Any]) -> list[list[float]]:
    """Say how long each hop of each trace took to answer; one that did not never did."""
    return [
        [inf if hop["rtt_ms"] is None else hop["rtt_ms"] for hop in trace["hops"]]
        for trace in traces
    ]


def rise(traces: list[list[float]]) -> bool:
    """Whether no hop of any trace is heard from sooner than the one before it."""
    return all(
        later >= sooner - 3
        for times in traces
        for sooner, later in pairwise(ms for ms in times if ms < inf)
    )


def test_the_way_takes_as_long_as_the_distance_says(demo_lab: Any) -> None:
    # Great circle Buenos Aires - London, times 1.46, at 199.86 km/ms, there and back.
    seen = [demo_lab.ask("status")["clients"]["eze-ceibo"]["services"]["dns"] for _ in range(3)]
    assert {one["site"] for one in seen} == {"lhr"}
    # Other work adds to a time, and takes nothing away.
    assert min(one["rtt_ms"] for one in seen) == pytest.approx(170, abs=6)


def test_a_page_is_fetched_once_from_the_origin_and_then_cached(demo_lab: Any) -> None:
    url = "http://www.example.test/"
    demo_lab.ask("get", url)
    again = demo_lab.ask("get", url)["fetched"]
    assert all(item["status"] == 200 for item in again)
    assert all("hit" in item["cache"] for item in again)
    assert len({item["headers"]["etag"] for item in again}) == 1


def test_a_city_resolves_by_its_own_resolver_through_the_anycast_one(demo_lab: Any) -> None:
    done = demo_lab.run("exec", "hkg", "--", "getent", "ahostsv4", "www.example.test")
    assert done.returncode == 0, done.stderr
    assert "192.0.2.80" in done.stdout


def test_exec_passes_the_exit_status_on(demo_lab: Any) -> None:
    assert demo_lab.run("exec", "nrt", "--", "sh", "-c", "exit 7").returncode == 7
    assert demo_lab.run("exec", "nrt", "--", "sh", "-c", "exit 127").returncode == 127
    missing = demo_lab.run("exec", "nrt", "--", "no-such-program")
    assert missing.returncode == 3
    assert "no-such-program" in missing.stderr


def test_exec_stays_in_the_folder_where_it_was_called(demo_lab: Any) -> None:
    assert demo_lab.run("exec", "lhr", "--", "pwd").stdout.strip() == str(Path.cwd())


def test_nothing_leaves_the_lab(demo_lab: Any) -> None:
    # A name of the real Internet gets a clean answer at once, never a query to real servers.
    for server in ("resolver", "dns"):
        answers = demo_lab.ask("dig", "www.example.net", "A", "--server", server)["answers"]
        assert {answer["status"] for answer in answers} <= {"NXDOMAIN", "REFUSED"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fail", "nowhere"), "the sites are nrt, lhr, iad"),
        (("fail", "nrtt"), "did you mean nrt?"),
        (("heal", "nrt"), "site nrt is well"),
        (("trace", "--from", "nrt,atlantis"), "no client 'atlantis'"),
        (("exec", "tanuki.nrtt", "--", "true"), "did you mean tanuki.nrt?"),
        (("dig", "x", "A", "--server", "resolve"), "did you mean resolver?"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(
    demo_lab: Any, arguments: tuple[str, ...], said: str
) -> None:
    done = demo_lab.run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
