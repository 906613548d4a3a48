"""`probe enumerate`, `import`, `decode` and `changes`: files in, documents and maps out."""

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ridgeline.app.maps import read_map
from ridgeline.cli.probe import command
from ridgeline.errors import InputError, MachineError

RTTS = "a\t51.51\t-0.13\t1\nb\t35.68\t139.69\t2\nc\t48.86\t2.35\t12\nnull\t0\t0\t3\n"
ATLAS = [
    {"type": "dns", "prb_id": i, "dst_addr": "192.0.2.1", "timestamp": 1700000000 + i,
     "result": {"rt": 5.0, "answers": [{"TYPE": "TXT", "RDATA": [identity]}]}}
    for i, identity in enumerate(["ns1.fr-par.example.net", "ns2.fr-par.example.net", "LHR1"])
]  # fmt: skip
VERFPLOETER = (
    "client_id,source_address,send_receive_time_diff,source_address_country,source_address_asn\n"
    "nrt,198.51.100.1,12.5,JP,64500\nlhr,198.51.100.2,10,GB,64501\nnrt,198.51.100.3,9,JP,64500\n"
)


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False, input=text)


def document(result: Result) -> dict[str, Any]:
    assert result.exception is None, result.exception
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def rtts(tmp_path: Path) -> Path:
    path = tmp_path / "rtts"
    path.write_text(RTTS)
    return path


def test_enumerate_tells_sites_suspects_and_proof(rtts: Path) -> None:
    told = document(run("enumerate", str(rtts), "--json"))
    assert told["schema"] == "ridgeline.enumeration/1"
    assert (told["anycast"], told["n_sites"], told["n_vantage_points"]) == (True, 2, 3)
    assert [(s["iata"], s["evidence"], s["n_vantage_points"]) for s in told["sites"]] == [
        ("LHR", "proof", 2), ("NRT", "proof", 1),
    ]  # fmt: skip
    assert {disc["vantage_point"] for disc in told["proof"]} == {"a", "b"}
    assert [s["vantage_point"] for s in told["suspects"]] == ["null"]
    assert told["sites"][0]["disc"]["radius_km"] == pytest.approx(99.9)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_compressed_files_are_read_by_their_first_bytes(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "packed"
    path.write_bytes(pack(RTTS.encode()))
    assert document(run("enumerate", str(path), "--json"))["n_sites"] == 2


def test_a_cut_compressed_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(RTTS.encode())[:-12])
    result = run("enumerate", str(path))
    assert isinstance(result.exception, InputError)
    assert "cut.gz: the compressed data is cut short or damaged" in str(result.exception)


def test_standard_input_is_read() -> None:
    assert document(run("enumerate", "-", "--json", text=RTTS))["n_sites"] == 2


def test_a_file_that_is_not_there_is_told() -> None:
    result = run("enumerate", "/nowhere")
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "/nowhere: cannot be read: No such file or directory"


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_a_map_is_drawn(rtts: Path, tmp_path: Path, ending: str) -> None:
    picture = tmp_path / f"map.{ending}"
    assert run("enumerate", str(rtts), "--map", str(picture)).exception is None
    drawn = picture.read_text()
    assert "anycast, 2 sites found from 3 vantage points" in drawn
    assert ">lhr<" in drawn


def test_a_map_of_no_format_is_refused_before_any_work() -> None:
    result = run("enumerate", "/nowhere", "--map", "map.tiff")
    assert isinstance(result.exception, InputError)
    assert "map.tiff: a map is drawn as .svg, .png, .html" in str(result.exception)


def test_atlas_results_need_locations_to_be_enumerated(tmp_path: Path) -> None:
    results, places = tmp_path / "results.json", tmp_path / "probes.csv"
    ping = {"type": "ping", "dst_addr": "192.0.2.1", "result": [{"rtt": 1.0}]}
    results.write_text("\n".join(json.dumps({**ping, "prb_id": i}) for i in (1, 2)))
    places.write_text("1,51.51,-0.13\n2,35.68,139.69\n")
    told = document(run("enumerate", str(results), "--locations", str(places), "--json"))
    assert (told["target"], told["n_sites"]) == ("192.0.2.1", 2)
    alone = run("enumerate", str(results))
    assert isinstance(alone.exception, InputError)
    assert "2 probes without a place" in str(alone.exception)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_import_atlas_writes_a_map(tmp_path: Path, ending: str) -> None:
    results, output = tmp_path / "results.json", tmp_path / f"map.{ending}"
    results.write_text(json.dumps(ATLAS))
    result = run("import", "atlas", str(results), "-o", str(output))
    assert result.exception is None
    assert result.stdout == f"{output}: 3 rows, 2 sites\n"
    assert "note: 3 of 3 rows without a place: give --locations FILE" in result.stderr
    assert read_map(str(output)).site == ("par", "par", "lhr")


