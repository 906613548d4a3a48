"""The rescue program of one site: loaded, told what it must know, attached to its server's link."""

import sys
from collections.abc import Mapping
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.rescue import libbpf
from ridgeline.lab.rescue.tables import (
    Counter,
    Settings,
    address_bytes,
    site_value,
    sum_counters,
)

Address: TypeAlias = IPv4Address | IPv6Address
Unicast: TypeAlias = tuple[Address | None, Address | None]

OBJECT: Final = "rescue.bpf.o"
_NUMBER: Final = 4


def object_image() -> bytes:
    """Read the compiled program, which the package brings along."""
    return files(__package__).joinpath("data", OBJECT).read_bytes()


class SiteRescue:
    """A running rescue program; it ends when it is detached, or with its namespace."""

    def __init__(self, namespace: NetworkNamespace, index: int, *, n_sites: int) -> None:
        self._namespace = namespace
        self._index = index
        self._object = libbpf.BpfObject.load(object_image(), entries={"sites": n_sites})
        self._orders: dict[bytes, bytes] = {}

    def start(
        self,
        settings: Settings,
        sites: Mapping[int, Unicast],
        services: tuple[Address, ...],
        orders: Mapping[bytes, bytes],
    ) -> None:
        """Tell the program what it must know, then let it see packets."""
        write = self._object.write
        write("settings", {_key(0): settings.pack()})
        write(
            "sites",
            {_key(index): site_value(*unicast, settings.mtu) for index, unicast in sites.items()},
        )
        write("services", {address_bytes(address): _key(1) for address in services})
        write("bucket", {_key(0): bytes(24)})
        self.set_orders(orders)
        with entered(self._namespace):
            libbpf.attach(
                self._index,
                ingress=self._object.program("rescue_in"),
                egress=self._object.program("rescue_out"),
            )

    def set_orders(self, orders: Mapping[bytes, bytes]) -> None:
        """Set whom to ask about which client; what it knows already is not told again."""
        news = {
            client: order for client, order in orders.items() if self._orders.get(client) != order
        }
        self._object.write("orders", news)
        self._orders |= news

    def set_settings(self, settings: Settings) -> None:
        """Change how it behaves, while it runs."""
        self._object.write("settings", {_key(0): settings.pack()})

    def counters(self) -> dict[Counter, int]:
        """Read what it has counted since it was started."""
        n_bytes = 8 * libbpf.processors()
        return sum_counters(
            b"".join(self._object.read("counters", _key(c), n_bytes) for c in Counter)
        )

    def cost(self) -> tuple[int, int]:
        """Return nanoseconds and packets of the ingress, while the kernel timed it."""
        return self._object.cost("rescue_in")

    def stop(self) -> None:
        """Detach the program and forget it."""
        with entered(self._namespace):
            libbpf.detach(self._index)
        self._object.close()


def _key(number: int) -> bytes:
    return number.to_bytes(_NUMBER, sys.byteorder)
