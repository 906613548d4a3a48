"""What BIRD reads and says: the include file of the agent, patterns, and the lines of `show`.

For each prefix there are two static protocols. `any_*` announces; `drn_*`, which is preferred,
announces the same with GRACEFUL_SHUTDOWN:

==========  =======  =======
stance      `any_*`  `drn_*`
==========  =======  =======
announced   on       off
drained     on       on
withdrawn   off      off
==========  =======  =======

Whichever is switched, the neighbours hear one update or none, never a withdrawal between.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from os.path import commonprefix
from typing import Final

from ridgeline.agent.router import Stance
from ridgeline.spec.model import Prefix

ANNOUNCE: Final = "any_"
DRAIN: Final = "drn_"
ANNOUNCE_PREFERENCE: Final = 200
DRAIN_PREFERENCE: Final = 210


_HEAD: Final = """\
# Written by ridgeline agent, which overwrites it. Include it in bird.conf:
# the routes are static protocols any_* (announced) and drn_* (drained, RFC 8326)."""


def protocol_name(prefix: Prefix) -> str:
    """Return what the names of both protocols of a prefix end in."""
    return re.sub("[^0-9a-f]", "_", str(prefix))


class Include:
    """The include file of some prefixes.

    What stands for a prefix is written beforehand, for every stance: in the moment in which a
    thousand change, the machine has other work.

    Parameters
    ----------
    gateways
        Address family (4, 6) -> next hop that lives while the agent does, as it stands after
        ``via``: ``10.255.53.2 bfd``; empty: no dead-man switch.
    """

    def __init__(
        self, prefixes: Iterable[Prefix], *, prepend: int, asn: int, gateways: Mapping[int, str]
    ) -> None:
        self.prepend = prepend
        extra = f" bgp_path.prepend({asn});" * prepend
        self._parts = {
            p: {stance: _part(p, stance, extra, gateways.get(p.version, "")) for stance in Stance}
            for p in prefixes
        }

    def render(self, stances: Mapping[Prefix, Stance]) -> str:
        parts = [parts[stances[prefix]] for prefix, parts in self._parts.items()]
        return "\n".join((_HEAD, *parts, ""))


def render_include(
    stances: Mapping[Prefix, Stance], *, prepend: int, asn: int, gateways: Mapping[int, str]
) -> str:
    """Write the include file once; see `Include`."""
    return Include(stances, prepend=prepend, asn=asn, gateways=gateways).render(stances)


def _part(prefix: Prefix, stance: Stance, extra: str, gateway: str) -> str:
    name = protocol_name(prefix)
    route = f"route {prefix} blackhole;"
    if gateway:  # a TUN device has a carrier only while the agent holds it
        route = f"check link no; route {prefix} via {gateway};"
    channel = f"ipv{prefix.version}"
    # Of the same length, so that a change finds room on a full disk.
    plain = "no; " if stance is not Stance.WITHDRAWN else "yes;"
    drained = "no; " if stance is Stance.DRAINED else "yes;"
    return (
        f"protocol static {ANNOUNCE}{name} {{ disabled {plain} "
        f"{channel} {{ preference {ANNOUNCE_PREFERENCE}; }}; {route} }}\n"
        f"protocol static {DRAIN}{name} {{ disabled {drained} "
        f"{channel} {{ preference {DRAIN_PREFERENCE}; import filter {{ "
        f"bgp_community.add((65535,0));{extra} accept; }}; }}; {route} }}"
    )


def parse_prepend(text: str) -> int:
    """Read from an include file how often its drain protocols prepend."""
    found = re.search(rf"^protocol static {DRAIN}.*$", text, re.MULTILINE)
    return found[0].count("bgp_path.prepend(") if found else 0


def patterns(wanted: Collection[str], others: Iterable[str]) -> Iterator[str]:
    """Cover the wanted names with as few patterns as do not touch the others.

    BIRD carries out one command in the time in which it reads one, so a thousand protocols should
    be named by a few patterns. Each is as long as it can be: it must not hit a protocol that the
    operator made since we looked.
    """
    mine = set(wanted)
    names = sorted(mine.union(others))
    before = list(accumulate((name in mine for name in names), initial=0))
    yield from _cover(names, before, 0, len(names))


def _cover(names: Sequence[str], before: Sequence[int], low: int, high: int) -> Iterator[str]:
    """Cover the wanted ones of ``names[low:high]``; `before` counts them from the start."""
    count = before[high] - before[low]
    if not count:
        return
    if count == 1:
        yield names[bisect_left(before, before[high]) - 1]
        return
    start = commonprefix((names[low], names[high - 1]))  # noqa: RUF071 - of names, not of paths
    if start and count == high - low:
        yield f"{start}*"
        return
    at = len(start)
    while low < high:
        longer = names[low][: at + 1]
        end = low + 1  # of the name that is no longer than what all have in common
        if len(longer) > at:
            end = bisect_left(names, start + chr(ord(longer[at]) + 1), low, high)
        yield from _cover(names, before, low, end)
        low = end


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolLine:
    """One line of ``show protocols``."""

    name: str
    kind: str
    is_up: bool
    info: str


def parse_protocols(lines: Iterable[str]) -> dict[str, ProtocolLine]:
    """Read ``show protocols``: name, kind, table, state, since, info."""
    found = {}
    for line in lines:
        parts = line.split(None, 5)
        if len(parts) >= 5 and parts[3] in {"up", "down", "start", "stop", "flush"}:
            found[parts[0]] = ProtocolLine(
                name=parts[0],
                kind=parts[1],
                is_up=parts[3] == "up",
                info=parts[5].strip() if len(parts) > 5 else "",
            )
    return found


_ROUTE: Final = re.compile(r"(?P<net>[0-9a-f.:]+/[0-9]+)?\s+\S.*? \[(?P<protocol>\S+) ")


def parse_routes(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read ``show route``: (prefix, protocol that has it) for each best route."""
    for line in lines:
        found = _ROUTE.match(line)
        if found and found["net"]:
            yield found["net"], found["protocol"]


def parse_details(lines: Iterable[str]) -> dict[str, str]:
    """Read ``show protocols all NAME``: the first value of each label."""
    found: dict[str, str] = {}
    for line in lines:
        label, colon, value = line.strip().partition(":")
        if colon:
            found.setdefault(label, value.strip())
        elif label:
            found.setdefault(label, "")
    return found
