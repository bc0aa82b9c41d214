"""Recorded results, statistics, figures and exercises work where torch is not installed, such as in a browser."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json
import sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


sys.meta_path.insert(0, NoTorch())
from matplotlib.colors import to_hex

import gst_tutorial as gst

said = {"sizes": {name: len(gst.recorded(name)) for name in gst.recorded_names()}}
rows = gst.recorded("tradeoff")
gain = gst.statistics.paired_difference(rows, "largest, period 9", "none")
said["gain"] = [gain.value, gain.low, gain.high]

epochs, events = gst.recorded("landing", "epochs"), gst.recorded("landing", "events")
first = [frame[(frame.label == "prune") & (frame.seed == 0)] for frame in (epochs, events)]
axes = {
    "curve": gst.figures.curve(*first, name="prune"),
    "runs": gst.figures.accuracy_against_instability(rows[rows.target == "largest"]).axes[0],
    "forest": gst.figures.forest({"largest": gain}, scale=100, unit="points"),
}
for drawn in axes.values():
    drawn.figure.canvas.draw()
said["drawn"] = {name: len(drawn.lines) + len(drawn.collections) for name, drawn in axes.items()}
said["color"] = to_hex(axes["curve"].lines[0].get_color())
said["answers"] = [gst.exercises.grade("2.1", answer) for answer in (0.27, 0.23)]
try:
    gst.run(gst.RunConfig())
except ModuleNotFoundError as error:
    said["run"] = str(error)
said["torch"] = "torch" in sys.modules
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(root):
    """What a program without torch found."""
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_recorded_study_is_read_and_compared_without_torch(said):
    assert len(said["sizes"]) >= 30
    assert all(size > 0 for size in said["sizes"].values())
    value, low, high = said["gain"]
    assert 0 < low < value < high < 0.1


def test_three_figures_of_recorded_results_are_drawn_without_torch(said):
    assert all(said["drawn"].values())
    assert said["color"].upper() == "#009E73"  # the green of pruning


def test_number_exercise_is_graded_without_torch(said):
    assert [solved for solved, _ in said["answers"]] == [True, False]
    assert "Divide by the accuracy before" in said["answers"][1][1]


def test_only_a_run_asks_for_torch(said):
    assert "torch" in said["run"]
    assert not said["torch"]
