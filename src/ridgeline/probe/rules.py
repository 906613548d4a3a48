"""The rules by which identifiers are read: patterns and tables of ``data/rules.toml``, typed."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

_RULES: Final = Path(__file__).parent / "data" / "rules.toml"


class Scope(StrEnum):
    """What of an identifier a pattern is held against."""

    NAME = "name"
    LABEL = "label"
    PART = "part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Where a code stands, and what kind of code it is: its groups say so."""

    name: str
    scope: Scope
    match: re.Pattern[str]
    followed_by: re.Pattern[str] | None
    """What the next part must look like; only for parts."""
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The words of one operator."""

    domain: str
    codes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that is known of how operators write places."""

    patterns: tuple[Pattern, ...]
    headers: Mapping[str, tuple[re.Pattern[str], ...]]
    silent: frozenset[str]
    doubtful: frozenset[str]
    countries: Mapping[str, tuple[str, ...]]
    """ISO codes by what operators write, where that is not the ISO code alone."""
    provinces: Mapping[str, str]
    hubs: Mapping[str, frozenset[str]]
    """Names of towns by ISO country."""
    locodes: Mapping[str, str]
    """IATA codes by UN/LOCODE, lower case, where these differ."""
    abbreviations: Mapping[str, str]
    """IATA codes; clouds' regions among them."""
    operators: tuple[Operator, ...]

    def operator_of(self, name: str) -> Operator | None:
        """Return whose name it is, if that operator has words of its own."""
        for operator in self.operators:
            if name == operator.domain or name.endswith(f".{operator.domain}"):
                return operator
        return None


@cache
def shipped_rules() -> Rules:
    """Return the rules that come with the program."""
    return parse_rules(_RULES.read_text(encoding="utf-8"))


def parse_rules(text: str) -> Rules:
    """Read rules.

    Raises
    ------
    ValueError
        The text is no TOML, or no rules.
    """
    document = tomllib.loads(text)
    headers: dict[str, tuple[re.Pattern[str], ...]] = {}
    for header in document["header"]:
        name = header["name"].lower()
        headers[name] = (*headers.get(name, ()), re.compile(header["match"], re.IGNORECASE))
    return Rules(
        patterns=tuple(map(_pattern, document["pattern"])),
        headers=headers,
        silent=frozenset(document["words"]["silent"]),
        doubtful=frozenset(document["words"]["doubtful"]),
        countries={word: tuple(isos) for word, isos in document["countries"].items()},
        provinces=dict(document["provinces"]),
        hubs={iso: frozenset(names) for iso, names in document["hubs"].items()},
        locodes=dict(document["locodes"]),
        abbreviations={**document["abbreviations"], **document["clouds"]},
        operators=tuple(
            Operator(domain=operator["domain"], codes=dict(operator["codes"]))
            for operator in document["operator"]
        ),
    )


def _pattern(document: Mapping[str, Any]) -> Pattern:
    after = document.get("followed_by")
    return Pattern(
        name=document["name"],
        scope=Scope(document["on"]),
        match=re.compile(document["match"]),
        followed_by=None if after is None else re.compile(after),
        confidence=float(document["confidence"]),
        reason=document["reason"],
    )
