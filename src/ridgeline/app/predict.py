"""Predict where every client lands: a spec, an Internet, and the map that follows from them."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np

from ridgeline.app.check import read_spec
from ridgeline.app.internet import load_internet
from ridgeline.catchment.inflation import Inflation, inflation
from ridgeline.catchment.model import CatchmentMap, Certainty, Kind, vantage_name
from ridgeline.catchment.shares import SiteShare, by_certainty, by_site
from ridgeline.errors import InputError
from ridgeline.net.asn import parse_asn
from ridgeline.routing.announce import Prefix, announcements, check_sites
from ridgeline.routing.forward import CertaintyCode, Forwarding, forward
from ridgeline.spec.model import SiteState, Spec
from ridgeline.topology.internet import Internet

_CERTAINTY: Final = {
    CertaintyCode.UNREACHED: None,
    CertaintyCode.CERTAIN: Certainty.CERTAIN,
    CertaintyCode.LIKELY: Certainty.LIKELY,
    CertaintyCode.POSSIBLE: Certainty.POSSIBLE,
}
_MAX_PREPEND: Final = 50  # many networks drop longer paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepend:
    """A what-if: so many extra copies of our AS number, at a site or on one of its sessions."""

    site: str
    asn: int | None
    """The upstream that hears them; None: every upstream of the site."""
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What will happen, as a map and in sums."""

    spec: Spec
    prefix: str
    internet: str
    as_names: dict[int, str]
    """Short names of networks, by AS number, where the Internet tells them."""
    map: CatchmentMap
    sites: dict[str, SiteShare]
    """Every site that announces, in the order of the spec."""
    unreached: SiteShare | None
    """Clients that hear no site; None: there are none."""
    load: dict[str, float]
    """Queries per second by site if a total was given, else users."""
    load_is_users: bool
    weighs_networks: bool
    """The Internet tells no users: every network counts as one."""
    certainty: dict[Certainty, float]
    """Parts of all weight."""
    inflation: Inflation
    stable: bool
    """False where policies cannot all be satisfied and routes would change for ever."""
    notes: tuple[str, ...]


def predict_file(
    path: str,
    source: str,
    *,
    prefix: str = "",
    down: Sequence[str] = (),
    prepends: Sequence[str] = (),
    load: float | None = None,
) -> Prediction:
    """Predict from a spec's file and an Internet's name; options as the user types them.

    Raises
    ------
    InputError
        Something of it is wrong.
    """
    spec = read_spec(path)
    chosen = None if not prefix else _parse_prefix(spec, prefix)
    changes = [parse_prepend(spec, text) for text in prepends]
    check_sites(spec, down)
    internet = load_internet(source)
    return predict(spec, internet, prefix=chosen, down=down, prepend=changes, load=load)


def predict(
    spec: Spec,
    internet: Internet,
    *,
    prefix: Prefix | None = None,
    down: Collection[str] = (),
    prepend: Sequence[Prepend] = (),
    load: float | None = None,
    planned: bool = True,
) -> Prediction:
    """Predict where every client of one prefix lands.

    Parameters
    ----------
    prefix
        One of the spec's; the first by default.
    down
        Sites that announce nothing.
    prepend
        Changes to what sessions announce, in order.
    load
        Queries per second of all clients together, shared out as users are.
    planned
        Whether sites in state `planned` announce too: not in the lab.

    Raises
    ------
    InputError
        An upstream is not in the Internet, or nothing is announced.
    """
    chosen = spec.prefixes[0] if prefix is None else prefix
    said = announcements(spec, internet, chosen, down=down, planned=planned)
    for change in prepend:
        index = None if change.asn is None else internet.index_of(change.asn)
        said = said.prepended(change.site, change.copies, as_index=index)
    ways = forward(internet, said)
    weighs_networks = not np.any(internet.pop_users > 0)
    catchment = catchment_of(internet, ways, network=spec.network, prefix=str(chosen))
    shares = by_site(catchment)
    unreached = shares.pop(None, None)
    announcing = set(said.announcing())
    sites = {name: share for name, share in shares.items() if name in announcing}
    return Prediction(
        spec=spec,
        prefix=str(chosen),
        internet=internet.name,
        as_names={
            asn: name
            for asn, name in zip(internet.asn.tolist(), internet.as_name, strict=True)
            if name
        }
        | {int(spec.asn): spec.network},
        map=catchment,
        sites=sites,
        unreached=unreached,
        load={
            name: share.weight if load is None else share.share * load
            for name, share in sites.items()
        },
        load_is_users=load is None,
        weighs_networks=weighs_networks,
        certainty=by_certainty(catchment),
        inflation=inflation(
            catchment, {site.name: site.place for site in spec.sites if site.name in announcing}
        ),
        stable=ways.stable,
        notes=tuple(_notes(spec, chosen, ways, weighs_networks=weighs_networks)),
    )


