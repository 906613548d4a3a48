"""The terminal face: each command in a module of its own, imported only when it is asked for.

``ridgeline --help`` must answer at once, so this module knows the commands by name and one line of
help, and loads nothing else.
"""

import sys
from typing import Final

import click

from ridgeline import __version__
from ridgeline.cli.lazy import LazyGroup
from ridgeline.errors import RidgelineError

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "The whole story in one command: a network up, tried, broken and healed."),
    "new": ("new", "Write a commented spec with a zone and a page, ready for `lab up`."),
    "check": ("check", "Read a spec and report every problem at once."),
    "secrets": ("secrets", "Make, check and rotate the keys that all sites share."),
    "predict": ("predict", "Say which clients each site will serve, how fast, and how sure it is."),
    "compare": ("compare", "Compare two catchment maps: planned, rehearsed or observed."),
    "internet": ("internet", "Make, read and show Internet topologies."),
    "lab": ("lab", "Rehearse the network with real routers and servers on this machine."),
    "probe": ("probe", "See which site answers whom, by which way, and where the sites are."),
    "agent": ("agent", "Announce at a site while its services are healthy."),
}


@click.group(
    cls=LazyGroup,
    modules=_COMMANDS,
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
