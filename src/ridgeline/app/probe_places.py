"""Places in the names that routers and servers give themselves."""

import re

from ridgeline.net.airports import find_place
from ridgeline.net.place import Place

_CODE = re.compile(r"(?:^|[.-])([a-z]{3})\d{0,3}(?=[.-]|$)")


def guess_place(name: str) -> Place | None:
    """Guess a place from a host name or an identity; None where it tells none."""
    codes = _CODE.findall(name.lower())
    places = (find_place(code) for code in codes if code not in {"www", "dns", "ns1", "net", "com"})
    return next(filter(None, places), None)
