"""The include file of BIRD's back-end on a full disk: a new stance fits into the old one's place."""

from ipaddress import ip_network
from itertools import product
from pathlib import Path

from ridgeline.agent.router import Stance
from ridgeline.agent.routers.bird import write_over, write_whole
from ridgeline.agent.routers.bird_text import render_include
from ridgeline.net.asn import Asn

PREFIXES = (ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48"))


def render(*stances: Stance) -> str:
    held = dict(zip(PREFIXES, stances, strict=True))
    return render_include(held, prepend=2, asn=Asn(64500), gateways={4: "10.255.53.2 bfd"})


def test_every_stance_takes_the_same_room() -> None:
    assert len({len(render(*stances)) for stances in product(Stance, repeat=2)}) == 1


def test_a_stance_is_written_over_another_without_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "ridgeline.conf"
    write_whole(path, render(Stance.ANNOUNCED, Stance.ANNOUNCED))
    inode = path.stat().st_ino
    assert write_over(path, render(Stance.WITHDRAWN, Stance.DRAINED))
    assert path.read_text() == render(Stance.WITHDRAWN, Stance.DRAINED)
    assert path.stat().st_ino == inode


def test_a_longer_text_is_not_written_over_a_shorter_one(tmp_path: Path) -> None:
    path = tmp_path / "ridgeline.conf"
    path.write_text("short")
    assert not write_over(path, "longer")
    assert path.read_text() == "short"


def test_what_is_not_there_is_not_written_over(tmp_path: Path) -> None:
    assert not write_over(tmp_path / "ridgeline.conf", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_shorter_text_leaves_nothing_of_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "ridgeline.conf"
    path.write_text("protocol static any { disabled yes; }\n")
    assert write_over(path, "# none\n")
    assert path.read_text().strip() == "# none"
