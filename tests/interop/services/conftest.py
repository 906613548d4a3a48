import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ridgeline.render.identity import SiteIdentity

from .daemons import Daemons, running_daemons


@pytest.fixture(scope="session", autouse=True)
def unconfined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put copies of the daemons first on the path, as a lab does.

    Debian confines /usr/sbin/unbound (AppArmor) to files under /etc/unbound; and an ordinary user's
    path lacks /usr/sbin.
    """
    before = os.environ["PATH"]
    folder = tmp_path_factory.mktemp("bin")
    for name in ("knotd", "unbound", "unbound-checkconf", "nginx"):
        found = shutil.which(name, path=f"{before}:/usr/sbin:/sbin")
        if found is not None:
            shutil.copy(found, folder / name)
    os.environ["PATH"] = f"{folder}:{before}:/usr/sbin:/sbin"
    yield
    os.environ["PATH"] = before


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with running_daemons(tmp_path) as running:
        yield running


@pytest.fixture
def nrt() -> SiteIdentity:
    return SiteIdentity(site="nrt", network="example-anycast", domain="example-anycast.example")
