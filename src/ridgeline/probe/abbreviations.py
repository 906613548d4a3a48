"""How well a few letters abbreviate a city's name.

Operators shorten names in few ways: the first letters (`toky`), the first of each word (`ny`, `slc`),
consonants (`frnk`, `dlls`), the starts of the parts of a compound (`ffm`, `jvl`). Each is cheap here;
letters that skip over others at random are dear.
"""

import re
from functools import lru_cache
from typing import Final

_VOWELS: Final = frozenset("aeiouy")
_SKIPPED_VOWEL: Final = 0.15
_SKIPPED_CONSONANT: Final = 0.25
_SKIPPED_PART: Final = 0.3
"""To jump to the start of the next part of a compound, whatever is skipped."""
_SKIPPED_WORD: Final = 0.15
_UNSAID_WORD: Final = 0.1
_INITIALS: Final = -0.6
"""All words' first letters and nothing else."""
_LAST_LETTER: Final = -0.1
_CITY: Final = 0.3
"""The c of "City", which operators add to names that the map does not."""
_NO_MATCH: Final = 99.0

# Endings that make a compound of a name; each begins a part of its own.
_ENDINGS: Final = (
    "abad", "bach", "berg", "borg", "borough", "bourg", "bridge", "brook", "brugge", "burg", "burgh",
    "burn",
    "bury", "dam", "dorf", "fjord", "ford", "furt", "gorod", "grad", "hamn", "haven", "havn", "heim",
    "holm", "kirch", "kirk", "land", "mouth", "nagar", "pol", "polis", "poort", "port", "pur", "stad",
    "stadt", "stan", "stein", "stock", "ton", "town", "vale", "view", "ville", "wick", "wood", "worth",
)  # fmt: skip
_ENDING: Final = re.compile(rf"(?<=[a-z]{{2}})({'|'.join(_ENDINGS)})$")


@lru_cache(maxsize=1 << 16)
def abbreviation_cost(letters: str, name: str) -> float | None:
    """Return how far-fetched it is that the letters stand for the name; None: they cannot.

    Parameters
    ----------
    letters
        Two or more, lower case.
    name
        Plain words, lower case.

    Returns
    -------
    float or None
        0 for the first letters of the name, below 0 for its initials, some tenths for consonants.
    """
    words = name.split()
    if not words or not letters or letters[0] != words[0][0]:
        return None
    if len(words) > 1 and letters == "".join(word[0] for word in words):
        return _INITIALS
    cost = _align(letters, name)
    if letters[-1] == "c" and len(letters) > 1 and words[-1] != "city":
        rest = abbreviation_cost(letters[:-1], name) if len(letters) > 2 else 0.0
        if rest is not None:
            cost = min(cost, rest + _CITY)
    return cost if cost < _NO_MATCH else None


def _align(letters: str, name: str) -> float:
    """Return the cheapest way to find the letters in the name, in their order."""
    starts = _part_starts(name)
    ends = {i: cost for i, cost in [(0, 0.0)] if name[0] == letters[0]}
    for letter in letters[1:]:
        following: dict[int, float] = {}
        for i, cost in ends.items():
            for j in range(i + 1, len(name)):
                if name[j] == letter:
                    total = cost + _skip_cost(name, i, j, starts)
                    if total < following.get(j, _NO_MATCH):
                        following[j] = total
        ends = following
    best = _NO_MATCH
    for i, cost in ends.items():
        unsaid = name.count(" ", i)
        total = cost + _UNSAID_WORD * unsaid + (_LAST_LETTER if i == len(name) - 1 else 0.0)
        best = min(best, total)
    return best


def _skip_cost(name: str, i: int, j: int, starts: frozenset[int]) -> float:
    between = name[i + 1 : j]
    letters = sum(
        _SKIPPED_VOWEL if c in _VOWELS else _SKIPPED_CONSONANT for c in between if c != " "
    )
    words = between.count(" ")
    if j and name[j - 1] == " ":
        return min(letters, _SKIPPED_WORD * words)
    if j in starts:
        return min(letters, _SKIPPED_PART) + _SKIPPED_WORD * words
    return letters + (_SKIPPED_CONSONANT + _SKIPPED_WORD) * words


@lru_cache(maxsize=1 << 15)
def _part_starts(name: str) -> frozenset[int]:
    starts: set[int] = set()
    at = 0
    for word in name.split(" "):
        found = _ENDING.search(word)
        if found:
            starts.add(at + found.start())
        at += len(word) + 1
    return frozenset(starts)
