"""Where a server is, by what it calls itself: guesses with reasons, held against the speed of light.

No name is proof. Each rule that reads a place into a name gives its reason and a confidence; guesses
of different words that agree strengthen each other; and a guess from which light could not have come
in the time measured is rejected, whatever the name says.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ridgeline.net.place import Place, great_circle_km
from ridgeline.probe.discs import KM_PER_RTT_MS
from ridgeline.probe.identifiers import Identifier, regions_of, take_apart
from ridgeline.probe.lookup import (
    Option,
    by_city,
    by_iata,
    by_icao,
    by_letters,
    by_letters_anywhere,
    by_locode,
    main_city,
)
from ridgeline.probe.rules import Operator, Pattern, Rules, Scope, shipped_rules

_SAME_KM: Final = 100.0
_DOUBTFUL: Final = 0.25
_DISAGREES: Final = 0.15
_LEAST: Final = 0.02
_SUREST: Final = 0.995
_OPERATOR: Final = 0.97
_TOLD: Final = 2.0
_ONLY_REGION: Final = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Who got an answer from the server, and how fast: light sets how far away it can be."""

    lat: float
    lon: float
    rtt_ms: float
    name: str = ""

    def excess_km(self, place: Place) -> float:
        """How much farther the place is than light comes; 0 or less: it may be there."""
        distance = great_circle_km(self.lat, self.lon, place.lat, place.lon)
        return distance - self.rtt_ms * KM_PER_RTT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A place that a name may tell."""

    place: Place
    confidence: float
    reason: str
    """In words: what was read, and as what."""
    token: str
    """What of the name was read."""
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A guess that light forbids."""

    guess: Guess
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a name tells."""

    name: str
    guesses: tuple[Guess, ...]
    """Best first."""
    rejected: tuple[Rejected, ...]

    @property
    def best(self) -> Guess | None:
        """The likeliest guess; None: the name tells no place."""
        return self.guesses[0] if self.guesses else None


@dataclass(frozen=True, slots=True)
class _Reading:
    guess: Guess
    state: str
    centre: Place | None


def decode(
    name: str,
    *,
    sightings: Sequence[Sighting] = (),
    rules: Rules | None = None,
    limit: int = 5,
) -> Decoded:
    """Guess where a server is by its identifier: CHAOS or NSID text, host name, header word."""
    known = shipped_rules() if rules is None else rules
    identifier = take_apart(name, known)
    readings = [_weigh(reading, identifier) for reading in _read(identifier, known)]
    accepted: list[_Reading] = []
    rejected: dict[tuple[float, float], Rejected] = {}
    lost: dict[tuple[str, str], float] = defaultdict(float)
    for reading in readings:
        kept, reason = _hold_against_light(reading, sightings)
        if reason:
            place = kept.guess.place
            lost[kept.guess.token, kept.guess.rule] += kept.guess.confidence
            key = (round(place.lat, 1), round(place.lon, 1))
            if key not in rejected or kept.guess.confidence > rejected[key].guess.confidence:
                rejected[key] = Rejected(guess=kept.guess, reason=reason)
        else:
            accepted.append(kept)
    return Decoded(
        name=name,
        guesses=tuple(_combine(_inherit(accepted, lost))[:limit]),
        rejected=tuple(
            sorted(rejected.values(), key=lambda r: (-r.guess.confidence, r.guess.place.city))
        )[:limit],
    )


def decode_header(
    header: str,
    value: str,
    *,
    sightings: Sequence[Sighting] = (),
    rules: Rules | None = None,
) -> Decoded:
    """Guess where a cache is by one of its HTTP headers, e.g. ``cf-ray`` or ``x-served-by``."""
    known = shipped_rules() if rules is None else rules
    best: Decoded | None = None
    for word in header_words(header, value, known):
        decoded = decode(word, sightings=sightings, rules=known)
        if best is None or _confidence(decoded) >= _confidence(best):
            best = decoded
    if best is None:
        return Decoded(name=value, guesses=(), rejected=())
    return replace(best, name=value)


def header_words(header: str, value: str, rules: Rules | None = None) -> list[str]:
    """Return what in a header identifies a cache; nothing for headers that no rule knows."""
    known = shipped_rules() if rules is None else rules
    words: list[str] = []
    for pattern in known.headers.get(header.strip().lower(), ()):
        words += [match.group(1) for match in pattern.finditer(value[:4096])]
    return list(dict.fromkeys(words))


def _confidence(decoded: Decoded) -> float:
    return decoded.best.confidence if decoded.best else 0.0


def _read(identifier: Identifier, rules: Rules) -> Iterator[_Reading]:
    """Read everything that any rule finds in an identifier."""
    for pattern in rules.patterns:
        if pattern.scope is Scope.NAME:
            for match in pattern.match.finditer(identifier.text):
                yield from _readings(pattern, match, rules)
    operator = rules.operator_of(identifier.text)
    for label in identifier.labels:
        for pattern in rules.patterns:
            if pattern.scope is Scope.LABEL:
                for match in pattern.match.finditer(label.text):
                    yield from _readings(pattern, match, rules)
        yield from _read_parts(label.parts, operator, rules)
        yield from _read_joined(label.parts, rules)
    yield from _read_regions(identifier)


def _read_parts(
    parts: Sequence[str], operator: Operator | None, rules: Rules
) -> Iterator[_Reading]:
    for i, part in enumerate(parts):
        word = part.strip("0123456789")
        if operator is not None and word in operator.codes:
            yield from _operators_word(operator.domain, word, operator.codes[word])
        elif word not in rules.silent:
            yield from _read_part(part, parts[i + 1] if i + 1 < len(parts) else "", rules)


def _read_part(part: str, after: str, rules: Rules) -> Iterator[_Reading]:
    for pattern in rules.patterns:
        if pattern.scope is not Scope.PART:
            continue
        if pattern.followed_by is not None and not pattern.followed_by.search(after):
            continue
        match = pattern.match.search(part)
        if match:
            yield from _readings(pattern, match, rules)


def _read_joined(parts: Sequence[str], rules: Rules) -> Iterator[_Reading]:
    """Names of several words, ``new-york`` or ``sao-paulo1``."""
    for n in (2, 3):
        for i in range(len(parts) - n + 1):
            words = parts[i : i + n]
            joined = "".join(words).rstrip("0123456789")
            if not joined.isalpha() or any(word in rules.silent for word in words):
                continue
            for option in by_city(joined, None):
                if option.likelihood > 0.3:
                    yield _reading(option, 0.85, "a city's name", "-".join(words), "city")


def _read_regions(identifier: Identifier) -> Iterator[_Reading]:
    """Guess the main city of a state or country that a label names, where nothing else is told."""
    for region, weight in identifier.hints.items():
        country, _, state = region.partition("-")
        option = main_city(country, state)
        if option is not None and weight >= _TOLD:
            yield _reading(option, _ONLY_REGION, "only this is told", region.lower(), "region")


def _operators_word(domain: str, word: str, code: str) -> Iterator[_Reading]:
    for option in by_iata(code):
        sure = replace(option, likelihood=1.0)
        yield _reading(sure, _OPERATOR, f"what {domain} writes for it", word, "operator")


def _readings(pattern: Pattern, match: re.Match[str], rules: Rules) -> Iterator[_Reading]:
    groups = match.groupdict()
    token = "".join(text for text in groups.values() if text)
    if len(groups) == 2 and pattern.scope is Scope.LABEL:
        token = "-".join(text for text in groups.values() if text)
    confidence = pattern.confidence
    if token in rules.doubtful and pattern.scope is Scope.PART:
        confidence *= _DOUBTFUL
    for option in _look_up(groups, rules):
        if option.likelihood * confidence >= _LEAST:
            yield _reading(option, confidence, pattern.reason, token, pattern.name)


def _look_up(groups: dict[str, str | None], rules: Rules) -> list[Option]:
    """Look up what a pattern's groups say that it matched."""
    value = {name: text or "" for name, text in groups.items()}
    regions = regions_of(value.get("cc") or value.get("region") or "", rules)
    has_region = "cc" in value or "region" in value
    if has_region and not regions:
        return []
    kinds: dict[tuple[str, ...], Callable[[], list[Option]]] = {
        ("iata",): lambda: by_iata(value["iata"]),
        ("icao",): lambda: by_icao(value["icao"]),
        ("cc", "loc"): lambda: by_locode(regions, value["loc"], rules),
        ("abbr", "region"): lambda: by_letters(value["abbr"], regions, rules),
        ("city", "region"): lambda: by_city(value["city"], regions),
        ("city",): lambda: by_city(value["city"], None),
        ("abbr",): lambda: by_letters_anywhere(value["abbr"]),
        ("known",): lambda: _by_abbreviation(value["known"], rules),
    }
    return kinds[tuple(sorted(value))]()


