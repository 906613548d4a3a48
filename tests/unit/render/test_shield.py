"""Buckets of URLs are shared out evenly, and stay where they are when a site joins or leaves."""

from collections import Counter

from ridgeline.render.shield import BUCKETS, ranking

SITES = ("nrt", "lhr", "iad", "gru")


def test_each_site_gets_its_share() -> None:
    shares = Counter(ranking(bucket, SITES)[0] for bucket in range(BUCKETS))
    assert shares.keys() == set(SITES)
    assert min(shares.values()) > BUCKETS / len(SITES) / 2


def test_a_site_that_leaves_moves_only_its_own() -> None:
    for bucket in range(BUCKETS):
        before = ranking(bucket, SITES)
        assert ranking(bucket, [s for s in SITES if s != "gru"]) == tuple(
            s for s in before if s != "gru"
        )
        assert ranking(bucket, reversed(SITES)) == before
