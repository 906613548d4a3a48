"""What both edge engines have of nginx: TLS, limits, trace, hand-off, the shield, and the way out."""

from ipaddress import ip_address
from typing import Final

from ridgeline.render._nginx import bracketed, nginx_path, socket_lines
from ridgeline.render.edge import EdgeSite, Shield
from ridgeline.render.identity import SERVED_BY, TRACE_PATH
from ridgeline.render.quote import absolute_name, port_number, some
from ridgeline.render.shield import BUCKETS, ranking

UNKEYED: Final = (
    "Forwarded",
    "Front-End-Https",
    "Proxy",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Host",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-Url-Scheme",
)
"""Request fields that make origins answer otherwise and that no cache key holds: not passed on."""

MAPS: Final = r"""
    # Loops between CDNs (RFC 8586): the whole network is one CDN.
    map $http_cdn_loop $loops { "" ""; "~*(^|[ ,])@NETWORK@([ ,;]|$)" 1; default ""; }
    map $http_cdn_loop $cdn_loop {
        "" "@NETWORK@; site=@SITE@";
        default "$http_cdn_loop, @NETWORK@; site=@SITE@";
    }
    map $server_protocol $received_by { ~^HTTP/(?<v>[0-9.]+)$ $v; default "1.1"; }
    map $http_via $via { "" "$received_by @HOST@"; default "$http_via, $received_by @HOST@"; }"""

_SHIELD_MAPS: Final = r"""
    # Between our sites a request passes once: from the site that was asked to the shield.
    map $http_cdn_loop $loops_here { "~*(^|[ ,])@NETWORK@[ ,;].*[ ,]@NETWORK@([ ,;]|$)" 1; default ""; }
    map $http_x_forwarded_proto $asked_scheme { https https; default http; }
    map $upstream_http_x_edge_cache $aged_at_shield { "" ""; ~^(MISS|EXPIRED|REVALIDATED|BYPASS)$ ""; default 1; }"""

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

TRACE: Final = f"""\
        location = {TRACE_PATH} {{
            default_type "text/plain; charset=utf-8";
            add_header Cache-Control no-store always;
            add_header X-Content-Type-Options nosniff always;
            add_header {SERVED_BY} @SITE@ always;
            return 200 "{_TRACE}@FINGERPRINTS@";
        }}"""


def fill(text: str, site: EdgeSite) -> str:
    """Put the site's names in; `SiteIdentity` has checked that they are plain."""
    return (
        text.replace("@SITE@", site.identity.site)
        .replace("@NETWORK@", site.identity.network)
        .replace("@HOST@", site.identity.host)
        .replace("@FINGERPRINTS@", _fingerprints(site))
        .replace("@COOKIE@", '""' if site.cache_cookies else "$http_cookie")
    )


def _fingerprints(site: EdgeSite) -> str:
    for name, value in site.fingerprints:
        if not (name.isascii() and name.isalnum() and value.isascii() and value.isalnum()):
            raise ValueError(f"fingerprint {name} is not of letters and digits")
    return "".join(f"{name}={value}\\n" for name, value in site.fingerprints)


def map_lines(site: EdgeSite, *, received: str = "$server_protocol") -> list[str]:
    """Return the maps and zones that stand before the servers.

    `received` is the variable that names the protocol in which the client asked.
    """
    lines = [fill(MAPS, site).replace("$server_protocol", received)]
    if site.shield:
        lines.append(fill(_SHIELD_MAPS, site))
    if site.rate_limit is not None:
        if site.rate_limit < 1:
            raise ValueError(f"a rate limit of {site.rate_limit} requests per second lets none in")
        lines += [
            "    map $remote_addr $client {  # an IPv6 client has a whole /64",
            '        "~^(?<net>(?:[0-9a-f]+:){4})" $net;',
            '        "~^(?<net>[0-9a-f:]+?)::" $net;',
            "        default $remote_addr;",
            "    }",
            f"    limit_req_zone $client zone=clients:1m rate={site.rate_limit}r/s;",
            "    limit_req_status 429;",
        ]
    lines += _handoff_maps(site)
    return lines


def _handoff_maps(site: EdgeSite) -> list[str]:
    if not site.handoff:
        return []
    own = {a.version: bracketed(a) for a in reversed(some(site.unicast, "hand-off"))}
    lines = ["    map $server_addr $moves_to {"]
    for address in some(site.listen, "listen"):
        host = host_name(site.handoff_host) if site.handoff_host else own.get(address.version)
        if host:
            lines.append(f"        {address} {host};")
    lines += ['        default "";', "    }", "    map $uri $is_long {"]
    lines += [f'        "~^{_prefix(path)}" 1;' for path in site.handoff]
    return [
        *lines,
        '        default "";',
        "    }",
        '    map "$is_long:$moves_to" $hand_off { "~^1:(?<to>.+)$" $to; default ""; }',
    ]


def _prefix(path: str) -> str:
    """Write a path prefix as a regular expression that matches it alone."""
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        raise ValueError(f"hand-off path {path!r} is not a path of printable ASCII")
    if set(path) & set("\"'\\{};$ "):
        raise ValueError(f"hand-off path {path!r} holds a character that nginx's file cannot carry")
    return "".join(c if c.isalnum() or c in "/_-~%" else f"[{c}]" for c in path)


