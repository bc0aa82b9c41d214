"""Run a study: many configs, many seeds, every core, on one machine or a cluster.

Each run is one task for joblib, which starts processes with one thread each. With `scheduler="tcp://..."` the same tasks go
to a Dask cluster; inside `joblib.parallel_config`, to whatever backend is set there, such as Ray. Only the calling process
writes results to the store, so the workers of a cluster need no shared disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.experiment import run
from gst_tutorial.studies.provenance import made_with, versions
from gst_tutorial.studies.store import ResultStore
from gst_tutorial.studies.study import Study
from gst_tutorial.training import Diverged

MAX_DEATHS = 2  # a run whose process the system ended that often, alone, is recorded as failed
_WAITING = 1.0  # seconds between two looks at what another process works on
_SILENCE = 15.0  # seconds without a result after which we ask whether the cluster has any workers


def run_record(
    config: RunConfig, checkpoint: str | os.PathLike | None = None, sources: dict[str, str] | None = None
) -> dict:
    """Run a config and return plain JSON types. A run that fails gives a record that says how.

    Args:
        config: what to run.
        checkpoint: see `gst.run`.
        sources: `RunConfig.sources` of the process that asks; a worker whose copies of these functions differ refuses.
    """
    start = time.perf_counter()
    record = {"made": made_with(config.device), "sources": config.sources}
    try:
        if sources not in (None, config.sources):
            different = [name for name in sources if config.sources.get(name) != sources[name]]
            raise RuntimeError(f"this worker has another version of {', '.join(different)}")
        if checkpoint is not None and not Path(checkpoint).parent.is_dir():
            checkpoint = None  # a worker on another machine, without this disk
        result = run(config, checkpoint=checkpoint)
    except Exception as error:  # whatever it is, the study continues and the row reports it
        status = "diverged" if isinstance(error, Diverged) else "failed"
        text = "".join(traceback.format_exception_only(error)).strip()
        return {**record, **_failure(status, text, time.perf_counter() - start)}
    return {
        **record,
        "made": made_with(config.device, result.threads),
        "status": "finished",
        "error": "",
        "result": result.numbers,
        "events": result.events.to_dict("records"),
        "epochs": result.epochs[result.epochs.test_accuracy.notna()].to_dict("records"),
    }


def _failure(status: str, text: str, seconds: float) -> dict:
    return {"status": status, "error": text, "result": {"seconds": seconds}, "events": [], "epochs": []}


def sweep(
    study: Study,
    n_jobs: int = -1,
    store: ResultStore | str | os.PathLike | None = None,
    progress: bool = False,
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Run what is missing of a study and return all of it.

    Args:
        study: what to run.
        n_jobs: number of processes; -1 takes every core. Each uses one thread.
        store: a `ResultStore` or the path of one. Each run is saved as soon as it ends and is not repeated later, so a
            stopped study resumes where it was; a run of more than a minute resumes from its last checkpoint. None keeps
            the results in memory only.
        progress: show a bar with the time left.
        scheduler: address of a Dask scheduler, `"tcp://host:8786"`; needs the extra `cluster`. Every worker must have this
            process's versions of the package, torch and NumPy, and the modules that the configs name. If all workers
            leave, the sweep says so and waits for new ones. Without a scheduler, joblib's current backend is used, so
            `with joblib.parallel_config("ray"): sweep(study)` works, too.

    Returns:
        DataFrame, a row per run in the order of `study.runs`: `label`, the arm's factors, the config's fields, `hash`,
        `final_accuracy`, `best_accuracy`, `train_accuracy`, `instability`, `seconds`, measures, `status` ("finished",
        "diverged" or "failed") and `error`. `.attrs["mixed"]` lists versions, processors, devices and
        numbers of threads that are not the same for all runs; a warning does, too.

    Raises:
        ConnectionError: the scheduler cannot be reached, or was lost. Finished runs are in the store.
        ValueError: a worker of the cluster has other versions, at the start or later; its runs are not stored.
        OSError: the store cannot be written, for example because the disk is full. Finished runs are in the store.
    """
    if not isinstance(study, Study):
        hint = " For one run, use gst.run(config)." if isinstance(study, RunConfig) else ""
        raise TypeError(f"study must be a gst.Study, not {type(study).__name__}.{hint}")
    check.integer("n_jobs", n_jobs)
    if n_jobs == 0:
        raise ValueError("n_jobs=0 gives no process; use 1 or more, or -1 for every core.")
    if store is not None and not isinstance(store, ResultStore):
        store = ResultStore(store)
    configs = study.configs
    records: dict[str, dict] = {}
    if store is not None:
        records = {name: record for name, record in store.records(configs).items() if record["status"] != "failed"}
    missing = list({config.hash: config for config in configs if config.hash not in records}.values())
    told = False
    with _pool(scheduler, n_jobs) as pool, _bar(progress, study, len(missing)) as advance:
        while missing:
            claimed: list[RunConfig] = []
            try:
                for config, record in _run_all(missing, pool, store, claimed, shared_disk=scheduler is None):
                    if store is not None:
                        store.write(config, record)
                        store.release(config)
                    records[config.hash] = record
                    advance(record)
            finally:
                for config in claimed:
                    store.release(config)
            missing = [config for config in missing if config.hash not in records]
            # Another process claimed the rest: take its results as they arrive, or its runs if it dies.
            missing = [config for config in missing if not _take_from(store, config, records, advance)]
            if missing:
                if not told and progress:
                    print(f"{len(missing)} runs are being made by {store.owner(missing[0])}; waiting.", file=sys.stderr)
                told = True
                time.sleep(_WAITING)
    frame = study.frame(records)
    if frame.attrs["mixed"]:
        warnings.warn(f"Study {study.name!r} mixes {in_words(frame.attrs['mixed'])}.", stacklevel=2)
    return frame


