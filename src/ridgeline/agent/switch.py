"""Dead-man switches: what makes the routes go when the agent is gone.

``bfd``: the agent answers the router's BFD, to which the routes are bound: gone within 150 ms.
``lease``: addresses that the kernel removes when nobody refreshes them, and with them the next hop
of the routes: gone after the lease, on any router, and with no BFD.

Neither brings up what is down before the agent vouches for it: what the router holds may be from
before a crash, and the service may have died since.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Final

from ridgeline.agent.bfd import Resume
from ridgeline.agent.bfd_link import TunLink, require_device
from ridgeline.agent.config import DeadManSettings
from ridgeline.agent.deadman import DeadMan, Pair
from ridgeline.agent.lease import AddressLease, is_here
from ridgeline.agent.vouching import Switch
from ridgeline.errors import MachineError

RESTART_WITHIN_S: Final = 10.0
"""How long the router keeps the routes while the agent restarts on purpose."""
_FILE: Final = "bfd.json"


class BfdSwitch:
    """The router's BFD sessions with the agent; carried over a restart on purpose.

    The device is attached to as late as the sessions: its carrier alone lets FRR's routes out.
    """

    def __init__(self, settings: DeadManSettings, state: str) -> None:
        self._file = Path(state) / _FILE
        self._pairs = []
        for text in settings.addresses:
            local, comma, peer = text.partition(",")
            if not comma:
                raise MachineError(f"dead_man: {text!r} is not LOCAL,PEER")
            self._pairs.append(Pair(ip_address(local.strip()), ip_address(peer.strip())))
        self._device = settings.interface
        require_device(self._device)
        self._dead_man: DeadMan | None = None
        self._on_fall: Callable[[], None] = lambda: None

    def start(self, on_fall: Callable[[], None]) -> None:
        self._on_fall = on_fall
        if left := self._left_by_predecessor():
            self._attach(left)

    def beat(self) -> None:
        if self._dead_man is not None:
            self._dead_man.beat()

    def vouch(self) -> None:
        dead_man = self._dead_man or self._attach({})
        dead_man.vouch()

    def stop(self, *, leave: bool) -> None:
        if self._dead_man is None:
            return
        if leave:
            left = self._dead_man.rest(RESTART_WITHIN_S)
            entries = [
                [str(p.local), str(p.peer), r.my_discriminator, r.your_discriminator]
                for p, r in left.items()
            ]
            document = {"boot": _boot(), "at": time.monotonic(), "sessions": entries}
            with suppress(OSError):
                self._file.write_text(json.dumps(document))
        self._dead_man.stop(tell=not leave)

    def _attach(self, left: dict[Pair, Resume]) -> DeadMan:
        dead_man = DeadMan(TunLink(self._device), self._pairs, resume=left, on_fall=self._on_fall)
        dead_man.start()
        self._dead_man = dead_man
        return dead_man

    def _left_by_predecessor(self) -> dict[Pair, Resume]:
        try:
            document = json.loads(self._file.read_text())
            self._file.unlink()
            # The monotonic clock is one for all processes of a boot, and no clock jump moves it.
            age = time.monotonic() - document["at"]
            if document["boot"] != _boot() or not 0 <= age < RESTART_WITHIN_S:
                return {}
            found = {
                Pair(ip_address(local), ip_address(peer)): Resume(
                    my_discriminator=mine, your_discriminator=yours
                )
                for local, peer, mine, yours in document["sessions"]
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {pair: left for pair, left in found.items() if pair in self._pairs}


class LeaseSwitch:
    """Addresses with a lifetime, refreshed while the event loop is alive."""

    def __init__(self, settings: DeadManSettings) -> None:
        self._lease = AddressLease(settings.interface)
        self._addresses = [ip_interface(text) for text in settings.addresses]
        self._seconds = int(settings.lease)
        self._every = settings.lease / 5
        self._refreshed = float("-inf")
        self._may_rise = False
        self._on_fall: Callable[[], None] = lambda: None

    def start(self, on_fall: Callable[[], None]) -> None:
        self._on_fall = on_fall
        self._refresh()

    def beat(self) -> None:
        now = time.monotonic()
        if self._may_rise and now - self._refreshed >= self._seconds:
            self._may_rise = False  # the loop hung, and the addresses have gone
            self._on_fall()
        if now - self._refreshed >= self._every:
            with suppress(MachineError):  # the routes go; `agent status` shows it
                self._refresh()

    def vouch(self) -> None:
        self._may_rise = True
        self._refresh()

    def stop(self, *, leave: bool) -> None:
        """Leave the rest of the lease to a successor, or end it."""
        if leave:
            with suppress(MachineError):
                self._refresh()
        else:
            for address in self._addresses:
                with suppress(MachineError):
                    self._lease.remove(address)
        self._lease.close()

    def _refresh(self) -> None:
        """Let the addresses live on; add those that are gone only if somebody vouches."""
        for address in self._addresses:
            if self._may_rise or is_here(address.ip):
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


def _boot() -> str:
    """Name this boot of the machine, since the monotonic clock begins anew with each."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
