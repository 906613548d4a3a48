"""The router crashes, is restarted, or is not there yet."""

import signal

from .fault import Fault, Group
from .judge import Want
from .site import Site


def router_crash(site: Site) -> None:
    _restart(site, signal.SIGKILL)


def router_restart(site: Site) -> None:
    _restart(site, signal.SIGTERM)


def _restart(site: Site, number: signal.Signals) -> None:
    site.moment()
    site.router.end(number)
    site.settle(hold=0.1)
    site.moment("started")
    site.router.start()
    site.settle(hold=1.0)


def router_crash_service_dies(site: Site) -> None:
    site.moment()
    site.router.end(signal.SIGKILL)
    site.settle(hold=0.1)
    site.let_service_die(label="")
    site.wait(lambda: site.condition == "down", "the agent knows it")
    site.moment("started")
    site.router.start()
    site.settle(hold=1.0)
    if not site.quick:
        site.let_service_live()
        site.settle()


def router_restart_service_dead(site: Site) -> None:
    site.let_service_die()
    site.settle()
    site.moment("the router restarts")
    site.router.end(signal.SIGTERM)
    site.router.start()
    site.settle(hold=1.0)
    if not site.quick:
        site.let_service_live()
        site.settle()


def router_missing(site: Site) -> None:
    """Start the agent first: the router's socket appears later."""
    site.unit.stop()
    site.router.end(signal.SIGKILL)
    site.unit.start()
    site.forget_log()
    site.wait_said("router_failed")
    site.moment()
    site.router.start()
    site.settle(hold=1.0)


def power_lost(site: Site) -> None:
    """Lose router, agent and service at once, as they stand; the service does not come back."""
    site.unit.stop()
    site.router.end(signal.SIGKILL)
    site.end_service()
    site.forget_log()
    site.moment("router and agent start", Want.GONE)
    site.router.start()
    site.unit.start()
    site.settle()
    site.wait(lambda: site.is_judged, "the agent has judged")
    site.settle(hold=1.0)
    site.let_service_live()
    site.settle()


FAULTS = (
    Fault(
        run=router_crash,
        title="The router crashes and is started again; the service is healthy",
        group=Group.ROUTER,
    ),
    Fault(
        run=router_restart,
        title="The router is restarted by its operator; the service is healthy",
        group=Group.ROUTER,
    ),
    Fault(
        run=router_crash_service_dies,
        title="The router crashes, the service dies, the router is started again",
        group=Group.ROUTER,
    ),
    Fault(
        run=router_restart_service_dead,
        title="The service dies; the router is restarted by its operator",
        group=Group.ROUTER,
    ),
    Fault(
        run=router_missing,
        title="The agent starts before the router, whose socket appears later",
        group=Group.ROUTER,
    ),
    Fault(
        run=power_lost,
        title="Power is lost; router and agent start, the service does not",
        group=Group.ROUTER,
    ),
)