def in_words(mixed: dict[str, list[str]]) -> str:
    """Return `frame.attrs["mixed"]` as part of a sentence."""
    return "; ".join(f"{name} {' and '.join(values)}" for name, values in mixed.items())


# One call of `run_record`: the config and the other arguments.
Task = tuple[RunConfig, dict]


def _run_all(configs, pool, store, claimed, shared_disk) -> Iterator[tuple[RunConfig, dict]]:
    """Give the configs to the pool and yield each as it ends; skip those that another process has claimed."""

    def tasks() -> Iterator[Task]:
        for config in configs:
            further = {"sources": config.sources}
            if store is not None:
                if not store.claim(config):
                    continue
                claimed.append(config)
                if store.done(config):  # finished by another process since we looked
                    store.release(config)
                    continue
                if shared_disk:
                    further["checkpoint"] = store.checkpoint(config)
            yield config, further

    yield from pool(tasks())


def _with_record(config: RunConfig, further: dict) -> tuple[RunConfig, dict]:
    return config, run_record(config, **further)


def _with_joblib(n_jobs: int, tasks: Iterable[Task]) -> Iterator[tuple[RunConfig, dict]]:
    """Run the tasks in joblib's processes.

    If the system kills a process (out of memory, a crash), the runs it may have been working on are tried again, each
    alone; a run that kills its process again is recorded as failed.
    """
    tasks, suspects = iter(tasks), []
    while True:
        flying: dict[str, Task] = {}

        def watched(flying=flying):
            for config, further in tasks:
                flying[config.hash] = config, further
                yield joblib.delayed(_with_record)(config, further)

        parallel = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        try:
            with warnings.catch_warnings():
                # joblib warns when its generator is left early (Ctrl-C); leaving is what we want then.
                warnings.filterwarnings("ignore", message=".*generator.*", module="joblib")
                for config, record in parallel(watched()):
                    del flying[config.hash]
                    yield config, record
            break
        except (TerminatedWorkerError, BrokenProcessPool):
            suspects += flying.values()
    for config, further in suspects:
        yield config, _alone(config, further)


def _alone(config: RunConfig, further: dict) -> dict:
    """Return the record of a run made in a process of its own."""
    for _ in range(MAX_DEATHS):
        try:
            # With a second task, or joblib would run a single one right here.
            tasks = [joblib.delayed(_with_record)(config, further), joblib.delayed(int)()]
            (_, record), _ = joblib.Parallel(2)(tasks)
            return record
        except (TerminatedWorkerError, BrokenProcessPool) as error:
            reason = " ".join(str(error).split())[:300]
    return _killed(config, f"{MAX_DEATHS} times", reason)