def _by_abbreviation(word: str, rules: Rules) -> list[Option]:
    code = rules.abbreviations.get(word)
    return [replace(option, likelihood=1.0) for option in by_iata(code)] if code else []


def _reading(option: Option, confidence: float, what: str, token: str, rule: str) -> _Reading:
    place = option.place
    where = f"{place.city}, {place.country}" if place.country else place.city
    return _Reading(
        Guess(
            place=place,
            confidence=confidence * option.likelihood,
            reason=f"{token}: {what}, {where}",
            token=token,
            rule=rule,
        ),
        option.state,
        option.centre,
    )


def _weigh(reading: _Reading, identifier: Identifier) -> _Reading:
    """Let the countries and states that the rest of the name mentions favour their places."""
    hints = identifier.hints
    if not hints:
        return reading
    country = reading.guess.place.country
    factor = max(hints.get(country, 0.0), hints.get(f"{country}-{reading.state}", 0.0))
    if not factor:
        strongest = max(hints.values())
        factor = _DISAGREES if strongest >= 2 else 0.8
    odds = factor * reading.guess.confidence / max(1e-6, 1 - reading.guess.confidence)
    guess = replace(reading.guess, confidence=min(_SUREST, odds / (1 + odds)))
    return replace(reading, guess=guess)


