"""What a hostile world does to the package loses nothing, doubles nothing, damages nothing, hangs nothing."""

import os
import re
import subprocess
import sys

import pytest

from tests import attacks
from tests.studies import attacked


@pytest.mark.slow
@pytest.mark.browser
def test_every_attack_of_the_table_finds_nothing(root, browser):
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.attacks", "--quick"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()[:8]
    assert head.split() == ["attack", *attacks.COLUMNS]
    assert len(rows) == 7
    for row in rows:
        tries, *found = map(int, re.findall(r"\d+", row))
        assert tries > 0 and found == [0] * 5, row


def arena(tmp_path, *started):
    """A store with two finished runs, and the log of these starts: (run, ns after it was stored, whether it went on)."""
    row = attacks.Row("none")
    here = attacks.Arena(tmp_path / "arena", row)
    here.n_runs = 2
    for config in attacked.study(2).configs:
        here.store.write(config, {**RECORD, "sources": config.sources})
    here.look()
    rates = [config.recipe.learning_rate for config in attacked.study(2).configs]
    stored = max(here.store.file(config).stat().st_mtime_ns for config in attacked.study(2).configs)
    lines = [f"{rates[run]!r} {stored + later} {twice}\n" for run, later, twice in started]
    (tmp_path / "arena" / "log" / "starts").write_text("".join(lines))
    here.wait = lambda process: []
    here.sweep = lambda n_runs: None
    return here


RESULT = {"final_accuracy": 0.5, "best_accuracy": 0.75, "train_accuracy": 1.0, "instability": 0.0, "seconds": 2.0}
RECORD = {"status": "finished", "error": "", "result": RESULT, "events": [], "epochs": []}
BEFORE = -(10**9)


def judged(here, **changes):
    known = {config.hash: {**RECORD, **changes} for config in attacked.study(2).configs}
    here.close(known, runs_of_a_kill=1)
    return {name: getattr(here.row, name) for name in attacks.COLUMNS if getattr(here.row, name)}


def test_the_table_counts_nothing_where_nothing_happened(tmp_path):
    assert judged(arena(tmp_path, (0, BEFORE, 0), (1, BEFORE, 0))) == {}


def test_the_table_counts_a_run_that_began_while_it_went_on_after_it_was_stored_or_once_too_often(tmp_path):
    assert judged(arena(tmp_path, (0, BEFORE, 0), (1, BEFORE, 1))) == {"doubled": 1}
    assert judged(arena(tmp_path / "b", (0, BEFORE, 0), (1, 10**9, 0))) == {"doubled": 1}
    assert judged(arena(tmp_path / "c", *[(0, BEFORE, 0)] * 2, (1, BEFORE, 0))) == {"doubled": 1}


def test_the_table_counts_numbers_that_differ_and_results_that_are_gone(tmp_path):
    started = (0, BEFORE, 0), (1, BEFORE, 0)
    assert judged(arena(tmp_path, *started), events=[{"epoch": 1}]) == {"damaged": 2}
    here = arena(tmp_path / "b", *started)
    here.store.file(attacked.study(2).configs[0]).unlink()
    here.look()
    assert here.row.lost == 1


def test_the_table_counts_an_error_that_names_nothing(tmp_path):
    here = arena(tmp_path)
    here.judge(
        [
            f"OSError: {here.store.path}/locks/0.lock",
            "The system ended the process of this run 2 times",
            "ValueError: no",
        ]
    )
    assert here.row.unnamed == 1