def _killed(config: RunConfig, how_often: str, reason: str) -> dict:
    text = f"The system ended the process of this run {how_often} (out of memory, or a crash): {reason}"
    return {"made": made_with(config.device), "sources": config.sources, **_failure("failed", text, 0.0)}


def _with_dask(client, tasks: Iterable[Task]) -> Iterator[tuple[RunConfig, dict]]:
    """Run the tasks on a cluster, twice as many at a time as it has threads, so that other studies get their turn.

    Dask repeats a task on another worker if its worker died; one that keeps killing its workers is recorded as failed.
    """
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    flying: dict[Any, RunConfig] = {}  # by future
    tasks, n_threads = iter(tasks), max(1, sum(client.nthreads().values()))
    try:
        while True:
            for config, further in itertools.islice(tasks, 2 * n_threads - len(flying)):
                flying[client.submit(_with_record, config, further, pure=False)] = config
            if not flying:
                return
            for future in _first_done(client, flying):
                config = flying.pop(future)
                try:
                    _, record = future.result()
                except KilledWorker as error:
                    record = _killed(config, "on several workers", " ".join(str(error).split())[:300])
                _check_versions("A worker that joined the cluster", record["made"])
                yield config, record
    except (CancelledError, CommClosedError) as error:
        raise ConnectionError(f"The cluster was lost ({error}); what is finished is kept.") from error


def _first_done(client, flying: Iterable) -> set:
    """Wait until one of the futures is done; say so, once, if that takes long because all workers have left."""
    from distributed import wait

    told = False
    while True:
        try:
            return wait(list(flying), timeout=_SILENCE, return_when="FIRST_COMPLETED").done
        except asyncio.TimeoutError:  # before Python 3.11 not the built-in one
            if not told and not client.nthreads():
                told = True
                print(
                    "The cluster has no workers left. The study continues when some join; Ctrl-C ends it, and what is "
                    "finished is kept.",
                    file=sys.stderr,
                )


def _check_versions(who: str, theirs: dict[str, str]) -> None:
    """Raise a ValueError if numbers made with these versions must not be mixed with this process's."""
    mine = versions()
    different = {name: (theirs.get(name), mine[name]) for name in mine if theirs.get(name) != mine[name]}
    if different:
        said = ", ".join(f"{name} {there} (here {here})" for name, (there, here) in different.items())
        raise ValueError(f"{who} would give other numbers: it has {said}. Its runs are not stored.")


def _take_from(store: ResultStore, config: RunConfig, records: dict, advance) -> bool:
    record = store.read(config)
    if record is None or record["status"] == "failed":
        return False
    records[config.hash] = record
    advance(record)
    return True


@contextlib.contextmanager
def _pool(scheduler: str | None, n_jobs: int) -> Iterator[Callable[[Iterable[Task]], Iterator[tuple[RunConfig, dict]]]]:
    if scheduler is None:
        yield functools.partial(_with_joblib, n_jobs)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('scheduler= needs Dask: pip install "gst-tutorial[cluster]"') from error
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ConnectionError(f"No Dask scheduler at {scheduler!r}: {error}") from error
    with client:
        if not client.nthreads():
            raise ConnectionError(f"The cluster at {scheduler!r} has no worker.")
        for worker, theirs in client.run(versions).items():
            _check_versions(f"Worker {worker}", theirs)
        yield functools.partial(_with_dask, client)


@contextlib.contextmanager
def _bar(show: bool, study: Study, n_missing: int):
    if not show:
        yield lambda record: None
        return
    from tqdm.auto import tqdm

    n_failed = 0
    with tqdm(total=len(study), initial=len(study) - n_missing, desc=study.name, unit="run", smoothing=0.1) as bar:

        def advance(record: dict) -> None:
            nonlocal n_failed
            n_failed += record["status"] != "finished"
            bar.set_postfix_str(f"{n_failed} failed" if n_failed else "")
            bar.update()

        yield advance
