"""Reads the nodes of `agent.yaml`: what is wrong is reported with its place, and reading goes on."""

from collections.abc import Callable
from typing import TypeVar

from ridgeline.spec.document import Entries, Items, Location, Scalar, find
from ridgeline.spec.report import Report
from ridgeline.spec.words import did_you_mean, listed, shown

T = TypeVar("T")


class Nodes:
    """The nodes of one document."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def has(self, name: str) -> bool:
        return name in self.report.root.nodes

    def entries(self, where: Location) -> list[str]:
        """Name the keys of a mapping; none where there is no mapping."""
        match find(self.report.root, where).node:
            case None:
                return []
            case Entries(nodes=nodes):
                return list(nodes)
            case _:
                self.report.problem(where, "a mapping is needed here")
                return []

    def keys(self, where: Location, known: tuple[str, ...]) -> None:
        for name in self.entries(where):
            if name not in known:
                near = did_you_mean(name, known)
                hint = f"did you mean `{near}`?" if near else f"known are {listed(known, 'and')}"
                self.report.problem((*where, name), f"is not known here; {hint}", at_key=True)

    def known_names(self, group: str, known: list[str], what: str) -> None:
        for name in self.entries((group,)):
            if name not in known:
                near = did_you_mean(name, known)
                hint = (
                    f"did you mean {near}?"
                    if near
                    else f"there are {listed(known or ['none'], 'and')}"
                )
                message = f"{shown(name)} is no {what}; {hint}"
                self.report.problem((group, name), message, at_key=True)

    def required(self, where: Location, parse: Callable[[str], T], default: T) -> T:
        if find(self.report.root, where).node is None:
            self.report.problem(where, f"is missing: `{where[-1]}` is needed here")
        return self.one(where, parse, default)

    def one(self, where: Location, parse: Callable[[str], T], default: T) -> T:
        node = find(self.report.root, where).node
        if node is None:
            return default
        if not isinstance(node, Scalar):
            self.report.problem(where, "one value is needed here")
            return default
        try:
            return parse(node.text)
        except ValueError as error:
            self.report.problem(where, str(error))
            return default

    def many(self, where: Location, parse: Callable[[str], T]) -> tuple[T, ...]:
        """Read a list; one value stands for a list of one."""
        match find(self.report.root, where).node:
            case None:
                return ()
            case Items(nodes=nodes):
                found = []
                for index, node in enumerate(nodes):
                    if not isinstance(node, Scalar):
                        self.report.problem((*where, index), "one value is needed here")
                        continue
                    try:
                        found.append(parse(node.text))
                    except ValueError as error:
                        self.report.problem((*where, index), str(error))
                return tuple(found)
            case Scalar(text=text):
                try:
                    return (parse(text),)
                except ValueError as error:
                    self.report.problem(where, str(error))
            case _:
                self.report.problem(where, "a list is needed here")
        return ()
