"""Reading `agent.yaml`."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ridgeline.agent.checks.plan import DnsCheck, ExecCheck, HttpCheck, TcpCheck, UnitCheck
from ridgeline.agent.config import AgentConfig
from ridgeline.agent.config_file import parse_config
from ridgeline.agent.health import Rule
from ridgeline.agent.router import RouterKind
from ridgeline.errors import InputError
from ridgeline.spec.parse import parse_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "ridgeline.yaml"
SPEC = parse_spec(EXAMPLE.read_text(), file="ridgeline.yaml")
ZONES = {"dns": ("example.test.",)}


def read(text: str = "", site: str = "nrt") -> AgentConfig:
    return parse_config(text, file="agent.yaml", spec=SPEC, site=site, zones=ZONES)


def test_without_a_file_the_spec_says_what_to_check() -> None:
    config = read()
    assert [c.name for c in config.checks] == [
        "dns/dns/example.test@192.0.2.53",
        "dns/dns/example.test@2001:db8:53::53",
        "resolver/dns@192.0.2.1",
        "resolver/dns@2001:db8:53::1",
        "web/http@192.0.2.80",
        "web/http@2001:db8:53::80",
    ]
    first = config.checks[0]
    assert first.check == DnsCheck(
        address=ip_address("192.0.2.53"), name="example.test.", type="SOA", flags=("aa",)
    )
    assert (first.interval, first.timeout, first.fall, first.rise) == (1.0, 0.5, 2, 3)
    assert config.router.kind is RouterKind.BIRD
    assert config.unchecked == ()


def test_each_prefix_needs_the_checks_of_its_own_addresses() -> None:
    rules = read().rules
    four, six = rules[ip_network("192.0.2.0/24")], rules[ip_network("2001:db8:53::/48")]
    assert isinstance(four, Rule)
    assert isinstance(six, Rule)
    assert len(four.parts) == four.least == 3
    assert set(six.checks()) == {
        "dns/dns/example.test@2001:db8:53::53",
        "resolver/dns@2001:db8:53::1",
        "web/http@2001:db8:53::80",
    }


def test_everything_can_be_said_in_the_file() -> None:
    config = read("""\
router: {kind: gobgp, socket: "127.0.0.1:50051", neighbours: [198.51.100.1]}
state: /srv/state
control: /srv/agent.sock
metrics: 127.0.0.1:9153
on_stop: drain
damping: 0s
drain: {hold: 2m, prepend: 3, shut_sessions: true}
require: any
prefixes:
  2001:db8:53::/48: {require: 2}
