"""A rehearsal's DNS above its own zones: the root, the top-level domains, and somebody else's zone.

::

    .
    ├── arpa.      in-addr.arpa, ip6.arpa
    ├── example.   names of the services and of the sites' servers
    └── test.
        ├── outside.test.         held here: not every name is the network's own
        │   └── whoami.outside.test.   tells who asks: a resolver's source address
        ├── dnssec-failed.test.   held here, with a wrong signature
        └── example.test.         the network's own: delegated to its anycast addresses

One Knot holds all of it under the one name `SERVER_NAME`; it is not the Internet's root and knows
nothing of it. Zones are given unsigned: the shell signs what this writes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ridgeline.render._knot import database_lines, file_line, server_lines
from ridgeline.render.quote import absolute_name, quote_path
from ridgeline.spec.model import Address

SERVER_NAME: Final = "a.names."
"""The one name server of the tree; its addresses are data of the root zone."""
OUTSIDE: Final = "outside.test."
FAILED: Final = "dnssec-failed.test."
"""Its records have wrong signatures, on purpose."""
WHO_ASKS: Final = "whoami.outside.test."
"""Its A or AAAA record is the address that the question came from; unsigned, never kept."""
_ALWAYS: Final = ("arpa.", "example.", "test.")
_TTL: Final = 86_400
_NEGATIVE_TTL: Final = 60  # RFC 2308: what does not exist yet may do so soon
_LEAF_TTL: Final = 300
OUTSIDE_ADDRESS: Final = ("198.51.100.80", "2001:db8:ffff::80")
"""Where names outside lead: nothing answers there (RFC 5737, RFC 3849)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeZone:
    """A zone that the tree's server holds."""

    domain: str
    records: tuple[str, ...]
    """In zone-file form with absolute names, without SOA and apex NS."""
    children: tuple[str, ...] = ()
    """Zones of the tree right below; those that are signed need a DS record here."""
    ttl: int = _TTL
    is_signed: bool = True


def plan_tree(
    *,
    server: tuple[Address, ...],
    delegated: Mapping[str, Iterable[str]],
    authority: tuple[Address, ...],
    hosts: Mapping[str, tuple[Address, ...]],
) -> tuple[TreeZone, ...]:
    """Decide what the tree holds; the root is last.

    Parameters
    ----------
    server
        The tree's own addresses.
    delegated
        The network's zones with the data of their DS records, none if nothing signs them; of two,
        one below the other, only the upper counts: the rest is its affair.
    authority
        Where the network's zones are served.
    hosts
        Names with addresses; those below a zone of the network, or outside the tree, are left out.

    Raises
    ------
    ValueError
        A name is none, or the network holds the root itself.
    """
    signers = {absolute_name(name, "zone").lower(): tuple(ds) for name, ds in delegated.items()}
    own = _topmost(signers)
    if "." in own:
        raise ValueError("the network holds the root zone: there is no tree above it")
    tops = {*_ALWAYS, *(_top(name) for name in own)} - set(own)
    leaves = [name for name in (OUTSIDE, FAILED) if not _is_below(name, own)]
    parents = {name: top if (top := _top(name)) in tops else "." for name in own}
    cuts = {name: _delegation(name, authority, signers[name]) for name in own}
    zones = [
        *(
            TreeZone(
                domain=name,
                records=_leaf(name),
                ttl=_LEAF_TTL,
                children=(WHO_ASKS,) if name == OUTSIDE else (),
            )
            for name in leaves
        ),
        *(
            TreeZone(domain=WHO_ASKS, records=(), ttl=0, is_signed=False)
            for name in leaves
            if name == OUTSIDE
        ),
        *(
            TreeZone(
                domain=top,
                records=(
                    *(r for name, parent in parents.items() if parent == top for r in cuts[name]),
                    *_hosts(top, hosts, own),
                ),
                children=tuple(name for name in leaves if _top(name) == top),
            )
            for top in sorted(tops)
        ),
        TreeZone(
            domain=".",
            records=(
                *_addresses(SERVER_NAME, server),
                *(r for name, parent in parents.items() if parent == "." for r in cuts[name]),
            ),
            children=tuple(sorted(tops)),
        ),
    ]
    return tuple(zones)


def render_tree_zone(zone: TreeZone, *, serial: int, ds: Mapping[str, str]) -> str:
    """Write a zone, unsigned; `ds` has the DS data of each signed child by its name."""
    negative_ttl = min(_NEGATIVE_TTL, zone.ttl)
    lines = [
        f"$ORIGIN {zone.domain}",
        f"$TTL {zone.ttl}",
        f"@ SOA {SERVER_NAME} hostmaster.names. {serial} 3600 600 86400 {negative_ttl}",
        f"@ NS {SERVER_NAME}",
        *zone.records,
    ]
    for child in zone.children:
        lines.append(f"{child} NS {SERVER_NAME}")
        lines += [f"{child} DS {ds[child]}"] if child in ds else []
    return "\n".join(lines) + "\n"


def render_knot_tree(
    *, directory: str, listen: tuple[Address, ...], zones: Mapping[str, str], port: int = 53
) -> str:
    """Write ``knot.conf`` of the tree's server: `zones` has the absolute file of each domain.

    Raises
    ------
    ValueError
        Something cannot stand in the file.
    """
    lines = [
        "# Knot DNS, the rehearsal's root and top-level domains. Written by Ridgeline.",
        *server_lines(name="names", directory=directory, listen=listen, port=port, user=None),
        *database_lines(directory, journal="1M"),
        "template:",
        "  - id: default",
        f"    storage: {quote_path(directory, 'directory')}",
        "    zonefile-load: whole",
        "    zonefile-sync: -1",
        "    journal-content: none",
        "zone:",
    ]
    for domain, path in zones.items():
        lines += [f"  - domain: {absolute_name(domain, 'zone')}", file_line(path, domain)]
        lines += ["    module: mod-whoami"] if domain == WHO_ASKS else []
    return "\n".join(lines) + "\n"


def _top(name: str) -> str:
    """Return the top-level domain of a name: ``test.`` of ``www.example.test.``."""
    return f"{name.rstrip('.').rsplit('.', 1)[-1]}."


def _topmost(names: Iterable[str]) -> list[str]:
    every = sorted(set(names))
    return [name for name in every if not _is_below(name, [o for o in every if o != name])]


def _is_below(name: str, zones: Iterable[str]) -> bool:
    return any(zone in {".", name} or name.endswith(f".{zone}") for zone in zones)


def _delegation(name: str, authority: tuple[Address, ...], ds: tuple[str, ...]) -> list[str]:
    return [
        f"{name} NS ns.{name}",
        *(f"{name} DS {data}" for data in ds),
        *_addresses(f"ns.{name}", authority),
    ]


def _addresses(name: str, addresses: Iterable[Address]) -> list[str]:
    return [f"{name} {'A' if a.version == 4 else 'AAAA'} {a}" for a in addresses]


def _hosts(top: str, hosts: Mapping[str, tuple[Address, ...]], own: Iterable[str]) -> Iterable[str]:
    for host, addresses in hosts.items():
        name = absolute_name(host, "host").lower()
        if _top(name) == top and name != top and not _is_below(name, (*own, OUTSIDE, FAILED)):
            yield from _addresses(name, addresses)


def _leaf(name: str) -> tuple[str, ...]:
    four, six = OUTSIDE_ADDRESS
    what = "wrong signatures, on purpose" if name == FAILED else "held by somebody else"
    return (
        f"www.{name} A {four}",
        f"www.{name} AAAA {six}",
        f'{name} TXT "A zone of the rehearsal: {what}."',
    )
