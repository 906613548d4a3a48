"""Are the sites the same? What each site said, side by side, and which one is the odd one out.

Pure. A fact is something that must not depend on the site: the serial of a zone, the fingerprint of
a certificate, which keys are accepted. The value that most sites have is taken for right; where
no value has the most, every site differs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SCHEMA: Final = "ridgeline.consistency/1"
NO_ANSWER: Final = "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that all sites must have in common."""

    service: str
    name: str
    values: Mapping[str, str]
    """Site -> what it has; `NO_ANSWER` where it did not say while others did."""

    @property
    def usual(self) -> str | None:
        """What more sites have than any other value; None where there is no such value."""
        counted = Counter(v for v in self.values.values() if v != NO_ANSWER).most_common(2)
        if not counted or (len(counted) > 1 and counted[0][1] == counted[1][1]):
            return None
        return counted[0][0]

    @property
    def odd(self) -> tuple[str, ...]:
        """The sites that differ, in order; all of them where it is not clear who is right."""
        if len(set(self.values.values())) <= 1:
            return ()
        return tuple(site for site, value in self.values.items() if value != self.usual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """Everything that was compared."""

    sites: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def odd(self) -> tuple[str, ...]:
        """The sites that differ in anything, in order."""
        found = {site for fact in self.facts for site in fact.odd}
        return tuple(site for site in self.sites if site in found)

    def document(self, **more: object) -> dict[str, Any]:
        """Return the document for programs."""
        return {
            "schema": SCHEMA,
            "consistent": not self.odd,
            "odd": list(self.odd),
            "sites": list(self.sites),
            **more,
            "facts": [
                {
                    "service": fact.service,
                    "name": fact.name,
                    "usual": fact.usual,
                    "values": dict(fact.values),
                    "odd": list(fact.odd),
                }
                for fact in self.facts
            ],
        }


def compare(said: Mapping[str, Mapping[tuple[str, str], str]]) -> Consistency:
    """Put what the sites said side by side: site -> {(service, fact): value}.

    What no site said is no fact; what some said and one did not, that one does not know.
    """
    names = dict.fromkeys(name for facts in said.values() for name in facts)
    return Consistency(
        sites=tuple(said),
        facts=tuple(
            Fact(
                service=service,
                name=name,
                values={
                    site: facts.get((service, name), NO_ANSWER) for site, facts in said.items()
                },
            )
            for service, name in names
        ),
    )


def groups(
    sites: Sequence[str], accept: Callable[[str, Sequence[str]], Iterable[bool]]
) -> dict[str, str]:
    """Sort sites into groups that accept what the others made; returns site -> name of its group.

    `accept(made_at, shown_at)` tells which sites take what another made. A group is named by its
    first site, so that nobody is asked twice about the same.
    """
    group: dict[str, str] = {}
    for leader in sites:
        if leader in group:
            continue
        group[leader] = f"that of {leader}"
        others = [site for site in sites if site not in group]
        for other, yes in zip(others, accept(leader, others), strict=True):
            if yes:
                group[other] = group[leader]
    return group
