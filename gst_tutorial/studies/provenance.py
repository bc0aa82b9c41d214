"""Provenance of a number: versions of the software that computed it, processor, device, CPU threads and date."""

from __future__ import annotations

import datetime
import functools
import platform
from pathlib import Path

from gst_tutorial.config import RESULTS_VERSION


@functools.cache
def versions() -> dict[str, str]:
    """Versions that numbers depend on besides the config: the package, its results, Python, torch and NumPy."""
    import numpy
    import torch

    import gst_tutorial

    return {
        "gst_tutorial": gst_tutorial.__version__,
        "results": str(RESULTS_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def made_with(device: str, threads: int = 1) -> dict[str, str]:
    """Return versions, processor, device, CPU threads and date, for the record of a run."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") and torch.cuda.is_available() else device
    here = {"processor": processor(), "device": name, "threads": str(threads)}
    return {**versions(), **here, "date": datetime.date.today().isoformat()}


@functools.cache
def processor() -> str:
    """Return name and instruction set of this machine's processor, and the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    import torch

    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, {platform.system()} {platform.machine()}"
