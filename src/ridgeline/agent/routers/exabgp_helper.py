"""ExaBGP's end of the back-end: a process that ExaBGP starts, between its pipes and a unix socket.

It passes lines through, one client at a time, and is the dead-man switch: a client that has said
``ridgeline guard SECONDS PREFIX...`` and then is silent for so long (killed, stopped or hung) has
its prefixes withdrawn. ``ridgeline leave`` ends the guard; any line counts as a sign of life.

Run as a file, by any Python 3, with the standard library alone:
``run /usr/bin/python3 .../exabgp_helper.py /run/ridgeline/exabgp.sock;``
"""

import contextlib
import os
import select
import socket
import sys
import time

_ENDS = frozenset({b"done", b"error"})
_BLOCK = 65_536
_AT_ONCE = 500


class Helper:
    """Pipes to ExaBGP, a listening socket, and at most one client."""

    def __init__(self, path: str) -> None:
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - pathlib costs half of the start
        before = os.umask(0o117)  # the owner and the group alone
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.umask(before)
        self.listener.listen(4)
        self.client: socket.socket | None = None
        self.from_client = b""
        self.from_exabgp = b""
        self.asked = 0
        """Answers that ExaBGP owes the client."""
        self.owed = 0
        """Answers that nobody wants: to our own commands, and to a client that has gone."""
        self.waiting: list[bytes] = []
        """The client's lines while answers are owed to nobody."""
        self.guarded: list[str] = []
        self.patience = 0.0
        self.heard_at = 0.0

    def run(self) -> None:
        """Serve until ExaBGP closes its end."""
        while True:
            watched: list[int | socket.socket] = [0, self.listener]
            if self.client is not None:
                watched.append(self.client)
            pause = None
            if self.guarded:
                pause = max(0.0, self.heard_at + self.patience - time.monotonic())
            ready, _, _ = select.select(watched, [], [], pause)
            if 0 in ready and not self._read_exabgp():
                return
            if self.client is not None and self.client in ready:
                self._read_client()
            if self.listener in ready:
                self._accept()
            if self.guarded and time.monotonic() >= self.heard_at + self.patience:
                self._withdraw()

    def _accept(self) -> None:
        newcomer, _ = self.listener.accept()  # replaces the old one: a restarted agent
        self._drop_client()
        self.client = newcomer

    def _drop_client(self) -> None:
        if self.client is not None:
            self.client.close()
        self.client, self.from_client = None, b""
        self.owed, self.asked = self.owed + self.asked, 0
        self.waiting.clear()

    def _read_client(self) -> None:
        assert self.client is not None  # noqa: S101 - of the caller
        try:
            data = self.client.recv(_BLOCK)
        except OSError:
            data = b""
        if not data:
            self._drop_client()
            return
        self.heard_at = time.monotonic()
        *lines, self.from_client = (self.from_client + data).split(b"\n")
        passed = []
        for line in lines:
            if line.startswith(b"ridgeline "):
                self._obey(line.decode(errors="replace").split()[1:])
            elif line.strip():
                passed.append(line)
        if self.owed:
            self.waiting += passed
        else:
            self._ask(passed)

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["guard", seconds, *prefixes]:
                self.guarded, self.patience = prefixes, float(seconds)
            case ["leave"]:
                self.guarded = []

    def _ask(self, lines: list[bytes]) -> None:
        self.asked += len(lines)
        _write_all(b"".join(line + b"\n" for line in lines))

    def _withdraw(self) -> None:
        """Silence: withdraw, and want no answers."""
        commands = []
        for is_six in (False, True):
            prefixes = [p for p in self.guarded if (":" in p) is is_six]
            for start in range(0, len(prefixes), _AT_ONCE):
                nlri = " ".join(prefixes[start : start + _AT_ONCE])
                commands.append(f"withdraw attributes next-hop self nlri {nlri}\n")
        _write_all("".join(commands).encode())
        self.owed += len(commands)
        self.guarded = []

    def _read_exabgp(self) -> bool:
        data = os.read(0, _BLOCK)
        if not data:
            return False
        *lines, self.from_exabgp = (self.from_exabgp + data).split(b"\n")
        answer = []
        for line in lines:
            is_end = line.strip() in _ENDS
            if self.owed:
                self.owed -= is_end
                if not self.owed and self.waiting:
                    waiting, self.waiting = self.waiting, []
                    self._ask(waiting)
            else:
                self.asked -= is_end and self.asked > 0
                answer.append(line + b"\n")
        if answer and self.client is not None:
            try:
                self.client.sendall(b"".join(answer))
            except OSError:
                self._drop_client()
        return True


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    Helper(sys.argv[1]).run()
