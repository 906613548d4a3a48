from collections.abc import Iterator
from pathlib import Path

import pytest

from ridgeline.render.identity import SiteIdentity

from .daemons import Daemons, running_daemons


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with running_daemons(tmp_path) as running:
        yield running


@pytest.fixture
def nrt() -> SiteIdentity:
    return SiteIdentity(site="nrt", network="example-anycast", domain="example-anycast.example")
