"""Results on disk survive being killed, damaged and shared."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import gst_tutorial as gst

CONFIG = gst.RunConfig(seed=7)
RESULT = {"final_accuracy": 0.5, "best_accuracy": 0.75, "train_accuracy": 1.0, "instability": 0.0, "seconds": 2.0}
RECORD = {"status": "finished", "error": "", "result": RESULT, "events": [], "epochs": []}


@pytest.fixture
def store(tmp_path):
    return gst.ResultStore(tmp_path / "results")


def test_what_is_written_is_read_again(store):
    store.write(CONFIG, RECORD)
    record = store.read(CONFIG)
    assert record["result"] == RECORD["result"]
    assert gst.RunConfig.from_dict(record["config"]) == CONFIG


def test_a_run_that_is_not_there_reads_as_none(store):
    assert store.read(CONFIG) is None
    assert not store.done(CONFIG)


def test_a_file_is_named_by_the_hash_of_its_config(store):
    store.write(CONFIG, RECORD)
    assert [path.name for path in store.path.iterdir() if path.is_file()] == [f"{CONFIG.hash}.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.5", "0.9"),
        lambda text: "[1, 2]",
        lambda text: "null",
        lambda text: '{"checksum": "x"}',
    ],
    ids=["empty", "cut off", "one number changed", "a list", "null", "nothing but a checksum"],
)
def test_a_damaged_file_is_named_moved_aside_and_counts_as_not_done(store, damage):
    store.write(CONFIG, RECORD)
    path = store.file(CONFIG)
    path.write_text(damage(path.read_text()))
    with pytest.warns(UserWarning, match=path.name):
        assert not store.done(CONFIG)
    assert path.with_suffix(".json.damaged").exists()
    store.write(CONFIG, RECORD)
    assert store.done(CONFIG)


def test_a_failed_run_is_tried_again_and_a_diverged_one_is_not(store):
    store.write(CONFIG, {**RECORD, "status": "failed", "error": "MemoryError"})
    assert not store.done(CONFIG)
    store.write(CONFIG, {**RECORD, "status": "diverged", "error": "loss is nan"})
    assert store.done(CONFIG)


def test_a_process_killed_while_it_writes_leaves_the_old_file_whole(store):
    """The child dies after the temporary file is written and before it is renamed: what a power cut would leave."""
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


def test_a_claimed_run_is_refused_to_others_until_it_is_released(store):
    assert store.claim(CONFIG)
    assert not gst.ResultStore(store.path).claim(CONFIG)
    store.release(CONFIG)
    assert gst.ResultStore(store.path).claim(CONFIG)


def test_the_claim_of_a_process_ends_with_it_however_it_ends(store):
    child = f"""
import os, gst_tutorial as gst
assert gst.ResultStore({str(store.path)!r}).claim(gst.RunConfig(seed=7))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", child]).returncode == -9
    assert store.claim(CONFIG)


@pytest.mark.parametrize("left", ["", "[1]", "null", "12", str(10**30), '{"pid": 1}', "\0" * 99])
def test_what_stands_in_a_claim_file_means_nothing(store, left):
    """A process id of a dead process, reused by another, or nonsense, made a study wait for ever once."""
    lock = store.path / "locks" / f"{CONFIG.hash}.lock"
    lock.write_text(left)
    lock.with_suffix(".owner").write_text(left)
    assert store.claim(CONFIG)


@pytest.mark.parametrize("lie", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_lies_in_a_store_and_is_no_file_neither_stops_nor_delays_it(store, lie):
    """Reading from a pipe without a writer, or writing to one without a reader, would wait for ever."""
    owner, part = store.path / "locks" / f"{CONFIG.hash}.owner", store.path / "dead.part"
    for path in (owner, part, store.file(CONFIG)):
        lie(path)
    os.utime(part, (0, 0))
    again = gst.ResultStore(store.path)
    assert again.owner(CONFIG) == "another process"
    assert again.claim(CONFIG)
    with pytest.warns(UserWarning, match="it is no file"):
        assert again.read(CONFIG) is None
    again.write(CONFIG, RECORD)
    again.release(CONFIG)
    assert again.done(CONFIG)


def test_who_works_on_a_run_is_not_written_into_what_a_link_leads_to(store, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (store.path / "locks" / f"{CONFIG.hash}.owner").symlink_to(precious)
    assert store.claim(CONFIG)
    assert f"process {os.getpid()} on " in store.owner(CONFIG)
    assert precious.read_text() == "precious"


def test_a_folder_where_the_lock_should_be_is_an_error_that_names_it(store):
    (store.path / "locks" / f"{CONFIG.hash}.lock").mkdir()
    with pytest.raises(OSError, match=f"{CONFIG.hash}.lock"):
        store.claim(CONFIG)


def test_of_four_processes_that_want_the_claim_of_a_dead_one_exactly_one_gets_it(store):
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


def test_who_works_on_a_run_is_said(store):
    assert store.claim(CONFIG)
    assert f"process {os.getpid()} on " in gst.ResultStore(store.path).owner(CONFIG)
    store.release(CONFIG)
    assert store.owner(CONFIG) == "another process"


def test_the_result_of_another_run_under_this_name_is_not_taken(store):
    other = CONFIG.replace(seed=8)
    store.write(other, RECORD)
    store.file(other).rename(store.file(CONFIG))
    with pytest.warns(UserWarning, match="another config"):
        assert store.read(CONFIG) is None


@pytest.mark.parametrize(
    ("name", "value"), [("final_accuracy", float("nan")), ("final_accuracy", "best"), ("best_accuracy", 1.5),
                        ("instability", float("inf")), ("seconds", True)]
)  # fmt: skip
def test_a_number_that_cannot_be_is_not_taken(store, name, value):
    store.write(CONFIG, {**RECORD, "result": {**RESULT, name: value}})
    with pytest.warns(UserWarning, match=name):
        assert store.read(CONFIG) is None


def test_files_have_the_permissions_that_others_have_here(store, tmp_path):
    store.write(CONFIG, RECORD)
    (tmp_path / "usual").write_text("")
    assert store.file(CONFIG).stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_dead_writers_left_goes_when_it_is_old(store):
    for name, age in (("dead.part", 7200), ("alive.part", 0)):
        path = store.path / name
        path.write_text("")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    gst.ResultStore(store.path)
    assert [path.name for path in store.path.glob("*.part")] == ["alive.part"]


def test_only_one_of_many_threads_gets_a_claim(store):
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: store.claim(CONFIG), range(50))) == 1


def test_a_config_becomes_one_flat_row():
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


def test_an_unknown_kind_of_frame_is_refused_with_a_hint():
    with pytest.raises(ValueError, match="Did you mean 'events'"):
        gst.Study("one", "?", {"none": CONFIG}).frame({}, "event")
