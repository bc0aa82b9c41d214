"""Checkpoints: a stopped run resumes from one file and gives, bit for bit, the numbers it would have given undisturbed.

The file contains weights and masks, the state of the optimizer and of its schedule, every random generator, and the events
and epochs recorded so far. It is written at the end of an epoch, in the safetensors format: tensors, and everything else as
JSON. Reading it runs no code.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch


class Checkpoint:
    """The state of a run, saved in the file `path`.

    Args:
        path: the file; it need not exist.
        identity: a run resumes only from a checkpoint with the same text here, such as its config's hash and torch's version.
        every: seconds between two saves, at the ends of epochs; a shorter run saves nothing.
    """

    def __init__(self, path: str | os.PathLike, identity: str, every: float = 60.0):
        self.path, self.identity, self.every = Path(path), identity, every
        self.parts: dict[str, Any] = {"global": _GlobalGenerators()}
        self.written = time.monotonic()

    def follow(self, **parts: Any) -> None:
        """Save these, too: objects with `state_dict` and `load_state_dict`, torch generators, or lists of plain values."""
        self.parts |= parts

    def load(self) -> bool:
        """Restore all parts in place. Return False if there is no file, or, with a warning, if it does not fit this run."""
        try:
            tensors, metadata = _read(self.path)
            if metadata["identity"] != self.identity:
                raise ValueError("it belongs to another run, or another version of this package or of torch")
            state = _unpacked(json.loads(metadata["state"]), tensors)
        except FileNotFoundError:
            return False
        except Exception as error:  # whatever is wrong with the file, the run can start over
            warnings.warn(f"Checkpoint {self.path} is not used: {error}.", stacklevel=2)
            return False
        for name, part in self.parts.items():
            _set_state(part, state[name])
        return True

    def epoch_ended(self) -> None:
        """Save if `every` seconds have passed."""
        if time.monotonic() - self.written >= self.every:
            self.write()

    def write(self) -> None:
        """Save now: to a temporary file that is then renamed, so that `path` is complete at any moment.

        A checkpoint only saves time, so a disk that has no room for it does not end the run: a warning says so, and the
        run goes on without further checkpoints.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        state = json.dumps(_packed({name: _state(part) for name, part in self.parts.items()}, tensors))
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            save_file(tensors, temporary, {"identity": self.identity, "state": state})
            os.replace(temporary, self.path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            self.every = math.inf
            warnings.warn(
                f"Checkpoint {self.path} cannot be written ({error}); the run continues without.", stacklevel=2
            )
        self.written = time.monotonic()

    def remove(self) -> None:
        """Delete the file: the run has ended."""
        self.path.unlink(missing_ok=True)


class _GlobalGenerators:
    """The state of torch's global random generators, which dropout draws from."""

    def state_dict(self) -> dict:
        on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if on_gpu else []}

    def load_state_dict(self, state: dict) -> None:
        torch.set_rng_state(state["cpu"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])


def _state(part: Any) -> Any:
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part if isinstance(part, list) else part.state_dict()


def _set_state(part: Any, state: Any) -> None:
    if isinstance(part, torch.Generator):
        part.set_state(state)
    elif isinstance(part, list):
        part[:] = state
    else:
        part.load_state_dict(state)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import safe_open

    if not path.exists():
        raise FileNotFoundError(path)
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (it is no dict)


def _packed(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return `value` as JSON can store it: tensors move to `tensors`, dicts become pairs since their keys may be numbers."""
    if isinstance(value, torch.Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        # Fused optimizers step along memory: a moment must lie there as its weight does.
        return {"tensor": key, "channels_last": value.dim() == 4 and not value.is_contiguous()}
    if isinstance(value, dict):
        return {"pairs": [[key, _packed(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_packed(each, tensors) for each in value]
    return value


def _unpacked(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        return tensor.contiguous(memory_format=torch.channels_last) if value["channels_last"] else tensor
    if "tuple" in value:
        return tuple(_unpacked(each, tensors) for each in value["tuple"])
    return {key: _unpacked(each, tensors) for key, each in value["pairs"]}
