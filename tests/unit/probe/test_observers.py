"""Vantage points that ask by a command, with real commands of this machine."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.probe.observers import Observer, Sighting, observe, read_hosts, read_output

ADDRESS = "192.0.2.53"


def ask(*observers: Observer, patience: float = 10.0) -> list[Sighting]:
    return asyncio.run(observe(observers, ADDRESS, service="dns", command_timeout=patience))


def hosts(tmp_path: Path, script: str, *lines: str) -> list[Observer]:
    """Hosts that are reached by a stand-in for ssh, which runs `script` with host and address."""
    stand_in = tmp_path / "reach.py"
    stand_in.write_text("import sys\nhost, address = sys.argv[1:]\n" + script)
    command = f"{sys.executable} {stand_in} {{host}} {{address}}"
    return read_hosts(lines, file="hosts", command=command, address=ADDRESS)


def test_each_host_says_what_it_saw(tmp_path: Path) -> None:
    document = {"targets": [{"site": "nrt", "answers": [{"rtt_ms": 9.5}, {"rtt_ms": None}]}]}
    script = f"print({json.dumps(document)!r}) if host == 'vp1' else print('\"lhr\"')\n"
    seen = ask(*hosts(tmp_path, script, "vp1,64500,nrt", "# a comment", "vp2.example"))
    assert [(s.row.name, s.row.site, s.row.rtt_ms, s.row.service) for s in seen] == [
        ("vp1", "nrt", 9.5, "dns"),
        ("vp2.example", "lhr", None, "dns"),
    ]
    assert (seen[0].row.asn, seen[0].row.city) == (64500, "nrt")
    assert seen[0].row.lat is not None


def test_a_host_that_fails_says_why_and_spoils_no_other(tmp_path: Path) -> None:
    script = "sys.exit('Permission denied') if host == 'vp1' else print('nrt')\n"
    first, second = ask(*hosts(tmp_path, script, "vp1", "vp2"))
    assert (first.row.site, first.problem) == (None, "Permission denied")
    assert second.row.site == "nrt"


def test_a_host_that_hangs_is_given_up(tmp_path: Path) -> None:
    script = "import time; time.sleep(60)\n"
    (seen,) = ask(*hosts(tmp_path, script, "vp1"), patience=0.5)
    assert seen.row.site is None
    assert "did not end within 0.5 s" in seen.problem


def test_no_shell_reads_what_the_file_says(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hosts:1:.*no host name"):
        hosts(tmp_path, "", "$(reboot)")
    with pytest.raises(InputError, match="no host name"):
        hosts(tmp_path, "", "-oProxyCommand=reboot")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("ssh somewhere {address}", "names no {host}"),
        ("ssh {host} {user}", "only {host} and {address}"),
        ("ssh '{host}", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_work_is_refused(command: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_hosts(["vp1"], file="hosts", command=command, address=ADDRESS)


def test_every_wrong_line_is_told() -> None:
    with pytest.raises(InputError) as caught:
        read_hosts(["vp1,x", "vp2,64500,zzzz"], file="hosts", command="ssh {host}", address=ADDRESS)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("output", "site"),
    [
        (b'"nrt"\n', "nrt"),
        (b";; connection timed out\n", None),
        (b"", None),
        (b'{"targets": []}', None),
        (b'{"targets": [{"site": null, "answers": []}]}', None),
        (b"{garbage", None),
    ],
)
def test_output_is_read_as_what_it_is(output: bytes, site: str | None) -> None:
    assert read_output(output)[0] == site
