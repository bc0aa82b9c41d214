"""Results on disk: a folder with one JSON file per run, named by the hash of the run's config."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path

import filelock

from gst_tutorial import _arguments as check
from gst_tutorial.config import RunConfig

STATUS = ("finished", "diverged", "failed")
_ABANDONED = 3600.0  # seconds after which a temporary file has no writer any more
_SHARES = ("final_accuracy", "best_accuracy", "train_accuracy")


class ResultStore:
    """A folder of finished runs, safe to share between processes and to kill at any moment.

    A file is written under a temporary name, flushed to disk (fsync) and renamed, so that it is whole or absent. It
    holds a checksum; a file that is damaged, or whose content is another run's, is named in a warning, moved aside to
    `*.damaged`, and its run counts as not done. So does a run that was made with another version of a function of the
    reader's (`RunConfig.sources`): its file goes to `*.outdated` when the new one is written.

    A process that works on a run holds a lock of the operating system's on `locks/HASH.lock` (through the library filelock),
    which ends with the process however that ends; so two studies on one store share the work, also from two machines if
    the file system between them has locks (NFS 4 has).

    Args:
        path: the folder; made if it is missing.

    Raises:
        OSError: a folder that cannot be made or written.
    """

    def __init__(self, path: str | os.PathLike):
        if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
            raise TypeError(f"path={check.shown(path)} must name a folder.")
        self.path = Path(path)
        try:
            (self.path / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(error.errno, f"path={check.shown(str(path))} cannot be made: {error.strerror}") from None
        self._claims: dict[str, filelock.BaseFileLock] = {}
        for file in self.path.glob("*.part"):
            with contextlib.suppress(OSError):  # gone already, or no file that could be in the way
                if time.time() - file.stat().st_mtime > _ABANDONED:
                    file.unlink()

    def __repr__(self) -> str:
        return f"ResultStore({str(self.path)!r}, {len(list(self.path.glob('*.json')))} runs)"

    def file(self, config: RunConfig) -> Path:
        """The JSON file of a run, whether it exists or not."""
        return self.path / f"{config.hash}.json"

    def checkpoint(self, config: RunConfig) -> Path:
        """The file in which a run of some minutes keeps where it stands."""
        return self.path / f"{config.hash}.checkpoint"

    def write(self, config: RunConfig, record: dict) -> None:
        """Save what `gst_tutorial.studies.sweep.run_record` gave for this config."""
        record = {**record, "config": config.to_dict()}
        path = self.file(config)
        temporary = self.path / f"{config.hash}.{uuid.uuid4().hex}.part"
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(json.dumps({"checksum": _checksum(record), **record}, sort_keys=True))
                file.flush()
                os.fsync(file.fileno())
            if self._is_outdated(config):
                os.replace(path, path.with_suffix(".json.outdated"))
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the rename itself must survive a power cut; Windows has no such call for folders
            folder = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def read(self, config: RunConfig) -> dict | None:
        """The record of a run that has ended, or None if there is none that is whole, this config's, and of its sources."""
        path = self.file(config)
        try:
            record = self._checked(config)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            with contextlib.suppress(FileNotFoundError):  # another process may have moved it already
                os.replace(path, path.with_suffix(".json.damaged"))
            warnings.warn(
                f"Damaged result file {path} ({error}); moved to *.damaged, its run will be repeated.", stacklevel=2
            )
            return None
        if self._is_outdated(config, record):
            changed = [name for name, source in config.sources.items() if record.get("sources", {}).get(name) != source]
            warnings.warn(
                f"{path} was made with another version of {', '.join(changed)}; its run will be repeated.", stacklevel=2
            )
            return None
        return record

    def _checked(self, config: RunConfig) -> dict:
        record = json.loads(self._text(config))
        if record.pop("checksum") != _checksum(record):
            raise ValueError("checksum does not match")
        if RunConfig.from_dict(record["config"]).hash != config.hash:
            raise ValueError("it is the result of another config")
        if record["status"] not in STATUS:
            raise ValueError(f"status {record['status']!r}")
        for name, value in record["result"].items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} is {value!r}, not a number")
        if record["status"] == "finished":
            for name in _SHARES:
                if not 0 <= record["result"][name] <= 1:
                    raise ValueError(f"{name} is {record['result'][name]!r}, not a share")
            if not math.isfinite(record["result"]["instability"]):
                raise ValueError("instability is not finite")
        return record

    def _text(self, config: RunConfig) -> str:
        path = self.file(config)
        if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
            raise ValueError("it is no file")
        return path.read_text(encoding="utf-8")

    def _is_outdated(self, config: RunConfig, record: dict | None = None) -> bool:
        if not config.sources:
            return False
        try:
            record = record or json.loads(self._text(config))
            return record.get("sources", {}) != config.sources
        except (OSError, ValueError, AttributeError):
            return False

    def done(self, config: RunConfig) -> bool:
        """Whether the run needs no repeating: it finished, or it diverged (which it would do again)."""
        record = self.read(config)
        return record is not None and record["status"] in ("finished", "diverged")

    def records(self, configs: Iterable[RunConfig]) -> dict[str, dict]:
        """The stored records of these runs by hash, as `Study.frame` takes them; runs that are not there are left out."""
        found = {config.hash: self.read(config) for config in configs}
        return {name: record for name, record in found.items() if record is not None}

    # --- claims: two processes on one store do not run the same config ------------------------------------------------

    def claim(self, config: RunConfig) -> bool:
        """Try to reserve a run for this process. False if another has it, or this one already."""
        lock = filelock.FileLock(self._claim_file(config), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            return False
        self._say_who(config)
        self._claims[config.hash] = lock
        return True

    def release(self, config: RunConfig) -> None:
        """Give a claim back, run or not; nothing if there is none of this process's."""
        lock = self._claims.pop(config.hash, None)
        if lock is not None:
            with contextlib.suppress(OSError):
                self._claim_file(config).with_suffix(".owner").unlink(missing_ok=True)
            lock.release()

    def _say_who(self, config: RunConfig) -> None:
        """For `owner` only; the lock itself is what counts. Renamed into place: whatever lies there (a pipe without a reader,
        a link to another file) is not written to."""
        temporary = self.path / "locks" / f"{config.hash}.{uuid.uuid4().hex}.part"
        with contextlib.suppress(OSError):
            temporary.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            try:
                os.replace(temporary, self._claim_file(config).with_suffix(".owner"))
            except OSError:
                temporary.unlink()

    def owner(self, config: RunConfig) -> str:
        """Who claimed a run, for people: "process 123 on host"."""
        path = self._claim_file(config).with_suffix(".owner")
        try:
            if path.is_file():  # reading from a pipe would wait for a writer
                return path.read_text(encoding="utf-8", errors="replace")[:100]
        except OSError:
            pass
        return "another process"

    def _claim_file(self, config: RunConfig) -> Path:
        return self.path / "locks" / f"{config.hash}.lock"


def _checksum(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
