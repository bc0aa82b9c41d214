"""A study is run once, in parallel, and survives whatever stops it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pandas as pd
import pytest

import gst_tutorial as gst
from gst_tutorial.studies.sweep import run_record
from tests.studies.small_study import QUICK, hear_ctrl_c, study

HERE = Path(__file__).parents[2]
RESULTS = ["final_accuracy", "best_accuracy", "train_accuracy", "instability"]


@pytest.fixture(scope="module")
def one_process():
    return gst.sweep(study(), n_jobs=1)


def test_two_processes_give_the_numbers_of_one_bit_for_bit(one_process):
    two = gst.sweep(study(), n_jobs=2)
    pd.testing.assert_frame_equal(two[["label", "seed", *RESULTS]], one_process[["label", "seed", *RESULTS]])


def test_row_equals_a_run_made_alone(one_process):
    row = one_process.query("label == 'largest' and seed == 2").iloc[0]
    alone = gst.run(QUICK.replace(intervention="prune", target="largest", seed=2))
    assert [row[name] for name in RESULTS] == [getattr(alone, name) for name in RESULTS]


def test_frame_has_a_row_per_run_in_the_order_of_the_study(one_process):
    assert list(zip(one_process.label, one_process.seed)) == [(arm.label, c.seed) for arm, c in study().runs]
    assert (one_process.status == "finished").all()


def test_finished_runs_are_not_repeated(tmp_path):
    first = gst.sweep(study(2), n_jobs=1, store=tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    more = gst.sweep(study(3), n_jobs=1, store=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 12
    assert all((tmp_path / name).stat().st_mtime_ns == stamp for name, stamp in times.items())
    assert more.seconds[: len(first)].tolist() == first.seconds.tolist()  # the very same runs, read again


def test_two_arms_of_one_config_are_refused():
    with pytest.raises(ValueError, match=r"'none' and 'the same' are the same config.*counted twice"):
        study(1, arms={"none": QUICK, "the same": QUICK.replace(seed=3)})


def test_diverged_run_is_a_row_and_the_sweep_continues(tmp_path):
    grid = {"none": QUICK, "too fast": QUICK.replace(optimizer="sgd", learning_rate=1e20)}
    frame = gst.sweep(study(2, arms=grid), n_jobs=1, store=tmp_path)
    assert frame.status.tolist() == ["finished", "diverged"] * 2
    assert frame.error[1].startswith("gst_tutorial.training.Diverged") and "epoch 0" in frame.error[1]
    assert pd.isna(frame.final_accuracy[1])


def test_run_that_raises_is_recorded_with_its_error():
    record = run_record(QUICK.replace(intervention="prune", layers=("conv9",)))
    assert record["status"] == "failed"
    assert "conv9" in record["error"]


def test_events_and_epochs_are_tidy_frames(tmp_path):
    gst.sweep(study(2), n_jobs=1, store=tmp_path)
    store = gst.ResultStore(tmp_path)
    records = store.records(study(2).configs)
    events, epochs = (study(2).frame(records, kind) for kind in ("events", "epochs"))
    assert len(events) == 2 * 2 * 2  # two pruning methods, two seeds, two events
    assert len(epochs) == 8 * 3
    assert set(events.label) < set(epochs.label)


DRIVER = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
import gst_tutorial as gst
from gst_tutorial.studies import sweep as module
from tests.studies.small_study import study
if sys.argv[3]:  # in this process, so that each run can be logged as it begins
    run = module.run
    def logged(config, **options):
        with open(sys.argv[3], "a") as log:
            log.write(config.hash + "\\n")  # one write, so lines of several processes do not mix
        return run(config, **options)
    module.run = logged
gst.sweep(study(int(sys.argv[2])), n_jobs=1 if sys.argv[3] else 2, store=sys.argv[1])
"""


def start(folder, n_seeds, log=""):
    """Start a sweep in a process group of its own, so that it can be killed with its workers."""
    command = [sys.executable, "-c", DRIVER, str(folder), str(n_seeds), str(log)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, preexec_fn=hear_ctrl_c)


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def n_files(folder):
    return len(list(Path(folder).glob("*.json")))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_stopped_study_resumes_and_gives_the_undisturbed_numbers(tmp_path, how, one_process):
    process = start(tmp_path, 30)
    wait_for(lambda: n_files(tmp_path) >= 3)
    os.killpg(process.pid, how)
    process.wait(300)
    saved = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert 3 <= len(saved) < 120
    frame = gst.sweep(study(), n_jobs=2, store=tmp_path)
    assert frame[RESULTS].equals(one_process[RESULTS])
    assert all((tmp_path / name).read_bytes() == text for name, text in saved.items())  # nothing lost, nothing repeated
    assert not list(tmp_path.glob("*.damaged"))


def test_two_processes_share_a_study_and_one_finishes_it_alone(tmp_path, one_process):
    """One of the two is killed; the system frees its claims, and the other makes the runs that it leaves."""
    first, second = start(tmp_path, 3), start(tmp_path, 3)
    wait_for(lambda: n_files(tmp_path) >= 2)
    os.killpg(first.pid, signal.SIGKILL)
    assert second.wait(300) == 0
    frame = study().frame(gst.ResultStore(tmp_path).records(study().configs))
    assert frame[RESULTS].equals(one_process[RESULTS])


def test_two_processes_do_no_run_twice(tmp_path):
    log = tmp_path / "begun"
    both = [start(tmp_path, 3, log) for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0]
    begun = log.read_text().split()
    assert sorted(begun) == sorted(config.hash for config in study().configs)


def test_sweep_waits_for_runs_claimed_by_another_process(tmp_path):
    """The other process finishes them: nothing is run here, its results are taken."""
    config = study(1).configs[0]
    other = f"""
import time, gst_tutorial as gst
from gst_tutorial.studies.sweep import run_record
store, config = gst.ResultStore({str(tmp_path)!r}), gst.RunConfig.from_dict({config.to_dict()!r})
assert store.claim(config)
print("claimed", flush=True)
time.sleep(3)
store.write(config, run_record(config)); store.release(config)
"""
    process = subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    frame = gst.sweep(study(1), n_jobs=1, store=tmp_path)
    assert process.wait(30) == 0
    assert len(frame) == 4 and n_files(tmp_path) == 4


def test_joblib_backends_are_honoured():
    with joblib.parallel_config("threading", n_jobs=2):
        frame = gst.sweep(study(1), n_jobs=2)
    assert (frame.status == "finished").all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_jobs": 0}, ValueError, "n_jobs=0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs=1.5"),
    ],
)
def test_bad_arguments_of_a_sweep_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        gst.sweep(study(1), **arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"arms": {}}, "arms"), ({"seeds": ()}, "seeds"), ({"seeds": (1, 1)}, "seeds"), ({"seeds": (-1,)}, "seeds")],
)
def test_study_without_configs_or_with_bad_seeds_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        study(1, **changes)