def test_import_atlas_keeps_identities_if_asked(tmp_path: Path) -> None:
    results, output = tmp_path / "results.json", tmp_path / "map.jsonl"
    results.write_text(json.dumps(ATLAS))
    run("import", "atlas", str(results), "-o", str(output), "--site", "identity")
    assert read_map(str(output)).sites == (
        "LHR1",
        "ns1.fr-par.example.net",
        "ns2.fr-par.example.net",
    )


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_import_verfploeter_writes_a_map(tmp_path: Path, ending: str) -> None:
    replies, output = tmp_path / "replies.csv.gz", tmp_path / f"map.{ending}"
    replies.write_bytes(gzip.compress(VERFPLOETER.encode()))
    result = run(
        "import", "verfploeter", str(replies), "-o", str(output), "--prefix", "192.0.2.0/24"
    )
    assert result.exception is None
    made = read_map(str(output))
    assert (made.site, made.prefix) == (("nrt", "lhr", "nrt"), "192.0.2.0/24")
    assert made.source == "verfploeter replies.csv.gz"


def test_import_verfploeter_reads_twice_and_so_no_pipe(tmp_path: Path) -> None:
    result = run("import", "verfploeter", "-", "-o", str(tmp_path / "map.jsonl"))
    assert isinstance(result.exception, InputError)
    assert "name a file, not standard input" in str(result.exception)


@pytest.mark.parametrize("kind", ["atlas", "verfploeter"])
def test_an_output_of_no_format_is_refused_before_any_work(kind: str) -> None:
    result = run("import", kind, "/nowhere", "-o", "map.csv")
    assert isinstance(result.exception, InputError)
    assert "map.csv: a map is written as .jsonl or .parquet" in str(result.exception)


def test_an_output_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    replies = tmp_path / "replies.csv"
    replies.write_text(VERFPLOETER)
    result = run("import", "verfploeter", str(replies), "-o", "/nowhere/map.jsonl")
    assert isinstance(result.exception, MachineError)


def test_decode_tells_guesses_and_what_light_forbids() -> None:
    told = document(run("decode", "--json", "--rtt", "mad=3", "ns1.es-mad.example.net", "NRT57-P2"))
    assert told["schema"] == "ridgeline.places/1"
    first, second = told["names"]
    assert first["guesses"][0]["iata"] == "MAD"
    assert second["guesses"] == []
    assert second["rejected"][0]["rejected"].startswith("faster than light: ")


def test_decode_says_no_where_a_name_tells_nothing() -> None:
    assert run("decode", "NRT57-P2").return_value == 0
    assert run("decode", "NRT57-P2", "mail.example.com").return_value == 1


def test_decode_reads_lines_and_headers() -> None:
    told = document(run("decode", "-", "--json", text="NRT57-P2\n\nLHR61-C1\n"))
    assert [one["guesses"][0]["iata"] for one in told["names"]] == ["NRT", "LHR"]
    told = document(run("decode", "--header", "cf-ray", "--json", "8c5e6f7a8b9c0d1e-NRT"))
    assert told["names"][0]["guesses"][0]["iata"] == "NRT"


@pytest.mark.parametrize(
    "seen", ["mad", "mad=", "mad=-1", "mad=nan", "zzzz=3", "91,0=3", "1,2,3=4"]
)
def test_a_sighting_that_is_none_is_told(seen: str) -> None:
    result = run("decode", "x", "--rtt", seen)
    assert isinstance(result.exception, InputError)
    assert f"--rtt {seen}: expected PLACE=MS such as nrt=3.5" in str(result.exception)


def test_a_sighting_can_be_a_pair_of_degrees() -> None:
    told = document(run("decode", "--json", "--rtt", "35.7,139.7=1ms", "NRT57-P2"))
    assert told["names"][0]["guesses"][0]["iata"] == "NRT"


def test_changes_tells_moves_flips_and_modes(tmp_path: Path) -> None:
    for number, sites in enumerate([("nrt", "lhr"), ("lhr", "lhr"), ("nrt", "lhr")]):
        text = "client_id,source_address\n" + "".join(
            f"{site},198.51.100.{i}\n" for i, site in enumerate(sites)
        )
        (tmp_path / f"{number}.csv").write_text(text)
        run(
            "import",
            "verfploeter",
            str(tmp_path / f"{number}.csv"),
            "-o",
            f"{tmp_path}/{number}.jsonl",
        )
    files = [f"{tmp_path}/{number}.jsonl" for number in range(3)]
    told = document(run("changes", *files, "--json"))
    assert told["schema"] == "ridgeline.changes/1"
    assert [step["n_moved"] for step in told["steps"]] == [1, 1]
    assert told["steps"][0]["flows"][0] == {
        "before": "nrt", "after": "lhr", "n": 1, "weight": 1.0, "names": ["198.51.100.0"],
    }  # fmt: skip
    assert told["flippers"][0]["is_back_and_forth"]
    assert [mode["is_recurring"] for mode in told["modes"]] == [True, False]
    shown = run("changes", *files)
    assert "1 of 2 vantage points changed their site at least once (50.0 %)" in shown.stdout


def test_the_commands_of_files_load_no_model_and_no_numbers() -> None:
    code = (
        "import sys; from ridgeline.cli.probe import command\n"
        "command(['decode', 'NRT57-P2'], standalone_mode=False)\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'pydantic', 'ridgeline.topology', 'ridgeline.routing'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
