"""nginx around Varnish: TLS, HTTP/2, limits and trace in front of it, and the way out behind it.

::

    client ──TLS──> nginx ──unix socket──> Varnish ──unix socket──> nginx ──> origin, or the shield

Varnish itself speaks no TLS, chooses no source address and hashes over no sites; so what it fetches
leaves by the nginx through which it was asked.
"""

from typing import Final

from ridgeline.render._nginx import http_lines, nginx_path, process_lines
from ridgeline.render._nginx_edge import (
    host_name,
    limit_lines,
    map_lines,
    public_lines,
    refusal_lines,
    shield_server_lines,
    unkeyed_lines,
    upstream_lines,
    way_lines,
)
from ridgeline.render.edge import EdgeSite
from ridgeline.render.identity import HEALTH_PATH, SERVED_BY
from ridgeline.render.quote import fits_a_socket
from ridgeline.render.varnish import PROBE_PATH, WAY_OUT, cache_socket, way_out_socket


def render_front(site: EdgeSite) -> str:
    """Write ``nginx.conf`` of a site whose cache is Varnish; see `ridgeline.render.varnish`.

    Raises
    ------
    ValueError
        A path, name or address cannot stand in the file.
    """
    inside = cache_socket(site.directory)
    lines = [
        f"# nginx at site {site.identity.site} of {site.identity.network}. Written by Ridgeline.",
        *process_lines(site.directory, user=site.user, single_process=site.single_process),
        "http {",
        *http_lines(site.directory),
        f"    upstream cache {{ server {nginx_path(inside, 'socket', scheme='unix:')}; keepalive 64; keepalive_requests 100000; }}",
        *upstream_lines(site),
        *map_lines(site, received="$asked_in"),
        r"    map $http_x_edge_from $asked_in { ~^(?<protocol>\S+)\x20 $protocol; }",
        r"    map $http_x_edge_from $asked_from { ~\x20(?<address>\S+)$ $address; }",
        "    map $http_x_edge_tls $asked_by { on https; default http; }",
        '    map "$http_x_edge_tier$loops" $loops_out { 1 1; default ""; }',
        *(['    map $asked_scheme $asked_tls { https on; default ""; }'] if site.shield else []),
        "    map $upstream_http_connection $named_by_connection {",
        '        "~*^(close|keep-alive|upgrade)?$" "";',
        "        default $upstream_http_connection;",
        "    }",
        "    # Content-Range speaks of parts (RFC 9110, section 14.4); Varnish refuses it elsewhere.",
        "    map $upstream_status $range_of_part {",
        '        "~(206|416)$" $upstream_http_content_range;',
        "    }",
        "    map $upstream_status $range_of_whole {",
        '        "~(206|304|416)$" "";',
        "        default $upstream_http_content_range;",
        "    }",
        "",
        "    server {",
        *public_lines(site, refuses=False),
        "        # Varnish itself answers: if it is gone, this site is ill.",
        f"        location = {HEALTH_PATH} {{",
        "            proxy_pass http://cache;",
        _TO_CACHE_CONNECTION,
        f"            add_header {SERVED_BY} {site.identity.site} always;",
        "        }",
        "        location / {",
        *limit_lines(site),
        *_to_cache(site, shielding=False),
        "        }",
        "    }",
    ]
    if site.shield and (shielding := shield_server_lines(site, site.shield)):
        lines += [
            "    server {  # for the other sites",
            *shielding,
            "        location / {",
            *_to_cache(site, shielding=True),
            "        }",
            "    }",
        ]
    return "\n".join([*lines, *_way_out(site), "}"]) + "\n"


_TO_CACHE_CONNECTION: Final = """\
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header Upgrade "";
            proxy_set_header TE "";"""

_OWN_REQUEST: Final = ("State", "Fwd", "Begun", "CC", "Again", "Expires", "Also", "Keys")
_OWN_ANSWER: Final = ("Page", "Said", "Via", "Swr", "Range", "Md5")
"""What our fields are called behind ``X-Edge-``: none is let in or out."""

