"""The operator reloads, makes mistakes, and mends them."""

import signal

from .fault import Fault, Group
from .site import Site


def operator_reload(site: Site) -> None:
    site.moment("reload")
    site.router.reload()
    site.settle(hold=1.0)


def operator_reload_service_dead(site: Site) -> None:
    site.let_service_die()
    site.settle()
    site.moment("reload")
    site.router.reload()
    site.settle(hold=1.0)
    if not site.quick:
        site.let_service_live()
        site.settle()


def operator_mistake(site: Site) -> None:
    site.moment("the mistake is loaded")
    site.router.break_file()
    try:
        site.router.reload()
        site.settle()
        site.let_service_die()
        site.settle()
    finally:
        site.router.mend_file()
    site.moment("mended")
    site.router.reload()
    site.settle(hold=1.0)
    if not site.quick:
        site.let_service_live()
        site.settle()


def garbage_settings(site: Site) -> None:
    """Write garbage into agent.yaml, then into the spec, each with a SIGHUP."""
    for label, path in (("agent.yaml", site.config), ("the spec", site.spec)):
        good = path.read_bytes()
        path.write_bytes(b"router: {kind: brid}\n\0garbage \xff\xfe: [")
        try:
            site.moment(label)
            known = len(site.said("reload_refused"))
            site.unit.send(signal.SIGHUP)
            site.wait_said("reload_refused", more_than=known)
            site.settle()
        finally:
            path.write_bytes(good)
    site.let_service_die()
    site.settle()


FAULTS = (
    Fault(
        run=operator_reload,
        title="The operator reloads the router's configuration; the service is healthy",
        group=Group.OPERATOR,
    ),
    Fault(
        run=operator_reload_service_dead,
        title="The service dies; the operator reloads the router's configuration",
        group=Group.OPERATOR,
    ),
    Fault(
        run=operator_mistake,
        title="A syntax error elsewhere in the router's file is loaded; the service dies; "
        "the error is mended",
        group=Group.OPERATOR,
    ),
    Fault(
        run=garbage_settings,
        title="Garbage in agent.yaml, then in the spec, with SIGHUP; then the service dies",
        group=Group.OPERATOR,
    ),
)
