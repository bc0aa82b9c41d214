"""Write requirements.txt: every package that the book is built and tested with, at one exact version.

The first section of requirements.txt is edited by hand: the packages that the project names itself. This script
installs that section into a fresh virtual environment and writes the second section, all that came with it.

    make lock        # or: python tools/lock.py
"""

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
DIVIDER = "# ---- everything that the packages above bring with them (written by `make lock`) ----"


def direct_section(text: str) -> str:
    """The part of requirements.txt that is edited by hand, up to the divider."""
    return text.split(DIVIDER)[0].rstrip() + "\n"


def pinned_names(text: str) -> set[str]:
    """Normalized names of the packages that `text` pins: `Dask[distributed]==2026.8` gives `dask`."""
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", text, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def freeze(python: Path) -> list[str]:
    """`name==version` of every package in an environment, without pip and without local labels such as `+cpu`."""
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    pins = [line.split("+")[0] for line in listing.stdout.splitlines() if "==" in line]
    return sorted((p for p in pins if pinned_names(p).isdisjoint({"pip", "gst-tutorial"})), key=str.lower)


def resolve(direct: str) -> list[str]:
    """Install the hand-edited section into a fresh environment and return what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        requirements = Path(folder, "direct.txt")
        requirements.write_text(direct)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        subprocess.run([python, "-m", "pip", "check"], check=True)
        return freeze(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from-current", action="store_true", help="take the versions of the running environment")
    arguments = parser.parse_args()

    direct = direct_section(REQUIREMENTS.read_text())
    everything = freeze(Path(sys.executable)) if arguments.from_current else resolve(direct)
    rest = [pin for pin in everything if pinned_names(pin).isdisjoint(pinned_names(direct))]
    REQUIREMENTS.write_text("\n".join([direct, DIVIDER, *rest, ""]))
    print(f"{REQUIREMENTS.name}: {len(pinned_names(direct))} direct pins, {len(rest)} that come with them")


if __name__ == "__main__":
    main()
