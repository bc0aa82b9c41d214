"""Recorded results that come with the package: for each study a CSV file, and a JSON file with its provenance."""

from __future__ import annotations

import hashlib
import io
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
    """Return the names of the studies whose results come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str, kind: str = "runs") -> pd.DataFrame:
    """Return the recorded results of a study.

    The files contain results only; factors and config of each run are joined, by the run's hash, from the study's definition.

    Args:
        name: see `gst.recorded_names()`.
        kind: "runs" (a row per run, as `gst.sweep` gives it), or, for studies recorded with their curves, "events" or
            "epochs" (with `label` and `seed`).

    Returns:
        DataFrame; `.attrs["provenance"]` is a dict: study, sentence, seeds, config hash of the whole study, versions of
        the package, Python, torch and numpy, processor, duration in seconds of processor time, date, and a checksum of
        each file.

    Raises:
        ValueError: a study that is not recorded, or not with that kind (with the nearest name); or a file that was changed
            or damaged since it was recorded.
    """
    import pandas as pd

    from gst_tutorial.studies import get

    provenance = provenance_of(name)
    if isinstance(kind, str) and kind == "runs":
        text = _checked_text(f"{name}.csv", provenance)
        rows = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""], dtype={"error": str})
        rows = rows.assign(error=rows.error.fillna(""))
        records = {row["hash"]: _record(row) for row in rows.to_dict("records")}
        frame = get(name).replace(seeds=provenance["seeds"]).frame(records)
    else:
        check.one_of("kind", kind, ["runs", *provenance["curves"]])
        frame = pd.read_csv(io.StringIO(_checked_text(f"{name}-{kind}.csv", provenance)))
    frame.attrs["provenance"] = provenance
    return frame


def provenance_of(name: str) -> dict:
    """Return what is recorded about a study's results: see `recorded`.

    Raises:
        ValueError: a study that is not recorded (with the nearest name), or a damaged file.
    """
    check.one_of("name", name, recorded_names())
    path = FOLDER / f"{name}.json"
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        is_whole = provenance["checksum"].pop(path.name) == _checksum(as_json(provenance))
    except (ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    if not is_whole:
        raise _damaged(path)
    return provenance


def _checked_text(file: str, provenance: dict) -> str:
    """Return the text of a recorded CSV file; a ValueError says that it is not as it was recorded."""
    try:
        text = (FOLDER / file).read_text(encoding="utf-8")  # line ends as "\n", however git checked them out
    except UnicodeDecodeError:
        raise _damaged(FOLDER / file) from None
    if _checksum(text) != provenance["checksum"].get(file):
        raise _damaged(FOLDER / file)
    return text


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"The recorded file {path} was changed or damaged: its checksum does not match. Restore it by `git checkout "
        f"{path.name}` in its folder, or by installing the package again."
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_checksum(provenance: dict, texts: dict[str, str]) -> dict:
    """Return the provenance with the checksums of its CSV files, given as texts by file name, and of all of that."""
    provenance = {**provenance, "checksum": {file: _checksum(text) for file, text in texts.items()}}
    own = {f"{provenance['study']}.json": _checksum(as_json(provenance))}
    return {**provenance, "checksum": own | provenance["checksum"]}


def _record(row: dict) -> dict:
    """Return a row of a recorded file in the shape of a store's record."""
    result = {name: value for name, value in row.items() if name not in (*_STATE, "label", "seed", "hash")}
    return {"result": result, **{name: row[name] for name in _STATE}}


def check_record(study: Study, folder: Path = FOLDER) -> None:
    """Raise, before a sweep, the errors that `record` would raise after it.

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
    provenance = with_checksum(provenance, {file.name: text for file, text in files.items()})
    files[folder / f"{study.name}.json"] = as_json(provenance)
    for file, text in files.items():
        temporary = file.with_suffix(".part")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, file)
    return path


def as_json(provenance: dict) -> str:
    """Return the text of a study's JSON file."""
    return json.dumps(provenance, indent=1, sort_keys=True) + "\n"


def _one_or_all(values: Iterable[str]) -> str:
    """Return the value that all runs share, or all values joined by "and"."""
    return " and ".join(sorted(set(values)))


def config_hash(hashes: Iterable[str]) -> str:
    """Return one hash for all runs of a study."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]
