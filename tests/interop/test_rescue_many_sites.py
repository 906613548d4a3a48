"""The compiled program in the kernel, in a network of hundreds of sites, packet by packet.

One program plays one site after another: what each site makes of a packet is shown to the next, as
the network would carry it. The owner's socket is a real one, in a namespace of its own.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from typing import TypeAlias

import pytest

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import Batch
from ridgeline.lab.rescue import libbpf
from ridgeline.lab.rescue.libbpf import BpfObject, Verdict
from ridgeline.lab.rescue.program import object_image
from ridgeline.lab.rescue.tables import (
    MAX_HOPS,
    MAX_SITES,
    OVERHEAD4,
    OVERHEAD6,
    PORT,
    Counter,
    Settings,
    address_bytes,
    order_table,
    site_value,
    sum_counters,
    unwrap,
)

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

PASS, DROP, SENT = 0, 2, 7
ACK, PORT_OF_CLIENT = 0x10, 40_000
TOKEN = b"a secret"
V4 = IPv4Address("192.0.2.80"), IPv4Address("198.19.0.2")
V6 = IPv6Address("2001:db8:53::80"), IPv6Address("2001:2:0:1000::2")
FAMILIES = pytest.mark.parametrize("ends", [V4, V6], ids=["ipv4", "ipv6"])

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="BPF programs need root")


def site_address(number: int, version: int) -> Address:
    base = ip_address("198.18.0.0" if version == 4 else "2001:2:0:1::")
    return base + number


@dataclass
class Sites:
    """A network of so many sites, of which the program is now one, now another."""

    program: BpfObject
    settings: Settings

    def see(self, number: int, packet: bytes, *, program: str = "rescue_in") -> Verdict:
        """Show a packet to a site."""
        self.settings = replace(self.settings, self_index=number)
        self.program.write("settings", {bytes(4): self.settings.pack()})
        return self.program.run(program, packet)

    def remember(self, ends: tuple[Address, Address], *sites: int) -> None:
        """Set where the client's prefix landed, latest first; and where strangers are sought."""
        networks: dict[int, Prefix] = {
            4: IPv4Network("198.19.0.0/28"),
            6: IPv6Network("2001:2:0:1000::/64"),
        }
        orders = [(networks[ends[1].version], sites)]
        self.program.write("orders", order_table(orders, everybody=range(100, 120)))

    def counted(self, counter: Counter) -> int:
        n_bytes = 8 * libbpf.processors()
        keys = (int(c).to_bytes(4, "little") for c in Counter)
        raw = b"".join(self.program.read("counters", key, n_bytes) for key in keys)
        return sum_counters(raw)[counter]


@pytest.fixture(params=[300, MAX_SITES])
def sites(request: pytest.FixtureRequest) -> Iterator[Sites]:
    n = request.param
    program = BpfObject.load(object_image(), entries={"sites": n})
    settings = Settings(
        token=TOKEN, self_index=0, n_sites=n, rate=1_000_000, burst=10_000, quic_config=0
    )
    one = (1).to_bytes(4, "little")
    at = {k: (site_address(k, 4), site_address(k, 6)) for k in range(n)}
    program.write("sites", {k.to_bytes(4, "little"): site_value(*at[k], 1500) for k in at})
    program.write("services", {address_bytes(ends[0]): one for ends in (V4, V6)})
    program.write("bucket", {bytes(4): bytes(24)})
    try:
        yield Sites(program, settings)
    finally:
        program.close()


def ip_packet(source: Address, target: Address, protocol: int, inside: bytes) -> bytes:
    """Make an Ethernet frame; the program checks no sums."""
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(inside), protocol, 64)
        kind = b"\x86\xdd"
    else:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inside), 0, 0x4000, 64, protocol, 0)
        kind = b"\x08\x00"
    return bytes(12) + kind + head + source.packed + target.packed + inside


