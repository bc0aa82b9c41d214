"""The same sweep on a real Dask cluster: a scheduler and two workers on this machine, one of them killed in mid-study."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gst_tutorial as gst
from tests.studies.small_study import study

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


def test_workers_with_several_threads_and_functions_of_ones_own_give_the_numbers_of_this_process(cluster):
    """A plain `dask worker` has several threads; runs in them once gave other numbers, under the same hash."""
    from tests.studies.test_own import PRUNED, own

    mine = gst.Arm(PRUNED.replace(score=own.from_the_end), {"what": "mine"})
    both = study(3).replace(arms=(*study(3).arms, mine))
    root = str(Path(__file__).parents[2])
    with distributed.Client(cluster[0]) as client:
        client.run(lambda: __import__("sys").path.insert(0, root))
    there, here = gst.sweep(both, scheduler=cluster[0]), gst.sweep(both, n_jobs=1)
    assert (there.status == "finished").all(), there.error.tolist()
    assert there.final_accuracy.tolist() == here.final_accuracy.tolist()


def test_a_worker_of_another_version_is_refused_before_the_first_run(cluster, tmp_path):
    with distributed.Client(cluster[0]) as client:
        client.run(lambda: __import__("gst_tutorial").__dict__.update(__version__="0.0.9"))
        with pytest.raises(ValueError, match=r"Worker tcp://.* gst_tutorial 0\.0\.9 \(here "):
            gst.sweep(study(1), scheduler=cluster[0], store=tmp_path / "results")
    assert not list((tmp_path / "results").glob("*.json"))


def test_a_lost_scheduler_is_an_error_and_nothing_is_run_here_instead(cluster, tmp_path):
    store = tmp_path / "results"
    command = [
        sys.executable,
        "-m",
        "gst_tutorial",
        "run",
        "dose",
        "--seeds",
        "1",
        "--scheduler",
        cluster[0],
        "--out",
        str(store),
    ]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not list(store.glob("*.json")):
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.02)
    with distributed.Client(cluster[0]) as client:
        client.shutdown()
    printed = driver.communicate(timeout=120)[1]
    assert driver.returncode == 3, printed
    assert "error: " in printed and "Traceback" not in printed.split("error: ")[-1]
    assert len(list(store.glob("*.json"))) < 22


def test_a_study_on_dask_survives_the_death_of_a_worker(cluster, tmp_path):
    address, (first, second) = cluster
    here = gst.sweep(study(10), n_jobs=1)
    store = tmp_path / "results"
    driver = subprocess.Popen(
        [sys.executable, "-c", f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import gst_tutorial as gst
from tests.studies.small_study import study
frame = gst.sweep(study(10), store={str(store)!r}, scheduler={address!r})
frame.to_csv({str(tmp_path / "frame.csv")!r})
"""]
    )  # fmt: skip
    deadline = time.monotonic() + 120
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


def test_a_run_that_ends_its_workers_is_recorded_as_failed_and_the_study_ends():
    import dask

    from tests.studies.test_own import OWN, own

    root = str(Path(__file__).parents[2])
    arms = {"none": OWN.replace(epochs=1), "deadly": OWN.replace(model=own.dies, epochs=1)}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "env": {"PYTHONPATH": root}}
        with distributed.LocalCluster(**options) as cluster:
            frame = gst.sweep(gst.Study("deadly", "?", arms, seeds=(0,)), scheduler=cluster.scheduler_address)
    assert frame.set_index("label").status.to_dict() == {"none": "finished", "deadly": "failed"}
    assert "on several workers" in frame[frame.label == "deadly"].error.item()


def test_an_address_without_a_scheduler_is_an_error_and_not_a_hang():
    with pytest.raises(OSError):
        gst.sweep(study(1), scheduler="tcp://127.0.0.1:9")
