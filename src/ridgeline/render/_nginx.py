"""What every nginx of ours shares: one process in the foreground, all its files in one directory."""

from typing import Final

from ridgeline.render.quote import port_number, quote, quote_path, some
from ridgeline.spec.model import Address

_EXPANDED: Final = "$"  # nginx puts variables into file names and has no way to say a plain dollar


def nginx_path(path: str, what: str, *, scheme: str = "") -> str:
    """Put an absolute path, perhaps behind a `scheme` such as ``unix:``, in double quotes."""
    quote_path(path, what, refuse=_EXPANDED)
    return quote(scheme + path, what, refuse=_EXPANDED)


def process_lines(directory: str, *, user: str | None, single_process: bool) -> list[str]:
    """Return the part outside ``http``."""
    return [
        *([f"user {quote(user, 'user', refuse=_EXPANDED)};"] if user else []),
        "daemon off;",
        f"master_process {'off' if single_process else 'on'};",
        "worker_processes 1;",
        "pcre_jit on;",
        f"pid {nginx_path(f'{directory}/nginx.pid', 'directory')};",
        "error_log stderr warn;",
        "events { worker_connections 4096; }",
    ]


def http_lines(directory: str) -> list[str]:
    """Return what the ``http`` block begins with."""
    return [
        "    access_log off;",
        "    server_tokens off;",
        "    sendfile on;",
        "    tcp_nopush on;",
        "    keepalive_requests 100000;",
        *(
            f"    {what}_temp_path {nginx_path(f'{directory}/temp-{what}', 'directory')};"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
    ]


def socket_lines(listen: tuple[Address, ...], port: int, options: str = "") -> list[str]:
    """Return a ``listen`` line for each address."""
    port_number(port, "port")
    return [
        f"        listen {bracketed(address)}:{port}{options};"
        for address in some(listen, "listen")
    ]


def bracketed(address: Address) -> str:
    """Write an address as it stands before a port (RFC 3986, section 3.2.2)."""
    return f"[{address}]" if address.version == 6 else str(address)