def segment(
    ends: tuple[Address, Address], *, flags: int = ACK, data: int = 0, ports: int = PORT_OF_CLIENT
) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", ports, 80, 1, 1, 5 << 4, flags, 1000, 0, 0)
    return ip_packet(ends[1], ends[0], socket.IPPROTO_TCP, tcp + bytes(data))


def head_bytes(version: int) -> int:
    return 14 + (20 if version == 4 else 40)


def outer(packet: bytes, version: int) -> tuple[Address, Address]:
    """Read who wrapped a packet and for whom it is."""
    end = head_bytes(version)
    size = 4 if version == 4 else 16
    source, target = packet[end - 2 * size : end - size], packet[end - size : end]
    return ip_address(source), ip_address(target)


def payload(packet: bytes, version: int) -> bytes:
    at = head_bytes(version)
    assert struct.unpack_from("!H", packet, at + 2) == (PORT,)
    return packet[at + 8 :]


def connected(there: tuple[str, int], here: tuple[str, int]) -> socket.socket:
    """Connect as soon as the kernel has made the addresses its own (IPv6 takes it a moment)."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection(there, source_address=here)
        except OSError as error:
            may_wait = error.errno in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}
            if not may_wait or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@FAMILIES
def test_a_flow_comes_home_to_one_of_hundreds_of_sites(
    sites: Sites, ends: tuple[Address, Address]
) -> None:
    last, version = sites.settings.n_sites - 1, ends[0].version
    home, wrong = NetworkNamespace.create(), NetworkNamespace.create()
    with Batch(home) as batch:
        batch.up(1)
        for address in ends:
            batch.address(1, ip_interface(address))
    with Batch(wrong) as batch:
        batch.up(1)
    sites.remember(ends, 3, last, 17)
    with ExitStack() as stack:
        stack.callback(home.close)
        stack.callback(wrong.close)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with entered(home):
            there = (str(ends[0]), 80)
            stack.enter_context(socket.create_server(there, family=family))
            stack.enter_context(connected(there, (str(ends[1]), PORT_OF_CLIENT)))
        came = segment(ends, data=300)
        with entered(wrong):
            sent = sites.see(3, came)
        assert sent.action == SENT
        assert outer(sent.packet, version) == (
            site_address(3, version),
            site_address(last, version),
        )
        assert len(sent.packet) - len(came) == (OVERHEAD4 if version == 4 else OVERHEAD6)
        wrapped = unwrap(payload(sent.packet, version))
        assert (wrapped.token, wrapped.at, wrapped.hops) == (TOKEN, 0, (last, 17))
        assert wrapped.inner == came[14:]
        with entered(home):
            arrived = sites.see(last, sent.packet)
        assert (arrived.action, arrived.packet) == (PASS, came)
    assert sites.counted(Counter.RESCUED) == 1
    assert sites.counted(Counter.FAILED) == 0


@FAMILIES
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "stranger"])
def test_what_nobody_owns_visits_twelve_sites_at_most_and_none_twice(
    sites: Sites, ends: tuple[Address, Address], is_known: bool
) -> None:
    n, version = sites.settings.n_sites, ends[0].version
    asked = [(97 * k + 11) % n for k in range(40)]
    if is_known:
        sites.remember(ends, *asked)
    else:
        sites.remember((ends[0], V6[1] if version == 4 else V4[1]), *asked)
        asked = list(range(100, 120))
    number = asked[2]
    packet, visited = segment(ends), []
    while True:
        visited.append(number)
        seen = sites.see(number, packet)
        packet = seen.packet
        if seen.action != SENT:
            break
        source, target = outer(packet, version)
        assert source == site_address(number, version)
        number = int(target) - int(site_address(0, version))
    assert seen.action == PASS
    assert packet == segment(ends)  # the last site's kernel answers it as it came
    assert visited == [asked[2], *(site for site in asked if site != asked[2])][: MAX_HOPS + 1]
    assert sites.counted(Counter.PASSED_ON) == MAX_HOPS - 1
    assert sites.counted(Counter.ORPHANS) == 1


@FAMILIES
def test_a_narrow_path_to_one_site_of_hundreds_is_remembered_for_it_alone(
    sites: Sites, ends: tuple[Address, Address]
) -> None:
    version, narrow = ends[0].version, sites.settings.n_sites - 1
    overhead, big = (OVERHEAD4, 1300) if version == 4 else (OVERHEAD6, 1300)
    sites.remember(ends, narrow)
    sent = sites.see(5, segment(ends, data=big))
    assert sent.action == SENT
    quoted = sent.packet[14 : 14 + 200]
    kind = (3, 4) if version == 4 else (2, 0)
    complaint = struct.pack("!BBHI", *kind, 0, 1340) + quoted
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    router, ours = site_address(5000, version), site_address(5, version)
    assert sites.see(5, ip_packet(router, ours, protocol, complaint)).action == PASS
    assert sites.counted(Counter.NARROW) == 1
    answer = sites.see(5, segment(ends, data=big))
    assert answer.action == SENT
    assert sites.counted(Counter.TOO_BIG) == 1
    at = head_bytes(version)
    assert tuple(answer.packet[at : at + 2]) == kind
    (mtu,) = struct.unpack_from("!I", answer.packet, at + 4)
    assert mtu == max(1340 - overhead, 1280 if version == 6 else 576)
    sites.remember(ends, narrow - 1)
    assert outer(sites.see(5, segment(ends, data=big)).packet, version)[1] == site_address(
        narrow - 1, version
    )
    assert sites.counted(Counter.TOO_BIG) == 1


def test_a_complaint_that_no_wrapped_packet_of_ours_caused_changes_nothing(sites: Sites) -> None:
    sites.remember(V4, 299)
    quoted = bytearray(sites.see(5, segment(V4)).packet[14:])
    quoted[20 + 8 + 8] ^= 1  # the token
    complaint = struct.pack("!BBHI", 3, 4, 0, 1340) + bytes(quoted)
    router, ours = site_address(5000, 4), site_address(5, 4)
    assert sites.see(5, ip_packet(router, ours, socket.IPPROTO_ICMP, complaint)).action == PASS
    assert sites.counted(Counter.NARROW) == 0


@FAMILIES
def test_a_quic_connection_id_names_a_site_beyond_the_256th(
    sites: Sites, ends: tuple[Address, Address]
) -> None:
    for named in (0, 257, sites.settings.n_sites - 1):
        short = bytes([0x40, 7]) + named.to_bytes(2, "big") + bytes(30)
        udp = struct.pack("!HHHH", PORT_OF_CLIENT, 443, 8 + len(short), 0) + short
        came = ip_packet(ends[1], ends[0], socket.IPPROTO_UDP, udp)
        sent = sites.see(9, came)
        assert sent.action == SENT
        assert outer(sent.packet, ends[0].version)[1] == site_address(named, ends[0].version)
        home = sites.see(named, sent.packet)
        assert (home.action, home.packet) == (PASS, came)
    beyond = bytes([0x40, 7]) + sites.settings.n_sites.to_bytes(2, "big") + bytes(30)
    udp = struct.pack("!HHHH", PORT_OF_CLIENT, 443, 8 + len(beyond), 0) + beyond
    assert sites.see(9, ip_packet(ends[1], ends[0], socket.IPPROTO_UDP, udp)).action == PASS


def test_a_list_longer_than_allowed_or_a_wrong_token_is_refused(sites: Sites) -> None:
    sites.remember(V4, 299)
    sent = sites.see(5, segment(V4)).packet
    gue = head_bytes(4) + 8
    for offset, value in ((gue + 6, MAX_HOPS + 1), (gue + 5, 1), (gue + 8, 0xFF)):
        forged = bytearray(sent)
        forged[offset] = value
        assert sites.see(299, bytes(forged)).action == DROP
    assert sites.counted(Counter.REFUSED) == 3


def test_a_site_that_the_table_does_not_hold_is_never_sent_to(sites: Sites) -> None:
    sites.remember(V4, sites.settings.n_sites)
    assert sites.see(5, segment(V4)).action == PASS
