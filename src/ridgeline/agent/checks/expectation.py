"""What every site is expected to be, and who moved where one is not so.

Pure: text and facts in, a verdict out. The expectation is a file that is the same for all sites,
written by whoever rolls out a change::

    {"schema": "ridgeline.expected/1",
     "addresses": ["203.0.113.1", "203.0.113.2"],
     "services": {"dns": {"configuration": ["b9d5742f274c91a6"],
                          "serial of example.test.": ["2026010101"],
                          "file knot/knot.conf": ["b9d5742f274c91a6"]}}}

`addresses` are those that single sites have. Each fact lists every value that is right; while a
change goes from site to site, the old and the new. What has no value, or is not told, is not judged.

============================================  =================================================
a value is none of those expected             the verdict
============================================  =================================================
it is another than when it was last right     fails: the site has moved away from the fleet
it was never right since the agent started    fails: a site that starts otherwise is not announced
it is as it was, and no longer expected       fails as a *shared* input: it may be the expectation
                                              that is wrong, and then it is so at every site
============================================  =================================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ridgeline.agent.health import Round
from ridgeline.render.fingerprint import EXPECTED_SCHEMA

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected of one service."""

    addresses: tuple[str, ...] = ()
    facts: Mapping[str, frozenset[str]] = field(default_factory=dict)


def parse_expectation(text: str, service: str) -> Expectation:
    """Read what is expected of a service; a service that is not named has nothing expected of it.

    Raises
    ------
    ValueError
        The text is no such document; nothing of it can be trusted then.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"is no JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != EXPECTED_SCHEMA:
        raise ValueError(f"has schema {schema!r}, not {EXPECTED_SCHEMA!r}")
    services = document.get("services")
    facts = services.get(service, {}) if isinstance(services, dict) else None
    if not isinstance(facts, dict):
        raise ValueError(f"`services` has no facts of {service}")  # noqa: TRY004 - of a file
    for name, values in facts.items():
        if not _is_texts(values):
            raise ValueError(f"services.{service}: {name!r} has no list of texts")
    addresses = document.get("addresses", [])
    if not _is_texts(addresses):
        raise ValueError("`addresses` is no list of texts")
    return Expectation(
        addresses=tuple(addresses),
        facts={name: frozenset(values) for name, values in facts.items() if values},
    )


def _is_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


@dataclass(slots=True)
class Memory:
    """What a service was, from round to round, and what was expected of it."""

    expected: Expectation = field(default_factory=Expectation)
    """As the file said when it could last be read."""
    right: dict[str, str] = field(default_factory=dict)
    """Fact -> the value that it had when it was last right."""
    odd: dict[str, str] = field(default_factory=dict)
    """Fact -> the value with which it differs; holds until another is told."""

    def judge(self, told: Mapping[str, str], before: Expectation, now: Expectation) -> Round:
        """Judge what a service told in a round.

        Parameters
        ----------
        before, now
            What was expected when the round began, and when it ended. A value may have been told at
            any time in between, so what either names is right.
        """
        both = before.facts.keys() & now.facts.keys()
        wanted = {name: before.facts[name] | now.facts[name] for name in now.facts if name in both}
        for name in self.odd.keys() - wanted.keys():
            del self.odd[name]
        n_right = 0
        for name, values in wanted.items():
            value = told.get(name, self.odd.get(name))
            if value is None:
                continue
            if value in values:
                n_right += 1
                self.right[name] = value
                self.odd.pop(name, None)
            else:
                self.odd[name] = value
        if self.odd:
            return self._differs(wanted)
        return Round(ok=True, reason=f"like the fleet in {n_right} of {len(wanted)} things")

    def _differs(self, wanted: Mapping[str, frozenset[str]]) -> Round:
        moved = [name for name, value in self.odd.items() if self.right.get(name) != value]
        words = [
            f"{name} is {self.odd[name]}, and the fleet's is {' or '.join(sorted(wanted[name]))}"
            for name in (moved or list(self.odd))[:_SHOWN]
        ]
        end = "not like the others" if moved else "it was so when it was right; the fleet moved on"
        return Round(ok=False, reason=f"{'; '.join(words)}: {end}", shared=not moved)
