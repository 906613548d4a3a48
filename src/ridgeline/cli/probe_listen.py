"""`ridgeline probe listen`: hear at one site the replies of a sweep that runs at another."""

import json
import os
import select
import sys

import click


@click.command("listen")
@click.argument("address")
@click.option("--token", required=True, metavar="HEX", help="Token of the sweep.")
@click.option("--site", default="here", help="Name of this site.")
def command(address: str, *, token: str, site: str) -> None:
    """Print who replies to a sweep at ADDRESS, one JSON document a line.

    `ridgeline probe sweep --inside --listen` starts it at each site that does not itself ask. It
    ends when its standard input does.
    """
    from ridgeline.app.probe_inside import listening

    with listening(site, address, token) as listener:
        _say({"listening": address, "site": site})
        while True:
            ready, _, _ = select.select([listener, sys.stdin.fileno()], [], [])
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 4096):
                return
            for landed in listener.hear():
                _say({"index": landed.index, "source": landed.source})


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
