"""Each notebook runs in Colab from its .ipynb alone, also over the oldest versions that the package supports.

Colab is imitated: an empty folder, `google.colab` loaded, and an environment in which everything but torch has its
oldest supported version. The weekly workflow runs the same script in Colab's own image.
"""

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.name for path in ROOT.glob("book/*.ipynb"))
# The lower bounds of pyproject.toml at their last bug fix, with the IPython and ipykernel of Colab's generation.
OLDEST = [
    "numpy==1.26.4",
    "scipy==1.15.3",
    "pandas==2.0.3",
    "joblib==1.4.2",
    "safetensors==0.4.5",
    "scikit-learn==1.3.2",
    "tqdm==4.65.2",
    "matplotlib==3.7.5",
    "ipywidgets==7.7.1",
    "ipython==7.34.0",
    "ipykernel==6.29.5",
]
pytestmark = pytest.mark.slow


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return finished.stdout


def test_the_oldest_versions_are_the_lower_bounds_of_the_package():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = dict(dependency.split(">=") for dependency in dependencies)
    for name, version in (pin.split("==") for pin in OLDEST):
        if name in bounds:
            assert version.startswith(bounds[name] + ".") or version == bounds[name]
    assert set(bounds) - {pin.split("==")[0] for pin in OLDEST} == {"torch", "mnist1d"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def oldest():
    """Python of an environment with the oldest versions, laid over this one, which lends it torch. Kept in _build."""
    key = hashlib.sha256(repr((OLDEST, sys.version)).encode()).hexdigest()[:12]
    folder = ROOT / "_build" / f"oldest-{key}"
    python = folder / "bin" / "python"
    if not (folder / "complete").is_file():
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *OLDEST)
        own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Searched after the environment's own folder, so that the old versions win.
        (own / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
        (folder / "complete").touch()
    return python


def test_the_old_versions_are_the_ones_that_are_imported(oldest):
    versions = run(
        oldest,
        "-c",
        "import numpy, pandas, ipywidgets, torch; print(numpy.__version__, pandas.__version__, ipywidgets.__version__)",
    )
    assert versions.split() == ["1.26.4", "2.0.3", "7.7.1"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_alone_and_leaves_torch_as_it_is(wheel, oldest, tmp_path, name):
    environment = {
        key: value for key, value in os.environ.items() if not re.match("PYTHON(PATH|HOME)|JUPYTER|COV_", key)
    }
    environment |= {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    printed = run(
        oldest,
        ROOT / "tools" / "notebooks" / "colab.py",
        "--source",
        wheel,
        ROOT / "book" / name,
        cwd=tmp_path,
        env=environment,
    )
    assert f"{name}: ran to its end" in printed
