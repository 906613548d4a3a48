"""A zone that changes is at every site, and no site announces an older one."""

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.conftest import Lab, lab_of

SPEC = """\
network: zones-anycast
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns:
    kind: authoritative-dns
    addresses: [192.0.2.53]
    zones: [{zones}]
    primary: true
    dnssec: true
sites:
  nrt: {{upstreams: [{{asn: 65550}}]}}
  lhr: {{upstreams: [{{asn: 65540}}]}}
  iad: {{upstreams: [{{asn: 65536}}]}}
"""
FIRST = Path(__file__).parent / "specs" / "zones" / "example.test.zone"
SITES = ("nrt", "lhr", "iad")


@dataclass(frozen=True)
class Published:
    """A lab with a hidden primary, and the folder that its author edits."""

    lab: Lab
    folder: Path

    def name_zones(self, *zones: str) -> None:
        text = SPEC.format(zones=", ".join(f"zones/{zone}" for zone in zones))
        (self.folder / "spec.yaml").write_text(text)

    def add(self, record: str) -> None:
        zone = self.folder / "zones" / "example.test.zone"
        zone.write_text(zone.read_text() + record + "\n")

    def texts_at(self, site: str, name: str) -> str:
        done = self.lab.program(
            *("lab", "exec", f"server.{site}", "--name", self.lab.name),
            *("--", "kdig", "+short", "@192.0.2.53", name, "TXT"),
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    (folder / "zones").mkdir()
    shutil.copy(FIRST, folder / "zones")
    made = Published(Lab(""), folder)
    made.name_zones("example.test.zone")
    for lab in lab_of(folder / "spec.yaml", "--clients", "6"):
        yield Published(lab, folder)


def test_an_edit_and_a_new_zone_reach_every_site(published: Published) -> None:
    published.add('edited TXT "one"')
    (published.folder / "zones" / "new.zone").write_text(
        "$ORIGIN new.test.\n$TTL 60\n@ SOA ns h 1 60 60 6000 60\n@ NS ns\n"
        'ns A 192.0.2.53\nhello TXT "there"\n'
    )
    published.name_zones("example.test.zone", "new.zone")
    document = published.lab.ask("publish")
    assert {row["zone"]: row["change"] for row in document["zones"]} == {
        "example.test.": "edited",
        "new.test.": "new",
    }
    assert document["everywhere"]
    assert document["from"] == "primary"
    for row in document["zones"]:
        assert set(row["sites"]) == set(SITES)
    for site in SITES:
        assert published.texts_at(site, "edited.example.test") == '"one"'
        assert published.texts_at(site, "hello.new.test") == '"there"'
    assert published.lab.ask("publish")["zones"] == []


def test_a_bad_zone_is_named_with_its_line_and_changes_nothing(published: Published) -> None:
    zone = published.folder / "zones" / "example.test.zone"
    good = zone.read_text()
    published.add("broken A 192.0.2.999")
    done = published.lab.run("publish")
    zone.write_text(good)
    assert done.returncode == 2
    assert f"{zone}:{len(good.splitlines()) + 1}: " in done.stderr
    assert published.lab.ask("publish")["zones"] == []


def test_a_site_that_was_away_announces_only_what_is_true_now(published: Published) -> None:
    published.lab.ask("fail", "lhr", "--how", "crash")
    published.add('while-away TXT "news"')
    document = published.lab.ask("publish")
    assert document["skipped"] == ["lhr"]
    assert set(document["zones"][0]["sites"]) == {"nrt", "iad"}
    published.lab.ask("heal", "lhr")
    assert published.texts_at("lhr", "while-away.example.test") == '"news"'
    assert "lhr" in published.lab.sites().values()


def test_only_its_owner_reads_a_file_with_a_secret(published: Published) -> None:
    for node in ("primary", "server.nrt"):
        done = published.lab.program(
            *("lab", "exec", node, "--name", published.lab.name),
            *("--", "find", "/run/ridgeline", "-path", f"*/{published.lab.name}/*"),
            *("-name", "knot.conf", "-printf", "%m %p\n"),
        )
        modes = {line.split()[0] for line in done.stdout.splitlines()}
        assert modes == {f"{stat.S_IRUSR | stat.S_IWUSR:o}"}, done.stderr
