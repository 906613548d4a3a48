"""Checks of the address itself: is it on this machine, and does it answer an echo request."""

import asyncio
import socket
from typing import Final

from ridgeline.agent.checks.base import Done, failed, local_socket
from ridgeline.agent.checks.plan import AddressCheck, IcmpCheck
from ridgeline.agent.health import Round

_ICMPV6: Final = 58
_DISCARD: Final = 9


class AddressChecker:
    """Binds a socket to the address and aims it at the address: both need it to be local."""

    def __init__(self, check: AddressCheck) -> None:
        self._address = check.address

    def begin(self, done: Done) -> None:
        try:
            with local_socket(self._address, socket.SOCK_DGRAM) as opened:
                opened.connect((str(self._address), _DISCARD))
        except OSError as error:
            done(failed(error))
        else:
            done(Round(ok=True, reason="the address is on this machine"))

    def abandon(self, reason: str) -> Round:
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        pass


class IcmpChecker:
    """One echo request over the kernel's ping socket, which needs no privilege (icmp(7))."""

    def __init__(self, check: IcmpCheck) -> None:
        self._address = check.address
        self._socket: socket.socket | None = None
        self._done: Done | None = None
        self._number = 0

    def begin(self, done: Done) -> None:
        self._done = done
        self._number = (self._number + 1) & 0xFFFF
        is_v6 = self._address.version == 6
        try:
            protocol = _ICMPV6 if is_v6 else socket.IPPROTO_ICMP
            self._socket = local_socket(self._address, socket.SOCK_DGRAM, protocol)
            # Type, code, and for the kernel to fill: checksum, identifier.
            echo = bytes([128 if is_v6 else 8, 0, 0, 0, 0, 0]) + self._number.to_bytes(2, "big")
            self._socket.sendto(echo, (str(self._address), 0))
        except PermissionError:
            group = "net.ipv4.ping_group_range does not include the agent's group"
            self._end(Round(ok=False, reason=f"no ping socket: {group}"))
        except OSError as error:
            self._end(failed(error))
        else:
            asyncio.get_running_loop().add_reader(self._socket, self._receive, self._socket)

    def abandon(self, reason: str) -> Round:
        self._done = None
        self.close()
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()

    def _receive(self, opened: socket.socket) -> None:
        try:
            data = opened.recv(512)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(failed(error))
            return
        if len(data) >= 8 and int.from_bytes(data[6:8], "big") == self._number:
            self._end(Round(ok=True, reason="answers an echo request"))

    def _end(self, outcome: Round) -> None:
        self.close()
        done, self._done = self._done, None
        if done is not None:
            done(outcome)
