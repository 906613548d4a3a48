import io
from pathlib import Path

import pytest

from ridgeline.app.check import check_spec, read_spec, read_spec_with_warnings
from ridgeline.app.new import new_network
from ridgeline.errors import InputError

SPEC = """\
network: example
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: authoritative-dns, addresses: [192.0.2.53], zones: [a.zone]}
  web:
    kind: http-cache
    addresses: [192.0.2.80]
    origin: http://198.51.100.1
    tls: {certificate: tls/a.pem, key: tls/a.key}
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
ZONE = "$ORIGIN example.test.\n@ 60 SOA ns hostmaster 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.53\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "a.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "tls" / "a.key").write_text("-----BEGIN EC PRIVATE KEY-----\n")
    (tmp_path / "a.zone").write_text(ZONE)
    path = tmp_path / "ridgeline.yaml"
    path.write_text(SPEC)
    return path


def complaints(spec: Path) -> list[tuple[str, str]]:
    return [(problem.where, problem.message) for problem in check_spec(str(spec)).problems]


def test_a_spec_with_all_its_files_is_right(spec: Path) -> None:
    verdict = check_spec(str(spec))
    assert verdict.ok
    assert verdict.spec == read_spec(str(spec))
    assert verdict.file == str(spec)


def test_missing_files_are_problems_of_the_spec_at_the_line_that_names_them(spec: Path) -> None:
    for name in ("a.zone", "tls/a.pem", "tls/a.key"):
        (spec.parent / name).unlink()
    verdict = check_spec(str(spec))
    assert [(p.line, p.column, p.where) for p in verdict.problems] == [
        (5, 67, "services.dns.zones[0]"),
        (10, 24, "services.web.tls.certificate"),
        (10, 40, "services.web.tls.key"),
    ]
    assert verdict.problems[0].message == f"there is no file {spec.parent / 'a.zone'}"
    assert verdict.spec is not None
    assert not verdict.ok


def test_certificate_and_key_the_wrong_way_round_are_noticed(spec: Path) -> None:
    spec.write_text(SPEC.replace("a.pem, key: tls/a.key", "a.key, key: tls/a.pem"))
    assert complaints(spec) == [
        ("services.web.tls.certificate", "tls/a.key holds no PEM certificate (RFC 7468)"),
        ("services.web.tls.key", "tls/a.pem holds no PEM key (RFC 7468)"),
    ]


def test_a_folder_is_no_zone_file(spec: Path) -> None:
    spec.write_text(SPEC.replace("a.zone", "tls"))
    assert complaints(spec) == [
        ("services.dns.zones[0]", f"{spec.parent / 'tls'} is a directory; a zone file is needed")
    ]


def test_a_mistake_in_a_zone_is_placed_in_the_zone(spec: Path) -> None:
    zone = spec.parent / "a.zone"
    zone.write_text(ZONE.replace("192.0.2.53", "192.0.2.530"))
    (problem,) = check_spec(str(spec)).problems
    assert problem.file == str(zone)
    assert problem.line in {4, 5}  # the DNS library counts the line end too
    assert problem.message


def test_a_zone_without_its_soa_is_refused(spec: Path) -> None:
    (spec.parent / "a.zone").write_text("$ORIGIN example.test.\n@ 60 NS ns\n")
    (problem,) = check_spec(str(spec)).problems
    assert "SOA" in problem.message


def test_files_are_looked_for_even_if_the_spec_has_other_problems(spec: Path) -> None:
    (spec.parent / "a.zone").unlink()
    spec.write_text(SPEC.replace("64500", "zero"))
    assert [where for where, _ in complaints(spec)] == ["asn", "services.dns.zones[0]"]


def test_a_path_is_relative_to_the_spec_and_not_to_the_caller(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent.parent)
    assert check_spec(f"{spec.parent.name}/{spec.name}").ok


def test_standard_input_is_a_spec_in_the_current_folder(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SPEC.encode())))
    verdict = check_spec("-")
    assert verdict.ok
    assert verdict.file == "<stdin>"


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such file; `ridgeline new DIR`"):
        read_spec(str(tmp_path / "ridgeline.yaml"))


def test_a_folder_says_which_file_was_meant(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a directory; did you mean .*ridgeline\.yaml\?"):
        read_spec(str(spec.parent))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"is a directory without a ridgeline\.yaml"):
        read_spec(str(empty))


def test_a_file_that_is_far_too_long_is_not_read_to_its_end() -> None:
    with pytest.raises(InputError, match=r"/dev/zero: is larger than 4194304 bytes"):
        read_spec("/dev/zero")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match=r"loop\.yaml: cannot be read: Too many levels"):
        read_spec(str(loop))
    (problem,) = check_spec(str(loop)).problems
    assert (problem.line, problem.column) == (1, 1)
    assert problem.message == "cannot be read: Too many levels of symbolic links"


def test_bytes_that_are_no_text_are_a_problem_with_a_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"network: example\n# caf\xe9\n")
    (problem,) = check_spec(str(path)).problems
    assert (problem.line, problem.column) == (2, 6)


def test_warnings_come_beside_the_spec(tmp_path: Path) -> None:
    spec = new_network(tmp_path)[0]
    spec.write_text(spec.read_text().replace("192.0.2.0/24, 2", "192.0.2.0/25, 2"))
    assert len(read_spec_with_warnings(str(spec))[1]) == 1
    assert len(check_spec(str(spec)).warnings) == 1
