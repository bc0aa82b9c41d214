"""What is published is consistent: one repository name, valid workflows and citation, complete packages."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from tools.notebooks import setup_cell
from tools.publish import archive as make_archive
from tools.publish import repository as set_repository
from tools.publish.fonts import embed_fonts

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


# ---- one name for the repository ----


def test_every_place_names_the_same_repository():
    assert set_repository.disagreements() == []


@pytest.fixture
def copy(tmp_path):
    """A copy of the files that name the repository."""
    for path in set_repository.files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def test_new_name_reaches_every_place_and_nothing_else(copy):
    old = setup_cell.repository()
    changed = set_repository.change("someone-else/Fork.of_it", copy)
    assert set(changed) == set(set_repository.files(copy))
    assert set_repository.disagreements(copy) == []
    assert setup_cell.repository(copy) == "someone-else/Fork.of_it"
    owner = old.split("/")[0]
    for path in changed:
        text = path.read_text()
        assert old not in text
        assert f"{owner}.github.io" not in text
        # The name of the package stays.
        assert path.name != "pyproject.toml" or tomllib.loads(text)["project"]["name"] == "gst-tutorial"
    set_repository.change(old, copy)
    for path in changed:
        if path.suffix != ".ipynb":
            assert path.read_bytes() == (ROOT / path.relative_to(copy)).read_bytes()


def test_place_that_names_another_repository_is_reported(copy):
    readme = copy / "README.md"
    readme.write_text(readme.read_text().replace(f"github/{setup_cell.repository()}/blob", "github/some/fork/blob", 1))
    assert set_repository.disagreements(copy) == [f"README.md names some/fork, not {setup_cell.repository()}"]


@pytest.mark.parametrize("name", ["", "tutorial", "a/b/c", "https://github.com/a/b", "own er/name", "-a/b"])
def test_what_is_no_repository_is_refused_before_anything_changes(copy, name):
    before = {path: path.read_bytes() for path in set_repository.files(copy)}
    with pytest.raises(ValueError, match="owner/name"):
        set_repository.change(name, copy)
    assert before == {path: path.read_bytes() for path in set_repository.files(copy)}


def test_setup_cell_is_written_once_and_left_alone_afterwards(tmp_path):
    path = tmp_path / "chapter.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("import gst_tutorial as gst")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert setup_cell.write(path, "owner/name")
    assert not setup_cell.write(path, "owner/name")
    assert setup_cell.write(path, "other/name")
    written = nbformat.read(path, as_version=4).cells
    assert [cell.cell_type for cell in written] == ["markdown", "code", "code"]
    assert written[1].source == setup_cell.source("other/name")


def test_setup_cell_does_nothing_outside_colab_and_leaves_torch_alone():
    source = setup_cell.source(setup_cell.repository())
    installs = re.findall(r"%pip install (.*)", source)
    assert len(installs) == 2
    for install in installs:
        assert "--no-deps" in install
        assert "torch" not in install.replace(setup_cell.repository(), "").split()
    namespace = {}
    exec(source.replace("%pip install", "raise SystemExit #"), namespace)
    assert "sys" in namespace


def test_colab_installs_a_release_or_commit_with_locked_checksums():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert setup_cell.revision() == f"v{version}" or re.fullmatch("[0-9a-f]{40}", setup_cell.revision())
    for revision, where in (("v1.2.0", "refs/tags/v1.2.0.zip"), ("0" * 40, f"{'0' * 40}.zip")):
        assert f"https://github.com/a/b/archive/{where}" in setup_cell.source("a/b", revision)
    pin, checksums = setup_cell.pinned("mnist1d")
    assert f"\n{pin}\n" in (ROOT / "requirements.txt").read_text()
    source = setup_cell.source("a/b")
    assert pin in source and re.findall(r"--hash=(sha256:[0-9a-f]{64})", source) == checksums
    assert "--require-hashes" in source


@pytest.mark.parametrize("revision", ["main", "heads/main", "", "v1", "abc123"])
def test_revision_that_may_move_is_refused(revision):
    with pytest.raises(ValueError, match="revision="):
        setup_cell.source("a/b", revision)


def test_pip_takes_what_the_setup_cell_writes_and_refuses_another_file(tmp_path, monkeypatch):
    """The lines before the call of pip, run here; pip then looks at a file of that name and version with another content."""
    monkeypatch.chdir(tmp_path)
    writing = re.search(r"    with open.*?(?=    %pip)", setup_cell.source("a/b"), flags=re.DOTALL)[0]
    exec("if True:\n" + writing)
    pin, _ = setup_cell.pinned("mnist1d")
    name, version = pin.split("==")
    with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as forged:
        forged.writestr(
            f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    command = [sys.executable, "-m", "pip", "download", "--isolated", "--no-index", "--find-links", ".", "--no-deps"]
    command += ["--require-hashes", "-r", "colab-requirements.txt", "-d", "got"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr


def test_every_link_of_the_readme_to_a_file_leads_somewhere():
    text = (ROOT / "README.md").read_text()
    in_colab = re.findall(r"https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/main/([^)]+)", text)
    local = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert {Path(link).name for link in in_colab} == {path.name for path in ROOT.glob("book/*.ipynb")}
    assert [link for link in in_colab + local if not (ROOT / link).is_file()] == []


# ---- workflows and citation ----


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_file_that_a_service_reads_fits_its_schema(schema, files):
    assert files
    run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files)


def test_workflow_linter_finds_nothing():
    run(Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "--quiet", ROOT / ".github")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_pins_its_actions_and_asks_for_little(path):
    text = path.read_text()
    for action in re.findall(r"uses: +(\S+.*)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), f"not pinned to a commit: {action}"
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job


def test_dependabot_leaves_jupyter_book_2_alone():
    (pip,) = (
        u
        for u in yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
        if u["package-ecosystem"] == "pip"
    )
    assert {"dependency-name": "jupyter-book", "versions": [">=2"]} in pip["ignore"]


def test_citation_names_the_paper_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(citation["version"]) == project["version"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Bartoldson", "Morcos", "Barbu", "Erlebacher"]
    assert paper["year"] == 2020
    assert "arXiv:1906.03728" in [identifier["value"] for identifier in paper["identifiers"]]


def test_package_knows_its_version():
    import gst_tutorial

    assert gst_tutorial.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


# ---- packages ----


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


EXAMPLES = {f"examples/{name}" for name in ("study.py", "make_pictures.py", "slurm.sh")}


def package_files() -> set[str]:
    """Every file that the package needs: modules of all sub-packages, styles and scripts, recorded results."""
    files = [
        *ROOT.glob("gst_tutorial/**/*.py"),
        ROOT / "gst_tutorial/py.typed",
        *ROOT.glob("gst_tutorial/**/*.css"),
        *ROOT.glob("gst_tutorial/**/*.js"),
        *ROOT.glob("gst_tutorial/book/recorded/*.csv"),
        ROOT / "gst_tutorial/data/photographs.npz",
        ROOT / "gst_tutorial/networks/vgg11.safetensors",
        *ROOT.glob("gst_tutorial/book/recorded/*.json"),
    ]
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_wheel_contains_exactly_the_package(packages):
    names = zipfile.ZipFile(packages[0]).namelist()
    examples = {f"gst_tutorial/{name}" for name in EXAMPLES}
    assert {name for name in names if ".dist-info/" not in name} == package_files() | examples
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_source_distribution_contains_exactly_the_sources(packages):
    with tarfile.open(packages[1]) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    about = {
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "LICENSE-CONTENT",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }
    assert names - about == package_files() | EXAMPLES
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names


def test_every_file_of_the_package_is_one_that_is_packed():
    """A new kind of file in the package would be missing from the wheel without anybody noticing."""
    present = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gst_tutorial").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present == package_files()


# ---- pins ----


def test_every_dependency_has_an_exact_pin_that_its_lower_bound_allows():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    locked = {canonicalize_name(pin.name): pin for pin in pins("requirements.txt")}
    for requirement in map(Requirement, wanted):
        (pin,) = locked[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version, prereleases=True)


def test_package_asks_for_lower_bounds_only():
    """An upper bound or an exact version could make Colab fetch another torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for dependency in project["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", dependency)


