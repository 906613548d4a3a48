"""Dead-man switches: what makes the routes go when the agent is gone.

``bfd``: the agent answers the router's BFD, to which the routes are bound: gone within 150 ms.
``lease``: addresses that the kernel removes when nobody refreshes them, and with them the next hop
of the routes: gone after the lease, on any router, and with no BFD.
"""

import json
import time
from contextlib import suppress
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Final

from ridgeline.agent.bfd import Resume
from ridgeline.agent.bfd_link import TunLink
from ridgeline.agent.config import DeadManSettings
from ridgeline.agent.deadman import DeadMan, Pair
from ridgeline.agent.lease import AddressLease
from ridgeline.agent.run import Switch
from ridgeline.errors import MachineError

RESTART_WITHIN_S: Final = 10.0
"""How long the router keeps the routes while the agent restarts on purpose."""
_FILE: Final = "bfd.json"


class BfdSwitch:
    """The router's BFD sessions with the agent; carried over a restart on purpose."""

    def __init__(self, settings: DeadManSettings, state: str) -> None:
        self._file = Path(state) / _FILE
        pairs = []
        for text in settings.addresses:
            local, comma, peer = text.partition(",")
            if not comma:
                raise MachineError(f"dead_man: {text!r} is not LOCAL,PEER")
            pairs.append(Pair(ip_address(local.strip()), ip_address(peer.strip())))
        self._dead_man = DeadMan(
            TunLink(settings.interface), pairs, resume=self._left_by_predecessor(pairs)
        )

    def start(self) -> None:
        self._dead_man.start()

    def beat(self) -> None:
        self._dead_man.beat()

    def stop(self, *, leave: bool) -> None:
        if leave:
            left = self._dead_man.rest(RESTART_WITHIN_S)
            entries = [
                [str(p.local), str(p.peer), r.my_discriminator, r.your_discriminator]
                for p, r in left.items()
            ]
            with suppress(OSError):
                self._file.write_text(json.dumps({"at": time.time(), "sessions": entries}))
        self._dead_man.stop(tell=not leave)

    def _left_by_predecessor(self, pairs: list[Pair]) -> dict[Pair, Resume]:
        try:
            document = json.loads(self._file.read_text())
            self._file.unlink()
            if not 0 <= time.time() - document["at"] < RESTART_WITHIN_S:
                return {}
            found = {
                Pair(ip_address(local), ip_address(peer)): Resume(
                    my_discriminator=mine, your_discriminator=yours
                )
                for local, peer, mine, yours in document["sessions"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {pair: left for pair, left in found.items() if pair in pairs}


class LeaseSwitch:
    """Addresses with a lifetime, refreshed while the event loop is alive."""

    def __init__(self, settings: DeadManSettings) -> None:
        self._lease = AddressLease(settings.interface)
        self._addresses = [ip_interface(text) for text in settings.addresses]
        self._seconds = int(settings.lease)
        self._every = settings.lease / 5
        self._refreshed = float("-inf")

    def start(self) -> None:
        self._refresh()

    def beat(self) -> None:
        if time.monotonic() - self._refreshed >= self._every:
            with suppress(MachineError):  # the routes go; `agent status` shows it
                self._refresh()

    def stop(self, *, leave: bool) -> None:
        """Leave the rest of the lease to a successor, or end it."""
        if not leave:
            for address in self._addresses:
                with suppress(MachineError):
                    self._lease.remove(address)
        else:
            with suppress(MachineError):
                self._refresh()
        self._lease.close()

    def _refresh(self) -> None:
        for address in self._addresses:
            self._lease.refresh(address, self._seconds)
        self._refreshed = time.monotonic()


def make_switch(settings: DeadManSettings, state: str) -> Switch:
    """Make the switch that the settings name.

    Raises
    ------
    MachineError
        The device or the right to use it is missing.
    """
    return BfdSwitch(settings, state) if settings.kind == "bfd" else LeaseSwitch(settings)
