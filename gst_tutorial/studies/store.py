"""Results on disk: a folder with one JSON file per run, named by the hash of the run's config."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig
from gst_tutorial.training import Recipe

CLAIM_LIFETIME = 3600.0  # seconds after which a claim of a process on another machine is taken for dead
KINDS = ("runs", "events", "epochs")


class ResultStore:
    """A folder of finished runs, safe to share between processes and to kill at any moment.

    A file is written under a temporary name, flushed to disk (fsync) and renamed, so that it is whole or absent. It
    holds a checksum; a damaged file is named in a warning, moved aside to `*.damaged`, and its run counts as not done.
    A process that starts a run claims it with a file `HASH.running`, so that two studies on one store share the work.

    Args:
        path: the folder; made if it is missing.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"ResultStore({str(self.path)!r}, {len(list(self.path.glob('*.json')))} runs)"

    def file(self, config: RunConfig) -> Path:
        """The JSON file of a run, whether it exists or not."""
        return self.path / f"{config.hash}.json"

    def write(self, config: RunConfig, record: dict) -> None:
        """Save what `gst_tutorial.sweep.run_record` gave for this config."""
        record = {**record, "config": config.to_dict()}
        text = json.dumps({"checksum": _checksum(record), **record}, sort_keys=True)
        descriptor, temporary = tempfile.mkstemp(dir=self.path, suffix=".part")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.file(config))
        folder = os.open(self.path, os.O_RDONLY)  # the rename itself must survive a power cut
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, config: RunConfig) -> dict | None:
        """The record of a finished run, or None if there is none (or only a damaged one)."""
        path = self.file(config)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record.pop("checksum") != _checksum(record):
                raise ValueError("checksum does not match")
            return record
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            with contextlib.suppress(FileNotFoundError):  # another process may have moved it already
                os.replace(path, path.with_suffix(".json.damaged"))
            warnings.warn(
                f"Damaged result file {path} ({error}); moved to *.damaged, its run will be repeated.", stacklevel=2
            )
            return None

    def done(self, config: RunConfig) -> bool:
        """Whether the run needs no repeating: it finished, or it diverged (which it would do again)."""
        record = self.read(config)
        return record is not None and record["status"] in ("finished", "diverged")

    # --- claims: two processes on one store do not run the same config ------------------------------------------------

    def claim(self, config: RunConfig) -> bool:
        """Try to reserve a run for this process. False if a living process has it."""
        path = self._claim_file(config)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        for _ in range(2):
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                if self._claim_is_alive(path):
                    return False
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                continue
            with os.fdopen(descriptor, "w") as file:
                json.dump(owner, file)
            return True
        return False

    def release(self, config: RunConfig) -> None:
        """Give a claim back, run or not."""
        self._claim_file(config).unlink(missing_ok=True)

    def _claim_file(self, config: RunConfig) -> Path:
        return self.path / f"{config.hash}.running"

    @staticmethod
    def _claim_is_alive(path: Path) -> bool:
        try:
            owner, age = json.loads(path.read_text()), time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        except ValueError:  # created, but its owner not written yet; dead if it stays so
            return time.time() - path.stat().st_mtime < 10
        if owner["host"] != socket.gethostname():
            return age < CLAIM_LIFETIME
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    # --- frames --------------------------------------------------------------------------------------------------------

    def frame(self, configs: Iterable[RunConfig], kind: str = "runs") -> pd.DataFrame:
        """Stored results as one tidy DataFrame; runs that are not there are left out.

        Args:
            configs: which runs.
            kind: "runs" (a row per run: every config field, then every result), "events" or "epochs" (a row each,
                with the run's hash).
        """
        check.one_of("kind", kind, KINDS)
        rows = []
        for config in configs:
            record = self.read(config)
            if record is not None:
                rows += record_rows(config, record, kind)
        return pd.DataFrame(rows)


def record_rows(config: RunConfig, record: dict, kind: str) -> list[dict]:
    """The rows of one stored run in the frame of that kind."""
    if kind == "runs":
        return [
            {
                **config_row(config),
                "hash": config.hash,
                **record["result"],
                "status": record["status"],
                "error": record["error"],
            }
        ]
    return [{"hash": config.hash, "seed": config.seed, **row} for row in record[kind]]


def config_row(config: RunConfig) -> dict:
    """A config as one flat row: recipe and schedule fields stand beside the others, several layers are joined by "+"."""
    row = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("recipe", "schedule")}
    row |= {f.name: getattr(config.recipe, f.name) for f in dataclasses.fields(Recipe)}
    row["milestones"] = "+".join(map(str, config.recipe.milestones))
    plan = config.plan
    columns = {
        "layers": [name for name, _, _ in plan],
        "prune_fraction": [fraction for _, fraction, _ in plan],
        "start": [schedule.start for *_, schedule in plan],
        "end": [schedule.epochs[-1] for *_, schedule in plan],
        "retrain_period": [schedule.retrain_period for *_, schedule in plan],
        "n_events": [schedule.n_events for *_, schedule in plan],
        "iterative_rate": [fraction / schedule.n_events for _, fraction, schedule in plan],
    }
    for name, values in columns.items():
        row[name] = values[0] if len(set(values)) == 1 and name != "layers" else "+".join(map(str, values))
    row["measures"] = "+".join(config.measures)
    return row


def _checksum(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
