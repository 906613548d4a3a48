"""A group of commands, each in a module of its own that is imported only when it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Knows its commands by name and one line of help, so that ``--help`` answers at once.

    Parameters
    ----------
    modules
        Command -> (module of `ridgeline.cli`, one line of help), in the order of the help. Each
        module offers a click command named ``command``.
    """

    def __init__(self, *args: Any, modules: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._modules:
            return None
        module, _ = self._modules[cmd_name]
        command = import_module(f"ridgeline.cli.{module}").command
        assert isinstance(command, click.Command)  # noqa: S101 - each module keeps this promise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])
