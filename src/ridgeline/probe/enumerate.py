"""Tell whether an address is anycast, how many sites it has, and where they are.

iGreedy's insight, with a different judge. An answer within t ms came from inside a disc; a disc that
holds no known site tells of another one. Vantage points are taken fastest first; each that no known
site explains places a new one in the city of its disc that scores best:

    log(people + 1000)  -  distance / (0.12 x radius)  +  2 x log(1 + companions)

where companions are other unexplained vantage points that this city would explain. What a known site
explains is asked more strictly than physics does, because no path is straight and no box answers in
no time: up to `explained_share` of the radius. A site that rests on this alone, not on physics, needs
the more witnesses the fewer people live in its city. docs/explanation/enumeration.md tells why, and
how the parameters were chosen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import acos, cos, exp, inf, log1p, log10, pi, sin
from typing import Final

from ridgeline.net.place import EARTH_RADIUS_KM, Place
from ridgeline.probe.discs import (
    KM_PER_RTT_MS,
    Disc,
    Vector,
    cosine,
    distance_km,
    reach,
    unit_vector,
)
from ridgeline.probe.metros import Metro, Metros, all_metros
from ridgeline.probe.suspects import Crowd, Suspect, find_suspects, suspect
from ridgeline.probe.vantage import VantagePoint, fastest


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Numbers of the method. The defaults are what the documentation's tables were made with."""

    distance_scale: float = 0.12
    """Part of the radius over which a city loses one unit of score."""
    companion_weight: float = 2.0
    companion_share: float = 0.6
    """A city explains a companion within this part of the companion's radius."""
    companion_factor: float = 2.0
    companion_extra_ms: float = 3.0
    """A companion is at most so many times, and so much, slower than the vantage point itself."""
    companion_most_ms: float = 20.0
    least_share: float = 0.6
    straightest_share: float = 0.95
    overhead_ms: float = 2.5
    """A site explains a vantage point within ``max(least, straightest - overhead / rtt)`` of its
    radius."""
    margin: float = 0.05
    """So much beyond that share, and a vantage point is a full witness."""
    sure_share: float = 0.97
    """Beyond this share of the radius, one vantage point suffices wherever it is."""
    small_city_penalty: float = 1.0
    """Witnesses needed more, for every factor of ten under a million people."""

    def explained_share(self, rtt_ms: float) -> float:
        """Return the part of its radius within which a vantage point's site is looked for."""
        return max(self.least_share, self.straightest_share - self.overhead_ms / rtt_ms)


DEFAULTS: Final = Parameters()
_RIGHT_KM: Final = 100.0
"""Cities this near are one place, as far as enumeration can tell."""
_N_SMALLEST: Final = 20
_MOST_ALTERNATIVES: Final = 3


class Evidence(StrEnum):
    """Why there must be a site."""

    PROOF = "proof"
    """Its disc overlaps no other site's disc: light cannot have come from any of them."""
    BEYOND_REACH = "beyond reach"
    """No site placed so far lies in its disc."""
    LIKELY = "likely"
    """A site placed so far could have answered, but only by a path straighter than paths are."""


