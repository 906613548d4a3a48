"""YAML as nodes that remember where they stand; every scalar is still text.

The events of the YAML parser are composed here, not loaded: so `no` stays a country, `1.10` an AS
number, and duplicate keys, aliases and tags become problems instead of surprises.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, Final, TypeAlias

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ridgeline.errors import Problem
from ridgeline.spec.words import explain_syntax, shown

MAX_CHARACTERS: Final = 2**20  # twenty thousand sites; some five seconds of parsing
MAX_PROBLEMS: Final = 1000  # nobody reads more in one go
MAX_DEPTH: Final = 16  # a spec is six levels deep

_CORE_TAGS: Final = "tag:yaml.org,2002:"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})  # YAML 1.2.2, section 10.3.2
# What YAML 1.2.2, section 5.1, lets stand in a file; a byte order mark only at its start.
_UNREADABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
    "|(?:^|(?<=[\r\x85\u2028\u2029]))%"
    r"|\\U(?!000[0-9A-Fa-f]|0010)[0-9A-Fa-f]{8}",
    re.MULTILINE,
)
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Location: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root, as pydantic gives them."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where something starts, both numbers 1-based."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, typed by nobody yet."""

    at: Position
    text: str
    broken: bool = False
    """Stands for something already reported: say nothing more about it."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    at: Position
    nodes: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping: key -> (where the key stands, value)."""

    at: Position
    nodes: "dict[str, tuple[Position, Node]]" = field(default_factory=dict)


Node: TypeAlias = Scalar | Items | Entries


@dataclass(frozen=True, slots=True)
class Found:
    """What a location leads to."""

    at: Position
    """Where the value starts; its key, if the value starts on a later line or is missing."""
    key_at: Position
    where: str
    node: Node | None
    """None where the file has nothing of that name."""


@dataclass(slots=True)
class _Open:
    """A collection that is still being filled."""

    node: Items | Entries
    key: str | None = None
    key_at: Position = Position(1, 1)
    skip: bool = False
    """The next value belongs to a key that was refused."""


