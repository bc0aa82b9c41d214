"""Run a study: many configs, many seeds, every core, on one machine or a cluster.

The work is cut into runs and given to joblib. On one machine that means processes with one thread each; inside
`joblib.parallel_config("dask")` or with `scheduler="tcp://..."` the same calls go to a Dask cluster, and likewise to
Ray. Only the calling process writes to the store, so workers need no shared disk.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
import warnings
from collections.abc import Iterator

import joblib
import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.experiment import run
from gst_tutorial.studies.store import ResultStore
from gst_tutorial.studies.study import Study
from gst_tutorial.training import Diverged


def run_record(config: RunConfig) -> dict:
    """Run a config and return plain JSON types. A run that fails gives a record that says how."""
    start = time.perf_counter()
    try:
        result = run(config)
    except Exception as error:  # whatever it is, the study goes on and the row tells
        status = "diverged" if isinstance(error, Diverged) else "failed"
        text = "".join(traceback.format_exception_only(error)).strip()
        return {
            "status": status,
            "error": text,
            "result": {"seconds": time.perf_counter() - start},
            "events": [],
            "epochs": [],
        }
    return {
        "status": "finished",
        "error": "",
        "result": result.numbers,
        "events": result.events.to_dict("records"),
        "epochs": result.epochs[result.epochs.test_accuracy.notna()].to_dict("records"),
    }


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
        n_jobs: processes; -1 takes every core. Each uses one thread.
        store: a `ResultStore` or the path of one. Finished runs in it are not repeated; each run is saved as it ends,
            so a stopped study resumes where it was. None keeps the results in memory only.
        progress: show a bar with the time left.
        scheduler: address of a Dask scheduler, `"tcp://host:8786"`; needs the extra `cluster`. Without it, joblib's
            current backend is used, so `with joblib.parallel_config("ray"): sweep(study)` works the same way.

    Returns:
        DataFrame, a row per run in the order of `study.runs`: `label`, the arm's factors, the config's fields, `hash`,
        `final_accuracy`, `best_accuracy`, `train_accuracy`, `instability`, `seconds`, measures, `status` ("finished",
        "diverged" or "failed") and `error`.
    """
    check.integer("n_jobs", n_jobs)
    if n_jobs == 0:
        raise ValueError("n_jobs=0 gives no process; use 1 or more, or -1 for every core.")
    if store is not None and not isinstance(store, ResultStore):
        store = ResultStore(store)
    configs = study.configs
    records: dict[str, dict] = {}
    if store is not None:
        records = {config.hash: store.read(config) for config in configs if store.done(config)}
    missing = list({config.hash: config for config in configs if config.hash not in records}.values())
    with _cluster(scheduler), _bar(progress, study, len(missing)) as advance:
        while missing:
            claimed = [] if store is not None else None
            try:
                for config, record in _run_all(missing, n_jobs, store, claimed):
                    if store is not None:
                        store.write(config, record)
                        store.release(config)
                    records[config.hash] = record
                    advance(record)
            finally:
                for config in claimed or ():
                    store.release(config)
            missing = [config for config in missing if config.hash not in records]
            # What is left was claimed by another process: take its results as they come, or its work if it died.
            missing = [config for config in missing if not _take_from(store, config, records, advance)]
            if missing:
                time.sleep(1.0)
    return study.frame(records)


def _run_all(configs, n_jobs, store, claimed) -> Iterator[tuple[RunConfig, dict]]:
    """Give the configs to joblib; yield each as it ends. Those that another process has claimed are passed over."""

    def tasks():
        for config in configs:
            if store is None:
                yield joblib.delayed(_with_record)(config)
            elif store.claim(config):
                claimed.append(config)
                if store.done(config):  # finished by another process since we looked
                    store.release(config)
                    continue
                yield joblib.delayed(_with_record)(config)

    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with warnings.catch_warnings():
        # joblib warns when its generator is left early (Ctrl-C); leaving is what we want then.
        warnings.filterwarnings("ignore", message=".*generator.*", module="joblib")
        yield from parallel(tasks())


def _with_record(config: RunConfig) -> tuple[RunConfig, dict]:
    return config, run_record(config)


def _take_from(store: ResultStore, config: RunConfig, records: dict, advance) -> bool:
    if not store.done(config):
        return False
    records[config.hash] = store.read(config)
    advance(records[config.hash])
    return True


@contextlib.contextmanager
def _cluster(scheduler: str | None):
    if scheduler is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('scheduler= needs Dask: pip install "gst-tutorial[cluster]"') from error
    with Client(scheduler, timeout="10s"), joblib.parallel_config("dask"):
        yield


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
