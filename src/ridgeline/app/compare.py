"""Compare two catchment maps on the disk."""

from ridgeline.app.maps import read_map
from ridgeline.catchment.diff import Comparison, compare
from ridgeline.errors import InputError


def compare_files(a: str, b: str) -> Comparison:
    """Read two maps and say what differs.

    Raises
    ------
    InputError
        A file is no map, or the maps have nothing in common.
    """
    first, second = read_map(a), read_map(b)
    try:
        return compare(first, second)
    except InputError as error:
        raise InputError(f"{a}, {b}: {error}") from None