def pins(file):
    """Requirements of a file of pins."""
    from packaging.requirements import Requirement

    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("python", ["3.11.2", "3.11.15", "3.12.12", "3.13.9"])
def test_lock_has_one_version_per_package_and_no_gpu_library(python):
    from packaging.utils import canonicalize_name

    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    here = [pin for pin in pins("requirements.txt") if pin.marker is None or pin.marker.evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in here]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"==[\w.!]+", str(pin.specifier)) for pin in here)
    assert [name for name in names if re.match("nvidia|cuda|triton", name)] == []


def test_direct_requirements_are_locked_at_their_version():
    from packaging.utils import canonicalize_name

    locked = {canonicalize_name(pin.name): (pin.specifier, pin.marker) for pin in pins("requirements.txt")}
    stale = [
        str(pin) for pin in pins("requirements.in") if locked.get(canonicalize_name(pin.name)) != (pin.specifier, None)
    ]
    assert stale == [], "run `make lock`"


def test_lock_names_no_address_and_no_path():
    """They would be those of the machine that wrote it."""
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"^-|://| @ |^[./~]", text, flags=re.MULTILINE)


UNHASHED = {"torch", "torchvision"}  # the CPU builds have other checksums than the default builds


def test_every_pin_except_torchs_has_checksums():
    text = (ROOT / "requirements-hashes.txt").read_text()
    hashed = re.findall(r"^([^#\s].*?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)", text, flags=re.MULTILINE)
    assert "".join(f"{pin} \\\n{sums}" for pin, sums in hashed) == text.split("\n", 1)[1]
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [pin for pin, _ in hashed] == [line for line in lines if line.split("==")[0] not in UNHASHED]
    assert {line.split("==")[0] for line in lines} >= UNHASHED


