"""Results on disk survive being killed, damaged and shared."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import gst_tutorial as gst

CONFIG = gst.RunConfig(seed=7)
RECORD = {"status": "finished", "error": "", "result": {"final_accuracy": 0.5}, "events": [], "epochs": []}


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
    assert [path.name for path in store.path.iterdir()] == [f"{CONFIG.hash}.json"]


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
store.write(gst.RunConfig(seed=7), {{"status": "finished", "error": "", "result": {{}}, "events": [], "epochs": []}})
"""
    assert subprocess.run([sys.executable, "-c", child]).returncode == 9
    assert store.read(CONFIG)["result"] == RECORD["result"]
    assert list(store.records([CONFIG])) == [CONFIG.hash]  # the leftover *.part file is not taken for a result


def test_many_writers_of_one_run_leave_one_whole_file(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.write(CONFIG, RECORD), range(40)))
    assert store.read(CONFIG)["status"] == "finished"
    assert [path.suffix for path in store.path.iterdir()] == [".json"]


def test_a_claimed_run_is_refused_to_others_until_it_is_released(store):
    assert store.claim(CONFIG)
    assert not gst.ResultStore(store.path).claim(CONFIG)
    store.release(CONFIG)
    assert gst.ResultStore(store.path).claim(CONFIG)


def test_the_claim_of_a_dead_process_is_taken_over(store):
    child = f"import gst_tutorial as gst; assert gst.ResultStore({str(store.path)!r}).claim(gst.RunConfig(seed=7))"
    subprocess.run([sys.executable, "-c", child], check=True)  # ends without releasing
    assert (store.path / f"{CONFIG.hash}.running").exists()
    assert store.claim(CONFIG)


def test_the_claim_of_another_machine_holds_until_it_is_old(store):
    assert store.claim(CONFIG)
    path = store.path / f"{CONFIG.hash}.running"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "time": 0}))
    assert not store.claim(CONFIG)
    os.utime(path, (0, 0))
    assert store.claim(CONFIG)


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
