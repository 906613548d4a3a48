"""The figures that the documentation promises, on data that is not shipped."""

import gzip
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ridgeline.probe.verfploeter import render_stats, survey, to_map

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data"))
RUNS = sorted(DATA.glob("tangled/*/*.csv.gz"))


def needs(folder: str) -> pytest.MarkDecorator:
    path = DATA / folder
    return pytest.mark.skipif(not path.is_dir(), reason=f"{path} is not there: set RIDGELINE_DATA")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"validation_{name}", ROOT / "validation" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@needs("vantage-rtt")
@pytest.mark.parametrize("name", ["i-ripe", "l-ripe"])
def test_enumeration_is_precise_and_complete_and_beats_igreedy(name: str) -> None:
    validation = load("enumerate")
    airports = validation.read_airports(DATA / "vantage-rtt")
    truth = validation.read_truth(DATA / "vantage-rtt", name, airports)
    ours = validation.score(validation.ours(truth), truth)
    theirs = validation.score(validation.theirs(truth, list(airports.values())), truth)
    assert ours.precision >= 0.95
    assert ours.recall >= 0.75
    assert ours.precision > theirs.precision
    assert ours.recall > theirs.recall


@needs("vantage-rtt")
def test_igreedy_does_as_well_as_its_authors_say() -> None:
    validation = load("enumerate")
    airports = validation.read_airports(DATA / "vantage-rtt")
    truth = validation.read_truth(DATA / "vantage-rtt", "i-ripe", airports)
    theirs = validation.score(validation.theirs(truth, list(airports.values())), truth)
    assert (round(theirs.precision, 2), round(theirs.recall, 2)) == (0.85, 0.8)


@needs("identities")
def test_identities_of_root_servers_are_decoded() -> None:
    validation = load("identities")
    stated = [one for letter in "DHK" for one in validation.read_stated(DATA, letter)]
    assert len(stated) > 600
    _, part = validation.stated_table(stated)
    assert part >= 0.98


@needs("identities")
def test_no_decoded_identity_is_faster_than_light() -> None:
    validation = load("identities")
    stated = [one for letter in "HK" for one in validation.read_stated(DATA, letter)]
    assert validation.made_up(stated)[1] == 0


@needs("vantage-rtt")
def test_no_decoded_site_name_is_faster_than_measured_light() -> None:
    assert load("identities").measured(DATA)[1] == 0


@needs("tangled")
def test_there_are_ten_runs() -> None:
    assert len(RUNS) == 10


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name.split("#")[0])
def test_the_testbeds_own_totals_are_reproduced(run: Path) -> None:
    stats = run.with_name(run.name.replace(".csv.gz", ".stats")).read_text()
    timestamp = stats.splitlines()[1].split(",")[1]
    with gzip.open(run) as lines:
        found = survey(lines, file=run.name)
    assert render_stats(found, policy=run.name.split("#")[0], timestamp=timestamp) == stats
    with gzip.open(run) as lines:
        made = to_map(lines, found, file=run.name)
    assert {site: made.site.count(site) for site in made.sites} == dict(found.counts)
