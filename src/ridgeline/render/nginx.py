"""nginx 1.22 or later as the light edge engine of one site: TLS, HTTP/2 and a shared cache.

RFC 9111 as far as nginx alone goes: `docs/reference/services.md` lists what it leaves out. When in
doubt a response is not stored: with a cookie, an authorization or an ``Age`` on it, it is somebody
else's or already old.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from ridgeline.render._nginx import (
    bracketed,
    http_lines,
    nginx_path,
    process_lines,
    socket_lines,
)
from ridgeline.render._nginx_cache import MAPS, PROXY
from ridgeline.render.identity import HEALTH_PATH, SERVED_BY, TRACE_PATH, SiteIdentity
from ridgeline.render.quote import absolute_name, port_number
from ridgeline.spec.model import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the cache fetches what it does not hold."""

    host: str
    """Name or address; what TLS asks for, and the host of a request that names none."""
    port: int
    address: Address
    scheme: str = "http"
    """``http`` or ``https``."""
    trusted: str | None = None
    """File of CA certificates that an ``https`` origin must be signed by; None: not verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Absolute paths of certificate and key, and of the keys that seal session tickets."""

    certificate: str
    key: str
    ticket_keys: tuple[str, ...] = ()
    """The same at every site, so that a client moved by BGP resumes its session; newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxSite:
    """All that one site's nginx must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable."""
    listen: tuple[Address, ...]
    """Addresses to answer on; nginx starts only when all of them exist."""
    origin: Origin
    tls: TlsFiles | None = None
    unicast: tuple[Address, ...] = ()
    """Source addresses towards the origin; from anycast its answers could reach another site."""
    user: str | None = "root"
    """User of the worker; ``root`` is the only one that a user namespace with one uid has."""
    port: int = 80
    tls_port: int = 443
    cache_mb: int = 64
    cache_cookies: bool = False
    """Whether requests with a cookie may be answered from, and fill, the cache."""
    single_process: bool = True
    """No master: whoever kills the process has stopped the service, no worker lives on."""


def render_nginx(site: NginxSite) -> str:
    """Write ``nginx.conf``; start it with ``nginx -e stderr -c FILE``.

    Raises
    ------
    ValueError
        A path, name or address cannot stand in the file.
    """
    lines = [
        f"# nginx at site {site.identity.site} of {site.identity.network}. Written by Ridgeline.",
        *process_lines(site.directory, user=site.user, single_process=site.single_process),
        "http {",
        *http_lines(site.directory),
        *_storage(site),
        _fill(MAPS, site),
        "",
        "    server {",
        *socket_lines(site.listen, site.port),
        *_tls(site),
        f"        server_name {_host_name(site.origin.host)};",
        "        client_max_body_size 64m;",
        f"        add_header {SERVED_BY} {site.identity.site} always;",
        "        if ($loops) { return 508; }",
        _fill(_ANSWERS, site),
        "        location / {",
        *_origin(site),
        _fill(PROXY, site),
        f"            add_header {SERVED_BY} {site.identity.site} always;",
        "        }",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


_TRACE: Final = "".join(
    f"{key}={value}\\n"
    for key, value in (
        ("site", "@SITE@"),
        ("network", "@NETWORK@"),
        ("ip", "$remote_addr"),
        ("port", "$remote_port"),
        ("server", "$server_addr"),
        ("host", "$host"),
        ("time", "$msec"),
        ("http", "$server_protocol"),
        ("scheme", "$scheme"),
        ("tls", "$ssl_protocol"),
        ("resumed", "$ssl_session_reused"),
        ("rtt_us", "$tcpinfo_rtt"),
        ("request", "$request_id"),
        ("agent", "$http_user_agent"),
    )
)

_ANSWERS: Final = f"""\
        location = {TRACE_PATH} {{
            default_type "text/plain; charset=utf-8";
            add_header Cache-Control no-store always;
            add_header X-Content-Type-Options nosniff always;
            add_header {SERVED_BY} @SITE@ always;
            return 200 "{_TRACE}";
        }}
        # Says nothing of the origin: if that fails, all sites would withdraw at once.
        location = {HEALTH_PATH} {{
            default_type "text/plain; charset=utf-8";
            add_header Cache-Control no-store always;
            add_header {SERVED_BY} @SITE@ always;
            return 200 "ok @SITE@\\n";
        }}"""


def _fill(text: str, site: NginxSite) -> str:
    """Put the site's names in; `SiteIdentity` has checked that they are plain."""
    return (
        text.replace("@SITE@", site.identity.site)
        .replace("@NETWORK@", site.identity.network)
        .replace("@HOST@", site.identity.host)
        .replace("@COOKIE@", '""' if site.cache_cookies else "$http_cookie")
    )


def _storage(site: NginxSite) -> list[str]:
    if site.cache_mb < 1:
        raise ValueError(f"site {site.identity.site}: a cache of {site.cache_mb} MB holds nothing")
    folder = nginx_path(f"{site.directory}/cache", "directory")
    port = port_number(site.origin.port, "port of the origin")
    return [
        f"    proxy_cache_path {folder} levels=1:2 keys_zone=edge:1m max_size={site.cache_mb}m",
        "        inactive=1h use_temp_path=off;",
        f"    upstream origin {{ server {bracketed(site.origin.address)}:{port}; keepalive 16; }}",
    ]


def _tls(site: NginxSite) -> list[str]:
    if not site.tls:
        return []
    return [
        *socket_lines(site.listen, site.tls_port, " ssl http2"),
        f"        ssl_certificate {nginx_path(site.tls.certificate, 'certificate')};",
        f"        ssl_certificate_key {nginx_path(site.tls.key, 'key')};",
        "        ssl_protocols TLSv1.2 TLSv1.3;",
        "        ssl_early_data off;  # a replay could reach another site",
        *(
            f"        ssl_session_ticket_key {nginx_path(key, 'ticket key')};"
            for key in site.tls.ticket_keys
        ),
    ]


def _origin(site: NginxSite) -> list[str]:
    origin = site.origin
    lines = [f"            proxy_pass {origin.scheme}://origin;"]
    source = next((a for a in site.unicast if a.version == origin.address.version), None)
    if source:
        lines.append(f"            proxy_bind {source};")
    if origin.scheme == "https":
        lines += [
            "            proxy_ssl_server_name on;",
            f"            proxy_ssl_name {_host_name(origin.host)};",
        ]
        if origin.trusted:
            lines += [
                "            proxy_ssl_verify on;",
                "            proxy_ssl_verify_depth 4;",
                f"            proxy_ssl_trusted_certificate {nginx_path(origin.trusted, 'trusted')};",
            ]
    elif origin.scheme != "http":
        raise ValueError(f"origin scheme {origin.scheme!r} is neither http nor https")
    return lines


def _host_name(host: str) -> str:
    try:
        return bracketed(ip_address(host.strip("[]")))
    except ValueError:
        return absolute_name(host, "origin").rstrip(".")
