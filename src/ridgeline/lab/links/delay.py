"""Links with latency, loss and rate, which can be cut; by netem, or by our relay without it.

A plain link is one veth pair. Every other link is two, whose far ends sit in one "wire" namespace
that holds no address; either back-end joins them there::

    router A ──veth── a ┤ bridge with netem on a and b, or the relay process ├ b ──veth── router B

so both ends see a *carrier cut* as loss of carrier, and keep their addresses and neighbours; and a
*silent cut* as nothing at all.
"""

import json
import os
import socket
import struct
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from ridgeline.errors import MachineError
from ridgeline.lab.kernel import rtnetlink as rt
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd

# Isolated, without site packages, and imported from its cached byte code. Our folder comes last, so
# that nothing in it can stand for a module of the standard library.
_RELAY: Final = (
    *(sys.executable, "-I", "-S", "-c"),
    "import sys; sys.path.append(sys.argv[1]); import relay; relay.main()",
    os.fspath(Path(__file__).parent),
)
_NO_IPV6: Final = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}
_FIRST_INDEX: Final = 1_000_001  # never the index of the other end: see `VethEnd.index`
_PATIENCE_S: Final = 10
_NETEM_LIMIT: Final = 100_000  # packets under way; the default of 1000 drops at 1 Gbit/s

# <linux/pkt_sched.h>
_TC_H_ROOT: Final = 0xFFFFFFFF
_TCA_KIND: Final = 1
_TCA_OPTIONS: Final = 2
_TCA_NETEM_RATE: Final = 6
_TCA_NETEM_RATE64: Final = 8
_TCA_NETEM_LATENCY64: Final = 10
_TCMSG: Final = struct.Struct("=BBHiIII")  # family, -, -, index, handle, parent, info
_NETEM: Final = struct.Struct("=IIIIII")  # latency, limit, loss, gap, duplicate, jitter
_NETEM_RATE: Final = struct.Struct("=IiIi")  # bytes per second, packet and cell overheads


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkShape:
    """How a link treats what passes, the same in both directions."""

    delay_ms: float = 0.0
    """One way."""
    loss: float = 0.0
    """Share of packets, 0 to 1."""
    bits_per_second: float = 0.0
    """0: no limit."""

    def __post_init__(self) -> None:
        if self.delay_ms < 0 or not 0 <= self.loss <= 1 or self.bits_per_second < 0:
            raise ValueError(f"no link can be like this: {self}")

    @property
    def is_plain(self) -> bool:
        return self == LinkShape()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlan:
    """One link to build."""

    name: str
    """By which it is cut and reshaped; no spaces."""
    a: VethEnd
    b: VethEnd
    shape: LinkShape = LinkShape()
    """A link that is plain when built is one veth pair: it cannot be cut or reshaped later."""
    mtu: int | None = None


