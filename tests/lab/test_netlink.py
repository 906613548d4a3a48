"""Batched rtnetlink and namespaces against the real kernel."""

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered, set_sysctls
from ridgeline.lab.kernel.netlink import (
    LOOPBACK,
    RTPROT_STATIC,
    Batch,
    RouteEvent,
    RouteEvents,
    RouteKind,
    VethEnd,
)

pytestmark = pytest.mark.lab

MAC_A, MAC_B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FOUR_A, FOUR_B = ip_interface("198.18.0.0/31"), ip_interface("198.18.0.1/31")
SIX_A, SIX_B = ip_interface("2001:2::a/64"), ip_interface("2001:2::b/64")


@pytest.fixture(scope="module", autouse=True)
def privilege() -> None:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture
def here() -> Iterator[NetworkNamespace]:
    namespace = NetworkNamespace.create()
    yield namespace
    namespace.close()


@pytest.fixture
def there() -> Iterator[NetworkNamespace]:
    namespace = NetworkNamespace.create()
    yield namespace
    namespace.close()


@pytest.fixture
def joined(here: NetworkNamespace, there: NetworkNamespace) -> None:
    """Join interface 7 here and 8 there by a link with addresses of both families."""
    with Batch() as batch:
        batch.veth(
            VethEnd(name="to_there", namespace=here, index=7, mac=MAC_A),
            VethEnd(name="to_here", namespace=there, index=8, mac=MAC_B),
        )
    ends = (
        (here, 7, FOUR_A, SIX_A, FOUR_B, SIX_B, MAC_B),
        (there, 8, FOUR_B, SIX_B, FOUR_A, SIX_A, MAC_A),
    )
    for namespace, index, four, six, other_four, other_six, other_mac in ends:
        with Batch(namespace) as batch:
            batch.up(LOOPBACK)
            batch.up(index)
            for own, other in ((four, other_four), (six, other_six)):
                batch.address(index, own)
                batch.neighbour(index, other.ip, other_mac)


def where() -> Path:
    """Which network namespace the calling thread is in."""
    return Path("/proc/thread-self/ns/net").readlink()


def n_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_thread_is_home_again_after_a_visit(here: NetworkNamespace) -> None:
    home = where()
    with entered(here):
        inside = where()
        assert inside != home
    assert where() == home
    with pytest.raises(ZeroDivisionError), entered(here):
        raise ZeroDivisionError
    assert where() == home
    with entered(here.fd), entered(here):
        assert where() == inside
    assert where() == home


def test_a_new_namespace_is_anonymous_and_goes_with_its_descriptor() -> None:
    def inode(namespace: NetworkNamespace) -> int:
        return os.fstat(namespace.fd).st_ino

    before = n_open()
    one, two = NetworkNamespace.create(), NetworkNamespace.create()
    assert inode(one) != inode(two)
    one.close()
    two.close()
    assert n_open() == before


def test_sysctls_are_set_inside_and_not_outside(here: NetworkNamespace) -> None:
    file = Path("/proc/sys/net/ipv4/ip_forward")
    outside = file.read_text()
    set_sysctls(here, {"net.ipv4.ip_forward": True, "net/ipv4/conf/lo/rp_filter": 2})
    with entered(here):
        assert file.read_text() == "1\n"
        assert Path("/proc/sys/net/ipv4/conf/lo/rp_filter").read_text() == "2\n"
    assert file.read_text() == outside


def test_an_unknown_sysctl_is_named_and_leaves_the_thread_at_home() -> None:
    home = where()
    before = n_open()
    with pytest.raises(MachineError, match=r"cannot set net\.ipv4\.no_such = 1: No such file"):
        NetworkNamespace.create({"net.ipv4.no_such": 1})
    assert where() == home
    assert n_open() == before


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, str(FOUR_B.ip)), (socket.AF_INET6, str(SIX_B.ip))]
)
def test_a_link_carries_both_families_at_once(
    here: NetworkNamespace, there: NetworkNamespace, family: int, address: str
) -> None:
    with entered(there):
        listener = socket.socket(family, socket.SOCK_STREAM)
    with entered(here):
        caller = socket.socket(family, socket.SOCK_STREAM)
    with listener, caller:
        listener.bind((address, 4242))  # at once: no duplicate address detection to wait for
        listener.listen()
        caller.settimeout(2)
        caller.connect((address, 4242))
        assert caller.getpeername()[0] == address


