"""A certificate and a key that do not fit are named before any server sees them."""

import re
from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.lab.material.certificates import CertificateFiles
from ridgeline.lab.services.recursive import check_pair

pytest.importorskip("cryptography")

from ridgeline.lab.material.certificates import Authority

CERTIFICATE, KEY = Path("tls/site.pem"), Path("tls/site.key")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return Authority("net").sign(["a.example"], []).write(tmp_path, "resolver")


def complaint(files: CertificateFiles) -> str:
    with pytest.raises(InputError) as found:
        check_pair(files, CERTIFICATE, KEY)
    return str(found.value)


def test_a_pair_that_fits_is_taken(files: CertificateFiles) -> None:
    check_pair(files, CERTIFICATE, KEY)


def test_the_key_of_another_certificate_is_named(files: CertificateFiles, tmp_path: Path) -> None:
    other = Authority("net").sign(["a.example"], []).write(tmp_path, "other")
    files.key.write_bytes(other.key.read_bytes())
    assert complaint(files) == "tls/site.key is not the key of the certificate in tls/site.pem"


@pytest.mark.parametrize("which", ["certificate", "key"])
def test_a_file_that_holds_something_else_is_named(files: CertificateFiles, which: str) -> None:
    getattr(files, which).write_text("not PEM")
    file = {"certificate": CERTIFICATE, "key": KEY}[which]
    assert complaint(files).startswith(f"{file} holds no ")


def test_a_key_with_a_password_is_refused_without_asking_for_it(files: CertificateFiles) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert re.search("it needs a password", complaint(files))
