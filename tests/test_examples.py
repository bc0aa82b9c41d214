"""The example study runs as its first lines say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
