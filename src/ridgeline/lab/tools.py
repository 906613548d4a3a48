"""The tools people use, run at a lab's clients, and their output read: traceroute, dig, curl."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import MachineError
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.material.certificates import TRUST_VARIABLES
from ridgeline.lab.names import read_host_name

# No proxy, no locale, no user's dotfiles: the tools see the lab and nothing else.
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_BODY_SHOWN: Final = 4096

_HOP = re.compile(
    r"^\s*(?P<ttl>\d+)\s+(?:(?P<name>\S+) \((?P<address>[0-9a-fA-F.:]+)\)\s+(?P<ms>[\d.]+) ms"
    r"(?P<note>(?:\s+!\S+)?)|\*)"
)
_NSID = re.compile(r"^; NSID: (?P<hex>(?:[0-9a-f]{2} ?)+)", re.MULTILINE)
_STATUS = re.compile(r"status: (\w+)")
_VALIDATED = re.compile(r"^;; flags:[a-z ]* ad[ ;]", re.MULTILINE)
_EXTENDED_ERROR = re.compile(r"^; EDE: (.+)$", re.MULTILINE)  # RFC 8914
_WHY_NOT = re.compile(
    r"^;; ((?:communications error|Connection to|TLS peer certificate) .*?)\.?$", re.MULTILINE
)
_QUERY_TIME = re.compile(r"^;; Query time: (\d+) usec", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a program printed and how it ended."""

    status: int
    output: str
    errors: str


def run_inside(namespace: NetworkNamespace, argv: Sequence[str], *, timeout: float) -> Ran:
    """Run a program in a namespace and wait for it (call it from a thread of its own).

    Raises
    ------
    MachineError
        It is not installed, or did not end in time.
    """
    try:
        with entered(namespace):
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env=ENVIRONMENT | _trust(),
                stdin=subprocess.DEVNULL,
                check=False,
            )
    except FileNotFoundError as error:
        raise MachineError(f"{argv[0]} is not installed", hint="scripts/setup packages") from error
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"`{' '.join(argv)}` did not end within {timeout:.0f} s") from error
    return Ran(status=done.returncode, output=done.stdout, errors=done.stderr)


def _trust() -> dict[str, str]:
    """Pass on which certificates the lab trusts; the supervisor has it in its environment."""
    return {name: os.environ[name] for name in TRUST_VARIABLES if name in os.environ}


def trace(namespace: NetworkNamespace, target: str, *, max_hops: int = 24) -> dict[str, Any]:
    """Trace the route to an address: ``{"target", "reached", "hops": [...]}``."""
    ran = run_inside(
        namespace,
        ["traceroute", "-q", "1", "-w", "1.5", "-m", str(max_hops), target],
        timeout=40,
    )
    if ran.status:
        raise MachineError(f"traceroute to {target} failed: {ran.errors.strip()}")
    hops = parse_traceroute(ran.output)
    return {
        "target": target,
        "reached": bool(hops) and hops[-1]["address"] == target,
        "hops": hops,
    }


def parse_traceroute(text: str) -> list[dict[str, Any]]:
    """Read traceroute's lines; a hop that did not answer has no address."""
    hops: list[dict[str, Any]] = []
    for line in text.splitlines():
        match = _HOP.match(line)
        if match is None:
            continue
        name, address = match["name"], match["address"]
        known = read_host_name(name) if name else None
        hops.append(
            {
                "ttl": int(match["ttl"]),
                "address": address,
                "name": name if name != address else None,
                "rtt_ms": float(match["ms"]) if match["ms"] else None,
                "city": known.place if known else None,
                "network": known.network if known else None,
                **({"note": match["note"].strip()} if match["note"] else {}),
            }
        )
    while hops and hops[-1]["address"] is None:
        hops.pop()
    return hops