def catchment_of(
    internet: Internet, ways: Forwarding, *, network: str, prefix: str
) -> CatchmentMap:
    """Turn forwarding into a map: a row for each PoP with users (for each PoP, if none has any)."""
    said = ways.announcements
    weight = internet.pop_users if np.any(internet.pop_users > 0) else np.ones(internet.n_pop)
    own = internet.index_of(said.origin)
    some = weight > 0
    if own is not None:
        some &= internet.pop_as != own  # our own network asks itself
    pops = np.flatnonzero(some)
    names = _names(internet)
    sites = said.site_names
    codes = [CertaintyCode(code) for code in range(4)]
    kinds = [_CERTAINTY[code] for code in codes]
    options: dict[bytes, tuple[str, ...]] = {}
    columns = np.ascontiguousarray(ways.possible.T)

    def possible(pop: int) -> tuple[str, ...]:
        word = columns[pop].tobytes()
        if word not in options:
            options[word] = tuple(sites[s] for s in ways.possible_sites(pop))
        return options[word]

    return CatchmentMap(
        kind=Kind.PREDICTED,
        network=network,
        prefix=prefix,
        source=internet.name,
        when="",
        sites=sites,
        name=tuple(names[p] for p in pops),
        asn=tuple(internet.asn[internet.pop_as[pops]].tolist()),
        city=tuple(internet.pop_code[p] for p in pops),
        country=tuple(internet.pop_country[p] for p in pops),
        lat=_known(internet.pop_lat[pops].tolist()),
        lon=_known(internet.pop_lon[pops].tolist()),
        weight=tuple(weight[pops].tolist()),
        service=("",) * pops.size,
        site=tuple(sites[s] if s >= 0 else None for s in ways.site[pops].tolist()),
        rtt_ms=_known(np.round(ways.rtt_ms[pops], 3).tolist()),
        certainty=tuple(kinds[c] for c in ways.certainty[pops].tolist()),
        possible=tuple(possible(p) for p in pops.tolist()),
        as_path=ways.as_paths(pops.tolist()),
    )


def parse_prepend(spec: Spec, text: str) -> Prepend:
    """Read ``SITE=N`` or ``SITE:ASN=N``.

    Raises
    ------
    InputError
        It is not of that form, or the spec has no such session.
    """
    where, equals, number = text.partition("=")
    name, colon, asn_text = where.partition(":")
    if not equals or not number.isascii() or not number.isdigit() or int(number) > _MAX_PREPEND:
        raise InputError(
            f"--prepend {text}: expected SITE=N or SITE:ASN=N, N from 0 to {_MAX_PREPEND}"
        )
    check_sites(spec, [name])
    asn = None
    if colon:
        try:
            asn = int(parse_asn(asn_text))
        except ValueError as error:
            raise InputError(f"--prepend {text}: {error}") from None
        upstreams = [upstream.asn for upstream in spec.site(name).upstreams]
        if asn not in upstreams:
            known = ", ".join(f"AS{upstream}" for upstream in upstreams)
            raise InputError(
                f"--prepend {text}: {name} does not announce to AS{asn}; upstreams: {known}"
            )
    return Prepend(site=name, asn=asn, copies=int(number))


def _parse_prefix(spec: Spec, text: str) -> Prefix:
    known = {str(prefix): prefix for prefix in spec.prefixes}
    if text not in known:
        raise InputError(
            f"{spec.file}: {text} is none of its prefixes; prefixes: {', '.join(known)}"
        )
    return known[text]


def _names(internet: Internet) -> list[str]:
    """Name every PoP; a number follows where a network has two of one code, as in the lab."""
    seen: Counter[str] = Counter()
    names = []
    asns = internet.asn.tolist()
    for a, code in zip(internet.pop_as.tolist(), internet.pop_code, strict=True):
        name = vantage_name(asns[a], internet.as_name[a], code)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return names


def _known(values: list[float]) -> tuple[float | None, ...]:
    return tuple(value if isfinite(value) else None for value in values)


def _notes(spec: Spec, prefix: Prefix, ways: Forwarding, *, weighs_networks: bool) -> list[str]:
    notes = []
    others = [str(other) for other in spec.prefixes if _announced_otherwise(spec, prefix, other)]
    if others:
        notes.append(
            f"{', '.join(others)} is announced differently and may divide differently: "
            f"see --prefix {others[0]}"
        )
    if not ways.stable:
        notes.append(
            "the lowered local preferences contradict each other: some networks would change "
            "their routes for ever, and are shown with the last one that they tried"
        )
    if weighs_networks:
        notes.append("this Internet tells no users: every network counts as one")
    planned = [site.name for site in spec.sites if site.state is SiteState.PLANNED]
    if planned:
        notes.append(f"{', '.join(planned)} is planned and counted as if it announced")
    return notes


def _announced_otherwise(spec: Spec, prefix: Prefix, other: Prefix) -> bool:
    """Whether some session says other things about another prefix, or nothing."""
    return any(
        (prefix in upstream.prefixes) != (other in upstream.prefixes)
        for site in spec.sites
        for upstream in site.upstreams
    )