_EXISTS: Final = {Evidence.PROOF: 1.0, Evidence.BEYOND_REACH: 0.95, Evidence.LIKELY: 0.8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A city where a site may be."""

    place: Place
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One site of the anycast network."""

    place: Place | None
    """The city; None where no city of the table lies in the disc."""
    confidence: float
    """How sure both are: that there is a site, and that it is within 100 km of this city."""
    evidence: Evidence
    disc: Disc
    """Of the vantage point that revealed it."""
    n_vantage_points: int
    """How many this site explains best."""
    alternatives: tuple[Candidate, ...]
    """Other cities of the disc, at least 100 km away, best first."""

    @property
    def lat(self) -> float:
        """Of the city; of the disc's centre where there is none."""
        return self.disc.lat if self.place is None else self.place.lat

    @property
    def lon(self) -> float:
        """Of the city; of the disc's centre where there is none."""
        return self.disc.lon if self.place is None else self.place.lon


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """What an address's round-trip times tell."""

    is_anycast: bool
    """Proved: two vantage points cannot have been answered from one place."""
    proof: tuple[Disc, Disc] | None
    """The two."""
    sites: tuple[Site, ...]
    """In the order in which they were found; at least so many there are."""
    suspects: tuple[Suspect, ...]
    """Vantage points whose location, or time, cannot be right."""
    n_vantage_points: int
    """Used: measured, and not suspected."""


@dataclass(slots=True)
class _Witness:
    """A vantage point with what is computed of it once; not frozen, which would cost more."""

    vp: VantagePoint
    where: Vector
    radius_km: float
    share: float
    angle: float
    """The radius as an angle, at most half a turn; and its cosine and sine."""
    cos_angle: float
    sin_angle: float


@dataclass(slots=True)
class _Placed:
    where: Vector
    witness: _Witness
    metro: Metro | None
    evidence: Evidence
    confidence: float
    alternatives: tuple[Candidate, ...]
    n: int = 1


def enumerate_sites(
    vantage_points: Iterable[VantagePoint],
    *,
    metros: Metros | None = None,
    parameters: Parameters = DEFAULTS,
) -> Enumeration:
    """Tell whether an address is anycast, how many sites answer for it, and where they are."""
    measured = fastest(vantage_points)
    suspects = find_suspects(measured)
    usable = measured
    if suspects:
        excluded = {(s.vantage_point, s.lat, s.lon) for s in suspects}
        usable = [vp for vp in measured if (vp.name, vp.lat, vp.lon) not in excluded]
    usable.sort(key=_by_speed)
    witnesses = [_witness(vp, parameters) for vp in usable]
    cities = all_metros() if metros is None else metros
    crowd = Crowd((w.vp, w.where) for w in witnesses)
    search = _Search(witnesses, cities, parameters, crowd)
    proof = _prove(witnesses)
    placed = search.run() if proof else []
    if search.suspects:  # they may have been the proof
        accused = {(s.vantage_point, s.lat, s.lon) for s in search.suspects}
        witnesses = [w for w in witnesses if (w.vp.name, w.vp.lat, w.vp.lon) not in accused]
        proof = _prove(witnesses)
    if proof is None:
        placed = _Search(witnesses, cities, parameters, crowd).run_unicast()
    return Enumeration(
        is_anycast=proof is not None,
        proof=proof,
        sites=tuple(map(_site, placed)),
        suspects=suspects + tuple(search.suspects),
        n_vantage_points=len(witnesses),
    )


def _by_speed(vp: VantagePoint) -> tuple[float, str]:
    return vp.rtt_ms, vp.name


def _witness(vp: VantagePoint, parameters: Parameters) -> _Witness:
    radius_km = vp.rtt_ms * KM_PER_RTT_MS
    angle = min(pi, radius_km / EARTH_RADIUS_KM)
    share = parameters.explained_share(vp.rtt_ms)
    where = unit_vector(vp.lat, vp.lon)
    return _Witness(vp, where, radius_km, share, angle, cos(angle), sin(angle))


def _disc(witness: _Witness) -> Disc:
    vp = witness.vp
    return Disc(vantage_point=vp.name, lat=vp.lat, lon=vp.lon, rtt_ms=vp.rtt_ms)


def _overlap(a: _Witness, b: _Witness) -> bool:
    if a.angle + b.angle >= pi:
        return True
    # The cosine of the sum of the angles, without a call.
    (x, y, z), (u, v, w) = a.where, b.where
    return x * u + y * v + z * w >= a.cos_angle * b.cos_angle - a.sin_angle * b.sin_angle


def _prove(witnesses: Sequence[_Witness]) -> tuple[Disc, Disc] | None:
    """Find two discs that have no place in common; one of them is among the smallest."""
    for i, small in enumerate(witnesses[:_N_SMALLEST]):
        for other in witnesses[i + 1 :]:
            if not _overlap(small, other):
                return _disc(small), _disc(other)
    return None


class _Search:
    """One enumeration under way."""

    def __init__(
        self,
        witnesses: Sequence[_Witness],
        metros: Metros,
        parameters: Parameters,
        crowd: Crowd,
    ) -> None:
        self._witnesses = witnesses
        self._metros = metros
        self._p = parameters
        self._crowd = crowd
        self.suspects: list[Suspect] = []
        self._quick = [w for w in witnesses if w.vp.rtt_ms <= parameters.companion_most_ms]
        self._placed: list[_Placed] = []
        self._recent: list[_Placed] = []
        """The same, the one that explained last first: the next is likely explained by it too."""

    def run(self) -> list[_Placed]:
        for witness in self._witnesses:
            if not self._is_explained(witness):
                objection = self._crowd.objection(witness.vp)
                if objection:
                    self.suspects.append(suspect(witness.vp, objection))
                else:
                    self._try_new_site(witness)
        return self._placed

    def run_unicast(self) -> list[_Placed]:
        """Place the only site: the best city of the smallest disc that lies in most other discs."""
        if self._witnesses:
            first = self._witnesses[0]
            others = self._witnesses[1 : 1 + _N_SMALLEST]
            ranked = self._rank(first, ())
            allowed = [sum(self._explains(m, w, 1.0) for w in others) for _, m in ranked]
            most = max(allowed, default=0)
            self._add(
                first,
                [pair for pair, n in zip(ranked, allowed, strict=True) if n == most],
                Evidence.PROOF,
            )
            self._placed[0].n = len(self._witnesses)
        return self._placed

    def _is_explained(self, witness: _Witness) -> bool:
        limit = reach(witness.share * witness.radius_km)
        x, y, z = witness.where
        for i, site in enumerate(self._recent):
            a, b, c = site.where
            if x * a + y * b + z * c >= limit:
                site.n += 1
                if i:
                    self._recent.insert(0, self._recent.pop(i))
                return True
        return False

    def _nearest_share(self, witness: _Witness) -> float:
        """Distance of the nearest site as a part of the radius; more than 1: out of reach."""
        if not self._placed:
            return inf
        x, y, z = witness.where
        nearest = -1.0
        for site in self._placed:
            a, b, c = site.where
            nearest = max(nearest, x * a + y * b + z * c)
        km = EARTH_RADIUS_KM * acos(max(-1.0, min(1.0, nearest)))
        return km / witness.radius_km if witness.radius_km else inf

    def _try_new_site(self, witness: _Witness) -> None:
        share = self._nearest_share(witness)
        companions = self._companions(witness)
        ranked = self._rank(witness, [w for w, _ in companions])
        if share >= 1:
            self._add(witness, ranked, self._hard_evidence(witness))
        elif ranked:
            metro = ranked[0][1]
            proof = self._testimony(witness, share) + sum(
                self._testimony(w, s) for w, s in companions if self._explains(metro, w)
            )
            if share >= self._p.sure_share or proof >= self._needed(metro):
                self._add(witness, ranked, Evidence.LIKELY)

    def _companions(self, witness: _Witness) -> list[tuple[_Witness, float]]:
        """Other vantage points that no site explains and whose discs overlap, with their share."""
        slowest = self._p.companion_factor * witness.vp.rtt_ms + self._p.companion_extra_ms
        found = []
        for other in self._quick:
            if other.vp.rtt_ms > slowest:
                break
            if other is not witness and _overlap(witness, other):
                share = self._nearest_share(other)
                if share > other.share:
                    found.append((other, share))
        return found

    def _explains(self, metro: Metro, witness: _Witness, share: float | None = None) -> bool:
        part = self._p.companion_share if share is None else share
        return cosine(metro.where, witness.where) >= reach(part * witness.radius_km)

    def _rank(self, witness: _Witness, companions: Sequence[_Witness]) -> list[tuple[float, Metro]]:
        """Score each city of the disc, best first."""
        scale = max(self._p.distance_scale * witness.radius_km, 1e-6)
        bound = self._p.companion_weight * log1p(len(companions))
        scored = [
            (metro.appeal - EARTH_RADIUS_KM * acos(min(1.0, c)) / scale, metro)
            for metro, c in self._metros.within(witness.where, witness.vp.lat, witness.radius_km)
        ]
        if not scored:
            return []
        # Below, no companion can help; without any, all stay, for whoever asks for more.
        least = max(score for score, _ in scored) - bound - _MOST_ALTERNATIVES
        ranked = [
            (
                score
                + self._p.companion_weight
                * log1p(sum(self._explains(metro, w) for w in companions)),
                metro,
            )
            for score, metro in scored
            if score >= least or not companions
        ]
        return sorted(ranked, key=lambda pair: (-pair[0], pair[1].place.code))

    def _testimony(self, witness: _Witness, share: float) -> float:
        """From 0, explained after all, to 1, a full witness."""
        return max(0.0, min(1.0, (share - witness.share) / self._p.margin))

    def _needed(self, metro: Metro) -> float:
        return 1.0 + self._p.small_city_penalty * max(0.0, 6.0 - log10(metro.people + 1))

    def _hard_evidence(self, witness: _Witness) -> Evidence:
        if any(_overlap(witness, site.witness) for site in self._placed):
            return Evidence.BEYOND_REACH
        return Evidence.PROOF

    def _add(
        self, witness: _Witness, ranked: list[tuple[float, Metro]], evidence: Evidence
    ) -> None:
        metro = ranked[0][1] if ranked else None
        sure, alternatives = _confidences(ranked)
        site = _Placed(
            where=metro.where if metro else witness.where,
            witness=witness,
            metro=metro,
            evidence=evidence,
            confidence=_EXISTS[evidence] * sure,
            alternatives=alternatives,
        )
        self._placed.append(site)
        self._recent.insert(0, site)


def _confidences(ranked: list[tuple[float, Metro]]) -> tuple[float, tuple[Candidate, ...]]:
    """Turn scores into how sure the best city is, and the others at least 100 km away."""
    if not ranked:
        return 0.0, ()
    weights = [exp(score - ranked[0][0]) for score, _ in ranked]
    total = sum(weights)
    heads: list[tuple[Metro, float]] = []
    for (_, metro), weight in zip(ranked, weights, strict=True):
        for i, (head, gathered) in enumerate(heads):
            if distance_km(metro.where, head.where) < _RIGHT_KM:
                heads[i] = head, gathered + weight
                break
        else:
            if len(heads) <= _MOST_ALTERNATIVES:
                heads.append((metro, weight))
    best, *others = [
        Candidate(place=metro.place, confidence=weight / total) for metro, weight in heads
    ]
    return best.confidence, tuple(others)


def _site(placed: _Placed) -> Site:
    return Site(
        place=None if placed.metro is None else placed.metro.place,
        confidence=placed.confidence,
        evidence=placed.evidence,
        disc=_disc(placed.witness),
        n_vantage_points=placed.n,
        alternatives=placed.alternatives,
    )
