"""Back-ends: one module for each router program, each loaded only where it is used."""

from ridgeline.agent.router import Router, RouterKind, RouterSettings
from ridgeline.spec.model import Prefix


def make_router(settings: RouterSettings, prefixes: tuple[Prefix, ...]) -> Router:
    """Make the back-end that the settings name; nothing is connected yet."""
    match settings.kind:
        case RouterKind.BIRD:
            from ridgeline.agent.routers.bird import BirdRouter

            return BirdRouter(settings, prefixes)
        case RouterKind.FRR:
            from ridgeline.agent.routers.frr import FrrRouter

            return FrrRouter(settings, prefixes)
        case RouterKind.GOBGP:
            from ridgeline.agent.routers.gobgp import GobgpRouter

            return GobgpRouter(settings, prefixes)
        case RouterKind.EXABGP:
            from ridgeline.agent.routers.exabgp import ExabgpRouter

            return ExabgpRouter(settings, prefixes)
