"""nginx as the origin of a rehearsal: a folder of pages that say how long they may be kept."""

from typing import Final

from ridgeline.render._nginx import http_lines, nginx_path, process_lines, socket_lines
from ridgeline.spec.model import Address

BIG_FILE: Final = "big"
"""File in the directory that ``/big`` serves; the shell makes it, sparse, of the size it wants."""
STEADY_FILE: Final = "steady"
"""File in the directory that ``/steady`` serves; a cache keeps it for a day."""


def render_origin(
    directory: str,
    listen: tuple[Address, ...],
    port: int,
    www: str,
    *,
    max_age: int = 60,
    user: str | None = "root",
) -> str:
    """Write ``nginx.conf`` of the origin; start it with ``nginx -e stderr -c FILE``.

    Parameters
    ----------
    directory
        Absolute; exists and is writable.
    www
        Folder whose files are served, with ETag and Last-Modified.
    max_age
        Seconds for which a response is fresh; for ten times that long it may stand in for an error.

    Raises
    ------
    ValueError
        A path or address cannot stand in the file.
    """
    if max_age < 0:
        raise ValueError(f"max-age {max_age} is negative")
    keep = (
        f"public, max-age={max_age}, stale-while-revalidate={max_age},"
        f" stale-if-error={10 * max_age}"
    )
    return "\n".join(
        [
            "# The origin. Written by Ridgeline.",
            *process_lines(directory, user=user, single_process=True),
            "http {",
            *http_lines(directory),
            _TYPES,
            _SURROGATE_KEYS,
            "    server {",
            *socket_lines(listen, port),
            f"        root {nginx_path(www, 'www')};",
            "        index index.html;",
            "        absolute_redirect off;  # the client knows the edge, not us",
            f'        add_header Cache-Control "{keep}";',
            "        add_header Surrogate-Key $surrogate_key;",
            "        location = /big {",
            f"            alias {nginx_path(f'{directory}/{BIG_FILE}', 'directory')};",
            "            default_type application/octet-stream;",
            '            add_header Cache-Control "no-store";  # each download takes the whole way',
            "        }",
            "        location = /steady {",
            f"            alias {nginx_path(f'{directory}/{STEADY_FILE}', 'directory')};",
            "            default_type application/octet-stream;",
            '            add_header Cache-Control "public, max-age=86400";',
            "        }",
            "    }",
            "}",
            "",
        ]
    )


# By these a cache forgets pages: all of them, or those of one folder.
_SURROGATE_KEYS: Final = """\
    map $uri $surrogate_key {
        "~^/(?<folder>[A-Za-z0-9_.-]+)/" "all $folder";
        default all;
    }"""

_TYPES: Final = """\
    default_type application/octet-stream;
    charset utf-8;
    types {
        text/html html htm;
        text/css css;
        text/javascript js mjs;
        text/plain txt;
        application/json json;
        image/svg+xml svg;
        image/png png;
        image/jpeg jpg jpeg;
        image/webp webp;
        image/x-icon ico;
        font/woff2 woff2;
        application/wasm wasm;
    }"""
