"""The terminal face: each command in a module of its own, imported only when it is asked for.

``ridgeline --help`` must answer at once, so this module knows the commands by name and one line of
help, and loads nothing else.
"""

import sys
from importlib import import_module
from typing import Final

import click

from ridgeline import __version__
from ridgeline.errors import RidgelineError

# Command -> (module, one line of help). Each module offers a click command named `command`.
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "The whole story in one command: a network up, tried, broken and healed."),
    "new": ("new", "Write a commented spec with a zone and a page, ready for `lab up`."),
    "check": ("check", "Read a spec and report every problem at once."),
    "predict": ("predict", "Say which clients each site will serve, how fast, and how sure it is."),
    "compare": ("compare", "Compare two catchment maps: planned, rehearsed or observed."),
    "internet": ("internet", "Make, read and show Internet topologies."),
    "lab": ("lab", "Rehearse the network with real routers and servers on this machine."),
    "probe": ("probe", "See which site answers whom, by which way, and where the sites are."),
    "agent": ("agent", "Announce at a site while its services are healthy."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = import_module(f"ridgeline.cli.{entry[0]}").command
        assert isinstance(command, click.Command)  # noqa: S101 - each module keeps this promise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 bad input, 3 the machine did not do it.",
)
@click.version_option(__version__, prog_name="ridgeline")
def root() -> None:
    """Describe an anycast network once; predict it, rehearse it, run it, check it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the program and leave with the exit code that the design promises."""
    try:
        code = root.main(args=arguments, prog_name="ridgeline", standalone_mode=False)
    except RidgelineError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as `head` does
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
