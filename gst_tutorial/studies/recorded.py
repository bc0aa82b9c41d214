"""Results that travel with the package: a CSV per study and a JSON that says where they come from."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check
from gst_tutorial.studies.study import Study

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parents[1] / "recorded"
_STATE = ("status", "error")


def recorded_names() -> list[str]:
    """Names of the studies whose results are in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str, kind: str = "runs") -> pd.DataFrame:
    """Recorded results of a study.

    The files hold results only; what each run is (factors, config) is joined by its hash from the study of that name.

    Args:
        name: see `gst.recorded_names()`.
        kind: "runs" (a row per run, as `gst.sweep` gives it), or, for studies recorded with their curves, "events" or
            "epochs" (with `label` and `seed`).

    Returns:
        DataFrame; `.attrs["provenance"]` is a dict: study, sentence, seeds, config hash of the whole study, versions of
        the package, Python, torch and numpy, processor, duration in seconds of processor time, date.
    """
    import pandas as pd

    from gst_tutorial.studies import get

    check.one_of("name", name, recorded_names())
    provenance = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if kind == "runs":
        rows = pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=False, na_values=[""], dtype={"error": str})
        rows = rows.assign(error=rows.error.fillna(""))
        records = {row["hash"]: _record(row) for row in rows.to_dict("records")}
        frame = get(name).replace(seeds=provenance["seeds"]).frame(records)
    else:
        check.one_of("kind", kind, ["runs", *provenance["curves"]])
        frame = pd.read_csv(FOLDER / f"{name}-{kind}.csv")
    frame.attrs["provenance"] = provenance
    return frame


def _record(row: dict) -> dict:
    """A row of a recorded file in the shape that a store keeps."""
    result = {name: value for name, value in row.items() if name not in (*_STATE, "label", "seed", "hash")}
    return {"result": result, **{name: row[name] for name in _STATE}}


def record(study: Study, records: dict[str, dict], folder: Path = FOLDER) -> Path:
    """Write the results of a finished study to `folder` as `recorded` reads them; returns the CSV's path.

    Args:
        records: by hash, as `ResultStore.records` gives them.
    """
    import numpy
    import torch

    import gst_tutorial

    folder.mkdir(parents=True, exist_ok=True)
    frame = study.frame(records)
    results = dict.fromkeys(name for each in records.values() for name in each["result"])
    path = folder / f"{study.name}.csv"
    frame[["label", "seed", "hash", *results, *_STATE]].to_csv(path, index=False, float_format="%.6g")
    for kind in study.curves:
        study.frame(records, kind).to_csv(folder / f"{study.name}-{kind}.csv", index=False, float_format="%.5g")
    provenance = {
        "study": study.name,
        "sentence": study.sentence,
        "config_hash": config_hash(frame["hash"]),
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
    }
    (folder / f"{study.name}.json").write_text(
        json.dumps(provenance, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    return path


def config_hash(hashes: Iterable[str]) -> str:
    """One hash for all runs of a study."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]


def processor() -> str:
    """Name and instruction set of this machine's processor, and its operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    import torch

    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, {platform.system()} {platform.machine()}"
