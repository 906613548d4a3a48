"""nginx 1.22 or later as the light edge engine of one site: TLS, HTTP/2 and a shared cache.

RFC 9111 as far as nginx alone goes: `docs/reference/services.md` lists what it leaves out. When in
doubt a response is not stored: with a cookie, an authorization or an ``Age`` on it, it is somebody
else's or already old.
"""

from dataclasses import dataclass
from typing import Final

from ridgeline.render.identity import (
    HEALTH_PATH,
    SERVED_BY,
    TRACE_PATH,
    SiteIdentity,
)
from ridgeline.render.quote import absolute_name, port_number, quote, quote_path, some
from ridgeline.spec.model import Address

NOT_IN_PATHS: Final = "$"  # nginx expands variables in file names


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the cache fetches what it does not hold."""

    host: str
    """Name that TLS asks for and that messages show."""
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
    return "\n".join([*_main(site), "http {", *_http(site), "", *_server(site), "}", ""])


def _path(path: str, what: str) -> str:
    return quote_path(path, what, refuse=NOT_IN_PATHS)


def process_lines(directory: str, *, user: str | None, single_process: bool) -> list[str]:
    """Return the part outside ``http`` that every nginx of ours begins with."""
    return [
        *([f"user {quote(user, 'user', refuse=NOT_IN_PATHS)};"] if user else []),
        "daemon off;",
        f"master_process {'off' if single_process else 'on'};",
        "worker_processes 1;",
        f"pid {_path(directory + '/nginx.pid', 'directory')};",
        "error_log stderr warn;",
        "events { worker_connections 1024; }",
    ]


def http_lines(directory: str) -> list[str]:
    """Return what every ``http`` block of ours begins with: all files in one directory."""
    return [
        "    access_log off;",
        "    server_tokens off;",
        "    sendfile on;",
        "    tcp_nopush on;",
        "    keepalive_timeout 75s;",
        "    keepalive_requests 100000;",
        *(
            f"    {what}_temp_path {_path(f'{directory}/temp-{what}', 'directory')};"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    ]


def socket_lines(listen: tuple[Address, ...], port: int, options: str = "") -> list[str]:
    """Return a ``listen`` line for each address."""
    port_number(port, "port")
    return [
        f"        listen {f'[{address}]' if address.version == 6 else address}:{port}{options};"
        for address in some(listen, "listen")
    ]


def _main(site: NginxSite) -> list[str]:
    return [
        f"# nginx at site {site.identity.site} of {site.identity.network}. Written by Ridgeline.",
        *process_lines(site.directory, user=site.user, single_process=site.single_process),
    ]


def _http(site: NginxSite) -> list[str]:
    origin = site.origin
    host = f"[{origin.address}]" if origin.address.version == 6 else str(origin.address)
    me = site.identity.host
    if site.cache_mb < 1:
        raise ValueError(f"site {site.identity.site}: a cache of {site.cache_mb} MB holds nothing")
    return [
        *http_lines(site.directory),
        (
            f"    proxy_cache_path {_path(site.directory + '/cache', 'directory')} levels=1:2"
            f" keys_zone=edge:1m max_size={site.cache_mb}m inactive=1h use_temp_path=off;"
        ),
        (
            f"    upstream origin {{ server {host}:{port_number(origin.port, 'origin port')};"
            " keepalive 16; }"
        ),
        _MAPS.replace("@HOST@", me)
        .replace("@LOOP@", me.replace(".", r"\."))
        .replace("@COOKIE@", '""' if site.cache_cookies else "$http_cookie"),
    ]


def _server(site: NginxSite) -> list[str]:
    identity = site.identity
    lines = ["    server {", *socket_lines(site.listen, site.port)]
    if site.tls:
        lines += socket_lines(site.listen, site.tls_port, " ssl http2")
        lines += [
            f"        ssl_certificate {_path(site.tls.certificate, 'certificate')};",
            f"        ssl_certificate_key {_path(site.tls.key, 'key')};",
            "        ssl_protocols TLSv1.2 TLSv1.3;",
            "        ssl_session_cache off;",
            "        ssl_early_data off;  # a replay could reach another site",
            *(
                f"        ssl_session_ticket_key {_path(key, 'ticket key')};"
                for key in site.tls.ticket_keys
            ),
        ]
    return [
        *lines,
        *_identity_locations(identity),
        "        location / {",
        *_proxy(site),
        _CACHE.replace("@HOST@", identity.host),
        f"            add_header {SERVED_BY} {identity.site} always;",
        "        }",
        "    }",
    ]


def _identity_locations(identity: SiteIdentity) -> list[str]:
    own = [
        '            default_type "text/plain; charset=utf-8";',
        "            add_header Cache-Control no-store always;",
        f"            add_header {SERVED_BY} {identity.site} always;",
    ]
    trace = "".join(
        f"{key}={value}\\n"
        for key, value in (
            ("site", identity.site),
            ("network", identity.network),
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
    return [
        "        if ($loops) { return 508; }",
        f"        location = {TRACE_PATH} {{",
        *own,
        f'            return 200 "{trace}";',
        "        }",
        f"        location = {HEALTH_PATH} {{  # says nothing of the origin: it fails at all sites at once",
        *own,
        f'            return 200 "ok {identity.site}\\n";',
        "        }",
    ]


def _proxy(site: NginxSite) -> list[str]:
    origin = site.origin
    if origin.scheme not in {"http", "https"}:
        raise ValueError(f"origin scheme {origin.scheme!r} is neither http nor https")
    lines = [f"            proxy_pass {origin.scheme}://origin;"]
    sources = [a for a in site.unicast if a.version == origin.address.version]
    if sources:
        lines.append(f"            proxy_bind {sources[0]};")
    if origin.scheme == "https":
        name = absolute_name(origin.host, "origin").rstrip(".")
        lines += ["            proxy_ssl_server_name on;", f"            proxy_ssl_name {name};"]
        if origin.trusted:
            lines += [
                "            proxy_ssl_verify on;",
                f"            proxy_ssl_trusted_certificate {_path(origin.trusted, 'trusted')};",
            ]
    return lines


_MAPS: Final = r"""
    # Cache-Status (RFC 9211). STALE without an upstream status: served first, renewed behind.
    map "$request_method:$upstream_cache_status:$upstream_status" $cache_status {
        ~^(?!GET|HEAD)          "fwd=method; fwd-status=$upstream_status";
        ~:HIT:                  "hit";
        ~:UPDATING:             "hit; detail=stale-while-revalidate";
        ~:STALE:$               "hit; detail=stale-while-revalidate";
        ~:STALE:                "fwd=stale; fwd-status=$upstream_status; detail=stale-if-error";
        ~:REVALIDATED:          "fwd=stale; fwd-status=304";
        ~:EXPIRED:              "fwd=stale; fwd-status=$upstream_status";
        ~:BYPASS:               "fwd=bypass; fwd-status=$upstream_status";
        default                 "fwd=uri-miss; fwd-status=$upstream_status";
    }
    map $upstream_cache_status $cache_word { "" BYPASS; default $upstream_cache_status; }
    map $upstream_header_time $origin_ms {
        ~^0\.0*(?<ms>\d+)$          ", origin;dur=$ms";
        ~^(?<s>[1-9]\d*)\.(?<f>\d+)$ ", origin;dur=$s$f";
        default                     "";
    }
    # Vary: * is never reusable, wherever it stands in the list (RFC 9110, section 12.5.5).
    map $upstream_http_vary $varies_on_all { ~\* 1; default ""; }
    # Targeted Cache-Control (RFC 9213) may forbid what Cache-Control allows.
    map $upstream_http_cdn_cache_control $not_for_cdns {
        "~*(^|[ ,])(no-store|private|no-cache)([ ,=]|$)"  1;
        "~*(^|[ ,])max-age=0+([ ,]|$)"                     1;
        default "";
    }
    # An answer to an authorized request is shared only if it says so (RFC 9111, section 3.5).
    map "$http_authorization|$upstream_http_cache_control" $private_answer {
        "~^\|"                                          "";
        "~*\|.*(public|must-revalidate|s-maxage)"       "";
        default                                          1;
    }
    # nginx does not subtract Age from the freshness lifetime (RFC 9111, section 4.2.3).
    map $upstream_http_age $aged { ~[1-9] 1; default ""; }
    map @COOKIE@ $has_cookie { "" ""; default 1; }
    map $http_authorization $has_authorization { "" ""; default 1; }
    # Loops between CDNs (RFC 8586).
    map $http_cdn_loop $loops { "~*(^|[ ,])@LOOP@([ ,;]|$)" 1; default ""; }
    map $http_cdn_loop $cdn_loop { "" "@HOST@"; default "$http_cdn_loop, @HOST@"; }
    map $server_protocol $version { ~^HTTP/(?<v>[0-9.]+)$ $v; default "1.1"; }
    map $http_via $via { "" "$version @HOST@"; default "$http_via, $version @HOST@"; }"""

_CACHE: Final = """\
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header Upgrade "";
            proxy_set_header TE "";
            proxy_set_header Via $via;
            proxy_set_header CDN-Loop $cdn_loop;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_connect_timeout 2s;
            proxy_read_timeout 15s;
            proxy_redirect off;
            proxy_max_temp_file_size 0;
            proxy_pass_header Date;  # nginx sends no Age: with the origin's Date the client can tell it
            proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;
            proxy_cache edge;
            proxy_cache_key $scheme://$host$request_uri;
            proxy_cache_revalidate on;
            proxy_cache_lock on;
            proxy_cache_background_update on;
            proxy_cache_use_stale off;  # but as the origin's stale-... directives say (RFC 5861)
            proxy_cache_bypass $has_cookie $has_authorization;
            proxy_no_cache $has_cookie $varies_on_all $not_for_cdns $private_answer $aged;
            add_header Cache-Status "@HOST@; $cache_status" always;
            add_header Via "1.1 @HOST@" always;
            add_header Server-Timing "cdn-cache;desc=$cache_word$origin_ms" always;"""
