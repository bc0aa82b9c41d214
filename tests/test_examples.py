"""The examples run as their first lines say."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def test_the_example_is_drawn_costed_run_and_shown(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("pictures", "__pycache__"))

    def call(*command):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "300 pictures" in call("examples/make_pictures.py")
    gst = ("-m", "gst_tutorial")
    assert "30 runs, 1,440 training steps" in call(*gst, "cost", "examples/study.py")
    assert "6 runs in" in call(*gst, "run", "examples/study.py", "--seeds", "1")
    shown = call(*gst, "show", "examples/study.py", "--out", "results")
    assert "your own results in results: 6 of 30 runs" in shown
    assert "smallest, mean weight" in shown


def test_slurm_jobs_share_one_folder_of_results(tmp_path):
    """Two jobs of the array at the same time, as plain processes: SLURM's own lines are comments."""
    gst = tmp_path / "gst"
    gst.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gst_tutorial "$@"\n')
    gst.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", ROOT / "examples" / "slurm.sh", "small_study.py"]
    study = "from tests.studies.small_study import study\nSTUDY = study(3)\n"
    (tmp_path / "small_study.py").write_text(study)
    jobs = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    printed = [job.communicate(timeout=300)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], printed
    assert all("12 runs in" in text for text in printed)
    assert len(list((tmp_path / "results").glob("*.json"))) == 12


def test_a_seed_of_the_recorded_plans_repeats():
    plans = runpy.run_path(str(ROOT / "examples" / "plans.py"))
    recorded = pd.read_csv(ROOT / "examples" / "plans.csv")
    recorded = recorded[(recorded.network == "conv1d on MNIST-1D") & (recorded.seed == 0) & (recorded.budget == 0.5)]
    found = plans["one_seed"]("conv1d on MNIST-1D", 0, (0.5,))
    pd.testing.assert_frame_equal(found, recorded.reset_index(drop=True), atol=0.02, rtol=0)
