"""`ridgeline probe`: what is seen, from here, from vantage points, or in files of others.

As in the root, each command is a module of its own, imported only when it is asked for.
"""

from typing import Final

import click

from ridgeline.cli.lazy import LazyGroup

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "trace": ("probe_trace", "By which path packets reach a target, and which site answers."),
    "identify": ("probe_identify", "Which site answers: NSID, CHAOS, HTTP headers, certificate."),
    "consistency": ("probe_consistency", "Are all sites the same, and which is the odd one out."),
    "sweep": ("probe_sweep", "Which site each client reaches, from outside or from inside."),
    "listen": ("probe_listen", "Hear at one site the replies of a sweep from another."),
    "enumerate": ("probe_enumerate", "Is an address anycast, how many sites, where."),
    "import": ("probe_import", "Turn RIPE Atlas' or Verfploeter's files into catchment maps."),
    "decode": ("probe_decode", "Where servers are, by what they call themselves."),
    "changes": ("probe_changes", "Who moved from sweep to sweep, who flips, which modes recur."),
}


@click.group("probe", cls=LazyGroup, modules=_COMMANDS)
def command() -> None:
    """See which site answers whom, by which path, and whether an address is anycast at all."""
