"""All benchmarks: `python -m benchmarks [--quick] [NAME ...]`. Prints a table and writes benchmarks/results.json.

Every number is a ratio of two things measured in turns on this machine; absolute seconds say little about another one.
"""

import argparse
import importlib
import json
import platform
from pathlib import Path

import pandas as pd
import torch

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller problems")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; there are {', '.join(NAMES)}")
    path = HERE / "results.json"
    for name in options.names or NAMES:
        rows = importlib.import_module(f"benchmarks.{name}").rows(quick=options.quick)
        results = json.loads(path.read_text()) if path.exists() else {}  # now: another process may have written it
        results[name] = {
            "rows": rows,
            "processor": platform.machine(),
            "torch": torch.__version__,
            "quick": options.quick,
        }
        print(pd.DataFrame(rows).round(4).to_string(index=False), end="\n\n")
        path.write_text(json.dumps(results, indent=1, default=float) + "\n")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