@pytest.mark.usefixtures("joined")
def test_names_macs_and_carrier_are_as_asked(
    here: NetworkNamespace, there: NetworkNamespace
) -> None:
    with Batch(here) as batch, Batch(there) as other:
        link = batch.links()[7]
        assert (link.name, link.mac, link.up, link.carrier) == ("to_there", MAC_A, True, True)
        other.down(8)
        other.flush()
        assert (batch.links()[7].up, batch.links()[7].carrier) == (True, False)
        other.up(8)
        other.flush()
        assert batch.links()[7].carrier
        batch.down(7)
        batch.rename(7, "renamed")
        batch.flush()
        assert (batch.links()[7].name, batch.links()[7].up) == ("renamed", False)
        batch.delete_link(7)
        batch.flush()
        assert set(batch.links()) == set(other.links()) == {LOOPBACK}


@pytest.mark.usefixtures("joined")
def test_routes_come_back_as_they_were_given(here: NetworkNamespace) -> None:
    with Batch(here) as batch:
        batch.route(ip_network("192.0.2.0/24"), gateway=FOUR_B.ip, source=FOUR_A.ip, metric=5)
        batch.route(ip_network("0.0.0.0/0"), gateway=FOUR_B.ip)
        batch.route(ip_network("198.51.100.0/24"), index=7)
        batch.route(ip_network("203.0.113.0/24"), kind=RouteKind.BLACKHOLE)
        batch.route(
            ip_network("203.0.113.9/32"), gateway=ip_address("192.0.2.9"), index=7, onlink=True
        )
        batch.route(ip_network("2001:db8::/32"), gateway=SIX_B.ip)
        batch.route(ip_network("2001:db8:1::/48"), kind=RouteKind.UNREACHABLE)
        batch.flush()
        ours = {
            (str(r.destination), str(r.gateway), r.index, r.kind, r.metric)
            for r in batch.routes()
            if r.protocol == RTPROT_STATIC
        }
    one, none = RouteKind.UNICAST, "None"
    assert ours == {
        ("192.0.2.0/24", "198.18.0.1", 7, one, 5),
        ("0.0.0.0/0", "198.18.0.1", 7, one, 0),
        ("198.51.100.0/24", none, 7, one, 0),
        ("203.0.113.0/24", none, None, RouteKind.BLACKHOLE, 0),
        ("203.0.113.9/32", "192.0.2.9", 7, one, 0),
        ("2001:db8::/32", "2001:2::b", 7, one, 1024),  # 1024 is IPv6's default metric
        ("2001:db8:1::/48", none, None, RouteKind.UNREACHABLE, 1024),
    }


@pytest.mark.usefixtures("joined")
def test_adding_a_route_again_replaces_it_and_deleting_removes_it(here: NetworkNamespace) -> None:
    network = ip_network("192.0.2.0/24")
    with Batch(here) as batch:
        batch.route(network, gateway=FOUR_B.ip)
        batch.route(network, kind=RouteKind.BLACKHOLE)
        batch.flush()
        assert [r.kind for r in batch.routes() if r.destination == network] == [RouteKind.BLACKHOLE]
        batch.delete_route(network, kind=RouteKind.BLACKHOLE)
        batch.flush()
        assert [r for r in batch.routes() if r.destination == network] == []


