"""Take an identifier apart: labels between dots, parts between hyphens, and what hints at a country.

The operator's own domain says whose name it is, not where the server stands: it is left out, and so
are names of interfaces at the front.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ridgeline.probe.gazetteer import cities_of, countries
from ridgeline.probe.rules import Rules

_LONGEST: Final = 512
_SEPARATORS: Final = re.compile(r"[\s,;/|]+")
_PARTS: Final = re.compile(r"[-_]+")
_INTERFACE: Final = re.compile(
    r"(?:ae|xe|ge|et|te|fe|so|be|po|hu|gi|gig|lo|lag|bundle|vl|vlan|irb|eth|ethernet|fa|at|as|ms|unit|"
    r"bond|tengige|hundredgige|fortygige|tengig|port-channel|\d+ge?)[-_]?\d*(?:[-_./:]\d+)*(?:-\d+)*"
)
_GENERIC: Final = frozenset({
    "com", "net", "org", "edu", "gov", "mil", "int", "arpa", "info", "biz", "name", "pro", "cloud", "app",
    "dev", "tech", "online", "network", "systems", "zone", "test", "example", "invalid", "localhost",
    "local", "lan", "internal",
})  # fmt: skip
# Country domains that are bought for how they look.
_FANCY: Final = frozenset({
    "io", "co", "tv", "me", "ai", "cc", "to", "fm", "ly", "gg", "sh", "st", "la", "gs", "ws", "nu", "pw",
    "tk", "ml", "cf", "ga", "eu", "su",
})  # fmt: skip
_SECOND_LEVEL: Final = frozenset({
    "co", "com", "net", "org", "ac", "gov", "edu", "ad", "ne", "or", "go", "gob", "nom", "re", "id",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """What stands between two dots."""

    text: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """An identifier, taken apart."""

    text: str
    """Lower case, without what cannot be a part of a name."""
    labels: tuple[Label, ...]
    hints: Mapping[str, float]
    """How much each country (``JP``) or state (``US-IL``) is favoured, 1 for not at all."""


def take_apart(text: str, rules: Rules) -> Identifier:
    """Split an identifier: a CHAOS or NSID string, a host name, the word of a header."""
    cleaned = text[:_LONGEST].strip().strip("\"'[]()<>").rstrip(".").lower()
    hints: dict[str, float] = {}
    labels: list[Label] = []
    for chunk in _SEPARATORS.split(cleaned):
        names = [name for name in chunk.split(".") if name]
        inner = _without_domain(names, hints)
        if len(inner) >= 2 and _INTERFACE.fullmatch(inner[0]):
            inner = inner[1:]
        for name in inner:
            _note_region(name, rules, hints)
            parts = tuple(part for part in _PARTS.split(name) if part)
            _note_pair(parts, rules, hints)
            if parts:
                labels.append(Label(name, parts))
    return Identifier(text=cleaned, labels=tuple(labels), hints=hints)


def regions_of(word: str, rules: Rules) -> list[tuple[str, str]]:
    """Return the countries, likeliest first, and the state, that two letters may stand for.

    Returns
    -------
    list of (country, state)
        ISO codes; the state is empty unless it is one of the United States.
    """
    upper = word.upper()
    found = [(iso, "") for iso in rules.countries.get(word, ())]
    if not found and upper in countries():
        found.append((upper, ""))
    if upper in us_states():
        found.append(("US", upper))
    return found


def us_states() -> frozenset[str]:
    """Return the postal codes of the United States' states."""
    return frozenset(city.region for city in cities_of("US") if city.region)


def _without_domain(names: list[str], hints: dict[str, float]) -> list[str]:
    """Leave out the operator's domain, whose country only weighs a little."""
    if len(names) < 2:
        return names
    last = names[-1]
    is_country = len(last) == 2 and (last.upper() in countries() or last in ("uk", "eu"))
    if not (is_country or last in _GENERIC):
        return names
    if is_country and last not in _FANCY:
        hints["GB" if last == "uk" else last.upper()] = 1.6
    n = 3 if is_country and len(names) > 3 and names[-2] in _SECOND_LEVEL else 2
    return names[:-n] or names[:1]


def _note_region(name: str, rules: Rules, hints: dict[str, float]) -> None:
    """Note a label that is a country, a state or a province: its neighbours are there."""
    if not 2 <= len(name) <= 3 or not name.isalpha():
        return
    if name in rules.provinces:
        hints[rules.provinces[name]] = 2.5
    if len(name) == 2 and name not in rules.silent:
        for country, state in regions_of(name, rules):
            hints[f"{country}-{state}" if state else country] = 5.0 if state else 4.0


def _note_pair(parts: tuple[str, ...], rules: Rules, hints: dict[str, float]) -> None:
    """Note the country of ``fr-par``, whatever else either word means."""
    if len(parts) != 2:
        return
    for pair in (parts, parts[::-1]):
        country, place = pair[0], pair[1].rstrip("0123456789")
        if len(country) == 2 and len(place) == 3 and (country + place).isalpha():
            for iso, state in regions_of(country, rules):
                if not state:
                    hints[iso] = max(hints.get(iso, 0.0), 3.0)