def dig(
    namespace: NetworkNamespace,
    server: str,
    name: str,
    kind: str,
    *,
    transport: str = "udp",
    tls_name: str = "",
) -> dict[str, Any]:
    """Ask a name server with dig: status, answers, the site by NSID (RFC 5001), time.

    Over ``tls`` (RFC 7858) and ``https`` (RFC 8484) the server's certificate is verified: by
    `tls_name`, or by its address.
    """
    ran = run_inside(
        namespace,
        [
            *("dig", "-u", "+nsid", "+tries=2", "+time=2", f"@{server}"),
            *_TRANSPORTS[transport],
            *((f"+tls-hostname={tls_name}",) if tls_name else ()),
            *(("-c", "CH") if name in _CHAOS else ()),
            *("-q", name, "-t", kind),
        ],
        timeout=10,
    )
    return {"server": server, "question": f"{name} {kind}", **parse_dig(ran.output)}


_TRANSPORTS: Final = {
    "udp": (),
    "tcp": ("+tcp",),
    "tls": ("+tls", "+tls-ca"),
    "https": ("+https", "+tls-ca"),
}
_CHAOS: Final = {"id.server", "hostname.bind", "version.server", "version.bind"}


def parse_dig(text: str) -> dict[str, Any]:
    """Read dig's full output; ``error`` is why there is no answer, in dig's own words."""
    status = _STATUS.search(text)
    nsid = _NSID.search(text)
    time = _QUERY_TIME.search(text)
    answers = [
        " ".join(line.split(None, 4)[3:])
        for line in _section(text, "ANSWER")
        if line and not line.startswith(";")
    ]
    why = None if status else _WHY_NOT.search(text)
    timed_out = why is None or "timed out" in why[1]
    return {
        "status": status[1] if status else "TIMEOUT" if timed_out else "FAILED",
        "answer": answers,
        "site": bytes.fromhex(nsid["hex"]).decode(errors="replace") if nsid else None,
        "rtt_ms": int(time[1]) / 1000 if time else None,
        "validated": _VALIDATED.search(text) is not None,
        "ede": _EXTENDED_ERROR.findall(text),
        "error": why[1] if why else None,
    }


def _section(text: str, name: str) -> list[str]:
    _, found, rest = text.partition(f";; {name} SECTION:\n")
    return rest.split("\n\n", 1)[0].splitlines() if found else []


def get(
    namespace: NetworkNamespace, url: str, body_file: Path, *, connect_to: str = ""
) -> dict[str, Any]:
    """Fetch a URL with curl: status, the site that says it served, headers, times."""
    headers_file = body_file.with_name(f"{body_file.name}.headers")
    argv = ["curl", "-sS", "--max-time", "10", "-o", str(body_file), "-D", str(headers_file)]
    argv += ["-w", "%{json}"]
    if connect_to:
        argv += ["--connect-to", f"::[{connect_to}]:" if ":" in connect_to else f"::{connect_to}:"]
    ran = run_inside(namespace, [*argv, url], timeout=15)
    try:
        figures = json.loads(ran.output)
        headers = parse_headers(headers_file.read_text(errors="replace"))
        body = body_file.read_bytes()
    except (OSError, ValueError):
        figures, headers, body = {}, {}, b""
    finally:
        body_file.unlink(missing_ok=True)
        headers_file.unlink(missing_ok=True)
    return {
        "url": url,
        "status": figures.get("http_code") or None,
        "site": headers.get("x-served-by"),
        "address": figures.get("remote_ip") or None,
        "cache": headers.get("cache-status"),
        "ms": round(figures["time_total"] * 1000, 3) if figures.get("time_total") else None,
        "bytes": len(body),
        "headers": headers,
        "body": body[:_BODY_SHOWN].decode(errors="replace"),
        "error": ran.errors.strip() or None,
    }


def parse_headers(text: str) -> dict[str, str]:
    """Read the header fields of the last response that curl saw, names in lower case."""
    blocks = [block for block in re.split(r"\r?\n\r?\n", text) if block.strip()]
    fields = {}
    for line in blocks[-1].splitlines()[1:] if blocks else []:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields
