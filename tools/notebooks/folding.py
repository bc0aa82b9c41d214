"""Fold a notebook's cells in JupyterLab and Colab as the book's page folds them.

On the page, the tags `hide-input`, `remove-input`, `hide-cell` and `remove-cell` fold a cell or leave it out. JupyterLab and
Colab do not know these tags: JupyterLab reads `jupyter.source_hidden` (and `outputs_hidden`), and Colab reads `cellView: form`
and shows the text of a first line `# @title ...` in place of the code. All of that is derived here from the tags.

An exercise that waits for an answer stays open everywhere, although the page leaves it out: the reader has to write in it.
"""

import re

FOLDED = {"hide-input", "remove-input", "hide-cell", "remove-cell"}
TITLE = re.compile(r"# ?@title +(.*)\n?")
# Also the form without a title, as an author writes it: "# Solution 2.3: a hint for those who open it".
SOLUTION = re.compile(r"# (?:@title )?(Solution \d+\.\d+)(?:: *(.*))?\n?")


def is_solution(cell) -> bool:
    """Return True if a code cell is the book's solution of an exercise."""
    return cell.cell_type == "code" and bool(SOLUTION.match(cell.source))


def is_exercise(cell) -> bool:
    """Return True if a code cell is an exercise that waits for the reader's answer."""
    return cell.cell_type == "code" and "exercises.check(" in cell.source and not is_solution(cell)


def code(cell) -> str:
    """The source of a code cell without its title."""
    return TITLE.sub("", cell.source, count=1) if TITLE.match(cell.source) else cell.source


def default_title(cell) -> str:
    """A title for a folded cell, from what the cell does; an author may write a better one."""
    shown = {kind for output in cell.outputs for kind in output.get("data", {})}
    html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
    if "figures.predict(" in cell.source:
        return "Ask for a guess"
    if "exercises.answer_box(" in cell.source:
        return "Answer in the page"
    if any(kind.startswith("image/") for kind in shown) or "<figure" in html:
        return "Draw the figure"
    if html:
        return "Show the table"
    if "remove-cell" in cell.metadata.get("tags", []):
        return "Check the numbers above"
    if any(output.output_type == "stream" for output in cell.outputs):
        return "Print the result"
    return "Load what the next cells use"


def fold(cell) -> None:
    """Make a code cell's metadata and title agree with its tags."""
    tags = set(cell.metadata.get("tags", []))
    for key in ("jupyter", "cellView"):
        cell.metadata.pop(key, None)
    if not tags & FOLDED or is_exercise(cell):
        cell.source = code(cell)
        return
    cell.metadata["jupyter"] = {"source_hidden": True} | ({"outputs_hidden": True} if "hide-cell" in tags else {})
    cell.metadata["cellView"] = "form"
    if solution := SOLUTION.match(cell.source):  # the hint must not show while the cell is folded
        name, hint = solution.groups()
        hint = f"# {hint[0].upper() if re.match('(a|[a-z]{2,})[ ,]', hint) else hint[0]}{hint[1:]}\n" if hint else ""
        cell.source = f"# @title {name}\n{hint}{cell.source[solution.end() :]}"
    elif not TITLE.match(cell.source):
        cell.source = f"# @title {default_title(cell)}\n{cell.source}"