@pytest.mark.usefixtures("joined")
def test_a_failure_is_named_and_stops_nothing_after_it(here: NetworkNamespace) -> None:
    batch = Batch(here)
    for number in range(2000):  # several messages; the 700th request is one that fails
        if number == 700:
            batch.route(ip_network("192.0.2.0/24"), gateway=ip_address("203.0.113.1"))
        batch.address(LOOPBACK, ip_interface((0xC6130000 + number, 32)))
    batch.address(99, ip_interface("192.0.2.1/32"))
    with pytest.raises(MachineError) as caught:
        batch.flush()
    assert str(caught.value) == (
        "the kernel refused to add route 192.0.2.0/24 via 203.0.113.1: Network is unreachable "
        "(Nexthop has invalid gateway) (and 1 more requests failed)"
    )
    with entered(here), socket.socket() as last:
        last.bind(("198.19.7.207", 0))  # the 2000th address is there
    batch.flush()  # nothing is left from the failed one
    batch.close()


def test_errors_that_the_caller_expects_pass(here: NetworkNamespace) -> None:
    with Batch(here) as batch:
        batch.address(LOOPBACK, ip_interface("192.0.2.1/32"))
        batch.address(LOOPBACK, ip_interface("192.0.2.1/32"))
        batch.flush(ignore={errno.EEXIST})
        batch.address(LOOPBACK, ip_interface("192.0.2.1/32"))
        with pytest.raises(MachineError, match="File exists"):
            batch.flush()


@pytest.mark.usefixtures("joined")
def test_route_events_tell_who_changed_what_and_when(here: NetworkNamespace) -> None:
    events = RouteEvents(here)
    four, six = ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")
    began = time.monotonic()
    with Batch(here) as batch:
        batch.route(four, gateway=FOUR_B.ip)
        batch.route(six, gateway=SIX_B.ip)
        batch.address(LOOPBACK, ip_interface("192.0.2.53/32"))  # a local route, which is no news
        batch.delete_route(four)
    readable, _, _ = select.select([events], [], [], 1)
    assert readable
    # The kernel adds routes of its own for link-local addresses when it comes to it.
    seen = [event for event in events.read() if event.protocol == RTPROT_STATIC]
    assert all(began <= event.time <= time.monotonic() for event in seen)
    plain = [(e.added, e.destination, e.gateway, e.index, e.protocol) for e in seen]
    assert plain == [
        (True, four, FOUR_B.ip, 7, RTPROT_STATIC),
        (True, six, IPv6Address("2001:2::b"), 7, RTPROT_STATIC),
        (False, four, FOUR_B.ip, 7, RTPROT_STATIC),
    ]
    assert isinstance(seen[0], RouteEvent)
    assert not events.lost
    events.close()


def test_more_events_than_fit_are_reported_as_lost(here: NetworkNamespace) -> None:
    events = RouteEvents(here)
    with Batch(here) as batch:
        batch.up(LOOPBACK)
        for number in range(40_000):
            batch.route(ip_network((0x0A000000 + number, 32)), kind=RouteKind.BLACKHOLE)
    seen = events.read()
    assert events.lost
    assert 0 < len(seen) < 40_000
    events.close()


@pytest.mark.slow
def test_three_hundred_namespaces_and_six_hundred_links_are_a_matter_of_seconds() -> None:
    began = time.monotonic()
    namespaces = [NetworkNamespace.create({"net.ipv4.ip_forward": True}) for _ in range(300)]
    try:
        with Batch() as batch:
            for number in range(600):
                a, b = namespaces[number % 300], namespaces[(number * 7 + 1) % 300]
                batch.veth(
                    VethEnd(name=f"a{number}", namespace=a, index=10 + 2 * number),
                    VethEnd(name=f"b{number}", namespace=b, index=11 + 2 * number),
                )
        for number, namespace in enumerate(namespaces):
            with Batch(namespace) as batch:
                batch.up(LOOPBACK)
                batch.address(LOOPBACK, ip_interface((0xC6120000 + number, 32)))
                for index in [index for index in batch.links() if index >= 10]:
                    batch.up(index)
        assert time.monotonic() - began < 20  # 1 s alone on two cores
    finally:
        for namespace in namespaces:
            namespace.close()
