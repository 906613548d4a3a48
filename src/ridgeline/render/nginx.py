"""nginx 1.22 or later as the light edge engine of one site: TLS, HTTP/2 and a shared cache.

RFC 9111 as far as nginx alone goes: `docs/reference/services.md` lists what it leaves out. When in
doubt a response is not stored: with a cookie, an authorization or an ``Age`` on it, it is somebody
else's or already old.
"""

from typing import Final

from ridgeline.render._nginx import http_lines, nginx_path, process_lines
from ridgeline.render._nginx_cache import MAPS, PROXY
from ridgeline.render._nginx_edge import (
    fill,
    limit_lines,
    map_lines,
    public_lines,
    shield_server_lines,
    unkeyed_lines,
    upstream_lines,
    way_lines,
)
from ridgeline.render.edge import EdgeSite
from ridgeline.render.identity import HEALTH_PATH, SERVED_BY

CACHE_FOLDER: Final = "cache"
"""Below the site's directory; each page a file that begins with its key and its header."""
_OPEN_PAGES: Final = 256
"""The busiest pages; far from the 1,024 files that a process may usually open."""


def render_nginx(site: EdgeSite) -> str:
    """Write ``nginx.conf``; start it with ``nginx -e stderr -c FILE``.

    Raises
    ------
    ValueError
        A path, name or address cannot stand in the file.
    """
    direct = f"{site.origin.scheme}://origin"
    lines = [
        f"# nginx at site {site.identity.site} of {site.identity.network}. Written by Ridgeline.",
        *process_lines(site.directory, user=site.user, single_process=site.single_process),
        "http {",
        *http_lines(site.directory),
        *_storage(site),
        *upstream_lines(site),
        fill(MAPS, site),
        *map_lines(site),
        "",
        "    server {",
        *public_lines(site),
        fill(_HEALTH, site),
        "        location / {",
        *limit_lines(site),
        *way_lines(site, "$way" if site.shield else direct),
        *(["            error_page 502 504 = @origin;"] if site.shield else []),
        *_proxy(site),
        "        }",
    ]
    if site.shield:
        # The shield cannot be reached: every site can do without it.
        lines += [
            "        location @origin {",
            *way_lines(site, direct),
            *_proxy(site),
            "        }",
        ]
    lines.append("    }")
    if site.shield and (shielding := shield_server_lines(site, site.shield)):
        lines += [
            "    server {  # for the other sites",
            *shielding,
            "        location / {",
            *way_lines(site, direct),
            *_proxy(site, shielding=True),
            "        }",
            "    }",
        ]
    return "\n".join([*lines, "}"]) + "\n"


_HEALTH: Final = f"""\
        # Says nothing of the origin: if that fails, all sites would withdraw at once.
        location = {HEALTH_PATH} {{
            default_type "text/plain; charset=utf-8";
            add_header Cache-Control no-store always;
            add_header {SERVED_BY} @SITE@ always;
            return 200 "ok @SITE@\\n";
        }}"""


def _storage(site: EdgeSite) -> list[str]:
    if site.cache_mb < 1:
        raise ValueError(f"site {site.identity.site}: a cache of {site.cache_mb} MB holds nothing")
    folder = nginx_path(f"{site.directory}/{CACHE_FOLDER}", "directory")
    return [
        f"    proxy_cache_path {folder} levels=1:2 keys_zone=edge:1m max_size={site.cache_mb}m",
        "        inactive=1h use_temp_path=off;",
        "    # Files in use stay open. Each hit asks whether the name still means the same file, so that",
        "    # a page whose file was deleted is gone at once.",
        f"    open_file_cache max={_OPEN_PAGES} inactive=20s;",
        "    open_file_cache_valid 0;",
    ]


def _proxy(site: EdgeSite, *, shielding: bool = False) -> list[str]:
    text = (
        fill(PROXY, site)
        .replace("@CLIENT@", "$http_x_forwarded_for" if shielding else "$remote_addr")
        .replace("@SCHEME@", "$asked_scheme" if shielding else "$scheme")
        .replace("@WAIT@", "2s" if shielding else "200ms")
        .replace("@AGED_AT_SHIELD@", " $aged_at_shield" if site.shield and not shielding else "")
    )
    return [
        *unkeyed_lines(),
        text,
        "            add_header X-Edge-Cache $upstream_cache_status always;"
        if shielding
        else "            proxy_hide_header Surrogate-Key;  # how we forget pages is our business",
        f"            add_header {SERVED_BY} {site.identity.site} always;",
    ]