# ---- archive ----


@pytest.fixture
def small_book(tmp_path):
    html = tmp_path / "html"
    (html / "_static").mkdir(parents=True)
    (html / "index.html").write_text("<p>start</p>")
    (html / "404.html").write_text("only a server needs this")
    (html / "_static" / "documentation_options.js").write_text("SHOW_SEARCH_SUMMARY: true,")
    return html


def test_archive_is_deterministic_and_has_a_checksum(small_book, tmp_path):
    first = make_archive.write(small_book, tmp_path / "a")
    second = make_archive.write(small_book, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    run("sha256sum", "--check", first.name + ".sha256", cwd=first.parent)
    with zipfile.ZipFile(first) as archive:
        top = first.stem + "/"
        assert sorted(archive.namelist()) == [
            top + name for name in ("README.txt", "_static/documentation_options.js", "index.html")
        ]
        assert b"SHOW_SEARCH_SUMMARY: false" in archive.read(top + "_static/documentation_options.js")


def test_fonts_are_written_into_the_files_that_name_them():
    files = {
        "styles/theme.css": b"src:url(../fonts/a.woff2) format('woff2'),url(../fonts/missing.woff2)",
        "mathjax/output.js": b"""src:'url("%%URL%%/b.woff") format("woff")'""",
        "fonts/a.woff2": b"AAA",
        "mathjax/fonts/b.woff": b"BBB",
    }
    written = embed_fonts(files)
    assert written["styles/theme.css"] == (
        b"src:url(\"data:font/woff2;base64,QUFB\") format('woff2'),url(../fonts/missing.woff2)"
    )
    assert written["mathjax/output.js"] == b"""src:'url("data:font/woff;base64,QkJC") format("woff")'"""
    assert written["fonts/a.woff2"] == b"AAA"


def test_archive_of_a_book_that_was_not_built_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="make book"):
        make_archive.write(tmp_path / "html", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_recorded_results_come_with_their_provenance():
    folder = ROOT / "gst_tutorial" / "book" / "recorded"
    studies = {path.stem for path in folder.glob("*.json")}
    assert "processor" in (folder / "costs.csv").read_text().splitlines()[0].split(",")  # measured times, not results
    for path in set(folder.glob("*.csv")) - {folder / "costs.csv"}:
        assert re.sub("-(events|epochs)$", "", path.stem) in studies
    for name in studies:
        assert json.loads((folder / f"{name}.json").read_text())
        assert (folder / f"{name}.csv").is_file()
