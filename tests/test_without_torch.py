"""The statistics work where torch is not installed."""

import subprocess
import sys

PROGRAM = """
import sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


sys.meta_path.insert(0, NoTorch())
import pandas as pd

import gst_tutorial as gst

rows = pd.DataFrame({"seed": [0, 1, 2, 3] * 2, "label": ["none"] * 4 + ["pruned"] * 4})
rows["final_accuracy"] = [0.80, 0.81, 0.79, 0.82, 0.84, 0.84, 0.83, 0.87]
estimate = gst.statistics.paired_difference(rows, "pruned", "none")
assert estimate.sign == 1
assert "torch" not in sys.modules
"""


def test_statistics_need_no_torch():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
