"""The hash of every recorded run is frozen: a refactoring may rename fields and classes, but never a run."""

import csv
import json
from pathlib import Path

import pytest

import gst_tutorial as gst
from gst_tutorial import studies
from gst_tutorial.book.studies.history import SUPERSEDED

# {study: {config hash: seed}}; a new recording is added by `python -m tests.studies.test_frozen_hashes`, nothing is removed.
FROZEN = Path(__file__).with_name("frozen_hashes.json")


def frozen() -> dict[str, dict[str, int]]:
    return json.loads(FROZEN.read_text(encoding="utf-8")) if FROZEN.exists() else {}


@pytest.mark.parametrize("name", frozen())
def test_configs_hash_as_on_the_day_of_recording(name):
    seeds = sorted(set(frozen()[name].values()))
    assert {config.hash: config.seed for config in studies.get(name).replace(seeds=seeds).configs} == frozen()[name]


@pytest.mark.parametrize("name", gst.recorded_names())
def test_recorded_files_hold_exactly_the_frozen_runs(name):
    assert recorded_hashes(name) == frozen()[name]


def test_no_recorded_study_was_deleted():
    assert set(frozen()) == set(gst.recorded_names())
    assert {*SUPERSEDED, *SUPERSEDED.values()} <= set(gst.recorded_names())


def recorded_hashes(name: str) -> dict[str, int]:
    """{hash: seed} as the CSV itself says it, whatever the package computes."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return {row["hash"]: int(row["seed"]) for row in csv.DictReader(file)}


FOLDER = next(Path(gst.__file__).parent.rglob("anatomy.csv")).parent

if __name__ == "__main__":
    kept = frozen()
    now = {name: kept.get(name, {}) | recorded_hashes(name) for name in gst.recorded_names()}
    FROZEN.write_text(json.dumps(kept | now, indent=0, sort_keys=True) + "\n", encoding="utf-8")
