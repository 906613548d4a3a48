"""Find the Internet that the user named; the only place that opens topology files."""

from ridgeline.errors import InputError
from ridgeline.topology.demo import demo
from ridgeline.topology.internet import Internet


def load_internet(source: str) -> Internet:
    """Return the Internet of that name: ``builtin:demo``.

    Raises
    ------
    InputError
        There is no such source.
    """
    if source == "builtin:demo":
        return demo()
    raise InputError(f"{source!r} is no Internet that I know: try builtin:demo")
