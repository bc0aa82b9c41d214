"""The package's types reach the reader's own type checker."""

import subprocess
import sys
from pathlib import Path

import pytest

import gst_tutorial as gst

ROOT = Path(__file__).parents[2]


def test_a_readers_program_is_checked_against_the_package(tmp_path):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path]
    done = subprocess.run([*command, "tests/typing/program.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_type_checker_sees_is_what_is_there():
    source = (ROOT / "gst_tutorial" / "__init__.py").read_text(encoding="utf-8")
    seen = source.split("if TYPE_CHECKING:")[1].split("\n\n")[0]
    for module, names in gst._NAMES.items():
        for name in names:
            assert f" {name} as {name}" in seen and f"gst_tutorial.{module} import" in seen, name
    assert (ROOT / "gst_tutorial" / "py.typed").exists()
