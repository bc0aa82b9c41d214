"""Results on disk: a folder with one JSON file per run, named after the hash of the run's config."""

from __future__ import annotations

import contextlib
import hashlib
import json
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

_ABANDONED = 3600.0  # seconds after which nobody can still be writing a temporary file


class ResultStore:
    """A folder of finished runs that several processes may share and that may be killed at any moment.

    Each result is written to a temporary file, flushed to disk (fsync) and renamed, so it is either complete or absent. It
    carries a checksum: a file that is damaged, or belongs to another config, is reported in a warning, renamed to
    `*.damaged`, and its run is repeated. A run whose user-supplied functions have changed since (`RunConfig.sources`) is
    repeated, too; the old file becomes `*.outdated`.

    A process that works on a run holds a lock of the operating system (library: filelock) on `locks/HASH.lock`. The lock
    ends with the process, however that ends. So two sweeps on one store share the work, even from two machines if their
    common file system has locks (NFS 4 has).

    Args:
        path: the folder; created if missing.

    Raises:
        OSError: the folder cannot be created or written.
    """

    def __init__(self, path: str | os.PathLike):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path={check.shown(path)} must name a folder.")
        self.path = Path(path)
        try:
            (self.path / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(error.errno, f"path={check.shown(str(path))} cannot be made: {error.strerror}") from None
        self._claims: dict[str, filelock.BaseFileLock] = {}
        for file in self.path.glob("*.part"):  # left by a process that was killed while it wrote
            with contextlib.suppress(OSError):  # another process may have removed it
                if time.time() - file.stat().st_mtime > _ABANDONED:
                    file.unlink()

    def __repr__(self) -> str:
        return f"ResultStore({str(self.path)!r}, {len(list(self.path.glob('*.json')))} runs)"

    def file(self, config: RunConfig) -> Path:
        """Return the path of a run's JSON file, which need not exist."""
        return self.path / f"{config.hash}.json"

    def checkpoint(self, config: RunConfig) -> Path:
        """Return the path of the file from which a stopped run of more than a minute resumes."""
        return self.path / f"{config.hash}.checkpoint"

    def write(self, config: RunConfig, record: dict) -> None:
        """Save the record of a run, as `gst_tutorial.studies.sweep.run_record` returns it.

        Raises:
            OSError: the disk is full, or the folder cannot be written; nothing of this run is left in the store.
        """
        record = {**record, "config": config.to_dict()}
        path = self.file(config)
        temporary = self.path / f"{config.hash}.{uuid.uuid4().hex}.part"
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(json.dumps({"checksum": _checksum(record), **record}, sort_keys=True))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(
                OSError, ValueError, KeyError, TypeError
            ):  # there is no earlier result, or nobody can read it
                if json.loads(path.read_text(encoding="utf-8"))["sources"] != config.sources:
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
        """Return the record of a run, or None if it is missing, damaged, or made with other user-supplied functions."""
        path = self.file(config)
        try:
            record = _checked(path.read_text(encoding="utf-8"), config)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            with contextlib.suppress(FileNotFoundError):  # another process may have moved it already
                os.replace(path, path.with_suffix(".json.damaged"))
            warnings.warn(
                f"Damaged result file {path} ({error}); moved to *.damaged, its run will be repeated.", stacklevel=2
            )
            return None
        before = record.get("sources", {})
        changed = [name for name, source in config.sources.items() if before.get(name) != source]
        if changed:
            warnings.warn(
                f"{path} was made with another version of {', '.join(changed)}; its run will be repeated.", stacklevel=2
            )
            return None
        return record

    def done(self, config: RunConfig) -> bool:
        """Return True if the run needs no repeating: it finished, or it diverged (and would diverge again)."""
        record = self.read(config)
        return record is not None and record["status"] in ("finished", "diverged")

    def records(self, configs: Iterable[RunConfig]) -> dict[str, dict]:
        """Return the stored records of these runs by hash, as `Study.frame` takes them, without those that are missing."""
        found = {config.hash: self.read(config) for config in configs}
        return {name: record for name, record in found.items() if record is not None}

    # --- claims: two processes on one store do not run the same config ------------------------------------------------

    def claim(self, config: RunConfig) -> bool:
        """Try to reserve a run for this process. Return False if it is reserved already, by another process or by this."""
        lock = filelock.FileLock(self._claim_file(config), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            return False
        with contextlib.suppress(OSError):  # for `owner` only; the lock itself is what counts
            self._owner_file(config).write_text(f"process {os.getpid()} on {socket.gethostname()}")
        self._claims[config.hash] = lock
        return True

    def release(self, config: RunConfig) -> None:
        """Give up a claim; do nothing if this process has none."""
        lock = self._claims.pop(config.hash, None)
        if lock is not None:
            with contextlib.suppress(OSError):
                self._owner_file(config).unlink(missing_ok=True)
            lock.release()

    def owner(self, config: RunConfig) -> str:
        """Return who claimed a run, for messages: "process 123 on host"."""
        try:
            return self._owner_file(config).read_text(encoding="utf-8")
        except OSError:
            return "another process"

    def _claim_file(self, config: RunConfig) -> Path:
        return self.path / "locks" / f"{config.hash}.lock"

    def _owner_file(self, config: RunConfig) -> Path:
        return self._claim_file(config).with_suffix(".owner")


def _checked(text: str, config: RunConfig) -> dict:
    """Return the record in a result file's text; a ValueError, KeyError, AttributeError or TypeError says it is not one."""
    record = json.loads(text)
    if record.pop("checksum") != _checksum(record):
        raise ValueError("checksum does not match")
    if RunConfig.from_dict(record["config"]).hash != config.hash:
        raise ValueError("it is the result of another config")
    return record


def _checksum(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
