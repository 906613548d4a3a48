"""What `ridgeline secrets` says, and that no command ever says a key."""

import base64
import json
import logging
from pathlib import Path

import pytest

from ridgeline.app.new import new_network
from ridgeline.cli import main
from ridgeline.lab.material.certificates import Authority
from ridgeline.spec.secrets import SecretKind


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, out, err


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = new_network(tmp_path / "mine")[0]
    text = file.read_text().replace("# secrets: secrets", "secrets: secrets")
    text = text.replace("    # tls: {certificate: tls/site", "    tls: {certificate: tls/site")
    file.write_text(text)
    tls = file.parent / "tls"
    tls.mkdir()
    Authority("mine").sign(["origin.example.test"], ()).write(tls, "site")
    return file


def test_the_story_of_a_folder(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = spec.parent / "secrets"
    code, out, err = run("secrets", "new", str(spec), capsys=capsys)
    assert (code, out) == (0, f"{folder}/dns-cookies\n{folder}/ticket-keys\n{folder}/tsig\n")
    assert err == "next: every site needs the same files; put them into no repository\n"
    code, out, err = run("secrets", "check", str(spec), capsys=capsys)
    assert (code, out, err) == (0, f"{folder}: ok: 3 files of keys, 1 certificate\n", "")
    said = []
    for _ in range(3):
        code, out, err = run("secrets", "rotate", str(spec), "cookie", capsys=capsys)
        assert code == 0
        first, second = out.splitlines()
        said.append(first.removeprefix(f"{folder}/dns-cookies: "))
        assert second.startswith("next: give it to every site; then ")
    assert said == [
        "a new key is accepted, and not used yet; 2 keys accepted",
        "the new key is used, the old one still accepted; 2 keys accepted",
        "the old key is dropped; 1 key accepted",
    ]
    assert err == "warning: 60 min too early: clients still hold what the old key made\n"
    code, out, _ = run("secrets", "rotate", str(spec), "cookie", "--if-due", capsys=capsys)
    assert code == 0
    assert out.startswith(f"{folder}/dns-cookies: not changed; next, accept the new key: due 20")


def test_problems_are_told_one_a_line_and_the_code_is_two(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("secrets", "new", str(spec), capsys=capsys)
    file = spec.parent / "secrets" / "dns-cookies"
    file.write_text("beef\n")
    code, out, err = run("secrets", "check", str(spec), capsys=capsys)
    assert code == 2
    assert out == f"{file.parent}: 1 problem\n"
    assert err == (
        f"{file}:1:1: the key has 2 bytes; a server cookie (RFC 9018, SipHash-2-4) needs 16 bytes, "
        "32 hex digits\n"
    )
    code, out, _ = run("secrets", "check", "--json", str(spec), capsys=capsys)
    document = json.loads(out)
    assert code == 2
    assert (document["schema"], document["ok"]) == ("ridgeline.secrets/1", False)
    assert [(p["file"], p["line"], p["severity"]) for p in document["problems"]] == [
        (str(file), 1, "error")
    ]
    assert document["keys"].keys() == {"ticket-keys", "tsig"}


def material(folder: Path) -> list[str]:
    """List every way in which a key might stand in a text."""
    found = []
    for kind in SecretKind:
        for line in (folder / kind.value).read_text().splitlines():
            if line.startswith("#"):
                continue
            key = bytes.fromhex(line.split()[0])
            for part in (key, key[: kind.key_bytes // 2], key[kind.key_bytes // 2 :]):
                found += [part.hex()[:16], base64.b64encode(part).decode()[:11], repr(part)[2:14]]
    for pem in folder.parent.glob("tls/*.key"):
        found += pem.read_text().splitlines()[1:-1]
    return found


def test_no_command_tells_a_key_on_any_stream_or_in_any_log(
    spec: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = spec.parent / "secrets"
    known: set[str] = set()
    printed = ""
    with caplog.at_level(logging.DEBUG):
        for step in (
            ["secrets", "new", str(spec)],
            *(
                [*words, *more]
                for words in (
                    ["secrets", "check", str(spec)],
                    ["secrets", "rotate", str(spec), "cookie"],
                    ["secrets", "rotate", str(spec), "tickets"],
                    ["check", str(spec)],
                    ["secrets", "new", str(spec)],
                )
                for more in ([], ["--json"], ["--json"])
            ),
        ):
            _, out, err = run(*step, capsys=capsys)
            printed += out + err
            known.update(material(folder))
        good = (folder / "tsig").read_text()
        for wrong in (good.replace(" used", " lost"), good * 2, good.replace("\n", "00\n")):
            (folder / "tsig").write_text(wrong)
            _, out, err = run("secrets", "check", str(spec), capsys=capsys)
            assert "tsig:" in err
            printed += out + err
    assert len(known) > 20
    assert len(printed) > 2000
    for part in known:
        assert part not in printed
        assert part not in caplog.text


def test_no_key_stands_in_a_traceback_either(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        main(["secrets", "new", str(spec)])
    known = material(spec.parent / "secrets")

    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("ridgeline.app.secrets.render_keys", fail)
    with pytest.raises(RuntimeError) as caught:
        main(["secrets", "rotate", str(spec), "cookie"])
    shown = repr([e.frame.f_locals for e in caught.traceback if "/src/" in str(e.path)])
    assert "KeyRing" in shown
    for part in known:
        assert part not in shown