def public_lines(site: EdgeSite, *, refuses: bool = True) -> list[str]:
    """Return how the server that clients reach begins; `refuses` as in `refusal_lines`."""
    listen = (*site.listen, *(site.unicast if site.handoff else ()))
    lines = socket_lines(listen, site.port)
    if site.tls:
        lines += [*socket_lines(listen, site.tls_port, " ssl http2"), *tls_lines(site)]
    lines += [
        f"        server_name {host_name(site.origin.host)};",
        "        client_max_body_size 64m;",
        "        client_header_timeout 10s;",
        f"        add_header {SERVED_BY} {site.identity.site} always;",
        *(refusal_lines("$loops", "$host") if refuses else []),
    ]
    if site.handoff:
        port = "" if (site.port, site.tls_port) == (80, 443) else ":$server_port"
        lines.append(
            f"        if ($hand_off) {{ return 307 $scheme://$hand_off{port}$request_uri; }}"
        )
    return [*lines, fill(TRACE, site)]


def refusal_lines(loops: str, host: str) -> list[str]:
    """Return what ends here: loops, and a host that others could read as two, or as user and host."""
    return [
        f"        if ({loops}) {{ return 508; }}",
        f'        if ({host} ~ "[^][a-z0-9._:-]") {{ return 400; }}',
    ]


def limit_lines(site: EdgeSite) -> list[str]:
    """Return the limit of one client, with a second's worth at once."""
    if site.rate_limit is None:
        return []
    return [f"            limit_req zone=clients burst={site.rate_limit} nodelay;"]


def tls_lines(site: EdgeSite) -> list[str]:
    """Return the keys of a server."""
    if not site.tls:
        return []
    return [
        f"        ssl_certificate {nginx_path(site.tls.certificate, 'certificate')};",
        f"        ssl_certificate_key {nginx_path(site.tls.key, 'key')};",
        "        ssl_protocols TLSv1.2 TLSv1.3;",
        "        ssl_early_data off;  # a replay could reach another site",
        *(
            f"        ssl_session_ticket_key {nginx_path(key, 'ticket key')};"
            for key in site.tls.ticket_keys
        ),
    ]


def shield_server_lines(site: EdgeSite, shield: Shield) -> list[str]:
    """Return how the server begins that the other sites reach; none if this is no shield."""
    own = next((s.address for s in shield.sites if s.name == site.identity.site), None)
    if own is None:
        return []
    lines = socket_lines((own,), shield.port, " ssl" if site.tls else "")
    lines += tls_lines(site)
    lines += [f"        allow {address};" for address in some(shield.clients, "shield's clients")]
    return [
        *lines,
        "        deny all;",
        "        client_max_body_size 64m;",
        f"        server_name {host_name(site.origin.host)};",
        "        if ($loops_here) { return 508; }",
    ]


def upstream_lines(site: EdgeSite) -> list[str]:
    """Return the origin, and the sites of the shield in the order in which they are asked."""
    port = port_number(site.origin.port, "port of the origin")
    lines = [
        f"    upstream origin {{ server {bracketed(site.origin.address)}:{port}; keepalive 16; }}"
    ]
    shield = site.shield
    if shield is None:
        return lines
    addresses = {s.name: s.address for s in shield.sites}
    if not addresses:
        raise ValueError("the shield has no site")
    here = site.identity.site
    scheme = "https" if site.tls else "http"
    direct = f"{site.origin.scheme}://origin"
    groups: dict[str, tuple[str, ...]] = {}
    buckets = []
    for bucket in range(BUCKETS):
        first, *others = ranking(bucket, addresses)
        asked = (first, *(o for o in others[:1] if o != here))
        name = "shield_" + "_".join(asked)
        if first == here:
            buckets.append(direct)
        else:
            groups[name] = asked
            buckets.append(f"{scheme}://{name}")
    for name, asked in sorted(groups.items()):
        servers = [f"{bracketed(addresses[s])}:{shield.port}" for s in asked]
        backup = "".join(f" server {s} max_fails=1 fail_timeout=5s backup;" for s in servers[1:])
        lines.append(
            f"    upstream {name} {{ server {servers[0]} max_fails=1 fail_timeout=5s;{backup} "
            "keepalive 8; }"
        )
    lines.append('    split_clients "$host$request_uri" $way {')
    lines += [f"        1% {where};  # {n}" for n, where in enumerate(buckets[:-1])]
    return [*lines, f"        * {buckets[-1]};", "    }"]


def way_lines(site: EdgeSite, way: str) -> list[str]:
    """Return how a location reaches the origin, or the shield; `way` is what ``proxy_pass`` gets."""
    origin = site.origin
    lines = [f"            proxy_pass {way};"]
    source = next((a for a in site.unicast if a.version == origin.address.version), None)
    if source:
        lines.append(f"            proxy_bind {source};")
    if origin.scheme == "https" or (way.startswith("$") and site.tls):
        lines += [
            "            proxy_ssl_server_name on;",
            f"            proxy_ssl_name {host_name(origin.host)};",
        ]
        if origin.trusted:
            lines += [
                "            proxy_ssl_verify on;",
                "            proxy_ssl_verify_depth 4;",
                f"            proxy_ssl_trusted_certificate {nginx_path(origin.trusted, 'trusted')};",
            ]
    if origin.scheme not in {"http", "https"}:
        raise ValueError(f"origin scheme {origin.scheme!r} is neither http nor https")
    return lines


def unkeyed_lines() -> list[str]:
    """Return the fields that are not passed on."""
    return [f'            proxy_set_header {name} "";' for name in UNKEYED]


def host_name(host: str) -> str:
    """Write a name or an address as it stands in a request."""
    try:
        return bracketed(ip_address(host.strip("[]")))
    except ValueError:
        return absolute_name(host, "origin").rstrip(".")
