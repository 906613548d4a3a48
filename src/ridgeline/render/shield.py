"""Which site fetches a URL from the origin: rendezvous hashing (Thaler and Ravishankar, 1998).

URLs fall into `BUCKETS` by nginx's own hash; each bucket ranks the shield's sites. A site that joins
or leaves moves only the buckets that are or were its own.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

BUCKETS: Final = 100


def ranking(bucket: int, sites: Iterable[str]) -> tuple[str, ...]:
    """Rank the sites for a bucket: the first fetches, the second stands in for it."""
    return tuple(
        sorted(sites, key=lambda site: (sha256(f"{bucket}/{site}".encode()).digest(), site))
    )
