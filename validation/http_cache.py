"""How well the edge's engines keep to the rules of HTTP caching: the public test suite, through TLS.

    python validation/http_cache.py [--suite FOLDER] [--write]

Fetches the suite from npm (pinned; or takes a checkout of github.com/http-tests/cache-tests), runs it
against nginx with Varnish, and against nginx alone, and prints what came out; ``--write`` writes
``docs/reference/http-cache-conformance.md``. Needs node, npm, openssl, nginx and varnishd.

The npm release is of 2020 and tests RFC 7234. Where RFC 9111 says otherwise (the field Age, section
5.1), `REVISED` has the expectation that the suite itself has today.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from ridgeline.render.edge import EdgeSite, Origin, TlsFiles  # noqa: E402
from ridgeline.render.identity import HEALTH_PATH, SiteIdentity  # noqa: E402
from ridgeline.render.nginx import render_nginx  # noqa: E402
from ridgeline.render.nginx_front import render_front  # noqa: E402
from ridgeline.render.varnish import (  # noqa: E402
    VarnishPolicy,
    render_varnish,
    varnish_command,
)

PACKAGE: Final = "http-cache-tests"
VERSION: Final = "0.4.5"
INTEGRITY: Final = "sha512-DjuwN9nUZXLTW+wav1LRESCZNVxl8SshwOy4z1pxuWbWt5/ay6sM9QQ1lebBaDO6P1IMBoK6mdf+PuVP/QNL8A=="
FILE: Final = ROOT / "docs" / "reference" / "http-cache-conformance.md"
HOME: Final = IPv4Address("127.0.0.1")
# Of the release's tests, what RFC 9111 turned round, and what the suite has since only asked about.
REVISED: Final = {
    "cached": [
        "age-parse-nonnumeric",
        "age-parse-negative",
        "age-parse-float",
        "age-parse-prefix-twoline",
        "age-parse-dup-0",
        "age-parse-dup-0-twoline",
        "age-parse-dup-old",
    ],
    "check": ["age-parse-parameter", "age-parse-numeric-parameter"],
    # An error in place of the forbidden stale answer is right: the release asked for a 200.
    "error": [
        "stale-close-must-revalidate",
        "stale-close-proxy-revalidate",
        "stale-close-no-cache",
        "stale-close-s-maxage=2",
    ],
}
_RUN: Final = """
const [suite, base, revised] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])]
const { runTests, getResults } = await import(`${suite}/client/runner.mjs`)
const display = await import(`${suite}/lib/display.mjs`)
const fetch = (await import(`${suite}/node_modules/node-fetch/lib/index.mjs`)).default
const tests = (await import(`${suite}/tests/index.mjs`)).default
for (const set of tests) for (const test of set.tests) {
  if (revised.cached.includes(test.id)) test.requests[1].expected_type = 'cached'
  if (revised.check.includes(test.id)) test.kind = 'check'
  if (revised.error.includes(test.id)) {
    const missing = ['server-request-count']
    test.requests[1] = { disconnect: true, expected_status: 502, check_body: false, expected_response_headers_missing: missing }
  }
}
await runTests(tests, fetch, false, base, 25)
const results = getResults()
const rows = []
for (const set of tests) for (const test of set.tests) {
  if (test.browser_only) continue
  const sign = display.determineTestResult(tests, test.id, results)[2]
  const said = results[test.id] === true ? '' : (results[test.id] || ['', 'not run'])[1]
  rows.push({ set: set.name, id: test.id, name: test.name, kind: test.kind || 'required', sign, said })
}
console.log(JSON.stringify(rows))
"""
OUTCOMES: Final = {
    "\u2705": "passed",
    "\u26d4\ufe0f": "failed",
    "\u26a0\ufe0f": "failed",
    "\u26aa\ufe0f": "undecided",
    "\U0001f539": "not set up",
    "\u21bb": "retried",
    "Y": "yes",
    "N": "no",
    "-": "not run",
}
Rows = list[dict[str, str]]


def fetch_suite(folder: Path) -> Path:
    """Download the pinned release and what it needs; return where it is."""
    if shutil.which("npm") is None:
        raise SystemExit("npm is not installed: apt-get install npm, or give --suite FOLDER")
    packed = subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    archive = folder / packed.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise SystemExit(f"{archive.name} is not the {PACKAGE} {VERSION} that was reviewed")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    suite = folder / "package"
    install_needs(suite)
    return suite


def install_needs(suite: Path) -> None:
    """Install the suite's packages beside it, running nothing of theirs."""
    if (suite / "node_modules" / "node-fetch").is_dir():
        return
    subprocess.run(
        ["npm", "install", "--omit=dev", "--ignore-scripts", "--silent", "--no-audit"],
        cwd=suite,
        check=True,
    )


def make_site(folder: Path, port: int) -> EdgeSite:
    """Describe a site on loopback, with a certificate of its own."""
    folder.mkdir()
    certificate, key = folder / "site.pem", folder / "site.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=edge", "-addext", f"subjectAltName=IP:{HOME}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return EdgeSite(
        identity=SiteIdentity(site="nrt", network="conformance", domain="conformance.example"),
        directory=str(folder),
        listen=(HOME,),
        origin=Origin(host=str(HOME), port=port, address=HOME),
        tls=TlsFiles(certificate=str(certificate), key=str(key)),
        unicast=(HOME,),
        port=port + 1,
        tls_port=port + 2,
        cache_cookies=True,
    )