def _hold_against_light(reading: _Reading, sightings: Sequence[Sighting]) -> tuple[_Reading, str]:
    """Return the reading at a place that light allows; or at its own, with why not."""
    excess = 0.0
    worst: Sighting | None = None
    for place in (reading.guess.place, reading.centre):
        if place is None:
            continue
        farthest = max(sightings, key=lambda s: s.excess_km(place), default=None)
        if farthest is None or farthest.excess_km(place) <= 0:
            return replace(reading, guess=replace(reading.guess, place=place)), ""
        if worst is None:
            worst, excess = farthest, farthest.excess_km(place)
    assert worst is not None  # noqa: S101 - the guess's own place was tried
    limit = worst.rtt_ms * KM_PER_RTT_MS
    seen_from = worst.name or f"{worst.lat:g}, {worst.lon:g}"
    return reading, (
        f"faster than light: {limit + excess:.0f} km from {seen_from}, "
        f"where {worst.rtt_ms:g} ms allow {limit:.0f} km"
    )


def _inherit(readings: list[_Reading], lost: Mapping[tuple[str, str], float]) -> list[_Reading]:
    """Give what a rule read into a word for forbidden places to its other places."""
    left: dict[tuple[str, str], float] = defaultdict(float)
    for reading in readings:
        left[reading.guess.token, reading.guess.rule] += reading.guess.confidence
    inherited = []
    for reading in readings:
        key = (reading.guess.token, reading.guess.rule)
        factor = 1 + lost.get(key, 0.0) / left[key] if left[key] else 1.0
        confidence = min(_SUREST, reading.guess.confidence * factor)
        inherited.append(replace(reading, guess=replace(reading.guess, confidence=confidence)))
    return inherited


def _combine(readings: list[_Reading]) -> list[Guess]:
    """Join guesses of one place: other words strengthen it, other rules for one word do not."""
    groups: list[dict[str, Guess]] = []
    for reading in sorted(readings, key=lambda r: -r.guess.confidence):
        guess = reading.guess
        for group in groups:
            head = next(iter(group.values()))
            if _km(head.place, guess.place) < _SAME_KM:
                group.setdefault(guess.token, guess)
                break
        else:
            groups.append({guess.token: guess})
    joined = []
    for group in groups:
        head = next(iter(group.values()))
        doubt = 1.0
        for guess in _without_overlap(group.values()):
            doubt *= 1 - guess.confidence
        joined.append(replace(head, confidence=min(_SUREST, 1 - doubt)))
    return sorted(joined, key=lambda guess: (-guess.confidence, guess.place.city))


def _without_overlap(guesses: Iterable[Guess]) -> Iterable[Guess]:
    """Leave out tokens that are a piece of another: they are the same word, read twice."""
    kept: list[Guess] = []
    for guess in guesses:
        bare = guess.token.replace("-", "")
        if not any(bare in g.token.replace("-", "") or g.token in bare for g in kept):
            kept.append(guess)
    return kept


def _km(a: Place, b: Place) -> float:
    return great_circle_km(a.lat, a.lon, b.lat, b.lon)
