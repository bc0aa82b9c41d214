"""Results on disk survive being killed, damaged and shared."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gst_tutorial as gst

CONFIG = gst.RunConfig(seed=7)
RESULT = {"final_accuracy": 0.5, "best_accuracy": 0.75, "train_accuracy": 1.0, "instability": 0.0, "seconds": 2.0}
RECORD = {"status": "finished", "error": "", "result": RESULT, "events": [], "epochs": []}


@pytest.fixture
def store(tmp_path):
    return gst.ResultStore(tmp_path / "results")


def test_store_reads_back_what_it_wrote(store):
    store.write(CONFIG, RECORD)
    record = store.read(CONFIG)
    assert record["result"] == RECORD["result"]
    assert gst.RunConfig.from_dict(record["config"]) == CONFIG


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.5", "0.9"),
        lambda text: "[1, 2]",
    ],
    ids=["empty", "cut off", "one number changed", "a list"],
)
def test_damaged_file_is_reported_moved_aside_and_not_done(store, damage):
    store.write(CONFIG, RECORD)
    path = store.file(CONFIG)
    path.write_text(damage(path.read_text()))
    with pytest.warns(UserWarning, match=path.name):
        assert not store.done(CONFIG)
    assert path.with_suffix(".json.damaged").exists()
    store.write(CONFIG, RECORD)
    assert store.done(CONFIG)


def test_failed_run_is_repeated_and_a_diverged_one_is_not(store):
    store.write(CONFIG, {**RECORD, "status": "failed", "error": "MemoryError"})
    assert not store.done(CONFIG)
    store.write(CONFIG, {**RECORD, "status": "diverged", "error": "loss is nan"})
    assert store.done(CONFIG)


def test_process_killed_while_writing_leaves_the_old_file_whole(store):
    """The child dies between writing the temporary file and renaming it, as in a power cut."""
    store.write(CONFIG, RECORD)
    child = f"""
import os, gst_tutorial as gst
store = gst.ResultStore({str(store.path)!r})
os.replace = lambda *names: os._exit(9)
store.write(gst.RunConfig(seed=7), {{"status": "failed", "error": "", "result": {{}}, "events": [], "epochs": []}})
"""
    assert subprocess.run([sys.executable, "-c", child]).returncode == 9
    assert store.read(CONFIG)["result"] == RECORD["result"]
    assert list(store.records([CONFIG])) == [CONFIG.hash]  # the leftover *.part file is not taken for a result


def test_many_writers_of_one_run_leave_one_whole_file(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.write(CONFIG, RECORD), range(40)))
    assert store.read(CONFIG)["status"] == "finished"
    assert [path.suffix for path in store.path.iterdir() if path.is_file()] == [".json"]


def test_claimed_run_is_refused_to_others_until_released(store):
    assert store.claim(CONFIG)
    assert not gst.ResultStore(store.path).claim(CONFIG)
    store.release(CONFIG)
    assert gst.ResultStore(store.path).claim(CONFIG)


def test_claim_ends_with_its_process_even_if_killed(store):
    child = f"""
import os, gst_tutorial as gst
assert gst.ResultStore({str(store.path)!r}).claim(gst.RunConfig(seed=7))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", child]).returncode == -9
    assert store.claim(CONFIG)


