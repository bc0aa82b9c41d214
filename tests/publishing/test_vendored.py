"""Scripts and fonts of others: all of them stand in one table, and are the files that the table says."""

import hashlib
import json
import re
import subprocess

import pytest

WORDS = {"MIT": "MIT", "Apache-2.0": "Apache License", "OFL-1.1": "SIL OPEN FONT LICENSE"}
FONT = re.compile(r"\.(woff2?|ttf|otf|eot)$")
# What minified scripts of others have and ours have not: a notice of their own, or lines that nobody writes.
FOREIGN = re.compile(r"@license|@preserve|^/\*!|Copyright", flags=re.MULTILINE)
LONGEST = 500


@pytest.fixture(scope="module")
def table(root):
    return json.loads((root / "_web" / "vendored.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def listed(table):
    return {f"_web/{each['folder']}/{name}": checksum for each in table for name, checksum in each["files"].items()}


def tracked(root) -> list[str]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("no git here")
    return [name for name in names.stdout.split("\0") if name and (root / name).is_file()]


def test_every_vendored_file_is_the_one_that_was_checked(root, listed):
    assert {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in listed} == listed


def test_vendored_folder_contains_exactly_the_listed_files(root, table, listed):
    there = {
        path.relative_to(root).as_posix()
        for each in table
        for path in (root / "_web" / each["folder"]).rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert there == set(listed)


def test_every_vendored_entry_is_complete_and_has_its_licence(root, table):
    assert {tuple(each) for each in table} == {
        ("folder", "name", "package", "version", "licence", "archive_sha256", "changes", "files")
    }
    for each in table:
        assert re.fullmatch(r"\d+\.\d+\.\d+", each["version"]), each["name"]
        assert re.fullmatch("[0-9a-f]{64}", each["archive_sha256"]), each["name"]
        assert WORDS[each["licence"]].lower() in (root / "_web" / each["folder"] / "LICENSE").read_text().lower()
        assert each["name"] in (root / "LICENSE-CONTENT").read_text()
        readme = next(p for p in (root / "_web" / each["folder"]).parents if (p / "README.md").is_file()) / "README.md"
        own = root / "_web" / each["folder"] / "README.md"
        assert each["version"] in (own if own.is_file() else readme).read_text(), each["name"]


def test_every_foreign_font_script_and_style_is_in_the_table(root, listed):
    outside = set(tracked(root)) - set(listed)
    assert [name for name in outside if FONT.search(name)] == []
    for name in outside:
        if name.endswith((".js", ".css", ".mjs")):
            text = (root / name).read_text(encoding="utf-8")
            assert not FOREIGN.search(text), name
            assert max(map(len, text.splitlines())) < LONGEST, name


def test_rule_for_foreign_files_finds_the_vendored_ones(listed, root):
    """The rule of the test above finds the scripts in the table: without it that test would say nothing."""
    scripts = [name for name in listed if name.endswith(".js")]
    seen = [
        name
        for name in scripts
        if FOREIGN.search(text := (root / name).read_text(encoding="utf-8"))
        or max(map(len, text.splitlines())) >= LONGEST
    ]
    assert len(seen) >= len(scripts) - 1, set(scripts) - set(seen)  # a bundler's runtime is a few short lines
