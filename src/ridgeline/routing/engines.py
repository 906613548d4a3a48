"""Whether compiled loops can be had; asked without importing the compiler, which takes a while."""

from importlib.util import find_spec


def has_numba() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None
