"""`ridgeline secrets`: the keys that all sites share. No key is ever printed."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from ridgeline.app.secrets import Rotation, SecretsVerdict

_SCHEMA: Final = "ridgeline.secrets/1"
_spec = click.argument("spec", metavar="SPEC", type=click.Path())


def _json(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(function)


@click.group("secrets")
def command() -> None:
    """Make, check and rotate the keys that all sites share: DNS cookies, TLS tickets, transfers.

    They are in the folder that the spec names as `secrets`, for its owner alone. No key is ever
    printed or logged.
    """


@command.command("new")
@_spec
@_json
def new(spec: str, *, as_json: bool) -> None:
    """Write the keys that SPEC's folder lacks; none is overwritten."""
    from ridgeline.app.check import read_spec
    from ridgeline.app.secrets import new_secrets

    files = new_secrets(read_spec(spec))
    if as_json:
        click.echo(json.dumps({"schema": _SCHEMA, "files": [str(file) for file in files]}))
        return
    for file in files:
        click.echo(str(file))
    click.echo("next: every site needs the same files; put them into no repository", err=True)


@command.command("check")
@_spec
@_json
def check(spec: str, *, as_json: bool) -> int:
    """Say whether SPEC's keys and certificates are right.

    Who may read them, how long keys are; certificates: their dates, key, host names and addresses.
    Problems and warnings go to standard error, one a line; the exit code is 0 if there is no
    problem (warnings do not count), else 2.
    """
    from ridgeline.app.check import read_spec
    from ridgeline.app.secrets import check_secrets
    from ridgeline.cli.check import render_problems

    verdict = check_secrets(read_spec(spec))
    if as_json:
        click.echo(json.dumps(_document(verdict), ensure_ascii=False))
    else:
        for line in render_problems(verdict.problems, verdict.warnings):
            click.echo(line, err=True)
        click.echo(f"{verdict.folder or spec}: {_summary(verdict)}")
    return 2 if verdict.problems else 0


@command.command("rotate")
@_spec
@click.argument("what", metavar="cookie|tickets", type=click.Choice(["cookie", "tickets"]))
@click.option(
    "--if-due", is_flag=True, help="For a cron job: do nothing while the next step is not due."
)
@_json
def rotate(spec: str, what: str, *, if_due: bool, as_json: bool) -> None:
    """Take the next step towards a new key of SPEC's DNS cookies or TLS tickets.

    There are three, and between two of them every site must get the file: the new key is accepted;
    it is used; the old one is dropped. Where a rotation stands is in the file itself. The new key may
    be used after ten minutes, the old one dropped when clients hold nothing of it any more (cookies
    an hour later, tickets a day), and the next rotation begins after 26 hours.
    """
    from ridgeline.app.check import read_spec
    from ridgeline.app.secrets import rotate_secrets
    from ridgeline.spec.secrets import SecretKind

    kind = {"cookie": SecretKind.COOKIES, "tickets": SecretKind.TICKETS}[what]
    done = rotate_secrets(read_spec(spec), kind, only_if_due=if_due)
    if as_json:
        click.echo(json.dumps(_rotation(done)))
        return
    if done.done is None:
        click.echo(f"{done.file}: not changed; next, {done.next.value}: due {_time(done.due)}")
        return
    click.echo(f"{done.file}: {_DID[done.done.value]}; {_keys(done.n_keys)} accepted")
    click.echo(f"next: give it to every site; then {done.next.value}, due {_time(done.due)}")
    if done.early:
        why = (
            "sites may not accept the new key yet"
            if done.done.value == "use the new key"
            else "clients still hold what the old key made"
        )
        click.echo(f"warning: {_span(done.early)} too early: {why}", err=True)


_DID: Final = {
    "accept the new key": "a new key is accepted, and not used yet",
    "use the new key": "the new key is used, the old one still accepted",
    "drop the old key": "the old key is dropped",
}


def _keys(number: int) -> str:
    return f"{number} key{'' if number == 1 else 's'}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _rotation(done: "Rotation") -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "file": str(done.file),
        "done": done.done.value if done.done else None,
        "next": done.next.value,
        "due": f"{done.due:%Y-%m-%dT%H:%M:%SZ}",
        "early_s": done.early.total_seconds(),
        "keys": done.n_keys,
    }


def _summary(verdict: "SecretsVerdict") -> str:
    counts = [(len(verdict.problems), "problem"), (len(verdict.warnings), "warning")]
    found = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n]
    if verdict.problems:
        return ", ".join(found)
    n = len(verdict.certificates)
    parts = [f"{len(verdict.rings)} files of keys", f"{n} certificate{'' if n == 1 else 's'}"]
    return f"ok: {', '.join(parts + found)}"


def _document(verdict: "SecretsVerdict") -> dict[str, Any]:
    from ridgeline.app.secrets import due
    from ridgeline.spec.secrets import SecretKind, phase_after

    return {
        "schema": _SCHEMA,
        "folder": str(verdict.folder) if verdict.folder else None,
        "ok": not verdict.problems,
        "problems": [
            {"file": p.file, "line": p.line, "message": p.message, "severity": severity}
            for severity, found in (("error", verdict.problems), ("warning", verdict.warnings))
            for p in found
        ],
        "keys": {
            kind.value: {
                "accepted": len(ring.keys),
                "roles": [key.role.value for key in ring.keys],
                "since": f"{ring.since():%Y-%m-%dT%H:%M:%SZ}",
                **(
                    {}
                    if kind is SecretKind.TSIG
                    else {"next": phase_after(ring).value, "due": f"{due(ring):%Y-%m-%dT%H:%M:%SZ}"}
                ),
            }
            for kind, ring in verdict.rings.items()
        },
        "certificates": list(verdict.certificates),
    }
