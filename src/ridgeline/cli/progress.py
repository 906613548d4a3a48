"""Progress on standard error: one line that changes at a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str], None]


@contextmanager
def progress(title: str) -> Iterator[Tell]:
    """Show what is being done; the caller tells each step."""
    start = time.monotonic()
    if not sys.stderr.isatty():

        def tell(text: str) -> None:
            print(f"{title}: {time.monotonic() - start:5.1f} s  {text}", file=sys.stderr)  # noqa: T201

        yield tell
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")
