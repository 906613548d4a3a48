"""The one store that all sites share; started when a story first wants it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .store import Store, store_of

if TYPE_CHECKING:
    from .site import Site


class Stores:
    """Hands the store to one story at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = ExitStack()
        self._store: Store | None = None

    @contextmanager
    def use(self, site: "Site") -> Iterator[Store]:
        """Have the store alone, whole and empty, with a link from the site; mend it afterwards."""
        with self._lock:
            if self._store is None:
                folder = self._held.enter_context(TemporaryDirectory(prefix="ridgeline-store-"))
                self._store = self._held.enter_context(store_of(Path(folder)))
                self._store.wait_ready()
            if not site.store_address:
                site.store_address = self._store.attach(site.bed.site)
            try:
                yield self._store
            finally:
                site.unit.stop()
                self._store.mend()

    def close(self) -> None:
        self._held.close()