def run(suite: Path, folder: Path, engine: str, *, revised: bool) -> Rows:
    """Run the suite against an engine; the server it tests with is the origin."""
    port = 20_000 + 5 * (os.getpid() % 2000)
    site = make_site(folder, port)
    configuration = folder / "nginx.conf"
    commands: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (
            ("node", "--no-warnings", "server/server.mjs"),
            {
                "npm_config_protocol": "http",
                "npm_config_port": str(port),
                "npm_config_pidfile": str(folder / "server.pid"),
            },
        ),
        (("nginx", "-e", "stderr", "-c", str(configuration)), {}),
    ]
    if engine == "varnish":
        configuration.write_text(render_front(site))
        vcl = folder / "site.vcl"
        vcl.write_text(render_varnish(site, VarnishPolicy(standards=True)))
        commands.append((varnish_command(site, str(vcl)), {}))
    else:
        configuration.write_text(render_nginx(site))
    script = folder / "run.mjs"
    script.write_text(_RUN)
    base = f"https://{HOME}:{site.tls_port}"
    trusting = os.environ | {"NODE_EXTRA_CA_CERTS": str(folder / "site.pem")}
    with ExitStack() as stack:
        for argv, more in commands:
            log = stack.enter_context((folder / f"{Path(argv[0]).name}.log").open("wb"))
            process = subprocess.Popen(
                argv, cwd=suite, env=os.environ | more, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        wait_for(site, folder)
        done = subprocess.run(
            [
                *("node", "--no-warnings", str(script), str(suite), base),
                json.dumps(REVISED if revised else {kind: [] for kind in REVISED}),
            ],
            cwd=suite,
            env=trusting,
            capture_output=True,
            text=True,
            check=True,
        )
    rows: Rows = json.loads(done.stdout[done.stdout.index("[{") :])
    return rows


def wait_for(site: EdgeSite, folder: Path) -> None:
    """Wait until the edge is healthy and reaches the origin."""
    deadline = time.monotonic() + 20
    for path in (HEALTH_PATH, "/"):
        while True:
            try:
                url = f"http://{HOME}:{site.port}{path}"
                with urllib.request.urlopen(url, timeout=2):
                    break
            except OSError as error:
                if time.monotonic() > deadline:
                    logs = "".join(f.read_text() for f in folder.glob("*.log"))
                    raise SystemExit(f"the edge does not answer: {error}\n{logs}") from error
                time.sleep(0.1)


def count(rows: Rows, kind: str) -> Counter[str]:
    """Count the outcomes of one kind of test."""
    return Counter(OUTCOMES[row["sign"]] for row in rows if row["kind"] == kind)


def page(measured: dict[str, Rows], which: str) -> str:
    """Write the results as a page of the documentation."""
    lines = [
        "# HTTP caching, tested from outside",
        "",
        "What the public test suite for HTTP caches (<https://cache-tests.fyi>) says of the edge, through",
        f"TLS, with the `standards` policy. Suite: {which}.",
        "Made by `python validation/http_cache.py --write`.",
        "",
        "| engine | required | optimal | required that failed |",
        "|---|---|---|---|",
    ]
    for engine, rows in measured.items():
        required, optimal = count(rows, "required"), count(rows, "optimal")
        lines.append(
            f"| {engine} | {required['passed']} of {required.total()} "
            f"| {optimal['passed']} of {optimal.total()} | {required['failed']} |"
        )
    lines += [
        "",
        "A test is *undecided* where it builds on another that asks for something no rule demands (such as",
        "a stale answer that nobody allowed), and *not set up* where the engine refused the first answer:",
        "Varnish takes no part that it did not ask for, and answers 502. Tests that only ask how a cache",
        "behaves are not counted.",
        "",
        "The release tests RFC 7234. Where RFC 9111 (section 5.1) turned a rule round, what counts is RFC 9111:",
        "an `Age` that is no number is ignored, and of several the first counts. That is what the suite's own",
        f"tests say today, for {len(REVISED['cached'])} tests; {len(REVISED['check'])} more are no longer required.",
        f"Of {len(REVISED['error'])} tests with an origin that hangs up, the release wanted a 200 from it; an error is right.",
        "",
    ]
    for engine, rows in measured.items():
        lines += [
            f"## {engine}: what did not pass",
            "",
            "| test | kind | outcome | the suite says |",
        ]
        lines.append("|---|---|---|---|")
        for row in rows:
            outcome = OUTCOMES[row["sign"]]
            if row["kind"] != "check" and outcome != "passed":
                said = row["said"].split(" - ")[0].replace("|", "\\|")[:110]
                lines.append(f"| `{row['id']}` | {row['kind']} | {outcome} | {said} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--suite", type=Path, help="a checkout of the suite, instead of npm's release"
    )
    parser.add_argument("--write", action="store_true", help="write the page of the documentation")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory(prefix="rl-") as made:
        folder = Path(made)
        suite, which = options.suite, f"npm `{PACKAGE}` {VERSION}"
        if suite is None:
            suite = fetch_suite(folder)
        else:
            suite, which = suite.resolve(), f"a checkout, {options.suite.name}"
            install_needs(suite)
        measured = {
            "nginx and Varnish": run(suite, folder / "v", "varnish", revised=options.suite is None),
            "nginx alone": run(suite, folder / "n", "nginx", revised=options.suite is None),
        }
    for engine, rows in measured.items():
        print(engine, {kind: dict(count(rows, kind)) for kind in ("required", "optimal")})
    if options.write:
        FILE.write_text(page(measured, which) + "\n")
    failed: Any = count(measured["nginx and Varnish"], "required")["failed"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
