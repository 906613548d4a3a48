"""The folder of keys: made for its owner alone, checked, and rotated step by step."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ridgeline.app.check import read_spec
from ridgeline.app.new import new_network
from ridgeline.app.secrets import check_secrets, new_secrets, rotate_secrets
from ridgeline.errors import InputError, MachineError
from ridgeline.lab.material.certificates import Authority
from ridgeline.lab.material.secrets import locked, secrets_of, write_private
from ridgeline.spec.model import Spec
from ridgeline.spec.secrets import Phase, SecretKind

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    file = new_network(tmp_path / "mine")[0]
    text = file.read_text().replace("# secrets: secrets", "secrets: secrets")
    text = text.replace("    # tls: {certificate: tls/site", "    tls: {certificate: tls/site")
    file.write_text(text)
    return read_spec(str(file))


def folder_of(spec: Spec) -> Path:
    return Path(spec.file).parent / "secrets"


def add_certificate(spec: Spec, *, now: datetime = NOON) -> None:
    web = spec.services[2]
    tls = Path(spec.file).parent / "tls"
    tls.mkdir()
    Authority("mine", now=now).sign(["origin.example.test"], web.addresses).write(tls, "site")


def test_what_is_made_is_its_owners_alone_and_right(spec: Spec) -> None:
    files = new_secrets(spec, now=NOON)
    assert [file.name for file in files] == ["dns-cookies", "ticket-keys", "tsig"]
    folder = folder_of(spec)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    add_certificate(spec)
    verdict = check_secrets(spec, now=NOON)
    assert (verdict.problems, verdict.warnings) == ((), ())
    assert verdict.rings.keys() == set(SecretKind)
    assert verdict.certificates == ("web",)
    assert (folder / ".gitignore").read_text().endswith("\n*\n")


def test_no_key_is_overwritten_and_a_missing_one_is_added(spec: Spec) -> None:
    files = new_secrets(spec)
    before = [file.read_bytes() for file in files]
    with pytest.raises(InputError, match="none is overwritten"):
        new_secrets(spec)
    files[1].unlink()
    assert new_secrets(spec) == (files[1],)
    after = [file.read_bytes() for file in files]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]


def test_two_networks_have_different_keys(spec: Spec, tmp_path: Path) -> None:
    new_secrets(spec)
    first = secrets_of(spec)
    for file in folder_of(spec).glob("[a-z]*"):
        file.unlink()
    new_secrets(spec)
    second = secrets_of(spec)
    assert not {*first.dns_cookies, *first.ticket_keys, first.tsig} & {
        *second.dns_cookies,
        *second.ticket_keys,
        second.tsig,
    }


@pytest.mark.parametrize(
    ("mode", "who"),
    [
        (0o640, "its group"),
        (0o604, "everyone"),
        (0o666, "its group and everyone"),
        (0o620, "its group"),
    ],
)
def test_a_file_that_others_may_open_is_refused_with_its_cure(
    spec: Spec, mode: int, who: str
) -> None:
    file = new_secrets(spec)[0]
    file.chmod(mode)
    add_certificate(spec)
    problem = f"{file}:1:1: is open to {who} ({mode:04o}): chmod 600 {file}"
    assert list(map(str, check_secrets(spec, now=NOON).problems)) == [problem]
    for refuse in (secrets_of, lambda s: rotate_secrets(s, SecretKind.COOKIES)):
        with pytest.raises(InputError) as caught:
            refuse(spec)
        assert str(caught.value) == problem


def test_a_folder_and_a_private_key_must_be_their_owners_too(spec: Spec) -> None:
    new_secrets(spec)
    folder = folder_of(spec)
    folder.chmod(0o755)
    add_certificate(spec)
    key = folder.parent / "tls" / "site.key"
    key.chmod(0o644)
    assert list(map(str, check_secrets(spec, now=NOON).problems)) == [
        f"{folder}:1:1: is open to its group and everyone (0755): chmod 700 {folder}",
        f"{key}:1:1: is open to its group and everyone (0644): chmod 600 {key}",
    ]


def test_a_certificate_that_has_expired_is_a_problem(spec: Spec) -> None:
    new_secrets(spec)
    add_certificate(spec, now=NOON - timedelta(days=365))
    problems = [p.message for p in check_secrets(spec, now=NOON).problems]
    assert problems[0].startswith("certificate 2 of the chain expired 335 days ago")


def test_a_folder_that_is_not_there_or_not_named_is_told(spec: Spec) -> None:
    for act in (secrets_of, lambda s: rotate_secrets(s, SecretKind.TICKETS)):
        with pytest.raises(InputError, match=r"there is no such folder; `ridgeline secrets new"):
            act(spec)
    assert "there is no such folder" in check_secrets(spec).problems[0].message
    file = Path(spec.file)
    file.write_text(file.read_text().replace("secrets: secrets", ""))
    nameless = read_spec(str(file))
    with pytest.raises(InputError, match="add the line `secrets: secrets`"):
        new_secrets(nameless)
    assert [w.where for w in check_secrets(nameless).warnings] == ["secrets"]
    fresh = secrets_of(nameless)
    assert fresh.dns_cookies != secrets_of(nameless).dns_cookies


def test_a_rotation_goes_on_from_what_is_in_the_file(spec: Spec) -> None:
    new_secrets(spec, now=NOON)
    old = secrets_of(spec).ticket_keys
    steps = []
    at = NOON
    for _ in range(3):
        at += timedelta(days=2)
        done = rotate_secrets(spec, SecretKind.TICKETS, now=at)
        steps.append((done.done, done.next, done.early, len(secrets_of(spec).ticket_keys)))
    none = timedelta()
    assert steps == [
        (Phase.ACCEPT, Phase.USE, none, 2),
        (Phase.USE, Phase.DROP, none, 2),
        (Phase.DROP, Phase.ACCEPT, none, 1),
    ]
    assert not set(secrets_of(spec).ticket_keys) & set(old)


def test_a_cron_job_of_every_quarter_of_an_hour_rotates_once_a_day(spec: Spec) -> None:
    new_secrets(spec, now=NOON)
    steps = []
    for quarter in range(1, 4 * 31):
        at = NOON + timedelta(minutes=15 * quarter)
        done = rotate_secrets(spec, SecretKind.COOKIES, only_if_due=True, now=at)
        if done.done is not None:
            steps.append((quarter / 4, done.done))
    assert steps == [(26.0, Phase.ACCEPT), (26.25, Phase.USE), (27.25, Phase.DROP)]


def test_a_step_taken_too_early_says_by_how_much(spec: Spec) -> None:
    new_secrets(spec, now=NOON)
    early = [
        rotate_secrets(spec, SecretKind.COOKIES, now=NOON + timedelta(minutes=m)).early
        for m in (1, 2, 5)
    ]
    assert early == [timedelta(), timedelta(minutes=9), timedelta(minutes=57)]


def test_a_rotation_that_cannot_be_written_changes_nothing(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_secrets(spec)
    folder = folder_of(spec)
    before = {file: file.read_bytes() for file in folder.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MachineError, match="No space left on device"):
        rotate_secrets(spec, SecretKind.COOKIES)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_two_rotations_at_once_do_not_mix(spec: Spec) -> None:
    new_secrets(spec)
    with (
        locked(folder_of(spec)),
        pytest.raises(MachineError, match="being changed by another command"),
    ):
        rotate_secrets(spec, SecretKind.COOKIES)
    assert rotate_secrets(spec, SecretKind.COOKIES).done is Phase.ACCEPT


def test_a_private_file_is_never_open_and_replaces_whole(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)
    (tmp_path / ".key.new").write_text("left by a crash")
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [f.name for f in tmp_path.iterdir()] == ["key"]