class Wires(ABC):
    """All the links of a lab.

    Not for several threads at once.
    """

    kind: str
    """``netem`` or ``relay``."""

    def __init__(self) -> None:
        self._home = Batch()
        self._namespace = NetworkNamespace.create(_NO_IPV6)
        self._wire = Batch(self._namespace)
        self._ends: dict[str, tuple[int, int]] = {}
        self._shapes: dict[str, LinkShape] = {}
        self._next_index = _FIRST_INDEX

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def build(self, plans: Sequence[LinkPlan]) -> None:
        """Make links; their ends in the routers' namespaces are still down, the wire is up."""
        wired = [plan for plan in plans if not plan.shape.is_plain]
        for plan in plans:
            if plan.shape.is_plain:
                self._home.veth(plan.a, plan.b, mtu=plan.mtu)
                continue
            indexes = self._take_index(), self._take_index()
            self._ends[plan.name] = indexes
            self._shapes[plan.name] = plan.shape
            for end, index in zip((plan.a, plan.b), indexes, strict=True):
                far = VethEnd(name=f"w{index}", namespace=self._namespace, index=index)
                self._home.veth(end, far, mtu=plan.mtu)
                self._wire.up(index)
        self._home.flush()
        self._wire.flush()
        self._join([plan.name for plan in wired])

    def reshape(self, name: str, shape: LinkShape) -> None:
        """Change delay, loss and rate; what is under way keeps its time."""
        self._indexes(name)
        self._shapes[name] = shape
        self._apply([name])

    def cut(self, *names: str) -> None:
        """Take the carrier away from both ends, as a fibre that breaks does."""
        self._set_carrier(names, up=False)

    def mend(self, *names: str) -> None:
        self._set_carrier(names, up=True)

    @abstractmethod
    def silence(self, *names: str) -> None:
        """Drop everything, both ways, with no sign of it at either end."""

    @abstractmethod
    def restore(self, *names: str) -> None:
        """End the silence."""

    @abstractmethod
    def statistics(self) -> dict[str, float]:
        """Count what passed, as far as the back-end knows."""

    def close(self) -> None:
        """Let go of the wire namespace, and with it of every link that is not plain."""
        self._home.close()
        self._wire.close()
        self._namespace.close()

    @abstractmethod
    def _join(self, names: list[str]) -> None:
        """Connect the two far ends of each of these links, and apply its shape."""

    @abstractmethod
    def _apply(self, names: list[str]) -> None:
        """Apply the shapes of these links."""

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1

    def _indexes(self, name: str) -> tuple[int, int]:
        try:
            return self._ends[name]
        except KeyError:
            raise ValueError(f"link {name} is not known, or is plain and has no wire") from None

    def _set_carrier(self, names: Iterable[str], *, up: bool) -> None:
        for name in names:
            for index in self._indexes(name):
                if up:
                    self._wire.up(index)
                else:
                    self._wire.down(index)
        self._wire.flush()


class NetemWires(Wires):
    """netem on both far ends, and a bridge of two ports between them."""

    kind = "netem"

    def __init__(self) -> None:
        super().__init__()
        self._silent: set[str] = set()

    def silence(self, *names: str) -> None:
        self._silent.update(names)
        self._apply(list(names))

    def restore(self, *names: str) -> None:
        self._silent.difference_update(names)
        self._apply(list(names))

    def statistics(self) -> dict[str, float]:
        return {}

    def _join(self, names: list[str]) -> None:
        for name in names:
            bridge = self._take_index()
            self._wire.bridge(bridge, f"j{bridge}")
            for index in self._ends[name]:
                self._wire.enslave(index, bridge)
            self._wire.up(bridge)
        self._apply(names)

    def _apply(self, names: list[str]) -> None:
        for name in names:
            shape = self._shapes[name]
            if name in self._silent:
                shape = replace(shape, loss=1.0)
            for index in self._indexes(name):
                add_netem(self._wire, index, shape)
        self._wire.flush()


