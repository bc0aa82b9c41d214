"""Results that travel with the package: a CSV per study and a JSON that says where they come from."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from pathlib import Path

import pandas as pd

from gst_tutorial import _arguments as check
from gst_tutorial.studies.store import ResultStore
from gst_tutorial.studies.sweep import Study

FOLDER = Path(__file__).parents[1] / "recorded"
RESULTS = ("hash", "final_accuracy", "best_accuracy", "train_accuracy", "instability", "seconds", "status", "error")


def recorded_names() -> list[str]:
    """Names of the studies whose results are in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str, kind: str = "runs") -> pd.DataFrame:
    """Recorded results of a study.

    Args:
        name: see `gst.recorded_names()`.
        kind: "runs" (a row per run, as `gst.sweep` gives it), or, for studies recorded with their curves, "events" or
            "epochs" (with `label` and `seed`).

    Returns:
        DataFrame; `.attrs["provenance"]` is a dict: study, sentence, seeds, config hash of the whole study, versions of
        the package, Python, torch and numpy, processor, duration in seconds of processor time, date.
    """
    check.one_of("name", name, recorded_names())
    provenance = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if kind == "runs":
        frame = pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=False, na_values=[""])
        frame = frame.assign(**provenance["constant"], error=frame.get("error", ""))
    else:
        check.one_of("kind", kind, ["runs", *provenance["curves"]])
        frame = pd.read_csv(FOLDER / f"{name}-{kind}.csv")
    frame.attrs["provenance"] = provenance
    return frame


def record(study: Study, store: ResultStore, frame: pd.DataFrame, folder: Path = FOLDER) -> Path:
    """Write the results of a finished study to `folder` as `recorded` reads them; returns the CSV's path."""
    import numpy
    import torch

    import gst_tutorial

    folder.mkdir(parents=True, exist_ok=True)
    varying = [c for c in frame.columns if c in ("label", "seed", *RESULTS) or frame[c].nunique(dropna=False) > 1]
    constant = {c: frame[c].iloc[0] for c in frame.columns if c not in varying and c not in ("error",)}
    path = folder / f"{study.name}.csv"
    frame[varying].to_csv(path, index=False, float_format="%.6g")
    for kind in study.curves:
        labels = {config.hash: label for label, config in study.runs}
        curves = store.frame(study.configs, kind)
        curves.insert(0, "label", curves.pop("hash").map(labels))
        curves.to_csv(folder / f"{study.name}-{kind}.csv", index=False, float_format="%.5g")
    provenance = {
        "study": study.name,
        "sentence": study.sentence,
        "config_hash": hashlib.sha256("".join(sorted(frame["hash"])).encode()).hexdigest()[:16],
        "seeds": list(study.seeds),
        "runs": len(frame),
        "failed": int((frame.status != "finished").sum()),
        "curves": list(study.curves),
        "processor_seconds": round(float(frame.seconds.sum())),
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "versions": {
            "gst_tutorial": gst_tutorial.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "constant": constant,
    }
    text = json.dumps(provenance, indent=1, sort_keys=True, default=lambda number: number.item())
    (folder / f"{study.name}.json").write_text(text + "\n", encoding="utf-8")
    return path


def processor() -> str:
    """Name and instruction set of this machine's processor, and its operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    import torch

    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, {platform.system()} {platform.machine()}"