def read_document(text: str, *, file: str) -> tuple[Entries | None, list[Problem]]:
    """Compose the text; the mapping is None where nothing can be said beyond the problems."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        message = f"has {len(text)} characters; a spec has at most {MAX_CHARACTERS}"
        return None, [Problem(file, 1, 1, "", message)]
    unreadable = list(islice(_unreadable(text, file), MAX_PROBLEMS + 1))
    if unreadable:
        return None, unreadable
    composer = _Composer(file)
    try:
        composer.feed(text)
    except MarkedYAMLError as error:
        composer.problems += _syntax_problems(error, text, file)
        return None, composer.problems
    except YAMLError as error:
        composer.refuse(Position(1, 1), f"is not YAML: {explain_syntax(str(error), '')}")
        return None, composer.problems
    return _only_mapping(composer), composer.problems


def plain(node: Node) -> Any:
    """Return dicts, lists and strings alone, for the schema to type."""
    match node:
        case Scalar(text=text):
            return text
        case Items(nodes=nodes):
            return [plain(n) for n in nodes]
        case Entries(nodes=entries):
            return {key: plain(value) for key, (_, value) in entries.items()}


def find(root: Entries, location: Location) -> Found:
    """Walk to a location, as far as the file goes; what is missing is placed at its parent."""
    node: Node | None = root
    at = key_at = root.at
    where = ""
    for part in location:
        where += _step(part, first=not where)
        match node, part:
            case Entries(nodes=entries), str() if part in entries:
                key_at, node = entries[part]
                at = node.at
            case Items(nodes=items), int() if part < len(items):
                node = items[part]
                at = key_at = node.at
            case _:
                node, at = None, key_at
    return Found(at if at.line == key_at.line else key_at, key_at, where, node)


def _step(part: str | int, *, first: bool) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    name = part if _PLAIN_KEY.fullmatch(part) else shown(part)
    return name if first else f".{name}"


def _only_mapping(composer: "_Composer") -> Entries | None:
    """Return the root, or say why there is none."""
    match composer.root:
        case Entries() as root:
            return root
        case Scalar(broken=True):
            pass
        case None if composer.problems:
            pass
        case None | Scalar(text=""):
            composer.refuse(
                Position(1, 1),
                "is empty; a spec starts with `network:`, and `ridgeline new DIR` writes one",
            )
        case other:
            kind = "a list" if isinstance(other, Items) else "plain text"
            composer.refuse(other.at, f"is {kind}; a spec is a mapping that starts with `network:`")
    return None


class _Composer:
    """Turns events into nodes, and goes on after a problem wherever it can."""

    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._open: list[_Open] = []
        self._documents = 0

    def refuse(self, at: Position, message: str) -> None:
        self.problems.append(Problem(self._file, at.line, at.column, self._where(), message))

    def feed(self, text: str) -> None:
        for event in YAML(typ="safe", pure=True).parse(text):
            if not self._take(event):
                return

    def _take(self, event: events.Event) -> bool:
        """Take one event; False: what follows is not worth reading."""
        at = Position(event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self.refuse(at, "a second document starts here; a spec is one document")
                    return False
            case events.AliasEvent():
                name = shown(event.anchor, quote="")
                self.refuse(at, f"`*{name}` is an alias; write the value out")
                self._add(Scalar(at, f"*{event.anchor}", broken=True))
            case events.ScalarEvent():
                self._refuse_decoration(event, at)
                self._add_scalar(event, at)
            case events.SequenceStartEvent() | events.MappingStartEvent():
                self._refuse_decoration(event, at)
                is_list = isinstance(event, events.SequenceStartEvent)
                self._open.append(_Open(Items(at) if is_list else Entries(at)))
                if len(self._open) > MAX_DEPTH:
                    self.refuse(at, f"is nested more than {MAX_DEPTH} levels deep")
                    return False
            case events.SequenceEndEvent() | events.MappingEndEvent():
                self._add(self._open.pop().node)
        return True

    def _add_scalar(self, event: events.ScalarEvent, at: Position) -> None:
        in_key = self._awaits_key()
        text = _joined(event.value)
        if text is None:
            self.refuse(at, "holds half a character: a \\u escape of a surrogate, alone")
        is_null = event.style is None and event.value in _NULLS and bool(self._open) and not in_key
        if is_null and not self._open[-1].skip:
            self._refuse_null(at)
        self._add(Scalar(at, text or "", broken=is_null or text is None))

    def _refuse_null(self, at: Position) -> None:
        top = self._open[-1]
        message = "has no value: write one, or delete the line"
        if top.key is not None:
            at = top.key_at
            if top.key.endswith(":"):
                message = "has no value: an address that ends in a colon needs quotes"
        self.refuse(at, message)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if isinstance(top.node, Items):
            top.node.nodes.append(node)
        elif top.skip:
            top.skip, top.key = False, None
        elif top.key is None:
            self._add_key(top, top.node, node)
        else:
            top.node.nodes[top.key] = (top.key_at, node)
            top.key = None

    def _add_key(self, top: _Open, entries: Entries, node: Node) -> None:
        if not isinstance(node, Scalar):
            kind = "list" if isinstance(node, Items) else "mapping"
            self.refuse(node.at, f"a {kind} cannot be a key")
        elif node.broken:
            pass
        elif node.text in entries.nodes:
            first, _ = entries.nodes[node.text]
            top.key = node.text
            self.refuse(node.at, f"is a duplicate key: it stands on line {first.line} already")
        else:
            top.key, top.key_at = node.text, node.at
            return
        top.skip = True

    def _awaits_key(self) -> bool:
        return bool(self._open) and (
            isinstance(self._open[-1].node, Entries)
            and self._open[-1].key is None
            and not self._open[-1].skip
        )

    def _refuse_decoration(self, event: events.NodeEvent, at: Position) -> None:
        if event.anchor is not None:
            name = shown(event.anchor, quote="")
            self.refuse(at, f"`&{name}` is an anchor; a spec writes every value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = str(tag).replace(_CORE_TAGS, "!!")
            self.refuse(at, f"`{shown(short, quote='')}` is a tag; a spec needs none")

    def _where(self) -> str:
        where = ""
        for level in self._open:
            if isinstance(level.node, Items):
                where += _step(len(level.node.nodes), first=not where)
            elif level.key is not None:
                where += _step(level.key, first=not where)
        return where


def _joined(text: str) -> str | None:
    """Join what JSON escapes as two surrogates; None where one stands alone."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def _unreadable(text: str, file: str) -> Iterator[Problem]:
    """Find what the YAML parser must not see: it would stumble, and without saying where."""
    starts = [0, *(found.end() for found in _BREAK.finditer(text)), len(text) + 1]
    rest = iter(_UNREADABLE.finditer(text))
    found = next(rest, None)
    for number, (start, end) in enumerate(pairwise(starts), start=1):
        while found is not None and found.start() < end:
            yield Problem(file, number, found.start() - start + 1, "", _say_unreadable(found[0]))
            found = next(rest, None)


def _say_unreadable(found: str) -> str:
    match found:
        case "%":
            return "a line that starts with `%` is a directive; a spec needs none"
        case escape if len(escape) > 1:
            return f"`{escape}` is no character of Unicode"
        case character:
            return f"character U+{ord(character):04X} cannot stand in a YAML file"


def _syntax_problems(error: MarkedYAMLError, text: str, file: str) -> Sequence[Problem]:
    """One problem where the parser stopped; for a tab, one for each line indented with tabs."""
    mark = error.problem_mark or error.context_mark
    at = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    lines = _BREAK.split(text)
    if at.line <= len(lines) and lines[at.line - 1][at.column - 1 : at.column] == "\t":
        return [
            Problem(file, number, line.index("\t") + 1, "", "a tab; YAML indents with spaces")
            for number, line in enumerate(lines, start=1)
            if number == at.line or "\t" in line[: len(line) - len(line.lstrip())]
        ]
    opened = error.context_mark.line + 1 if error.context_mark else 0
    message = explain_syntax(error.problem or "", error.context or "", opened=opened)
    return [Problem(file, at.line, at.column, "", message)]
