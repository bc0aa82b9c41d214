"""A run that survives a stop: everything that decides how it goes on, in one file, written after an epoch.

What is kept: weights and masks, the optimizer's and the schedule's state, every generator, and what a run has noted so far.
A run that goes on from it gives, to the bit, what it would have given undisturbed. The file is safetensors (Hugging Face):
tensors and, as JSON, all else; reading one runs no code.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch


class Checkpoint:
    """Where a run stands, in the file `path`.

    Args:
        path: the file; it need not exist.
        identity: what must be the same for a run to go on from it, such as its config's hash and torch's version.
        every: seconds between two writings, at the ends of epochs; a shorter run writes nothing.
    """

    def __init__(self, path: str | os.PathLike, identity: str, every: float = 60.0):
        self.path, self.identity, self.every = Path(path), identity, every
        self.parts: dict[str, Any] = {"global": _GlobalGenerators()}
        self.written = time.monotonic()

    def follow(self, **parts: Any) -> None:
        """Keep these, too: whatever has `state_dict` and `load_state_dict`, a torch generator, or a list of plain values."""
        self.parts |= parts

    def load(self) -> bool:
        """Set all parts to what the file says, in place. False if there is no file, or another run's (a warning says so)."""
        try:
            tensors, metadata = _read(self.path)
            if metadata["identity"] != self.identity:
                raise ValueError("it is of another run, package or torch")
            state = _unpacked(json.loads(metadata["state"]), tensors)
        except FileNotFoundError:
            return False
        except Exception as error:  # whatever is wrong with the file, the run can begin anew
            warnings.warn(f"Checkpoint {self.path} is not used: {error}.", stacklevel=2)
            return False
        for name, part in self.parts.items():
            _set_state(part, state[name])
        return True

    def epoch_ended(self) -> None:
        """Write the file if it is time."""
        if time.monotonic() - self.written >= self.every:
            self.write()

    def write(self) -> None:
        """Write the file now, under another name first, so that it is whole at any moment."""
        from safetensors.torch import save_file

        if self.path.is_dir():  # `load` said so; a run goes on without a checkpoint
            return
        tensors: dict[str, torch.Tensor] = {}
        state = json.dumps(_packed({name: _state(part) for name, part in self.parts.items()}, tensors))
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        save_file(tensors, temporary, {"identity": self.identity, "state": state})
        os.replace(temporary, self.path)
        self.written = time.monotonic()

    def remove(self) -> None:
        """The run has ended: the file is of no more use."""
        if not self.path.is_dir():
            self.path.unlink(missing_ok=True)


class _GlobalGenerators:
    """The state of torch's global generators, which dropout draws from."""

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
    if not path.is_file():  # a pipe would be waited for, for ever
        raise ValueError("it is no file")
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (it is no dict)


def _packed(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON can hold it: its tensors go to `tensors`, a dict becomes pairs (its keys may be numbers)."""
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
