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
    worker = [*dask, "worker", address, "--nthreads", "1", "--host", "127.0.0.1", "--no-nanny", "--no-dashboard"]
    workers = [subprocess.Popen([*worker, "--name", name], **quiet) for name in ("first", "second")]
    try:
        with distributed.Client(address, timeout="60s") as client:
            client.wait_for_workers(2, timeout=120)
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait(30)


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


def test_an_address_without_a_scheduler_is_an_error_and_not_a_hang():
    with pytest.raises(OSError):
        gst.sweep(study(1), scheduler="tcp://127.0.0.1:9")
