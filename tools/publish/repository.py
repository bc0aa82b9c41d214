"""Change the name of the repository wherever it is written, or say where the places disagree.

`[tool.gst_tutorial] repository` in pyproject.toml is the one place that names it. The name is repeated where a tool or
a reader needs it in full: in the book's configuration, badges, the citation, and the setup cell of every notebook.

    make repository REPO=owner/name      # or: python -m tools.publish.repository owner/name
    python -m tools.publish.repository       # say where the places disagree; exit 1 if they do
"""

import re
import sys
from pathlib import Path

from tools.notebooks import setup_cell

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    "pyproject.toml",
    "_config.yml",
    "README.md",
    "CITATION.cff",
    "_web/site/404.html",
    "book/live.md",
    ".github/ISSUE_TEMPLATE/config.yml",
]
OWNER, NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})", r"[A-Za-z0-9._-]{1,100}"
# How an address of this project looks; each holds owner and name. Addresses of other projects use none of these forms
# in the files above.
FORMS = [
    rf'(?P<before>^repository = ")(?P<owner>{OWNER})(?P<between>/)(?P<name>{NAME}?)(?=")',
    rf"(?P<before>https://github\.com/)(?P<owner>{OWNER})(?P<between>/)(?P<name>{NAME}?)(?=[\"'/\s)]|$)",
    rf"(?P<before>https://colab\.research\.google\.com/github/)(?P<owner>{OWNER})(?P<between>/)(?P<name>{NAME}?)(?=/)",
    rf"(?P<before>https://)(?P<owner>{OWNER})(?P<between>\.github\.io/)(?P<name>{NAME}?)(?=[\"'/\s)]|$)",
]
# A link from a notebook to a page of the published book.
PAGE = rf"(?P<before>https://)(?P<owner>{OWNER})(?P<between>\.github\.io/)(?P<name>{NAME}?)(?=/book/)"


def files(root: Path) -> list[Path]:
    """Every file that repeats the name, notebooks included."""
    return [path for name in FILES if (path := root / name).is_file()] + sorted(root.glob("book/*.ipynb"))


def addresses(path: Path) -> list[re.Match]:
    """Find the places where a file names a repository in one of the forms above (in a notebook: setup cell and links)."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        setup = "\n".join(re.findall(r"%pip install.*", text))
        return [*re.finditer(FORMS[1], setup, flags=re.MULTILINE), *re.finditer(PAGE, text)]
    return [match for form in FORMS for match in re.finditer(form, text, flags=re.MULTILINE)]


def disagreements(root: Path = ROOT) -> list[str]:
    """Places that name another repository than the one place does, and files that should name it and do not."""
    repository = setup_cell.repository(root)
    found = []
    for path in files(root):
        named = {f"{match['owner']}/{match['name']}" for match in addresses(path)}
        if not named:
            found.append(f"{path.relative_to(root)} does not name the repository {repository}")
        found += [f"{path.relative_to(root)} names {other}, not {repository}" for other in sorted(named - {repository})]
    return found


def change(repository: str, root: Path = ROOT) -> list[Path]:
    """Write `repository` (owner/name) wherever the name stands; return the files that changed."""
    if not re.fullmatch(rf"{OWNER}/{NAME}", repository):
        raise ValueError(f"repository is {repository!r}; it must be owner/name, as GitHub spells them")
    owner, name = repository.split("/")
    changed = []
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            setup_cell.write(path, repository)
        new = path.read_text(encoding="utf-8")
        for form in [PAGE] if path.suffix == ".ipynb" else FORMS:
            new = re.sub(form, lambda match: match["before"] + owner + match["between"] + name, new, flags=re.MULTILINE)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) == 1:
        problems = disagreements()
        print("\n".join(problems) or f"every place names {setup_cell.repository()}")
        sys.exit(bool(problems))
    try:
        for path in change(sys.argv[1]):
            print(path.relative_to(ROOT))
    except ValueError as error:
        sys.exit(f"error: {error}")
