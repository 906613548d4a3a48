"""How a map divides: by users, by networks, by country; and how long answers take."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ridgeline.catchment.model import CatchmentMap, Certainty

UNREACHED = None
"""Key of those who reach no site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteShare:
    """What one site gets."""

    share: float
    """Part of all weight, 0 to 1."""
    weight: float
    n_ases: int
    n_rows: int
    median_rtt_ms: float | None
    """Half of the weight is at least as near; None: no time is known."""
    p95_rtt_ms: float | None


def by_site(catchment: CatchmentMap) -> dict[str | None, SiteShare]:
    """Divide a map among its sites, in their order; `UNREACHED` comes last, if anyone is."""
    rows: dict[str | None, list[int]] = {site: [] for site in catchment.sites}
    for i, site in enumerate(catchment.site):
        rows.setdefault(site, []).append(i)
    if UNREACHED in rows:
        rows[UNREACHED] = rows.pop(UNREACHED)
    total = sum(catchment.weight)
    return {site: _share(catchment, which, total) for site, which in rows.items()}


def by_country(catchment: CatchmentMap) -> dict[str, dict[str | None, float]]:
    """Divide each country's weight among sites: parts of 1, heaviest country first."""
    weight: dict[str, dict[str | None, float]] = defaultdict(lambda: defaultdict(float))
    for country, site, w in zip(catchment.country, catchment.site, catchment.weight, strict=True):
        weight[country][site] += w
    heaviest = sorted(weight, key=lambda country: (-sum(weight[country].values()), country))
    return {country: _parts(weight[country]) for country in heaviest}


def by_ases(catchment: CatchmentMap) -> dict[str | None, float]:
    """Divide networks among sites; one that reaches several counts in parts."""
    reached: dict[object, dict[str | None, float]] = defaultdict(lambda: defaultdict(float))
    for name, asn, site, w in zip(
        catchment.name, catchment.asn, catchment.site, catchment.weight, strict=True
    ):
        reached[name if asn is None else asn][site] += w
    total: dict[str | None, float] = defaultdict(float)
    for sites in reached.values():
        for site, part in _parts(sites).items():
            total[site] += part
    return _parts(total)


def by_certainty(catchment: CatchmentMap) -> dict[Certainty, float]:
    """Part of all weight at each certainty."""
    weight = dict.fromkeys(Certainty, 0.0)
    for certainty, w in zip(catchment.certainty, catchment.weight, strict=True):
        if certainty is not None:
            weight[certainty] += w
    total = sum(catchment.weight)
    return {c: w / total if total else 0.0 for c, w in weight.items()}


def weighted_quantile(
    values: Iterable[float], weights: Iterable[float], part: float
) -> float | None:
    """Return the smallest value that at least that part of the weight does not exceed."""
    pairs = sorted(zip(values, weights, strict=True))
    limit = part * sum(weight for _, weight in pairs)
    reached = 0.0
    for value, weight in pairs:
        reached += weight
        if reached >= limit and weight > 0:
            return value
    return pairs[-1][0] if pairs else None


def _share(catchment: CatchmentMap, which: list[int], total: float) -> SiteShare:
    weight = sum(catchment.weight[i] for i in which)
    timed = [(catchment.rtt_ms[i], catchment.weight[i]) for i in which]
    known = [(rtt, w) for rtt, w in timed if rtt is not None]
    rtts, weights = [rtt for rtt, _ in known], [w for _, w in known]
    return SiteShare(
        share=weight / total if total else 0.0,
        weight=weight,
        n_ases=len({catchment.asn[i] for i in which} - {None}),
        n_rows=len(which),
        median_rtt_ms=weighted_quantile(rtts, weights, 0.5),
        p95_rtt_ms=weighted_quantile(rtts, weights, 0.95),
    )


def _parts(weight: dict[str | None, float]) -> dict[str | None, float]:
    """Scale to a sum of 1; where nobody weighs anything, all count alike."""
    total = sum(weight.values())
    if total:
        return {site: w / total for site, w in weight.items()}
    return dict.fromkeys(weight, 1 / len(weight)) if weight else {}
