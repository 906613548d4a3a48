"""What BIRD is told and what it says."""

from ipaddress import ip_network

import pytest

from ridgeline.agent.router import Stance
from ridgeline.agent.routers.bird_text import (
    parse_prepend,
    parse_protocols,
    parse_routes,
    patterns,
    render_include,
)

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")


def test_the_include_holds_every_stance() -> None:
    text = render_include(
        {FOUR: Stance.DRAINED, SIX: Stance.WITHDRAWN}, prepend=2, asn=64500, gateways={}
    )
    lines = text.splitlines()[2:]
    assert lines == [
        (
            "protocol static any_192_0_2_0_24 { disabled no;  ipv4 { preference 200; }; "
            "route 192.0.2.0/24 blackhole; }"
        ),
        (
            "protocol static drn_192_0_2_0_24 { disabled no;  ipv4 { preference 210; import filter { "
            "bgp_community.add((65535,0)); bgp_path.prepend(64500); bgp_path.prepend(64500); accept; }; "
            "}; route 192.0.2.0/24 blackhole; }"
        ),
        (
            "protocol static any_2001_db8_53___48 { disabled yes; ipv6 { preference 200; }; "
            "route 2001:db8:53::/48 blackhole; }"
        ),
        (
            "protocol static drn_2001_db8_53___48 { disabled yes; ipv6 { preference 210; import filter "
            "{ bgp_community.add((65535,0)); bgp_path.prepend(64500); bgp_path.prepend(64500); accept; "
            "}; }; route 2001:db8:53::/48 blackhole; }"
        ),
    ]


def test_routes_can_hang_on_the_dead_man_switch() -> None:
    text = render_include(
        {FOUR: Stance.ANNOUNCED}, prepend=0, asn=64500, gateways={4: "198.18.255.2 bfd"}
    )
    assert "route 192.0.2.0/24 via 198.18.255.2 bfd;" in text


def test_a_thousand_protocols_are_one_pattern_unless_a_neighbour_stands_between() -> None:
    names = [f"any_100_{64 + i // 250}_{i % 250}_0_24" for i in range(1000)]
    assert list(patterns(names, ["up", "device1"])) == ["any_100_6*"]
    assert list(patterns(names, ["any_100_6"])) == [f"any_100_6{n}_*" for n in range(4, 8)]
    one_less = [name for name in names if name != names[500]]
    found = list(patterns(one_less, names))
    assert len(found) < 40


@pytest.mark.parametrize("prepend", [0, 1, 3])
def test_an_include_tells_how_often_it_prepends(prepend: int) -> None:
    stances = {FOUR: Stance.ANNOUNCED, SIX: Stance.DRAINED}
    assert (
        parse_prepend(render_include(stances, prepend=prepend, asn=64500, gateways={})) == prepend
    )
    assert parse_prepend("# nothing of ours\n") == 0


def test_show_protocols_and_show_route_are_read() -> None:
    protocols = parse_protocols(
        [
            "Name       Proto      Table      State  Since         Info",
            "any_192_0_2_0_24 Static     master4    up     15:39:50.692  ",
            "up         BGP        ---        start  15:39:51.589  Connect",
        ]
    )
    assert protocols["any_192_0_2_0_24"].is_up
    assert not protocols["up"].is_up
    assert protocols["up"].info == "Connect"
    routes = parse_routes(
        [
            "Table master4:",
            "192.0.2.0/24         blackhole [any_192_0_2_0_24 15:39:50.692] * (200)",
            "                     unicast [other 15:39:50.692] (100)",
            "\tvia 10.0.0.1 on eth0",
        ]
    )
    assert list(routes) == [("192.0.2.0/24", "any_192_0_2_0_24")]
