"""How fast probes' files are read: enumeration, Verfploeter, Atlas, identities.

    .venv/bin/python bench/probe/files.py

Enumeration needs iGreedy's data sets, which are not shipped: $RIDGELINE_DATA or ../shared/data,
folder vantage-rtt; its peer, iGreedy's method, runs on the same data in the same process. The
Verfploeter and Atlas files are made up, in a temporary folder.
"""

import base64
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).parents[1])]

import dns.message
from results import figure, publish

from ridgeline.net.place import Place
from ridgeline.probe.enumerate import enumerate_sites
from ridgeline.probe.igreedy import Airport, igreedy
from ridgeline.probe.metros import all_metros
from ridgeline.probe.places import decode
from ridgeline.probe.vantagefiles import read_vantage_points

ROOT: Final = Path(__file__).parents[2]
N_REPLIES: Final = 4_000_000
N_RESULTS: Final = 20_000
Figures = dict[str, dict[str, Any]]

_CHILD: Final = """
import json, resource, sys, time
from ridgeline.app.probe import {function}
begun = time.perf_counter()
{call}
print(json.dumps([time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def measure() -> Figures:
    figures: Figures = {}
    for part in (enumeration, identities, verfploeter, atlas):
        print(f"measuring: {part.__name__} of files", file=sys.stderr, flush=True)
        figures |= part()
    return figures


def enumeration() -> Figures:
    folder = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data")) / "vantage-rtt"
    if not folder.is_dir():
        print(f"{folder}: not there, enumeration is not measured", file=sys.stderr)
        return {}
    airports = []
    for line in (folder / "airports.csv").read_text(encoding="utf-8").splitlines()[1:]:
        code, _size, _name, where, country, city, rest = line.strip().split("\t")
        lat, lon = map(float, where.split())
        place = Place(code=code.lower(), city=city, country=country, lat=lat, lon=lon)
        airports.append(Airport(place, int(rest.split()[0])))
    figures: Figures = {}
    all_metros()
    for name in ("i-ripe", "l-ripe"):
        with (folder / name).open(encoding="utf-8") as stream:
            vantage_points = read_vantage_points(stream, file=name).vantage_points
        ours, theirs = [], []
        for _ in range(5):
            begun = time.perf_counter()
            enumerate_sites(vantage_points)
            ours.append(time.perf_counter() - begun)
        for _ in range(2):
            begun = time.perf_counter()
            igreedy(vantage_points, airports)
            theirs.append(time.perf_counter() - begun)
        key = f"enumerate_{name.replace('-', '_')}_s"
        figures[key] = figure(min(ours), "s", at_most=0.2, peers={"iGreedy": min(theirs)})
    return figures


def identities() -> Figures:
    names = [
        f"ae-{i}.r{i % 30}.{city}{i % 9}.{cc}.bb.example.net"
        for i, (city, cc) in enumerate(
            [("tokyjp", "jp"), ("fra", "de"), ("london", "uk"), ("asbnva", "us")] * 100
        )
    ]
    decode("warm-up.example.net")
    begun = time.perf_counter()
    for name in names:
        decode(name)
    return {"decode_ms": figure(1000 * (time.perf_counter() - begun) / len(names), "ms")}


def verfploeter() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies.csv.gz"
        write_replies(path)
        call = f"import_verfploeter({str(path)!r}, {str(Path(folder) / 'map.jsonl')!r})"
        seconds, kilobytes = run("import_verfploeter", call)
    return {
        "verfploeter_4m_rows_s": figure(seconds, "s", at_most=20),
        "verfploeter_4m_rows_mb": figure(kilobytes / 1024, "MB", at_most=500),
    }


def write_replies(path: Path) -> None:
    draw = random.Random(1)  # noqa: S311 - no secret
    sent = 1_646_261_274_266_073_110
    with gzip.open(path, "wt", compresslevel=1) as stream:
        stream.write(
            "task_id,client_id,transmit_time,receive_time,send_receive_time_diff,source_address,"
            "destination_address,meta_source_address,meta_destination_address,ttl,"
            "source_address_country,source_address_asn\n"
        )
        for i in range(N_REPLIES):
            host = f"{1 + (i >> 16) % 223}.{(i >> 8) & 255}.{i & 255}.{draw.randrange(1, 255)}"
            rtt = draw.uniform(1, 300)
            stream.write(
                f"0,site{draw.randrange(3)},{sent + i},{sent + i + int(rtt * 1e6)},{rtt:.6f},{host},"
                f"192.0.2.1,192.0.2.1,{host},{draw.randrange(30, 64)},JP,{64496 + i % 16}\n"
            )


def atlas() -> Figures:
    query = dns.message.make_query("id.server", "TXT", "CH")
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text("id.server.", 0, "CH", "TXT", '"ns1.fr-par.example"'))
    abuf = base64.b64encode(answer.to_wire()).decode()
    result = {
        "fw": 5080, "type": "dns", "msm_id": 1, "dst_addr": "192.0.2.1", "timestamp": 1_700_000_000,
        "result": {"rt": 12.5, "abuf": abuf},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        documents = ({**result, "prb_id": i} for i in range(N_RESULTS))
        path.write_text("[" + ",".join(map(json.dumps, documents)) + "]", encoding="utf-8")
        call = f"import_atlas({str(path)!r}, {str(Path(folder) / 'map.jsonl')!r})"
        seconds, _ = run("import_atlas", call)
    return {"atlas_results_a_second": figure(N_RESULTS / seconds, "1/s")}


def run(function: str, call: str) -> tuple[float, float]:
    """Run a use case in a process of its own: seconds, and the most memory in kilobytes."""
    code = _CHILD.format(function=function, call=call)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, kilobytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, kilobytes


if __name__ == "__main__":
    sys.exit(0 if publish("probe-files", measure()) else 1)