def test_each_run_is_claimed_by_exactly_one_of_four_processes(store):
    child = f"""
import sys, gst_tutorial as gst
store = gst.ResultStore({str(store.path)!r})
print("ready", flush=True)
sys.stdin.readline()
won = [seed for seed in range(40) if store.claim(gst.RunConfig(seed=seed))]
print(won, flush=True)
sys.stdin.readline()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", child], **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    won = [json.loads(process.stdout.readline()) for process in processes]
    assert sorted(seed for each in won for seed in each) == list(range(40))
    for process in processes:
        process.communicate("\n", timeout=30)


def test_owner_names_process_and_host_until_released(store):
    assert store.claim(CONFIG)
    assert f"process {os.getpid()} on " in gst.ResultStore(store.path).owner(CONFIG)
    store.release(CONFIG)
    assert store.owner(CONFIG) == "another process"


def test_result_of_another_config_is_not_taken(store):
    other = CONFIG.replace(seed=8)
    store.write(other, RECORD)
    store.file(other).rename(store.file(CONFIG))
    with pytest.warns(UserWarning, match="another config"):
        assert store.read(CONFIG) is None


def test_result_files_have_the_usual_permissions(store, tmp_path):
    store.write(CONFIG, RECORD)
    (tmp_path / "usual").write_text("")
    assert store.file(CONFIG).stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_old_temporary_files_are_removed(store):
    for name, age in (("dead.part", 7200), ("alive.part", 0)):
        path = store.path / name
        path.write_text("")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    gst.ResultStore(store.path)
    assert [path.name for path in store.path.glob("*.part")] == ["alive.part"]


def test_only_one_of_many_threads_gets_a_claim(store):
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: store.claim(CONFIG), range(50))) == 1


def test_config_becomes_one_flat_row():
    two = gst.RunConfig(
        intervention="prune",
        layers=("conv3", "conv4"),
        prune_fraction=(0.5, 0.9),
        schedule=(gst.PruneSchedule(3, 9, 3), gst.PruneSchedule(4, 10, 3)),
    )
    study = gst.Study("two", "?", [gst.Arm(two, {"kind": "two layers"})], seeds=(7,))
    row = study.frame({two.replace(seed=7).hash: RECORD}).iloc[0]
    assert (row.label, row.kind, row.method) == ("two layers", "two layers", "prune")
    assert (row.layers, row.prune_fraction, row.start, row.retrain_period) == ("conv3+conv4", "0.5+0.9", "3+4", 3)
    assert row.learning_rate == two.recipe.learning_rate
    assert row.final_accuracy == 0.5


def test_unknown_kind_of_frame_is_refused_with_a_hint():
    with pytest.raises(ValueError, match="Did you mean 'events'"):
        gst.Study("one", "?", {"none": CONFIG}).frame({}, "event")


# --- a full disk ------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def on_a_small_disk(folder, size, program):
    """Run a Python program whose folder `disk` is a file system of that size; skip where none can be mounted."""
    (folder / "disk").mkdir()
    mount = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size="$0" tmpfs disk && exec "$@"', size]
    try:
        possible = subprocess.run([*mount, "true"], cwd=folder, capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("no file system can be mounted here (needs unshare and user namespaces), so no disk can be filled")
    command = [*mount, sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, env=environment)


def test_run_continues_without_checkpoints_when_they_do_not_fit(tmp_path):
    done = on_a_small_disk(tmp_path, "16k", """
import gst_tutorial as gst
from tests.studies.small_study import QUICK
with_checkpoints = gst.run(QUICK, checkpoint="disk/run.checkpoint", every=0)
assert with_checkpoints.final_accuracy == gst.run(QUICK).final_accuracy
import os
assert os.listdir("disk") == [], os.listdir("disk")
""")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the run continues without") == 1
    assert "disk/run.checkpoint cannot be written" in done.stderr


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sweep_on_a_full_disk_stops_and_resumes(tmp_path, n_jobs):
    done = on_a_small_disk(tmp_path, "28k" if n_jobs == 1 else "44k", f"""
import os, shutil, gst_tutorial as gst
from tests.studies.small_study import study
try:
    gst.sweep(study(), n_jobs={n_jobs}, store="disk")
except OSError as error:
    print(error)
shutil.copytree("disk", "larger")
stored = {{file: open(f"larger/{{file}}").read() for file in os.listdir("larger") if file.endswith(".json")}}
assert 0 < len(stored) < 12, len(stored)
frame = gst.sweep(study(), n_jobs={n_jobs}, store="larger")
assert (frame.status == "finished").all()
assert all(open(f"larger/{{file}}").read() == text for file, text in stored.items())
assert not [file for file in os.listdir("larger") if "damaged" in file or "part" in file]
from joblib.externals.loky import get_reusable_executor
get_reusable_executor(max_workers=1).shutdown(wait=False, kill_workers=True)  # they would keep our pipes open
os._exit(0)
""")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
