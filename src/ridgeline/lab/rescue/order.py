"""Whom to ask first about a flow that is not ours: the site where its client landed before.

Pure. What a catchment was is remembered per client prefix as a list of sites, the latest first. A
site skips itself, so the list may be brought up to date at any time, even while routes still move:
whoever lands here now landed at the next of the list before.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

Prefix: TypeAlias = IPv4Network | IPv6Network


class Catchments:
    """Where each client prefix landed, latest first."""

    def __init__(self, sites: tuple[str, ...]) -> None:
        self._sites = sites
        self._landed: dict[Prefix, list[str]] = {}

    def learn(self, now: Mapping[Prefix, str]) -> None:
        """Take note of where clients land now; a prefix that lands nowhere keeps its past."""
        for prefix, site in now.items():
            if site not in self._sites:
                continue
            past = self._landed.setdefault(prefix, [])
            if site in past:
                past.remove(site)
            past.insert(0, site)

    def order(self, prefix: Prefix) -> tuple[str, ...]:
        """List every site: those where the prefix landed, latest first, then the others."""
        past = self._landed.get(prefix, [])
        return (*past, *(site for site in self._sites if site not in past))

    def orders(self) -> dict[Prefix, tuple[str, ...]]:
        """List the sites to ask for each prefix of which something is known."""
        return {prefix: self.order(prefix) for prefix in self._landed}
