"""Make an `Internet` from names: ASes, the cities they are in, who buys from whom.

For topologies small enough to be written down. Readers and the generator fill arrays directly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ridgeline.net.asn import MAX_ASN
from ridgeline.net.place import Place, great_circle_km
from ridgeline.topology.checks import complaints
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet

_T = TypeVar("_T", bound=np.generic)

NEAR_KM: Final = 600.0  # how far a session may reach when an AS has no PoP in the city itself
NOWHERE: Final = Place(code="", city="", country="", lat=float("nan"), lon=float("nan"))


@dataclass(slots=True)
class _As:
    name: str
    places: tuple[Place, ...]
    users: dict[str, float]


@dataclass(slots=True)
class InternetBuilder:
    """Collects ASes and links; `build` checks them and returns the arrays.

    Examples
    --------
    >>> builder = InternetBuilder("two")
    >>> builder.add_as(65536, "norrsken")
    >>> builder.add_as(64512, "bramble")
    >>> builder.buys(64512, 65536)
    >>> builder.build().n_link
    1
    """

    name: str
    _ases: dict[int, _As] = field(default_factory=dict)
    _links: list[tuple[int, int, int, str]] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)

    def add_as(
        self,
        asn: int,
        name: str = "",
        *,
        at: Iterable[Place] = (),
        users: Mapping[str, float] | None = None,
    ) -> None:
        """Add an AS with a PoP at each place (none given: one PoP, nowhere).

        `users` gives the user weight by city code; for an AS that is nowhere the code is empty.
        """
        places = tuple(at) or (NOWHERE,)
        codes = [place.code for place in places]
        users = dict(users or {})
        if not 0 < asn <= MAX_ASN:
            self._problems.append(f"{asn} is not an AS number")
        if asn in self._ases:
            self._problems.append(f"AS{asn} is added twice")
        if len(set(codes)) < len(codes):
            self._problems.append(f"AS{asn} has two PoPs in one city: {', '.join(codes)}")
        for code in users.keys() - set(codes):
            self._problems.append(f"AS{asn} has users at {code!r} but no PoP there")
        self._ases[asn] = _As(name, places, users)

    def buys(self, customer: int, provider: int, *, at: str = "") -> None:
        """Add a session on which `customer` pays `provider`, in the city with that code.

        An AS without a PoP in the city takes part from its nearest one, up to `NEAR_KM` away.
        The code may be left out where each AS has one PoP.
        """
        self._links.append((customer, provider, CUSTOMER_TO_PROVIDER, at))

    def peers(self, left: int, right: int, *, at: str | Iterable[str] = "") -> None:
        """Add a session on which neither pays, in each city given; places as in `buys`."""
        for code in (at,) if isinstance(at, str) else at:
            self._links.append((left, right, PEER_TO_PEER, code))

    def exchange(self, members: Iterable[int], *, at: str) -> None:
        """Peer every member with every other in one city, as over an exchange's route server.

        The exchange itself is no AS of any path (RFC 7947 section 2.2.2.1).
        """
        rest = list(members)
        while rest:
            left = rest.pop(0)
            for right in rest:
                self.peers(left, right, at=at)

    def build(self) -> Internet:
        """Check everything and return the Internet.

        Raises
        ------
        ValueError
            Something does not fit; the message names all of it.
        """
        problems = list(self._problems)
        asns = sorted(self._ases)
        index = {asn: i for i, asn in enumerate(asns)}
        pops = [(asn, place) for asn in asns for place in self._ases[asn].places]
        pop_index = {(asn, place.code): i for i, (asn, place) in enumerate(pops)}
        places = {place.code: place for _, place in pops if place.code}
        ends: list[tuple[int, int, int]] = []
        for left, right, rel, code in self._links:
            found = [self._pop_at(asn, code, places, problems) for asn in (left, right)]
            if found[0] is not None and found[1] is not None:
                ends.append((pop_index[left, found[0]], pop_index[right, found[1]], rel))
        if problems:
            raise ValueError(f"{self.name}: " + "; ".join(problems))
        links = np.array(ends, np.int32).reshape(-1, 3)
        internet = Internet(
            name=self.name,
            asn=_fixed(np.array(asns, np.uint32)),
            as_name=tuple(self._ases[asn].name for asn in asns),
            pop_as=_fixed(np.array([index[asn] for asn, _ in pops], np.int32)),
            pop_code=tuple(place.code for _, place in pops),
            pop_city=tuple(place.city for _, place in pops),
            pop_country=tuple(place.country for _, place in pops),
            pop_lat=_fixed(np.array([place.lat for _, place in pops], np.float64)),
            pop_lon=_fixed(np.array([place.lon for _, place in pops], np.float64)),
            pop_users=_fixed(
                np.array(
                    [self._ases[asn].users.get(place.code, 0.0) for asn, place in pops], np.float64
                )
            ),
            link_a=_fixed(links[:, 0].copy()),
            link_b=_fixed(links[:, 1].copy()),
            link_rel=_fixed(links[:, 2].astype(np.int8)),
        )
        if problems := complaints(internet):
            raise ValueError(f"{self.name}: " + "; ".join(problems))
        return internet

    def _pop_at(
        self, asn: int, code: str, places: Mapping[str, Place], problems: list[str]
    ) -> str | None:
        """Code of the AS's PoP in that city, or of the nearest one; None with a problem noted."""
        if asn not in self._ases:
            problems.append(f"a link names AS{asn}, which is not added")
            return None
        own = {place.code: place for place in self._ases[asn].places}
        city = own.get(code) or places.get(code)
        if not code and len(own) == 1:
            return next(iter(own))
        if city is None:
            missing = f"no AS has a PoP at {code!r}" if code else "a link says no city"
            problems.append(f"{missing}, and AS{asn} has PoPs at {', '.join(own) or 'nowhere'}")
            return None
        far = {c: great_circle_km(city.lat, city.lon, p.lat, p.lon) for c, p in own.items()}
        best = code if code in own else min(far, key=lambda c: (far[c], c))
        if best != code and not far[best] <= NEAR_KM:  # also when the AS is nowhere: NaN
            problems.append(f"AS{asn} has no PoP within {NEAR_KM:.0f} km of {code}")
            return None
        return best


def _fixed(array: NDArray[_T]) -> NDArray[_T]:
    array.setflags(write=False)
    return array
