"""Varnish 7 as the cache of one site, behind nginx (see `nginx_front`) on a unix socket.

RFC 9111 with stale answers (RFC 5861), targeted fields (RFC 9213) and purging by key. What the RFC
leaves open is decided so that nothing private is shared: no cookies, no answers that set them, no
guessed freshness. `standards` decides as freely as the RFC allows.
"""

from dataclasses import dataclass
from typing import Final

from ridgeline.render import _varnish_client as client
from ridgeline.render import _varnish_fetch as answer
from ridgeline.render.edge import EdgeSite
from ridgeline.render.identity import HEALTH_PATH
from ridgeline.render.quote import fits_a_socket, quote_path

PROBE_PATH: Final = "/.ridgeline/origin"
WAY_OUT: Final = "ridgeline-origin-probe"
"""What the origin's log shows of the probe."""
KEY: Final = r"[A-Za-z0-9_.:/-]{1,128}"
"""A surrogate key, as a regular expression."""
TRANSIENT_MB: Final = 32
_QUICK_COMPILER: Final = "exec gcc -std=gnu11 -O0 -pthread -fpic -shared -Wl,-x -o %o %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class VarnishPolicy:
    """What Varnish may keep, beyond what `EdgeSite` says of the service."""

    standards: bool = False
    """All that RFC 9111 allows a shared cache, whoever asks: for measuring conformance."""
    probe_interval: float = 5.0
    """Seconds between looks at the origin's health; 0: none."""


def render_varnish(site: EdgeSite, policy: VarnishPolicy | None = None) -> str:
    """Write the site's VCL; start it with `varnish_command`.

    Raises
    ------
    ValueError
        A path or name cannot stand in the file.
    """
    policy = policy or VarnishPolicy()
    standards = policy.standards
    decide = "" if standards or site.cache_cookies else client.SAFE_POLICY
    decide += client.STANDARDS_POLICY if standards else client.CAREFUL_AUTHORIZATION
    text = "\n".join(
        [
            f"# Varnish at {site.identity.site} of {site.identity.network}. Written by Ridgeline.",
            "vcl 4.1;",
            "import std;",
            "",
            _backend(site, policy),
            client.RECEIVE.replace("@POLICY@", decide.rstrip("\n")),
            client.CONTROL,
            client.DELIVER,
            client.SYNTH,
            answer.FETCH.replace("@SAFE@", "" if standards else answer.SAFE_ANSWERS.strip("\n"))
            .replace(
                "@NO_CACHE@",
                (answer.STANDARDS_NO_CACHE if standards else answer.SAFE_NO_CACHE).strip("\n"),
            )
            .replace("@DISCONNECTED@", answer.STANDARDS_STALE if standards else "")
            .replace("@HEURISTIC@", answer.HEURISTIC.strip("\n") + "\n" if standards else ""),
        ]
    )
    for word, value in (
        ("@SITE@", site.identity.site),
        ("@HOST@", site.identity.host),
        ("@HEALTH@", HEALTH_PATH),
        ("@KEY@", KEY),
        ("@KEEP@", "1h"),
        ("@DICTIONARY@", answer.DICTIONARY),
        ("@WRONG_TYPE@", answer.WRONG_TYPE),
        ("@INTEGER@", answer.INTEGER),
        ("@MONTHS@", answer.MONTHS),
        ("@MONTH@", answer.MONTH),
        ("@DAY@", answer.DAY),
        ("@TIME@", answer.TIME),
    ):
        text = text.replace(word, value)
    return text


def varnish_command(site: EdgeSite, configuration: str, *, hurry: bool = False) -> tuple[str, ...]:
    """Return the command that runs a site's Varnish, small and in the foreground.

    In a `hurry` its policy is compiled without optimising: it starts in a third of the time.
    """
    parameters = (
        ("default_ttl", "0"),
        ("default_grace", "0"),
        ("default_keep", "0"),
        # Answers stay as the origin made them: the same bytes and ETag at every site.
        ("http_gzip_support", "off"),
        ("thread_pools", "1"),
        ("thread_pool_min", "5"),
        ("thread_pool_max", "500"),
        ("thread_pool_stack", "80k"),
        ("vsl_space", "1m"),
        ("timeout_idle", "75"),
    )
    return (
        *("varnishd", "-F", "-j", "none", "-T", "none"),
        *("-n", f"{site.directory}/varnish"),
        *("-f", configuration),
        *("-a", f"front={fits_a_socket(cache_socket(site.directory), 'socket')},mode=600"),
        *("-a", f"control={fits_a_socket(control_socket(site.directory), 'socket')},mode=600"),
        *("-s", f"malloc,{site.cache_mb}m"),
        *("-s", f"Transient=malloc,{TRANSIENT_MB}m"),
        *(("-p", f"cc_command={_QUICK_COMPILER}") if hurry else ()),
        *(word for name, value in parameters for word in ("-p", f"{name}={value}")),
    )


def cache_socket(directory: str) -> str:
    """Name the socket on which nginx asks Varnish."""
    return f"{directory}/cache.sock"


def control_socket(directory: str) -> str:
    """Name the socket that takes PURGE, for this machine's root alone."""
    return f"{directory}/purge.sock"


def way_out_socket(directory: str) -> str:
    """Name the socket on which Varnish asks nginx."""
    return f"{directory}/out.sock"


def _backend(site: EdgeSite, policy: VarnishPolicy) -> str:
    socket = quote_path(fits_a_socket(way_out_socket(site.directory), "socket"), "socket")
    lines = [
        "backend way_out {",
        f"    .path = {socket};",
        "    .connect_timeout = 1s;",
        "    .first_byte_timeout = 20s;",
        "    .between_bytes_timeout = 15s;",
    ]
    if policy.probe_interval:
        lines += [
            "    .probe = {",
            f'        .request = "GET {PROBE_PATH} HTTP/1.1" "Host: origin" "Connection: close";',
            "        .expected_response = 200;",
            f"        .interval = {policy.probe_interval:g}s;",
            "        .timeout = 3s;",
            "        .window = 3;",
            "        .threshold = 2;",
            "        .initial = 3;",
            "    }",
        ]
    return "\n".join([*lines, "}"])
