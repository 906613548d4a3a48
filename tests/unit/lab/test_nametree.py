"""Every zone of the tree is signed, and its parent says by which key."""

from ipaddress import ip_address

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
import dns.rdataset
import dns.zone
import pytest
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from ridgeline.render.knot_tree import FAILED, OUTSIDE, WHO_ASKS

pytest.importorskip("cryptography")

from ridgeline.lab.material.nametree import NameTree

KEY = "257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+ KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="


@pytest.fixture
def tree() -> NameTree:
    return NameTree(
        server=(ip_address("198.18.0.9"),), authority=(ip_address("192.0.2.53"),), hosts={}
    )


def read(tree: NameTree) -> dict[str, dns.zone.Zone]:
    return {
        domain: dns.zone.from_text(text, origin=domain, relativize=False, check_origin=False)
        for domain, text in tree.zones().items()
    }


def validate(zone: dns.zone.Zone, name: str, kind: str) -> None:
    """Raise `dns.dnssec.ValidationFailure` unless a key of the zone signs the records."""
    assert zone.origin is not None
    keys = zone.get_rrset(zone.origin, "DNSKEY")
    records, signatures = zone.get_rrset(name, kind), zone.get_rrset(name, "RRSIG", kind)
    assert keys is not None
    assert records is not None
    assert signatures is not None
    dns.dnssec.validate(records, signatures, {zone.origin: keys})


def vouched(parent: dns.zone.Zone, child: dns.zone.Zone) -> bool:
    """Say whether the parent's DS record is of the child's key."""
    assert child.origin is not None
    ds = parent.get_rdataset(child.origin, "DS")
    keys = child.get_rdataset(child.origin, "DNSKEY")
    assert ds is not None
    assert keys is not None
    return [dns.dnssec.make_ds(child.origin, key, "SHA256") for key in keys] == list(ds)


def test_the_chain_leads_from_the_trust_anchor_to_every_zone(tree: NameTree) -> None:
    zones = read(tree)
    (anchor,) = dns.rdataset.from_text("IN", "DS", 0, tree.trust_anchor.partition(" DS ")[2])
    keys = zones["."].get_rdataset(".", "DNSKEY")
    assert keys is not None
    assert [dns.dnssec.make_ds(dns.name.root, key, "SHA256") for key in keys] == [anchor]
    for parent, child in ((".", "test."), (".", "example."), (".", "arpa."), ("test.", OUTSIDE)):
        assert vouched(zones[parent], zones[child])
        validate(zones[parent], child, "DS")
    validate(zones[OUTSIDE], f"www.{OUTSIDE}", "A")


def test_only_the_zone_that_is_wrong_on_purpose_has_wrong_signatures(tree: NameTree) -> None:
    zones = read(tree)
    assert vouched(zones["test."], zones[FAILED])
    validate(zones[FAILED], FAILED, "SOA")
    with pytest.raises(dns.exception.ValidationFailure):
        validate(zones[FAILED], f"www.{FAILED}", "A")
    assert "RRSIG" not in tree.zones()[WHO_ASKS]


def test_a_zone_that_its_primary_signs_is_vouched_for_until_it_is_gone(tree: NameTree) -> None:
    def parent() -> dns.zone.Zone:
        return read(tree)["test."]

    tree.delegate("example.test.")
    before = parent()
    assert before.get_rdataset("example.test.", "NS") is not None
    assert before.get_rdataset("example.test.", "DS") is None
    tree.delegate("example.test.", [KEY])
    signed = parent()
    ds = signed.get_rdataset("example.test.", "DS")
    assert ds is not None
    assert [str(record).split()[0] for record in ds] == [str(tag(KEY))]
    validate(signed, "example.test.", "DS")
    tree.forget("example.test.")
    after = parent()
    assert after.get_rdataset("example.test.", "NS") is None
    serials = [zone.get_soa().serial for zone in (before, signed, after)]
    assert serials == sorted(set(serials))


def tag(text: str) -> int:
    key = dns.rdata.from_text("IN", "DNSKEY", text)
    assert isinstance(key, DNSKEY)
    return dns.dnssec.key_id(key)


def test_keys_are_new_in_each_lab_and_stay_in_one(tree: NameTree) -> None:
    other = NameTree(server=(ip_address("198.18.0.9"),), authority=(), hosts={})
    assert tree.trust_anchor != other.trust_anchor
    first, again = read(tree)["test."], read(tree)["test."]
    assert first.get_rdataset("test.", "DNSKEY") == again.get_rdataset("test.", "DNSKEY")
