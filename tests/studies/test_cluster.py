"""The same sweep on a real Dask cluster on this machine, whose workers die, leave, join and have other versions."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gst_tutorial as gst
from gst_tutorial.studies.provenance import versions
from tests.studies.small_study import study

ROOT = str(Path(__file__).parents[2])
distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path):
    """Address of the scheduler and the two worker processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    host, port = address.removeprefix("tcp://").split(":")
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", host, "--port", port, "--no-dashboard"], **quiet)
    worker = [*dask, "worker", address, "--nthreads", "2", "--host", "127.0.0.1", "--no-nanny", "--no-dashboard"]
    workers = [subprocess.Popen([*worker, "--name", name], **quiet) for name in ("first", "second")]
    try:
        with distributed.Client(address, timeout="60s") as client:
            client.wait_for_workers(2, timeout=120)
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait(30)


def test_workers_with_several_threads_give_the_same_numbers(cluster):
    """A plain `dask worker` has several threads; runs in them once gave other numbers, under the same hash."""
    from tests.studies.test_own import PRUNED, own

    mine = gst.Arm(PRUNED.replace(score=own.from_the_end), {"what": "mine"})
    both = study(3).replace(arms=(*study(3).arms, mine))
    with distributed.Client(cluster[0]) as client:
        client.run(sys.path.insert, 0, ROOT)
    there, here = gst.sweep(both, scheduler=cluster[0]), gst.sweep(both, n_jobs=1)
    assert (there.status == "finished").all(), there.error.tolist()
    assert there.final_accuracy.tolist() == here.final_accuracy.tolist()


def test_worker_of_another_version_is_refused_at_the_start(cluster, tmp_path):
    with distributed.Client(cluster[0]) as client:
        client.run(lambda: __import__("gst_tutorial").__dict__.update(__version__="0.0.9"))
        with pytest.raises(ValueError, match=r"Worker tcp://.* gst_tutorial 0\.0\.9 \(here "):
            gst.sweep(study(1), scheduler=cluster[0], store=tmp_path / "results")
    assert not list((tmp_path / "results").glob("*.json"))


def test_lost_scheduler_is_an_error_and_keeps_what_is_finished(cluster, tmp_path):
    store = tmp_path / "results"
    options = ["--seeds", "1", "--scheduler", cluster[0], "--out", str(store)]
    command = [sys.executable, "-m", "gst_tutorial", "run", "dose", *options]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 300
    while not list(store.glob("*.json")):
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.02)
    with distributed.Client(cluster[0]) as client:
        client.shutdown()
    printed = driver.communicate(timeout=120)[1]
    assert driver.returncode == 3, printed
    assert "error: " in printed and "Traceback" not in printed.split("error: ")[-1]
    assert len(list(store.glob("*.json"))) < 22


def test_study_survives_the_death_of_a_worker(cluster, tmp_path):
    address, (first, second) = cluster
    here = gst.sweep(study(10), n_jobs=1)
    store = tmp_path / "results"
    driver = subprocess.Popen(
        [sys.executable, "-c", f"""
import sys; sys.path.insert(0, {ROOT!r})
import gst_tutorial as gst
from tests.studies.small_study import study
frame = gst.sweep(study(10), store={str(store)!r}, scheduler={address!r})
frame.to_csv({str(tmp_path / "frame.csv")!r})
"""]
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while len(list(store.glob("*.json"))) < 4:
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.02)
    first.kill()
    assert len(list(store.glob("*.json"))) < 40, "the study was over before the worker died"
    assert driver.wait(180) == 0
    assert second.poll() is None

    there = study(10).frame(gst.ResultStore(store).records(study(10).configs))
    assert (there.status == "finished").all()
    assert there.final_accuracy.tolist() == here.final_accuracy.tolist()


def test_run_that_kills_its_workers_is_recorded_as_failed():
    import dask

    from tests.studies.test_own import OWN, own

    arms = {"none": OWN.replace(epochs=1), "deadly": OWN.replace(model=own.dies, epochs=1)}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "env": {"PYTHONPATH": ROOT}}
        with distributed.LocalCluster(**options) as cluster:
            frame = gst.sweep(gst.Study("deadly", "?", arms, seeds=(0,)), scheduler=cluster.scheduler_address)
    assert frame.set_index("label").status.to_dict() == {"none": "finished", "deadly": "failed"}
    assert "on several workers" in frame[frame.label == "deadly"].error.item()


def local_cluster():
    """One worker process on this machine, which can leave and come back."""
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "env": {"PYTHONPATH": ROOT}}
    return distributed.LocalCluster(**options)


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_sweep_says_when_all_workers_left_and_continues_with_new_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gst_tutorial.studies.sweep._SILENCE", 1.0)  # seconds, instead of 15
    said = []
    with local_cluster() as cluster, ThreadPoolExecutor(1) as thread:
        frame = thread.submit(gst.sweep, study(3), store=tmp_path, scheduler=cluster.scheduler_address)
        wait_for(lambda: len(list(tmp_path.glob("*.json"))) >= 2)
        cluster.scale(0)
        wait_for(lambda: said.append(capsys.readouterr().err) or "has no workers left" in "".join(said))
        stored = {path: path.read_bytes() for path in tmp_path.glob("*.json")}
        assert 2 <= len(stored) < 12, "the study was over before its worker left"
        cluster.scale(1)
        there = frame.result(600)
    assert there.final_accuracy.tolist() == gst.sweep(study(3), n_jobs=1).final_accuracy.tolist()
    assert all(path.read_bytes() == text for path, text in stored.items())


def test_runs_of_a_worker_that_joins_with_another_version_are_not_stored(tmp_path):
    store, preload = tmp_path / "results", tmp_path / "preload.py"
    preload.write_text("import gst_tutorial.config as config\nconfig.RESULTS_VERSION = 99\n")
    with local_cluster() as cluster, ThreadPoolExecutor(1) as thread:
        address = cluster.scheduler_address
        frame = thread.submit(gst.sweep, study(100), store=store, scheduler=address)
        wait_for(lambda: list(store.glob("*.json")))
        worker = [sys.executable, "-m", "dask", "worker", address, "--no-nanny", "--preload", str(preload)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
        other = subprocess.Popen(worker, env={**os.environ, "PYTHONPATH": ROOT}, **quiet)
        try:
            with pytest.raises(ValueError, match=r"A worker that joined .* has results 99 \(here "):
                frame.result(600)
        finally:
            other.kill()
            other.wait(30)
    records = gst.ResultStore(store).records(study(100).configs)
    assert 0 < len(records) < 400
    assert {record["made"]["results"] for record in records.values()} == {versions()["results"]}


def test_address_without_a_scheduler_is_an_error():
    with pytest.raises(OSError):
        gst.sweep(study(1), scheduler="tcp://127.0.0.1:9")
