"""Sessions are placed at the nearest PoP, and names that do not exist are answered with near ones."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from ridgeline.app.check import read_spec
from ridgeline.errors import InputError
from ridgeline.net.asn import Asn
from ridgeline.net.community import GRACEFUL_SHUTDOWN
from ridgeline.routing.announce import announcements
from ridgeline.spec.model import SiteState, Spec
from ridgeline.topology.demo import demo
from ridgeline.topology.internet import Internet


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec("examples/demo/ridgeline.yaml")


@pytest.fixture(scope="module")
def net() -> Internet:
    return demo()


def with_asn(spec: Spec, asn: int) -> Spec:
    """Let the first session of the first site go to another network."""
    site = spec.sites[0]
    upstream = replace(site.upstreams[0], asn=Asn(asn))
    return replace(
        spec,
        sites=(replace(site, upstreams=(upstream, *site.upstreams[1:])), *spec.sites[1:]),
    )


def with_state(spec: Spec, state: SiteState) -> Spec:
    return replace(spec, sites=(replace(spec.sites[0], state=state), *spec.sites[1:]))


def test_a_session_is_at_the_nearest_pop_of_its_upstream(spec: Spec, net: Internet) -> None:
    said = announcements(spec, net)
    where = {
        (said.site_names[s], int(net.asn[a])): net.pop_code[p]
        for s, a, p in zip(said.site, said.as_index, said.pop, strict=True)
    }
    assert where["nrt", 65537] == "nrt"
    assert where["syd", 65537] == "syd"
    assert where["gru", 65538] == "gru"


@pytest.mark.parametrize(
    ("asn", "near"),
    [
        (65560, "near it: AS65550 (tancho), AS65540 (puffin), AS64560 (ipe)"),  # a digit mistyped
        (6555, "near it: AS65550 (tancho), AS65551 (binturong)"),  # one left out
        (56550, "near it: AS65550 (tancho)"),  # two swapped
        (7018, "near it: AS64512 (bramble), AS64513 (heather)"),  # nothing is like it
    ],
)
def test_an_absent_upstream_is_named_with_its_line_and_near_numbers(
    spec: Spec, net: Internet, asn: int, near: str
) -> None:
    with pytest.raises(InputError) as caught:
        announcements(with_asn(spec, asn), net)
    (problem,) = caught.value.problems
    assert problem.line == spec.sites[0].line
    assert problem.where == "sites.nrt.upstreams[0].asn"
    assert problem.message == f"AS{asn} is not in builtin:demo; {near}"


def test_a_site_that_is_down_says_nothing(spec: Spec, net: Internet) -> None:
    said = announcements(spec, net, down=["nrt"])
    assert "nrt" in said.site_names
    assert "nrt" not in said.announcing()


def test_a_name_that_is_no_site_is_answered_with_all_sites(spec: Spec, net: Internet) -> None:
    with pytest.raises(InputError, match="no site is named 'tyo'; sites: nrt, lhr, iad"):
        announcements(spec, net, down=["tyo"])


def test_all_sites_down_is_an_error(spec: Spec, net: Internet) -> None:
    with pytest.raises(
        InputError, match=r"every site is down, so nobody announces 192\.0\.2\.0/24"
    ):
        announcements(spec, net, down=[site.name for site in spec.sites])


def test_a_strange_prefix_is_answered_with_the_prefixes_that_there_are(
    spec: Spec, net: Internet
) -> None:
    with pytest.raises(InputError, match=r"prefixes: 192\.0\.2\.0/24, 2001:db8:53::/48"):
        announcements(spec, net, ip_network("198.51.100.0/24"))


def test_a_session_announces_only_its_own_prefixes(spec: Spec, net: Internet) -> None:
    first, second = spec.prefixes
    site = spec.sites[0]
    only_first = replace(site.upstreams[0], prefixes=(first,))
    spec = replace(
        spec, sites=(replace(site, upstreams=(only_first, *site.upstreams[1:])), *spec.sites[1:])
    )
    assert (
        announcements(spec, net, first).n_sessions
        == announcements(spec, net, second).n_sessions + 1
    )


def test_a_drained_site_says_graceful_shutdown(spec: Spec, net: Internet) -> None:
    said = announcements(with_state(spec, SiteState.DRAINED), net)
    for site, communities in zip(said.site, said.communities, strict=True):
        assert (GRACEFUL_SHUTDOWN in communities) == (site == 0)


def test_a_planned_site_is_predicted_and_not_rehearsed(spec: Spec, net: Internet) -> None:
    spec = with_state(spec, SiteState.PLANNED)
    assert "nrt" in announcements(spec, net).announcing()
    assert "nrt" not in announcements(spec, net, planned=False).announcing()


def test_what_ifs_change_only_what_they_name(spec: Spec, net: Internet) -> None:
    said = announcements(spec, net)
    tanuki = net.index_of(65537)
    changed = said.prepended("syd", 2, as_index=tanuki)
    lengths = {
        (said.site_names[s], int(net.asn[a])): n
        for s, a, n in zip(changed.site, changed.as_index, changed.length(), strict=True)
    }
    assert lengths.pop(("syd", 65537)) == 3
    assert set(lengths.values()) == {1}
    assert said.without("syd", "nrt").announcing() == ("lhr", "iad", "gru", "jnb")
    assert said.drained("jnb").n_sessions == said.n_sessions