class RelayWires(Wires):
    """Our relay process (`ridgeline.lab.links.relay`) joins the far ends."""

    kind = "relay"

    def __init__(self) -> None:
        super().__init__()
        ours, theirs = socket.socketpair()
        self._control = ours
        self._control.settimeout(_PATIENCE_S)
        self._answers = ours.makefile("rb")
        # It ends when our end is closed, by us or by the kernel after us: nobody inherits it.
        with theirs, entered(self._namespace):
            self._process = subprocess.Popen(_RELAY, stdin=theirs.fileno())

    @property
    def pid(self) -> int:
        """Of the relay process."""
        pid: int = self._process.pid
        return pid

    def silence(self, *names: str) -> None:
        self._ask(f"silence {self._known(name)}" for name in names)

    def restore(self, *names: str) -> None:
        self._ask(f"restore {self._known(name)}" for name in names)

    def statistics(self) -> dict[str, float]:
        """Give the relay's counters: see `ridgeline.lab.links.relay`."""
        (answer,) = self._exchange(["statistics"])
        found: dict[str, float] = json.loads(answer)
        return found

    def close(self) -> None:
        self._answers.close()
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        super().close()

    def _join(self, names: list[str]) -> None:
        self._ask(
            f"link {name} {a} {b} {_relay_shape(self._shapes[name])}"
            for name in names
            for a, b in (self._ends[name],)
        )

    def _apply(self, names: list[str]) -> None:
        self._ask(f"set {name} {_relay_shape(self._shapes[name])}" for name in names)

    def _known(self, name: str) -> str:
        self._indexes(name)
        return name

    def _ask(self, lines: Iterable[str]) -> None:
        for answer in self._exchange(list(lines)):
            if answer != "ok":
                raise MachineError(f"the relay refused: {answer}")

    def _exchange(self, lines: list[str]) -> list[str]:
        try:
            self._control.sendall("".join(f"{line}\n" for line in lines).encode())
            answers = [self._answers.readline().decode().rstrip("\n") for _ in lines]
        except OSError:
            answers = [""]
        if "" in answers:
            try:
                fate = f"has ended (exit code {self._process.wait(timeout=1)})"
            except subprocess.TimeoutExpired:
                fate = f"has not answered for {_PATIENCE_S} s"
            raise MachineError(
                f"the relay of the lab's links {fate}",
                hint="its last words are on standard error; take the lab down and up again",
            )
        return answers


def open_wires(kind: str | None = None) -> Wires:
    """Choose the back-end: ``netem`` where the kernel has it, else ``relay``; or the one named."""
    kind = kind or ("netem" if probe_netem() else "relay")
    back_ends: dict[str, type[Wires]] = {each.kind: each for each in (NetemWires, RelayWires)}
    if kind not in back_ends:
        raise ValueError(f"{kind!r} is no back-end for delays; there are {', '.join(back_ends)}")
    return back_ends[kind]()


def probe_netem() -> bool:
    """Whether this kernel delays packets by itself; tried in a namespace that is thrown away."""
    namespace = NetworkNamespace.create()
    try:
        with Batch(namespace) as batch:
            add_netem(batch, LOOPBACK, LinkShape(delay_ms=1))
    except MachineError:
        return False
    finally:
        namespace.close()
    return True


def add_netem(batch: Batch, index: int, shape: LinkShape) -> None:
    """Ask for netem as the root queue of an interface, or for its new parameters."""
    flags = rt.NLM_F_CREATE | rt.NLM_F_REPLACE
    batch.request(rt.RTM_NEWQDISC, flags, netem_body(index, shape), "delay interface %s", index)


def netem_body(index: int, shape: LinkShape) -> bytes:
    """Make the request's body (tc-netem(8), <linux/pkt_sched.h>)."""
    delay_ns = round(shape.delay_ms * 1e6)
    ticks = min(delay_ns >> 6, 0xFFFFFFFF)  # of 64 ns; LATENCY64 counts where the kernel knows it
    options = _NETEM.pack(ticks, _NETEM_LIMIT, round(shape.loss * 0xFFFFFFFF), 0, 0, 0)
    options += rt.attribute(_TCA_NETEM_LATENCY64, struct.pack("=q", delay_ns))
    if shape.bits_per_second:
        bytes_per_second = round(shape.bits_per_second / 8)
        low = min(bytes_per_second, 0xFFFFFFFF)
        options += rt.attribute(_TCA_NETEM_RATE, _NETEM_RATE.pack(low, 0, 0, 0))
        if low != bytes_per_second:
            options += rt.attribute(_TCA_NETEM_RATE64, struct.pack("=Q", bytes_per_second))
    return (
        _TCMSG.pack(0, 0, 0, index, 0, _TC_H_ROOT, 0)
        + rt.attribute(_TCA_KIND, b"netem\0")
        + rt.attribute(_TCA_OPTIONS, options)
    )


def _relay_shape(shape: LinkShape) -> str:
    us = shape.delay_ms * 1000
    return f"{us} {us} {shape.loss} {shape.bits_per_second}"
