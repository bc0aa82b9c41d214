"""Results on disk: a folder with one JSON file per run, named by the hash of the run's config."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig

CLAIM_LIFETIME = 3600.0  # seconds after which a claim of a process on another machine is taken for dead


class ResultStore:
    """A folder of finished runs, safe to share between processes and to kill at any moment.

    A file is written under a temporary name, flushed to disk (fsync) and renamed, so that it is whole or absent. It
    holds a checksum; a damaged file is named in a warning, moved aside to `*.damaged`, and its run counts as not done.
    A process that starts a run claims it with a file `HASH.running`, so that two studies on one store share the work.

    Args:
        path: the folder; made if it is missing.
    """

    def __init__(self, path: str | os.PathLike):
        if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
            raise TypeError(f"path={check.shown(path)} must name a folder.")
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

    def records(self, configs: Iterable[RunConfig]) -> dict[str, dict]:
        """The stored records of these runs by hash, as `Study.frame` takes them; runs that are not there are left out."""
        found = {config.hash: self.read(config) for config in configs}
        return {name: record for name, record in found.items() if record is not None}


def _checksum(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
