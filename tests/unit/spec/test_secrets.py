"""Files of keys: what is read, what is refused and how, and how a rotation goes on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.spec.secrets import (
    Key,
    KeyRing,
    Phase,
    Role,
    SecretKind,
    Secrets,
    new_ring,
    parse_keys,
    phase_after,
    render_keys,
    rotate,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
A, B, C = (bytes([n, *range(15)]) for n in (1, 2, 3))


def cookies(text: str) -> tuple[KeyRing | None, list[str]]:
    ring, problems = parse_keys(text, kind=SecretKind.COOKIES, file="dns-cookies")
    return ring, [str(problem) for problem in problems]


def test_bare_keys_are_newest_first_the_first_is_used_and_all_are_accepted() -> None:
    ring, problems = cookies(f"# ours\n\n  {A.hex().upper()}  # made in May\n{B.hex()}\n")
    assert problems == []
    assert ring is not None
    assert [key.role for key in ring.keys] == [Role.USED, Role.OLD]
    assert ring.accepted() == (A, B)


def test_a_key_that_is_next_stands_first_in_the_file_and_is_not_used_yet() -> None:
    ring, _ = cookies(f"{A.hex()} next 2026-11-22T12:00:00Z\n{B.hex()} used\n")
    assert ring is not None
    assert ring.accepted() == (B, A)
    assert ring.since() == NOON


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: holds no key; `openssl rand -hex 16` makes one"),
        ("# nothing\n", "1:1: holds no key; `openssl rand -hex 16` makes one"),
        (
            A.hex()[:-2],
            (
                "1:1: the key has 15 bytes; a server cookie (RFC 9018, SipHash-2-4) needs 16 bytes, "
                "32 hex digits"
            ),
        ),
        (
            f"\n {A.hex()}f",
            (
                "2:2: the key has 33 hex digits; a server cookie (RFC 9018, SipHash-2-4) needs "
                "16 bytes, 32 hex digits"
            ),
        ),
        ("c2VjcmV0", "1:1: a key of 16 bytes, 32 hex digits is needed, and this is not hex"),
        (
            "0" * 32,
            "1:1: the key is one byte over and over, a placeholder; `openssl rand -hex 16` makes a key",
        ),
        (f"{A.hex()} new", "1:1: after the key stands next, used or old"),
        (
            f"{A.hex()} used yesterday",
            "1:1: the time must be such as 2026-11-22T10:00:00Z (UTC)",
        ),
        (
            f"{A.hex()} used 2026-11-22T10:00:00Z {B.hex()}",
            "1:1: one key a line: HEX ROLE TIME, and comments after #",
        ),
        (f"{A.hex()}\n{A.hex()}", "2:1: this key stands on line 1 too"),
        (f"{A.hex()} next\n", "1:1: 0 keys are `used`; exactly one must be"),
        (f"{A.hex()}\n{B.hex()} used\n", "2:1: 2 keys are `used`; exactly one must be"),
        (
            f"{A.hex()} next\n{B.hex()} next\n{C.hex()} used\n",
            "3:1: more than one key is `next`: one rotation at a time",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_the_key(text: str, problem: str) -> None:
    ring, problems = cookies(text)
    assert ring is None
    assert problems == [f"dns-cookies:{problem}"]
    for key in (A, B):
        assert not any(key.hex()[:12] in told for told in problems)


def test_every_line_that_is_wrong_is_told_at_once() -> None:
    _, problems = cookies(f"abc\n{A.hex()}\nxyz\n")
    assert [told.split(":")[1] for told in problems] == ["1", "3"]


def test_zone_transfers_have_one_key() -> None:
    keys = "\n".join(bytes([n, *range(31)]).hex() for n in (1, 2))
    _, problems = parse_keys(keys, kind=SecretKind.TSIG, file="tsig")
    assert [p.message for p in problems] == ["zone transfers have one key at a time"]


def test_a_rotation_accepts_uses_and_drops() -> None:
    ring = new_ring(SecretKind.COOKIES, A, at=NOON)
    told: list[object] = []
    for hour in range(1, 4):
        told.append(phase_after(ring))
        ring = rotate(ring, B, at=NOON + timedelta(hours=hour))
        told.append(ring.accepted())
    assert told == [Phase.ACCEPT, (A, B), Phase.USE, (B, A), Phase.DROP, (B,)]
    assert phase_after(ring) is Phase.ACCEPT


def test_nothing_shows_a_key() -> None:
    ring = new_ring(SecretKind.COOKIES, A, at=NOON)
    secrets = Secrets(dns_cookies=(A,), ticket_keys=(B,), tsig=C)
    for shown in (repr(ring), str(ring), repr(ring.keys[0]), repr(secrets), str(secrets)):
        for key in (A, B, C):
            assert key.hex() not in shown
            assert repr(key) not in shown


kinds = st.sampled_from(SecretKind)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@st.composite
def rings(draw: st.DrawFn) -> KeyRing:
    kind = draw(kinds)
    fresh = st.binary(min_size=kind.key_bytes, max_size=kind.key_bytes).filter(
        lambda key: len(set(key)) > 1
    )
    n = 1 if kind is SecretKind.TSIG else draw(st.integers(1, 4))
    values = draw(st.lists(fresh, min_size=n, max_size=n, unique=True))
    ring = new_ring(kind, values[0], at=draw(times))
    for value in values[1:]:
        for _ in range(draw(st.integers(1, 3))):
            ring = rotate(ring, value, at=draw(times))
            if phase_after(ring) is Phase.ACCEPT:
                break
        if len(ring.keys) > 1:
            break
    return ring


@given(rings())
def test_what_is_written_reads_back_as_itself(ring: KeyRing) -> None:
    back, problems = parse_keys(render_keys(ring), kind=ring.kind, file="f")
    assert problems == ()
    assert back == ring


@given(rings().filter(lambda ring: ring.kind is not SecretKind.TSIG), times, st.data())
def test_a_key_is_accepted_before_it_is_used_and_after_it_was(
    ring: KeyRing, at: datetime, data: st.DataObject
) -> None:
    """What RFC 9018, section 5 is for: sites one step apart understand each other."""
    size = ring.kind.key_bytes
    fresh = data.draw(st.binary(min_size=size, max_size=size))
    before, after = ring.accepted(), rotate(ring, fresh, at=at).accepted()
    assert after[0] in before
    assert before[0] in after


@given(st.text(max_size=300), kinds)
def test_any_text_is_keys_or_problems(text: str, kind: SecretKind) -> None:
    ring, problems = parse_keys(text, kind=kind, file="f")
    assert (ring is None) == bool(problems)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert str(problem).isprintable()


def test_a_key_tells_all_but_its_value() -> None:
    assert repr(Key(value=A, role=Role.OLD, since=NOON)) == "Key(old since 2026-11-22T12:00:00Z)"
