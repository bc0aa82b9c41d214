"""Results that travel with the package: a CSV per study and a JSON that says where they come from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gst_tutorial import _arguments as check
from gst_tutorial.studies.provenance import made_with
from gst_tutorial.studies.study import Study

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
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

    Raises:
        ValueError: a study that is not recorded, or not with that kind; suggests the nearest.
    """
    import pandas as pd

    from gst_tutorial.studies import get

    check.one_of("name", name, recorded_names())
    provenance = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if isinstance(kind, str) and kind == "runs":
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


def check_record(study: Study, folder: Path = FOLDER) -> None:
    """Refuse, before a sweep, what `record` would refuse after it.

    Raises:
        ValueError: a name that is no file name, or fewer seeds than are recorded already.
    """
    if not study.name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"study {study.name!r} cannot be recorded: its name must be letters, digits, - and _.")
    before = folder / f"{study.name}.json"
    if before.exists():
        seeds = json.loads(before.read_text(encoding="utf-8"))["seeds"]
        if not set(seeds) <= set(study.seeds):
            raise ValueError(
                f"study {study.name!r} is recorded with {len(seeds)} seeds; {len(study.seeds)} would replace them. Remove "
                f"{before} first if that is meant."
            )


def record(study: Study, records: dict[str, dict], folder: Path = FOLDER) -> Path:
    """Write the results of a finished study to `folder` as `recorded` reads them; returns the CSV's path.

    Args:
        records: by hash, as `ResultStore.records` gives them.

    Raises:
        ValueError: see `check_record`; or a run of the study has no record.
    """
    check_record(study, folder)
    lacking = [config for config in study.configs if config.hash not in records]
    if lacking:
        raise ValueError(
            f"study {study.name!r}: {len(lacking)} of {len(study)} runs have no result, so it is not recorded."
        )
    made = [record["made"] for record in records.values() if "made" in record] or [made_with("cpu")]
    folder.mkdir(parents=True, exist_ok=True)
    frame = study.frame(records)
    results = dict.fromkeys(name for each in records.values() for name in each["result"])
    path = folder / f"{study.name}.csv"
    files = {path: frame[["label", "seed", "hash", *results, *_STATE]].to_csv(index=False, float_format="%.6g")}
    for kind in study.curves:
        curve = study.frame(records, kind).to_csv(index=False, float_format="%.5g")
        files[folder / f"{study.name}-{kind}.csv"] = curve
    provenance = {
        "study": study.name,
        "sentence": study.sentence,
        "config_hash": config_hash(frame["hash"]),
        "seeds": list(study.seeds),
        "runs": len(frame),
        "failed": int((frame.status != "finished").sum()),
        "curves": list(study.curves),
        "processor_seconds": round(float(frame.seconds.sum())),
        "date": max(each["date"] for each in made),
        "processor": _one_or_all(each["processor"] for each in made),
        "versions": {
            name: _one_or_all(each[name] for each in made) for name in ("gst_tutorial", "python", "torch", "numpy")
        },
    }
    files[folder / f"{study.name}.json"] = json.dumps(provenance, indent=1, sort_keys=True) + "\n"
    for file, text in files.items():
        temporary = file.with_suffix(".part")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)
    return path


def _one_or_all(values: Iterable[str]) -> str:
    """The value that all runs share; of a study that mixes several, all of them."""
    return " and ".join(sorted(set(values)))


def config_hash(hashes: Iterable[str]) -> str:
    """One hash for all runs of a study."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]
