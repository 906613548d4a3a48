"""Hold the model against real BIRD routers on many random networks; print the docs' table.

    .venv/bin/python validation/model_vs_routers.py [--networks 200] [--write]

Takes about four seconds a network. `--write` renews the table in docs/explanation/model-is-true.md.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from ridgeline.app.verify import Verdict, random_network, verify

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "model-is-true.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--write", action="store_true", help="renew the table in the docs")
    arguments = parser.parse_args()
    begun = time.monotonic()
    verdicts: list[Verdict] = []
    n_routers = n_sites = 0
    wrong_seeds = []
    for number in range(arguments.networks):
        seed = arguments.first + number
        spec, internet = random_network(np.random.default_rng(seed))
        found = verify(spec, internet, name=f"validation-{seed}")
        verdicts += found
        n_routers += len(internet.pop_as)
        n_sites += len(spec.sites)
        if not all(verdict.is_foreseen for verdict in found):
            wrong_seeds.append(seed)
        print(
            f"\r{number + 1} of {arguments.networks} networks, {n_routers:,} routers, "
            f"{len(wrong_seeds)} with a difference",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    text = table(verdicts, arguments.networks, n_routers, n_sites)
    print(text)
    print(f"seeds {arguments.first} to {arguments.first + arguments.networks - 1}, ", end="")
    print(f"{time.monotonic() - begun:.0f} s; seeds that differ: {wrong_seeds or 'none'}")
    if arguments.write:
        page = PAGE.read_text()
        head, rest = page.split(BEGIN)
        _, tail = rest.split(END)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    return 1 if wrong_seeds else 0


def table(verdicts: list[Verdict], n_networks: int, n_routers: int, n_sites: int) -> str:
    """Count agreement by family and certainty."""
    lines = [
        f"{n_networks} random networks, {n_routers:,} BIRD routers, {n_sites} sites.",
        "",
        "| | choices | as predicted | among the possible |",
        "|---|---:|---:|---:|",
    ]
    for title, some in (
        ("IPv4, certain", [v for v in verdicts if v.certain and ":" not in v.prefix]),
        ("IPv6, certain", [v for v in verdicts if v.certain and ":" in v.prefix]),
        ("IPv4, a tie", [v for v in verdicts if not v.certain and ":" not in v.prefix]),
        ("IPv6, a tie", [v for v in verdicts if not v.certain and ":" in v.prefix]),
        ("all", verdicts),
    ):
        agree = sum(v.agrees for v in some)
        foreseen = sum(v.is_foreseen for v in some)
        n = len(some) or 1
        lines.append(
            f"| {title} | {len(some):,} | {agree:,} ({agree / n:.1%}) "
            f"| {foreseen:,} ({foreseen / n:.1%}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
