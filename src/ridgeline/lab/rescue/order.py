"""Whom to ask first about a flow that is not ours: the site where its client landed before.

Pure. What a catchment was is remembered per client prefix as a list of sites, the latest first. A
site skips itself, so the list may be brought up to date at any time, even while routes still move:
whoever lands here now landed at the next of the list before.

The list has an end, so that what a packet may cost does not grow with the network: behind the sites
that a prefix has landed at stand those where most prefixes land, until it is full.
"""

from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

Prefix: TypeAlias = IPv4Network | IPv6Network


class Catchments:
    """Where each client prefix landed, latest first; of at most so many sites each."""

    def __init__(self, sites: tuple[str, ...], *, most: int) -> None:
        self._sites = sites
        self._known = frozenset(sites)
        self._most = most
        self._landed: dict[Prefix, list[str]] = {}

    def learn(self, now: Mapping[Prefix, str]) -> None:
        """Take note of where clients land now; a prefix that lands nowhere keeps its past."""
        for prefix, site in now.items():
            if site not in self._known:
                continue
            past = self._landed.setdefault(prefix, [])
            if site in past:
                past.remove(site)
            past.insert(0, site)
            del past[self._most :]

    def everybody(self) -> tuple[str, ...]:
        """List the sites to ask about a client of whom nothing is known: the largest first."""
        landed = Counter(past[0] for past in self._landed.values())
        return tuple(sorted(self._sites, key=lambda site: -landed[site])[: self._most])

    def orders(self) -> dict[Prefix, tuple[str, ...]]:
        """List the sites to ask for each prefix of which something is known."""
        others = self.everybody()
        return {
            prefix: (*past, *(site for site in others if site not in past))[: self._most]
            for prefix, past in self._landed.items()
        }
