"""What the daemons really say of a broken text leads to the broken line."""

import subprocess
from pathlib import Path

import pytest

from ridgeline.render.explain import explain

from .daemons import need

KNOT = ("knotc", "-c", "{file}", "conf-check")
UNBOUND = ("unbound-checkconf", "{file}")
NGINX = ("nginx", "-e", "stderr", "-t", "-c", "{file}")
BIRD = ("bird", "-p", "-c", "{file}")

CASES = {
    "knot_item": (KNOT, 'server:\n    rundir: "/tmp"\n    udp-wrkers: 1\n', 3),
    "knot_value": (KNOT, "server:\n    listen: 300.1.1.1@53\n", 2),
    "knot_quote": (KNOT, 'server:\n    rundir: "/tmp\n    udp-workers: 1\n', 2),
    "knot_reference": (KNOT, "zone:\n  - domain: a.test.\n    template: nope\n", 3),
    "unbound_word": (UNBOUND, 'server:\n  chroot: ""\n  num-threds: 1\n', 3),
    "unbound_number": (UNBOUND, "server:\n  num-threads: many\n", 2),
    "unbound_quote": (UNBOUND, 'server:\n  chroot: "\n  num-threads: 1\n', 2),
    "unbound_interface": (UNBOUND, 'server:\n  chroot: ""\n  interface: 300.1.1.1\n', 3),
    "unbound_record": (UNBOUND, 'server:\n  chroot: ""\n  local-data: "a b c d"\n', 3),
    "unbound_zone_file": (
        UNBOUND,
        'server:\n  chroot: ""\nauth-zone:\n  name: .\n  zonefile: "/nowhere/root.zone"\n',
        5,
    ),
    "nginx_word": (NGINX, "events {}\nhttp {\n  server {\n    lisen 80;\n  }\n}\n", 4),
    "nginx_end": (NGINX, "events {}\nhttp {\n  server {\n    listen 127.0.0.1:1;\n", 5),
    "nginx_certificate": (
        NGINX,
        "events {}\nhttp {\n  server {\n    ssl_certificate /nowhere/a.pem;\n  }\n}\n",
        4,
    ),
    "nginx_bind": (
        NGINX,
        "pid /dev/null;\nevents {}\nhttp {\n  server {\n    listen 203.0.113.80:18080;\n  }\n}\n",
        5,
    ),
    "bird_word": (BIRD, "router id 192.0.2.1;\nprotocol bgp x {\n  neigbor as 1;\n}\n", 3),
    "bird_meaning": (BIRD, "router id 192.0.2.1;\nprotocol bgp x {\n  local as 1;\n}\n", 4),
}


@pytest.mark.parametrize("case", CASES)
def test_the_complaint_leads_to_the_line(case: str, tmp_path: Path) -> None:
    command, text, line = CASES[case]
    need(command[0])
    folder = tmp_path / "a folder"
    folder.mkdir()
    file = folder / "daemon.conf"
    file.write_text(text)
    said = subprocess.run(
        [word.format(file=file) for word in command], capture_output=True, text=True, check=False
    )
    lines = [*text.splitlines(), "(the end of the file)"]
    message = said.stdout + said.stderr
    assert said.returncode != 0, message
    wanted = f"line {line}: {lines[line - 1].strip()}"
    assert explain(text, message, file=str(file)) == wanted, message
    assert explain(text, message) == wanted, message
