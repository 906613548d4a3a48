"""What `probe trace`, `identify` and `sweep` refuse, and what they say without sending anything."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ridgeline.cli.probe_identify import command as identify
from ridgeline.cli.probe_sweep import command as sweep
from ridgeline.cli.probe_tables import describe_agreement, describe_trace, print_sweep
from ridgeline.cli.probe_trace import command as trace
from ridgeline.errors import InputError, MachineError

INSIDE = ["192.0.2.1", "--inside", "--at", "nrt", "--rate", "10", "--max-targets", "5"]


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def hitlist(tmp_path: Path, *addresses: str) -> str:
    path = tmp_path / "hitlist"
    path.write_text("\n".join(addresses))
    return str(path)


@pytest.mark.parametrize("left_out", ["--at", "--rate", "--max-targets"])
def test_a_sweep_from_inside_needs_everything_named(left_out: str) -> None:
    at = INSIDE.index(left_out)
    result = run(sweep, *INSIDE[:at], *INSIDE[at + 2 :])
    assert isinstance(result.exception, click.UsageError)
    assert left_out in str(result.exception)
    assert "--dry-run" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([*INSIDE, "--hosts", "x"], "asks from outside"),
        ([*INSIDE, "--journal", "j", "--watch"], "again and again"),
        (["192.0.2.1", "--lab", "x", "--rate", "5"], "add --inside"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], why: str) -> None:
    result = run(sweep, *arguments)
    assert isinstance(result.exception, click.UsageError)
    assert why in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["192.0.2.1"], "--lab NAME or --hosts FILE"),
        (["nosuch.yaml", "--hosts", "h"], "neither an address nor the file of a spec"),
        (["192.0.2.1", "--hosts", "/nonexistent/hosts"], "cannot be read"),
        (["192.0.2.1", "--hosts", "h", "--output", "map.txt"], ".jsonl or .parquet"),
        (INSIDE, "--hitlist"),
        ([*INSIDE, "--hitlist", "/nonexistent/list"], "cannot be read"),
        ([*INSIDE, "--sites", "lhr,gru", "--hitlist", "x"], "--listen"),
    ],
)
def test_input_that_cannot_be_used_is_refused(arguments: list[str], why: str) -> None:
    result = run(sweep, *arguments)
    assert isinstance(result.exception, InputError)
    assert why in str(result.exception)


def test_private_addresses_are_refused_outside_a_lab(tmp_path: Path) -> None:
    result = run(sweep, *INSIDE, "--hitlist", hitlist(tmp_path, "10.0.0.1", "192.168.0.1"))
    assert isinstance(result.exception, InputError)
    assert str(result.exception).count("public Internet") == 2


def test_a_dry_run_says_what_would_be_sent(tmp_path: Path) -> None:
    path = hitlist(tmp_path, "8.8.8.8", "9.9.9.9")
    result = run(sweep, *INSIDE, "--hitlist", path, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["schema"] == "ridgeline.sweep-plan/1"
    assert (plan["n_to_ask"], plan["rate"], plan["listening"]) == (2, 10, ["nrt"])
    assert sorted(plan["first"]) == ["8.8.8.8", "9.9.9.9"]
    shown = run(sweep, *INSIDE, "--hitlist", path, "--dry-run").stdout
    assert "would send 2 echoes from 192.0.2.1 at site nrt, 10 a second" in shown
    assert "nothing was sent" in shown


def test_a_dry_run_from_hosts_shows_the_commands(tmp_path: Path) -> None:
    path = hitlist(tmp_path, "vp1.example", "vp2.example")
    result = run(sweep, "192.0.2.1", "--hosts", path, "--dry-run")
    first, second = result.stdout.splitlines()
    assert first.startswith("vp1.example: ssh ")
    assert "vp2.example ridgeline probe identify 192.0.2.1" in second


def test_hosts_that_answer_make_a_map(tmp_path: Path) -> None:
    path = hitlist(tmp_path, "vp1,64500,nrt", "vp2")
    output = str(tmp_path / "map.jsonl")
    stand_in = "echo {host}-of-{address}"
    arguments = ["192.0.2.1", "--hosts", path, "--command", stand_in, "--output", output]
    result = run(sweep, *arguments, "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "ridgeline.sweep/1"
    assert document["clients_of"] == {"vp1-of-192.0.2.1": 1, "vp2-of-192.0.2.1": 1}
    assert len(Path(output).read_text().splitlines()) == 3


def test_watching_prints_events_as_json_lines(tmp_path: Path) -> None:
    path = hitlist(tmp_path, "vp1")
    arguments = ["192.0.2.1", "--hosts", path, "--command", "echo nrt{host}"]
    result = run(sweep, *arguments, "--watch", "--every", "0.1", "--count", "2")
    (event,) = map(json.loads, result.stdout.splitlines())
    assert (event["schema"], event["event"]) == ("ridgeline.change/1", "began")


def test_an_address_that_is_not_here_cannot_send(tmp_path: Path) -> None:
    # No machine can have an address of class E. Without CAP_NET_RAW that is told first.
    nowhere = ["240.0.0.1", *INSIDE[1:]]
    result = run(sweep, *nowhere, "--hitlist", hitlist(tmp_path, "8.8.8.8"))
    assert isinstance(result.exception, MachineError)
    assert "fix:" in str(result.exception)


@pytest.mark.parametrize("command", [trace, identify])
def test_clients_are_of_a_lab(command: click.Command) -> None:
    result = run(command, "127.0.0.1", "--from", "nrt")
    assert isinstance(result.exception, InputError)
    assert "--lab" in str(result.exception)


@pytest.mark.parametrize("command", [trace, identify])
def test_a_place_that_is_none_is_refused(command: click.Command) -> None:
    result = run(command, "127.0.0.1", "--here", "zzzz")
    assert isinstance(result.exception, InputError)
    assert "IATA" in str(result.exception)


def test_a_name_that_is_no_host_name_does_not_resolve() -> None:
    result = run(trace, "a" * 64 + ".example")
    assert isinstance(result.exception, InputError)
    assert "does not resolve" in str(result.exception)


def test_a_trace_is_told_in_a_line() -> None:
    trace_to = {
        "from": "nrt",
        "target": "192.0.2.53",
        "address": "192.0.2.53",
        "reached": True,
        "problem": None,
        "site": None,
        "identity": {"same_flow": True, "answers": [{"way": "id.server", "outcome": "refused"}]},
        "hops": [{"rtt_ms": 2.0}],
    }
    assert describe_trace(trace_to).endswith("does not say which site it is (id.server: refused)")
    lost = trace_to | {"reached": False, "problem": "filtered (said 198.51.100.1)"}
    assert describe_trace(lost) == ("nrt: 192.0.2.53 was not reached: filtered (said 198.51.100.1)")


def test_disagreement_names_who_said_what() -> None:
    names = {"nrt": ["nsid/udp4"], "lhr": ["x-served-by/http4"]}
    told = describe_agreement({"target": "192.0.2.1", "site": "nrt", "names": names})
    assert told == "192.0.2.1 gives several names: nrt (nsid/udp4); lhr (x-served-by/http4)"


def test_a_long_sweep_is_shown_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": f"vp{n}", "site": "nrt" if n else None} for n in range(100)]
    print_sweep(
        {
            "source": "x",
            "sites": ["nrt"],
            "rows": rows,
            "clients_of": {"nrt": 99},
            "n_asked": 100,
            "n_silent": 1,
            "problems": {"vp0": "no reply"},
        }
    )
    shown = capsys.readouterr().out
    assert "... and 40 more" in shown
    assert "1 of 100 gave no site" in shown
    assert "vp0: no reply" in shown