fleet: {endpoints: [http://127.0.0.1:2379], budget: 2, options: {lease_s: "30"}}
dead_man: {kind: lease, lease: 6s, addresses: [198.18.255.1/30]}
services:
  dns:
    require: any
    checks:
      - dns: {name: example.test, type: A, rcode: [NOERROR, nxdomain], answer: "^192[.]", transport: tls}
      - exec: {command: [/bin/true], interval: 10s, timeout: 2s}
      - unit: {name: knot}
  web:
    checks:
      - http: {address: 192.0.2.80, path: /ok, status: [200, 204], body: fine, tls: true, expiry: 7d}
      - tcp: {port: 443, fall: 1, shared: true}
""")
    assert config.policy.drain_hold == 120
    assert config.policy.damping == 0
    assert config.policy.guarded
    assert config.fleet is not None
    assert config.fleet.budget == 2
    by_name = {c.name: c for c in config.checks}
    dns = by_name["dns/dns/example.test@192.0.2.53"].check
    assert isinstance(dns, DnsCheck)
    assert (dns.port, dns.rcodes, dns.answer) == (853, ("NOERROR", "NXDOMAIN"), "^192[.]")
    assert by_name["dns/exec"].check == ExecCheck(command=("/bin/true",))
    assert by_name["dns/exec"].timeout == 2.0
    assert by_name["dns/unit"].check == UnitCheck(unit="knot.service")
    web = by_name["web/https@192.0.2.80"].check
    assert isinstance(web, HttpCheck)
    assert (web.port, web.status, web.expiry) == (443, (200, 204), 7 * 86400.0)
    tcp = by_name["web/tcp@2001:db8:53::80"]
    assert isinstance(tcp.check, TcpCheck)
    assert (tcp.fall, tcp.shared) == (1, True)
    four, six = (
        config.rules[ip_network("192.0.2.0/24")],
        config.rules[ip_network("2001:db8:53::/48")],
    )
    assert isinstance(four, Rule)
    assert isinstance(six, Rule)
    assert (four.least, six.least) == (1, 2)
    dns_part = four.parts[0]
    assert isinstance(dns_part, Rule)
    assert dns_part.least == 1
    assert set(dns_part.checks()) == {"dns/dns/example.test@192.0.2.53", "dns/exec", "dns/unit"}


def test_every_mistake_is_told_at_once_with_its_place() -> None:
    with pytest.raises(InputError) as caught:
        read("""\
router: {kind: brid, sockt: /run/x}
dampign: 3s
metrics: 0.0.0.0:9153
require: 9
services:
  dsn: {}
  web:
    checks:
      - htpp: {}
      - tcp: {prt: 80}
      - dns: {name: a..b, address: 192.0.2.99, interval: 1s, timeout: 2s}
""")
    assert str(caught.value).splitlines() == [
        "agent.yaml:1:16: router.kind: 'brid' is none of the known values; did you mean bird?",
        "agent.yaml:1:22: router.sockt: is not known here; did you mean `socket`?",
        "agent.yaml:2:1: dampign: is not known here; did you mean `damping`?",
        (
            "agent.yaml:3:10: metrics: '0.0.0.0:9153' is neither the path of a unix socket nor a port "
            "of the loopback, such as 127.0.0.1:9153"
        ),
        "agent.yaml:4:10: require: 9 services are required in 192.0.2.0/24, which has 3",
        "agent.yaml:4:10: require: 9 services are required in 2001:db8:53::/48, which has 3",
        "agent.yaml:6:3: services.dsn: 'dsn' is no service of the spec; there are dns, resolver and web",
        (
            "agent.yaml:9:9: services.web.checks[0]: htpp is not one: one check has one name of dns, "
            "http, zones, tcp, icmp, address, exec, process, unit or consistency; did you mean http?"
        ),
        "agent.yaml:10:9: services.web.checks[1].tcp.port: is missing: `port` is needed here",
        "agent.yaml:10:15: services.web.checks[1].tcp.prt: is not known here; did you mean `port`?",
        "agent.yaml:11:14: services.web.checks[2].dns: the timeout (2s) is longer than the interval (1s)",
        "agent.yaml:11:21: services.web.checks[2].dns.name: 'a..b' is not a domain name",
        (
            "agent.yaml:11:36: services.web.checks[2].dns.address: 192.0.2.99 is no address of service "
            "web: 192.0.2.80 or 2001:db8:53::80"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "dead_man: {kind: bfd, addresses: ['10.255.53.2']}",
            "1:35: dead_man.addresses[0]: '10.255.53.2' is not LOCAL,PEER",
        ),
        (
            "dead_man: {kind: bfd, addresses: ['10.255.53.2,fdbf:d::1']}",
            "needs two addresses of one family",
        ),
        ("dead_man: {kind: bfd}", "1:11: dead_man: `addresses` is missing"),
        (
            "dead_man: {kind: lease, addresses: [198.18.255.1]}",
            "is no address with its length, such as 198.18.255.1/32",
        ),
        ("dead_man: {kind: lease, lease: 1s, addresses: [198.18.255.1/32]}", "2s at least"),
        ("fleet: {endpoints: [etcd1:2379]}", "1:21: fleet.endpoints[0]: 'etcd1:2379' is not a mem"),
        ("fleet: {budget: 2}", "`endpoints` is missing"),
        (
            "fleet: {endpoints: ['http://[::1]:2379'], options: {leas_s: 30}}",
            "fleet.options.leas_s: is not known here; did you mean `lease_s`?",
        ),
        (
            "fleet: {endpoints: ['http://[::1]:2379'], options: {lease_s: 1}}",
            "a lease of 1 s is too short: at least 2 s",
        ),
        (
            "fleet: {endpoints: ['http://[::1]:2379'], options: {timeout_s: soon}}",
            "'soon' is no number of seconds",
        ),
    ],
)
def test_what_would_only_show_at_the_start_is_told_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    (told,) = str(caught.value).splitlines()
    assert told.startswith("agent.yaml:1:")
    assert says in told


def test_a_site_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"there is no site 'ams'; its sites are nrt, lhr"):
        read(site="ams")


def test_text_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InputError):
        read("- a\n- b\n")


def test_a_check_of_no_address_counts_only_where_its_service_lives() -> None:
    text = """\
services:
  web: {checks: [{process: {pidfile: /run/web.pid}}]}
  dns: {checks: [{tcp: {port: 53, address: 192.0.2.53}}, {exec: {command: /bin/true}}]}
"""
    rules = read(text).rules
    six = rules[ip_network("2001:db8:53::/48")]
    assert isinstance(six, Rule)
    assert set(six.checks()) == {"web/process", "dns/exec", "resolver/dns@2001:db8:53::1"}
