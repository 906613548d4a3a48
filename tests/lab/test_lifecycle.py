"""A lab owns what it starts: nothing of it outlives it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from ridgeline.lab.control import lab_directory

_numbers = count(1)
EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml"
SMALL = Path(__file__).parent / "specs" / "bfd.yaml"


def wait_until(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def processes_of(name: str) -> list[int]:
    """Every process whose command line names a file of the lab."""
    mark = str(lab_directory(name)).encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def namespace_of(process: str) -> str | None:
    try:
        return Path(f"/proc/{process}/ns/net").readlink().name
    except OSError:
        return None


def namespaces_of(name: str) -> set[str]:
    """Name every network namespace in which a process of the lab runs."""
    return {ns for pid in processes_of(name) if (ns := namespace_of(str(pid))) is not None}


def assert_gone(name: str, spaces: set[str]) -> None:
    """Nothing is left: no process of the lab, and nobody in its namespaces."""

    def held() -> set[str]:
        return spaces & {str(namespace_of(p.name)) for p in Path("/proc").iterdir()}

    wait_until(lambda: processes_of(name) == [], "processes are left")
    wait_until(lambda: not held(), "namespaces are left")


def start(name: str, spec: Path = SMALL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ridgeline", "lab", "up", str(spec), "--name", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ridgeline", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def name() -> Iterator[str]:
    name = f"life-{os.getpid()}-{next(_numbers)}"
    yield name
    run("lab", "down", "--name", name)


def up(name: str, spec: Path = SMALL) -> None:
    process = start(name, spec)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert len(processes_of(name)) > 50


def test_down_leaves_nothing(name: str) -> None:
    up(name)
    spaces = namespaces_of(name)
    assert len(spaces) > 50
    assert run("lab", "down", "--name", name).returncode == 0
    assert processes_of(name) == []
    assert_gone(name, spaces)
    assert not lab_directory(name).exists()


@pytest.mark.parametrize("victim", ["init", "supervisor"])
def test_kill_9_of_the_lab_itself_leaves_nothing(name: str, victim: str) -> None:
    up(name)
    spaces = namespaces_of(name)
    pid = int((lab_directory(name) / "pid").read_text())
    if victim == "supervisor":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert_gone(name, spaces)
    done = run("lab", "status", "--name", name)
    assert done.returncode == 3
    assert f"no lab named '{name}' is up" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_ends_while_it_builds_takes_the_lab_with_it(
    name: str, number: signal.Signals
) -> None:
    process = start(name)
    wait_until(lambda: len(processes_of(name)) > 20, "the lab does not start")
    spaces = namespaces_of(name)
    process.send_signal(number)
    process.communicate(timeout=90)
    assert process.returncode != 0
    assert_gone(name, spaces)


def test_a_second_lab_of_the_same_name_is_refused_and_the_first_lives_on(name: str) -> None:
    up(name)
    second = start(name)
    _, errors = second.communicate(timeout=90)
    assert second.returncode == 3
    assert f"a lab named '{name}' is already up" in errors
    assert f"ridgeline lab down --name {name}" in errors
    assert run("lab", "status", "--name", name).returncode == 0


def test_two_labs_run_side_by_side(name: str) -> None:
    other = f"{name}-b"
    up(name)
    try:
        up(other)
        assert {name, other} <= set(run("lab", "list").stdout.split())
        assert run("lab", "down", "--name", name).returncode == 0
        assert run("lab", "status", "--name", other).returncode == 0
    finally:
        run("lab", "down", "--name", other)


def test_a_lost_daemon_is_reported(name: str) -> None:
    up(name)
    knot = [
        pid
        for pid in processes_of(name)
        if b"knotd" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        and b"server.nrt" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(knot[0], signal.SIGKILL)
    done = run("lab", "status", "--name", name)
    assert "knot at server.nrt ended (signal 9)" in done.stdout


def test_taking_down_what_is_not_up_says_so() -> None:
    done = run("lab", "down", "--name", "never-was")
    assert done.returncode == 3
    assert "no lab named 'never-was' is up" in done.stderr


def test_a_name_that_is_no_name_is_refused() -> None:
    done = run("lab", "up", str(SMALL), "--name", "../x")
    assert done.returncode == 2
    assert "cannot name a lab" in done.stderr


def test_a_missing_program_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    code = (
        "from ridgeline.lab import preflight\n"
        "from ridgeline.app.check import read_spec\n"
        "preflight._SYSTEM_PATHS = ''\n"
        "import os; os.environ['PATH'] = '/nonexistent'\n"
        f"preflight.check_programs(read_spec({str(SMALL)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the lab needs programs that are not installed: bird" in done.stderr
    assert "apt-get install bird2 traceroute knot" in done.stderr


def test_a_zone_with_a_mistake_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "spec.yaml").write_text(SMALL.read_text())
    zone = (SMALL.parent / "zones" / "example.test.zone").read_text()
    bad = zone + "broken IN A not-an-address\n"
    (tmp_path / "zones" / "example.test.zone").write_text(bad)
    done = run("lab", "up", str(tmp_path / "spec.yaml"), "--name", name)
    assert done.returncode == 2
    assert f"example.test.zone:{len(bad.splitlines())}" in done.stderr
    assert processes_of(name) == []


def test_a_daemon_that_refuses_its_configuration_is_quoted_with_our_line(
    tmp_path: Path, name: str
) -> None:
    for folder in ("zones", "tls"):
        (tmp_path / folder).mkdir()
    zone = (SMALL.parent / "zones" / "example.test.zone").read_text()
    (tmp_path / "zones" / "example.test.zone").write_text(zone)
    (tmp_path / "tls" / "site.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    (tmp_path / "tls" / "site.key").write_text("-----BEGIN PRIVATE KEY-----\nno\n")
    spec = SMALL.read_text().replace(
        "sites:",
        "  web:\n    kind: http-cache\n    addresses: [192.0.2.80]\n"
        "    origin: http://origin.example.test\n"
        "    tls: {certificate: tls/site.pem, key: tls/site.key}\nsites:",
    )
    (tmp_path / "spec.yaml").write_text(spec)
    done = run("lab", "up", str(tmp_path / "spec.yaml"), "--name", name)
    assert done.returncode == 3
    assert "nginx at server." in done.stderr
    assert "cannot load certificate" in done.stderr
    assert_gone(name, set())


def test_an_internet_that_does_not_fit_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    big = tmp_path / "big.txt"
    big.write_text("".join(f"65550|{100_000 + n}|-1\n" for n in range(2000)))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "network: n\nasn: 64500\nprefixes: [192.0.2.0/24]\n"
        "sites:\n  nrt:\n    upstreams: [{asn: 65550}]\n"
    )
    done = run("lab", "up", str(spec), "--internet", str(big), "--name", name)
    assert done.returncode == 2
    assert "2,001 PoPs" in done.stderr
    assert "builtin:demo" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="this run is an ordinary user's already")
def test_an_ordinary_user_can_run_the_same_lab(tmp_path: Path) -> None:
    python = _python_for_everybody()
    site_packages = next(p for p in sys.path if p.endswith("site-packages"))
    source = str(EXAMPLE.parents[2] / "src")
    script = (
        "import os, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"os.environ.update(PYTHONPATH={source + ':' + site_packages!r}, HOME='/nonexistent',"
        " PYTHONDONTWRITEBYTECODE='1', PATH='/usr/bin:/bin')\n"
        "os.environ.pop('XDG_RUNTIME_DIR', None)\n"
        f"os.execv({python!r}, [{python!r}, '-m', 'ridgeline', *sys.argv[1:]])\n"
    )

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=90,
            cwd="/",
            check=False,
        )

    if as_nobody("--version").returncode:
        pytest.skip("the checkout is not readable for other users")
    name = f"plain-{os.getpid()}"
    try:
        done = as_nobody("lab", "up", str(SMALL), "--name", name)
        assert done.returncode == 0, done.stderr
        failed = as_nobody("lab", "fail", "lhr", "--how", "link", "--name", name, "--json")
        assert failed.returncode == 0, failed.stderr
        assert '"after": "nrt"' in failed.stdout
    finally:
        down = as_nobody("lab", "down", "--name", name)
    assert down.returncode == 0, down.stderr


def _python_for_everybody() -> str:
    """Find a Python of this version that another user may run."""
    same = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), same):
        if Path(candidate).exists() and not candidate.startswith("/root"):
            return candidate
    pytest.skip(f"no Python of this version outside root's home, such as {same}")


def test_help_answers_quickly() -> None:
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - begun)
    empty = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        empty.append(time.perf_counter() - begun)
    assert min(times) < 8 * min(empty) + 0.15


def test_a_machine_that_forbids_namespaces_is_told_so() -> None:
    # In a user namespace of our own the limit can be lowered without touching the machine.
    script = (
        "echo 0 > /proc/sys/user/max_net_namespaces\n"
        f"exec {sys.executable} -m ridgeline lab up {SMALL} --name forbidden"
    )
    wrapped = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(wrapped, capture_output=True, text=True, timeout=90, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this machine forbids user namespaces by itself")
    assert done.returncode == 3
    assert "this machine does not let root make namespaces" in done.stderr
    assert "fix: run in a virtual machine or a privileged container" in done.stderr
