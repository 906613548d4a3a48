"""No site announces that is not like the others; and no change of the whole fleet takes a site away."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from ridgeline.app.consistency import consistency_of_lab
from ridgeline.lab.control import LabClient, lab_directory
from ridgeline.lab.material.certificates import Authority

from .conftest import SPECS, Lab, lab_of

SITES = ("lhr", "nrt", "gru")
NEW_ZONE = """\
$ORIGIN new.test.
$TTL 60
@ SOA ns h 1 60 60 6000 60
@ NS ns
ns A 192.0.2.53
hello TXT "there"
"""


@dataclass(frozen=True)
class Alike:
    """The lab with agents, and the folder that its author edits."""

    lab: Lab
    folder: Path

    def files(self, site: str) -> str:
        return str(lab_directory(self.lab.name) / "files" / f"server.{site}")

    def on(self, node: str, script: str) -> str:
        done = self.lab.run("exec", node, "--", "sh", "-ec", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answering(self) -> set[str | None]:
        status: Any = LabClient(self.lab.name).ask("status", None)
        return {client["services"]["dns"]["site"] for client in status["clients"].values()}

    def states(self) -> dict[str, tuple[str, str]]:
        """Tell each site's state and why it is so."""
        sites = self.lab.ask("status")["sites"]
        return {name: (site["state"], site["how"] or "") for name, site in sites.items()}

    def wall(self) -> dict[str, Any]:
        """Ask every site; the facts that differ, each with the sites that do."""
        document = consistency_of_lab(self.lab.name)
        odd = {f"{f['service']} {f['name']}": f["odd"] for f in document["facts"] if f["odd"]}
        assert document["consistent"] is not bool(odd)
        return odd

    def log(self) -> list[dict[str, Any]]:
        """Read what all agents logged so far, each in its order."""
        logs = str(lab_directory(self.lab.name) / "files" / "server.*" / "agent" / "agent.out")
        return [json.loads(line) for line in self.on("server.nrt", f"cat {logs}").splitlines()]

    def moves(self, after: str) -> list[str]:
        """List what agents did to their routes after a time, and which checks failed, and why."""
        return [
            f"{one['site']} {one['event']}: {one.get('check', '')} {one['reason']}"
            for one in self.log()
            if one["time"] > after
            and (
                one["event"] in {"withdraw", "drain", "announce"}
                or one.get("condition") in {"down", "impaired"}
            )
        ]


def now() -> str:
    return datetime.now(UTC).isoformat()


def until(holds: Callable[[], bool], alike: Alike, what: str, within_s: float = 30) -> float:
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > within_s:
            pytest.fail("\n".join([what, *map(str, alike.log()[-20:])]))
        time.sleep(0.2)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alike]:
    folder = tmp_path_factory.mktemp("alike")
    shutil.copy(SPECS / "consistency.yaml", folder / "spec.yaml")
    shutil.copytree(SPECS / "zones", folder / "zones")
    for lab in lab_of(folder / "spec.yaml", "--clients", "6", "--agents"):
        yield Alike(lab, folder)


def with_a_cookie_key_of_its_own(alike: Alike, site: str) -> tuple[str, str]:
    knot = f"{alike.files(site)}/knot"
    reload = f"knotc -s {knot}/knot.sock reload"
    edit = f"s/^    secret: 0x[0-9a-f]*$/    secret: 0x{'5b' * 16}/"
    break_ = f"cp -p {knot}/knot.conf {knot}/kept; sed -i '{edit}' {knot}/knot.conf; {reload}"
    return break_, f"mv {knot}/kept {knot}/knot.conf; {reload}"


def with_another_certificate(alike: Alike, site: str) -> tuple[str, str]:
    """Break no file that is looked at: who shakes hands with the edge finds it."""
    other = Authority("elsewhere").sign(["origin.example.test"], ())
    made = other.write(alike.folder, "other")
    files = alike.files(site)
    reload = f"kill -HUP $(cat {files}/nginx-web/nginx.pid)"
    break_ = f"cp -rp {files}/tls {files}/kept; cp {made.certificate} {files}/tls/web.pem"
    mend = f"cp -p {files}/kept/* {files}/tls/; {reload}"
    return f"{break_}; cp {made.key} {files}/tls/web.key; {reload}", mend