# Each field costs Varnish and nginx time at each hit: so what only the origin must know is made on
# the way out, from what the client sent itself and from one field of ours.
_TO_CACHE: Final = """\
            proxy_set_header X-Edge-From "$server_protocol @CLIENT@";
            proxy_set_header X-Edge-Tls @TLS@;
            proxy_set_header X-Edge-Tier "@TIER@";
            proxy_set_header X-Forwarded-For "";  # what a client claims is not passed on
            proxy_set_header X-Forwarded-Proto "";
            proxy_connect_timeout 1s;
            proxy_read_timeout 30s;
            proxy_redirect off;
            proxy_buffer_size 16k;
            proxy_buffers 8 32k;
            proxy_max_temp_file_size 0;
            proxy_pass_header Date;
            proxy_pass_header Server;
            proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;
            proxy_hide_header X-Varnish;
            proxy_hide_header X-Served-By;
            proxy_hide_header X-Edge-Cache;"""

_OUT: Final = """\
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header Via $via;
            proxy_set_header CDN-Loop $cdn_loop;
            proxy_set_header X-Forwarded-For $asked_from;
            proxy_set_header X-Forwarded-Proto $asked_by;
            proxy_set_header X-Edge-From "";
            proxy_set_header X-Edge-Tls "";
            proxy_set_header X-Edge-Tier "";
            proxy_set_header X-Varnish "";
            proxy_connect_timeout 2s;
            proxy_read_timeout 15s;
            proxy_redirect off;
            proxy_buffer_size 16k;
            proxy_buffers 8 32k;
            proxy_max_temp_file_size 0;
            proxy_pass_header Date;
            proxy_pass_header Server;
            proxy_hide_header Content-Range;
            add_header Content-Range $range_of_part always;
            add_header X-Edge-Range $range_of_whole always;
            add_header Connection $named_by_connection;  # so that Varnish drops those fields too
            # The origin orders files and speeds of its own server, not of ours.
            proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;"""


def _to_cache(site: EdgeSite, *, shielding: bool) -> list[str]:
    text = (
        _TO_CACHE.replace("@CLIENT@", "$http_x_forwarded_for" if shielding else "$remote_addr")
        .replace("@TLS@", "$asked_tls" if shielding else "$https")
        .replace("@TIER@", "shield" if shielding else "")
    )
    lines = [
        "            proxy_pass http://cache;",
        *unkeyed_lines(),
        _TO_CACHE_CONNECTION,
        text,
        *_own_lines(),
    ]
    if not shielding:
        lines.append(
            "            proxy_hide_header Surrogate-Key;  # how we forget pages is our business"
        )
    return [*lines, f"            add_header {SERVED_BY} {site.identity.site} always;"]


def _own_lines() -> list[str]:
    """Return what keeps our own fields inside."""
    return [
        *(f'            proxy_set_header X-Edge-{name} "";' for name in _OWN_REQUEST),
        *(f"            proxy_hide_header X-Edge-{name};" for name in _OWN_ANSWER),
    ]


def _way_out(site: EdgeSite) -> list[str]:
    """Return the server through which Varnish reaches the origin."""
    socket = fits_a_socket(way_out_socket(site.directory), "socket")
    direct = f"{site.origin.scheme}://origin"
    lines = [
        "    server {  # Varnish's way out",
        f"        listen {nginx_path(socket, 'socket', scheme='unix:')};",
        "        client_max_body_size 0;",
        # Nothing like it was ever stored: so it is enough to look where the cache did not answer.
        *refusal_lines("$loops_out", "$http_host"),
        f"        location = {PROBE_PATH} {{  # any answer but an error of its own is a sign of life",
        *way_lines(site, f"{direct}/"),
        "            proxy_method HEAD;",
        "            proxy_pass_request_body off;",
        '            proxy_set_header Content-Length "";',
        '            proxy_set_header Connection "";',
        f"            proxy_set_header Host {host_name(site.origin.host)};",
        f'            proxy_set_header User-Agent "{WAY_OUT}";',
        "            proxy_http_version 1.1;",
        "            proxy_connect_timeout 1s;",
        "            proxy_read_timeout 2s;",
        "            proxy_intercept_errors on;",
        "            error_page 301 302 303 307 308 400 401 403 404 405 406 410 414 429 =200 @alive;",
        "        }",
        "        location @alive { return 200; }",
    ]
    if site.shield:
        lines += [
            "        location / {",
            "            # Asked by another site as its shield: the origin is next, or we would loop.",
            "            if ($http_x_edge_tier = shield) { return 421; }",
            "            error_page 421 502 504 = @origin;",
            *way_lines(site, "$way"),
            _OUT,
            *_own_lines(),
            "        }",
            "        location @origin {",
        ]
    else:
        lines.append("        location / {")
    return [*lines, *way_lines(site, direct), _OUT, *_own_lines(), "        }", "    }"]
