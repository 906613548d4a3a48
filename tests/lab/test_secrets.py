"""Secrets that all sites share: rotated under clients' hands, compared from site to site, never told."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ridgeline.agent.checks.consistency import ConsistencyChecker
from ridgeline.agent.checks.plan import ConsistencyCheck
from ridgeline.agent.health import Round
from ridgeline.app.consistency import consistency_outside
from ridgeline.errors import InputError
from ridgeline.lab.control import LabClient, lab_directory

from .conftest import SPECS, Lab, lab_of, ridgeline

SITES = ("lhr", "nrt", "gru")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    shutil.copy(SPECS / "secrets.yaml", folder / "ridgeline.yaml")
    shutil.copytree(SPECS / "zones", folder / "zones")
    done = ridgeline("secrets", "new", str(folder / "ridgeline.yaml"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Lab]:
    yield from lab_of(folder / "ridgeline.yaml", "--clients", "6")


def wall(lab: Lab, *, consistent: bool = True) -> dict[tuple[str, str], dict[str, Any]]:
    done = lab.run("status", "--consistency", "--json")
    document = json.loads(done.stdout)
    odd = [f"{f['service']} {f['name']}: {f['values']}" for f in document["facts"] if f["odd"]]
    assert document["consistent"] is consistent, odd
    assert done.returncode == (0 if consistent else 1)
    assert document["schema"] == "ridgeline.consistency/1"
    return {(fact["service"], fact["name"]): fact for fact in document["facts"]}


def on(lab: Lab, site: str, script: str) -> str:
    done = lab.run("exec", f"server.{site}", "--", "sh", "-ec", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(lab: Lab, site: str) -> str:
    return str(lab_directory(lab.name) / "files" / f"server.{site}")


def test_a_client_verifies_the_certificate_that_the_lab_signed(lab: Lab) -> None:
    answers = lab.ask("get", "https://192.0.2.80/")["fetched"]
    assert {answer["status"] for answer in answers} == {200}, answers
    refused = lab.run(
        "exec", "lhr", "--", "env", "-u", "CURL_CA_BUNDLE", "-u", "SSL_CERT_FILE",
        "curl", "-sS", "--cacert", "/dev/null", "https://192.0.2.80/",
    )  # fmt: skip
    assert refused.returncode != 0
    wrong_name = lab.run(
        "exec", "lhr", "--", "curl", "-sS", "--resolve", "other.test:443:192.0.2.80",
        "https://other.test/",
    )  # fmt: skip
    assert "no alternative certificate subject name" in wrong_name.stderr


def test_every_site_has_the_same_of_everything(lab: Lab) -> None:
    facts = wall(lab)
    assert set(facts) == {
        ("dns", "serial of example.test."),
        ("dns", "configuration"),
        ("dns", "cookie keys"),
        *((service, "files") for service in ("dns", "resolver", "web")),
        *(("resolver", name) for name in ("configuration", "certificate", "certificate ends")),
        ("resolver", "ticket keys"),
        *(("web", name) for name in ("configuration", "cache policy", "certificate")),
        *(("web", name) for name in ("certificate ends", "ticket keys")),
    }


def test_anybody_outside_sees_the_same_by_the_sites_own_addresses(lab: Lab, folder: Path) -> None:
    spec = str(folder / "ridgeline.yaml")
    done = ridgeline("probe", "consistency", spec, "--lab", lab.name, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    inside = wall(lab)
    outside = {(f["service"], f["name"]): f for f in json.loads(done.stdout)["facts"]}
    assert len(outside) == 8
    for name, fact in outside.items():
        if not name[1].endswith("keys"):
            assert fact["values"] == inside[name]["values"]
    for site, address, why in (
        ("nrt", "192.0.2.53", "is anycast"),
        ("xyz", "198.19.0.1", "none of the sites"),
        ("nrt", "198.19.0.1", "at least two sites"),
    ):
        with pytest.raises(InputError, match=why):
            consistency_outside(spec, {site: address})


@pytest.mark.parametrize("what", ["cookie", "tickets", "certificate"])
def test_no_client_is_left_without_an_answer_by_a_rotation(lab: Lab, what: str) -> None:
    before = wall(lab) if what == "certificate" else {}
    seen = lab.ask("rotate", what)
    assert set(seen["clients"]) == ({"dns"} if what == "cookie" else {"resolver", "web"})
    for service, count in seen["clients"].items():
        assert count["asked"] > 10, service
        assert count["failed"] == 0, (service, count)
    if what == "cookie":  # Knot knows one key: who comes with the old cookie is told the new one
        assert seen["clients"]["dns"]["renewed"] <= len(SITES)
    if what == "tickets":
        assert [step["step"].split()[0] for step in seen["steps"]] == ["accept", "use", "drop"]
        assert {count["renewed"] for count in seen["clients"].values()} == {0}
    after = wall(lab)
    for name, fact in before.items():
        if name[1] == "certificate":
            assert not set(after[name]["values"].values()) & set(fact["values"].values())


def test_a_site_with_a_cookie_key_of_its_own_is_the_odd_one_out(lab: Lab) -> None:
    knot = f"{files(lab, 'nrt')}/knot"
    on(
        lab,
        "nrt",
        f"cp -p {knot}/knot.conf {knot}/kept; sed -i 's/^    secret: 0x[0-9a-f]*$/    secret: "
        f"0x{'5b' * 16}/' {knot}/knot.conf; knotc -s {knot}/knot.sock reload",
    )
    try:
        facts = wall(lab, consistent=False)
        odd = {name: fact["odd"] for name, fact in facts.items() if fact["odd"]}
        assert odd == {("dns", "cookie keys"): ["nrt"], ("dns", "files"): ["nrt"]}
    finally:
        on(lab, "nrt", f"mv {knot}/kept {knot}/knot.conf; knotc -s {knot}/knot.sock reload")


def test_the_agent_finds_the_edited_file_by_the_fingerprint_that_the_fleet_tells(
    lab: Lab, tmp_path: Path
) -> None:
    told = wall(lab)["dns", "configuration"]["usual"]
    sites = LabClient(lab.name).ask("status", None, quick=True)["sites"]
    knot = f"{files(lab, 'gru')}/knot"
    copy = tmp_path / "knot.conf"
    copy.write_text(on(lab, "gru", f"cat {knot}/knot.conf"))
    own = (files(lab, "gru"), *(a for site in sites.values() for a in site["addresses"]))
    one = ConsistencyChecker(ConsistencyCheck(file=str(copy), expect=(told,), sites=SITES, own=own))
    heard: list[Round] = []
    one.begin(heard.append)
    copy.write_text(copy.read_text().replace("badcookie-slip: 1", "badcookie-slip: 2"))
    one.begin(heard.append)
    assert [outcome.ok for outcome in heard] == [True, False], heard


def test_eleven_surfaces_name_the_same_site(lab: Lab) -> None:
    said: dict[str, dict[str, str | None]] = {}

    def hear(surface: str, answers: list[dict[str, Any]], read: Callable[[Any], Any]) -> None:
        for answer in answers:
            said.setdefault(answer["from"], {})[surface] = read(answer)

    def words(answer: dict[str, Any]) -> str:
        return str(answer["answer"][0]).split('"')[1]

    for name in ("id.server", "hostname.bind", "whoami.anycast.test"):
        answers = lab.ask("dig", name, "TXT", "--server", "192.0.2.53")["answers"]
        hear(name, answers, words)
        hear("NSID", answers, lambda answer: answer["site"])
    answers = lab.ask("dig", "whoami.anycast.test", "TXT", "--server", "192.0.2.1")["answers"]
    hear("resolver whoami", answers, words)
    hear("resolver NSID", answers, lambda answer: answer["site"])
    pages = lab.ask("get", "http://192.0.2.80/")["fetched"]
    hear("X-Served-By", pages, lambda page: page["site"])
    hear("Cache-Status", pages, lambda page: page["cache"].split(".")[0])
    hear("Via", pages, lambda page: page["headers"]["via"].split()[-1].split(".")[0])
    traces = lab.ask("get", "https://192.0.2.80/.well-known/anycast-trace")["fetched"]
    hear("trace", traces, lambda page: page["body"].split("\n")[0].removeprefix("site="))
    ways = lab.ask("trace", "192.0.2.53")["traces"]
    hear("last hop", ways, lambda way: [hop["city"] for hop in way["hops"] if hop["city"]][-1])
    assert said
    for client, named in said.items():
        assert len(named) == 11
        assert len(set(named.values())) == 1, (client, named)
    assert {site for named in said.values() for site in named.values()} <= set(SITES)


def test_no_key_is_in_a_log_an_argument_or_a_file_of_others(lab: Lab, folder: Path) -> None:
    keys = {
        line.split()[0]
        for name in ("dns-cookies", "ticket-keys", "tsig")
        for line in (folder / "secrets" / name).read_text().splitlines()
        if not line.startswith("#")
    }
    assert len(keys) == 3
    directory = lab_directory(lab.name)
    texts = [(directory / "log").read_text(errors="replace")]
    texts.append(lab.run("status", "--json", "--nodes").stdout)
    texts.append(on(lab, "nrt", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))
    texts.append(on(lab, "nrt", f"find {directory}/files -name '*.out' | xargs cat"))
    for key in keys:
        for form in (key, bytes.fromhex(key).hex().upper()):
            assert not any(form[:24] in text for text in texts)
    # Every file that holds one, or a private key, is its owner's alone.
    patterns = "|".join(key[:24] for key in keys)
    holding = on(
        lab, "nrt", f"grep -rlEI '{patterns}|PRIVATE KEY' {directory}/files || true"
    ).splitlines()
    assert any(path.endswith("site.key") or "/tls/" in path for path in holding)
    tickets = on(lab, "nrt", f"find {directory}/files -name 'ticket-*.key'").splitlines()
    assert len(tickets) == 2 * len(SITES)
    modes = on(lab, "nrt", f"stat -c '%a %n' {' '.join([*holding, *tickets])}").splitlines()
    assert len(modes) == len(holding) + len(tickets)
    assert [line for line in modes if not line.startswith("600 ")] == []