def test_sites_that_differ_are_withdrawn_and_come_back_when_they_agree(alike: Alike) -> None:
    until(lambda: alike.answering() == set(SITES), alike, "not every site answers")
    cookie = with_a_cookie_key_of_its_own(alike, "nrt")
    certificate = with_another_certificate(alike, "gru")
    begun = now()
    alike.on("server.nrt", f"{cookie[0]}; {certificate[0]}")
    took = until(lambda: alike.answering() == {"lhr"}, alike, "not only lhr answers")
    assert took < 12  # 2 s, and what a crowded machine adds
    assert {site: state for site, (state, _) in alike.states().items()} == {
        "lhr": "announced",
        "nrt": "down",
        "gru": "down",
    }
    assert alike.states()["nrt"][1].startswith("by its agent: dns/consistency: file knot/knot.conf")
    odd = alike.wall()
    assert odd.pop("web certificate") == ["gru"]
    assert odd.pop("dns cookie keys") == ["nrt"]
    assert odd.pop("dns files") == ["nrt"]
    assert set(odd) <= {"web certificate ends", "web ticket keys"}
    why = [move for move in alike.moves(begun) if "withdraw" in move]
    for start in (
        "nrt withdraw:  dns/consistency: file knot/knot.conf is ",
        "gru withdraw:  web/consistency: certificate is ",
    ):
        (one,) = (move for move in why if move.startswith(start))
        assert one.endswith("not like the others")
    assert len(why) == 2
    alike.on("server.nrt", f"{cookie[1]}; {certificate[1]}")
    until(lambda: alike.answering() == set(SITES), alike, "they do not come back")
    assert alike.wall() == {}


def test_a_zone_comes_changes_and_goes_and_no_site_is_withdrawn(alike: Alike) -> None:
    until(lambda: alike.answering() == set(SITES), alike, "not every site answers")
    begun, told = now(), configuration(alike)
    zone = alike.folder / "zones" / "example.test.zone"
    zone.write_text(zone.read_text().replace("2026010101", "2026010102"))
    (alike.folder / "zones" / "new.zone").write_text(NEW_ZONE)
    spec = alike.folder / "spec.yaml"
    alone = spec.read_text()
    spec.write_text(alone.replace("test.zone]", "test.zone, zones/new.zone]"))
    document = alike.lab.ask("publish")
    assert {row["zone"] for row in document["zones"]} == {"example.test.", "new.test."}
    assert document["everywhere"]
    # Sites tell the fingerprint of the configuration that knows the new zone.
    assert configuration(alike) != told
    # Who asks the resolver of his own machine finds the zone, and agents watch it.
    client = next(iter(alike.lab.sites()))
    script = "kdig +short +retry=5 +timeout=1 @127.0.0.1 hello.new.test TXT"
    assert alike.on(f"client.{client}", script).strip() == '"there"'
    watching = {"dns/dns/new.test@192.0.2.53"}
    until(lambda: len(watched(alike, watching)) == len(SITES), alike, "agents do not know the zone")
    spec.write_text(alone)
    assert alike.lab.ask("publish")["zones"][0]["change"] == "gone"
    time.sleep(2.5)  # a whole round of every check, with what is right after the change alone
    assert alike.moves(begun) == []
    assert alike.wall() == {}
    assert configuration(alike) == told


def watched(alike: Alike, checks: set[str]) -> set[str]:
    """Name the sites whose agents found one of the checks well."""
    return {one["site"] for one in alike.log() if one.get("check") in checks}


def configuration(alike: Alike) -> str:
    """Return the fingerprint that the name servers tell."""
    facts = consistency_of_lab(alike.lab.name)["facts"]
    (fact,) = (f for f in facts if (f["service"], f["name"]) == ("dns", "configuration"))
    usual = fact["usual"]
    assert isinstance(usual, str)
    return usual


def test_no_rotation_withdraws_a_site(alike: Alike) -> None:
    until(lambda: alike.answering() == set(SITES), alike, "not every site answers")
    begun = now()
    for what in ("cookie", "tickets", "certificate"):
        alike.lab.ask("rotate", what)
    time.sleep(2.5)
    assert alike.moves(begun) == []
    assert alike.wall() == {}
