"""The book's headline numbers come out of a script that shares no code with the package, on other seeds and splits."""

import sys
from pathlib import Path

import numpy as np
import pytest

import gst_tutorial as gst

sys.path.insert(0, str(Path(__file__).parent))
from replication import ARMS, replicate


@pytest.mark.slow
def test_plain_torch_replication_gains_what_the_study_gained():
    anatomy = gst.recorded("anatomy")
    gains, drops, delayed = replicate(range(3000, 3002))
    for arm in ARMS[1:]:
        if arm == "shrink, steps compensated":  # another study's, below
            continue
        recorded = 100 * gst.statistics.paired_differences(
            anatomy, {"what": arm, "learning_rate": 2e-3}, {"what": "none", "learning_rate": 2e-3}
        )
        error = recorded.std() * np.sqrt(1 / 2 + 1 / len(recorded))
        assert abs(gains[arm].mean() - recorded.mean()) < 4 * error, arm
    assert drops["shrink, unseen"] < 0.002
    assert drops["prune 80%"] > 0.05
    # Short filters with short steps are the twin; short filters with ordinary steps throw training off after the event.
    assert np.abs(gains["shrink, steps compensated"]).max() < 1.0
    assert delayed["shrink, steps compensated"].max() < 2.0 < delayed["shrink, unseen"].min()
