"""Notebooks run in Colab from their .ipynb alone, over the oldest versions that the package supports.

Colab is imitated: an empty folder, `google.colab` loaded, and an environment with Colab's ipywidgets 7.7.1, ipykernel 6.17
and IPython 7.34, in which everything else but torch has its oldest supported version. Torch is lent by the environment that
runs the tests, so Python is that one's, too: Colab's 3.12 where that is 3.12. PyPI has torch for Linux only with gigabytes of
GPU libraries, too much to install a second time for these tests.

Six notebooks are run, since `make test-notebooks` runs all of them over the newest versions, and an old version breaks a
function, not a chapter. The weekly workflow runs all of them by the same script, in Colab's own image.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import filelock
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
# What each uses that those before it don't. Chapters 2, 4, 7, 10 and the appendix use the same libraries in the same ways.
NOTEBOOKS = {
    "01_pruning_basics": "training, scores, a slider, a guess, the widget that prunes",
    "03_the_tradeoff": "a sweep in parallel, recorded studies, the widget that trains",
    "05_flatness": "SciPy's eigenvalue solvers",
    "06_what_a_jolt_is_made_of": "interventions, figures that move",
    "08_real_images": "photographs, a trained network from a file",
    "09_the_verdict": "the claims ledger, all recorded studies in one frame",
}
COLAB = {"ipywidgets": "7.7.1", "ipykernel": "6.17.1", "ipython": "7.34.0"}
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# Written by `make lock`: for each Python the lower bounds of pyproject.toml, or the oldest later versions with wheels.
OLDEST = {path.stem: path for path in ROOT.glob("tools/oldest/3.*.txt")}
pytestmark = pytest.mark.slow


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return finished.stdout


def pins(python: str) -> dict[str, str]:
    """The version of every package in the oldest environment of one Python."""
    lines = OLDEST[python].read_text().splitlines()
    return dict(line.split(" ;")[0].split("==") for line in lines if not line.startswith("#"))


def bounds() -> dict[str, Requirement]:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return {each.name: each for each in map(Requirement, dependencies)}


@pytest.mark.parametrize("python", sorted(OLDEST))
def test_oldest_versions_satisfy_the_package_and_leave_torch_out(python):
    assert bounds().keys() - pins(python).keys() == {"torch"}
    for name in bounds().keys() - {"torch"}:
        assert pins(python)[name] in bounds()[name].specifier


def test_oldest_versions_with_wheels_are_the_lower_bounds():
    for name in bounds().keys() - {"torch"}:
        (bound,) = bounds()[name].specifier
        assert Version(pins("3.11")[name]).public.split(".post")[0] in (bound.version, f"{bound.version}.0")


def test_every_python_that_the_readme_names_has_its_oldest_versions():
    first, last = re.search(r"Python 3\.(\d+) to 3\.(\d+)", (ROOT / "README.md").read_text()).groups()
    assert set(OLDEST) == {f"3.{minor}" for minor in range(int(first), int(last) + 1)}


def packages(python: Path) -> Path:
    """The folder in which the packages of an environment are installed."""
    return Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def oldest(wheel):
    """Python of an environment with the oldest versions, laid over this one, which lends it torch. Kept in _build."""
    key = hashlib.sha256(OLDEST[HERE].read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "_build" / f"oldest-{key}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with filelock.FileLock(folder.with_suffix(".lock")):  # the tests run in two processes, and it is made once
        if not (folder / "complete").is_file():
            run(sys.executable, "-m", "venv", "--clear", folder)
            quietly = ("--disable-pip-version-check", "--quiet", "--only-binary=:all:")
            run(python, "-m", "pip", "install", *quietly, "-r", OLDEST[HERE])
            # Searched after the environment's own folder, so that the old versions win.
            (packages(python) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
            (folder / "complete").touch()
        # From the last time there may be an older package of the same version, which pip would keep.
        installed, now = folder / "wheel", hashlib.sha256(wheel.read_bytes()).hexdigest()
        if not installed.is_file() or installed.read_text() != now:
            for old in packages(python).glob("gst_tutorial*"):
                shutil.rmtree(old)
            installed.write_text(now)
    return python


def test_old_versions_are_the_ones_that_are_imported(oldest):
    versions = run(
        oldest,
        "-c",
        "import numpy, pandas, torch, ipywidgets, ipykernel, IPython as ipython\n"
        "print(*(each.__version__ for each in (numpy, pandas, ipywidgets, ipykernel, ipython)))",
    )
    assert versions.split() == [pins(HERE)[name] for name in ("numpy", "pandas", *COLAB)]


@pytest.mark.parametrize("python", sorted(OLDEST))
def test_widgets_kernel_and_ipython_are_colabs(python):
    assert {name: pins(python)[name] for name in COLAB} == COLAB


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Folder for generated data, which the notebooks share: making it anew in each takes longer than some chapters."""
    return tmp_path_factory.mktemp("data")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_alone_and_leaves_torch_as_it_is(wheel, oldest, data, tmp_path, name):
    environment = {
        key: value for key, value in os.environ.items() if not re.match("PYTHON(PATH|HOME)|JUPYTER|COV_", key)
    }
    environment |= {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"), "GST_CACHE": str(data)}
    printed = run(
        oldest,
        ROOT / "tools" / "notebooks" / "colab.py",
        "--source",
        wheel,
        ROOT / "book" / f"{name}.ipynb",
        cwd=tmp_path,
        env=environment,
    )
    assert f"{name}.ipynb: ran to its end" in printed
