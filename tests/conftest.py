"""What the tests share: the notebooks, the built book and a browser."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def notebooks() -> dict[str, nbformat.NotebookNode]:
    """Every notebook of the book, by file name."""
    return {path.name: nbformat.read(path, as_version=4) for path in sorted(ROOT.glob("book/*.ipynb"))}


@pytest.fixture(scope="session")
def chapters(notebooks) -> dict[str, nbformat.NotebookNode]:
    """The notebooks that are chapters: their names begin with a two-digit number."""
    return {name: notebook for name, notebook in notebooks.items() if name[:2].isdigit()}


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book. `make test` builds it first."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").is_file():
        pytest.skip("the book has not been built: run `make book`")
    return folder


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, the one of the system (Debian: apt-get install chromium)."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        message = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("REQUIRE_CHROMIUM") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=options)
        yield chromium
        chromium.close()
