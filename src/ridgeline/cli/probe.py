"""`ridgeline probe`: what is seen, from here, from vantage points, or in files of others.

As in the root, each command is a module of its own, imported only when it is asked for.
"""

from importlib import import_module
from typing import Final

import click

# Command -> (module, one line of help). Each module offers a click command named `command`.
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "trace": ("probe_trace", "By which path packets reach a target, and which site answers."),
    "identify": ("probe_identify", "Which site answers: NSID, CHAOS, HTTP headers, certificate."),
    "sweep": ("probe_sweep", "Which site each client reaches, from outside or from inside."),
    "listen": ("probe_listen", "Hear at one site the replies of a sweep from another."),
    "enumerate": ("probe_enumerate", "Is an address anycast, how many sites, where."),
    "import": ("probe_import", "Turn RIPE Atlas' or Verfploeter's files into catchment maps."),
    "decode": ("probe_decode", "Where servers are, by what they call themselves."),
    "changes": ("probe_changes", "Who moved from sweep to sweep, who flips, which modes recur."),
}


class LazyProbes(click.Group):
    """A group whose commands are imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = import_module(f"ridgeline.cli.{entry[0]}").command
        assert isinstance(found, click.Command)  # noqa: S101 - each module keeps this promise
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group("probe", cls=LazyProbes)
def command() -> None:
    """See which site answers whom, by which path, and whether an address is anycast at all."""
