"""A Sphinx extension: what the experiment in the page needs of a page that asks for it.

A page asks with `<div data-gst-live="KIND">words</div>` (see _web/live/README.md). This puts the figure of the first kind
there as HTML, so that nothing moves when its script arrives; it loads the style sheet and the whole chain of modules early;
and it puts a form to train with before the recorded answer of a chapter's `run_explorer` cell.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / "_web" / "live"
sys.path.insert(0, str(ROOT))

from tools.pages.click_figure import container  # noqa: E402

PLACE = re.compile(
    r'<div (?P<before>[^>]*)data-gst-live="(?P<kind>\w+)"(?P<rest>[^>]*)>(?P<words>.*?)</div>', re.DOTALL
)
SCRIPT = re.compile(r'<script src="[^"]*_static/live/load\.js"></script>')
#: The recorded answer that a page shows where `gst.widgets.run_explorer` has no kernel.
EXPLORER = re.compile(r'<div class="gst-card gst-answer [^"]*"><div class="gst-sides">')
WORDS = "With scripts, this page trains the run you choose beside its twin. Below is one that was recorded."
CHAPTER = re.compile(r"book/(\d\d)_")
FORMS = {"03": "tradeoff", "04": "noise", "05": "flatness", "06": "anatomy", "07": "pipelines"}
IMPORT = re.compile(r'^import .* from "\./([\w/-]+\.js)";$', re.MULTILINE)
#: The figures that are there with the page; page.js fetches the others when the reader comes near them.
EARLY = ("click", "experiment")
#: Modules import one another, four requests deep; so all are asked for at the beginning. Files cannot be modules.
PRELOAD = """<script>if (location.protocol !== "file:") for (const name of {names})
  document.head.append(Object.assign(document.createElement("link"),
    {{ rel: "modulepreload", href: "{static}" + name }}));</script>"""
MODULES = {"click": "filters", "experiment": "experiment", "timeline": "confounder", "cause": "cause", "try": "try"}


def setup(app: Sphinx):
    app.connect("html-page-context", prepare, priority=600)  # after the extension that writes the policy for scripts
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def prepare(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Fill the places of a page that ask for a figure, and load what they need."""
    body = context.get("body", "")
    body = with_form(body, page)
    kinds = [found["kind"] for found in PLACE.finditer(body)]
    if not kinds:
        return
    static = context["pathto"]("_static/live/", resource=True)
    # Right after the first place: the figure there answers before the rest of a long page has arrived.
    start = PLACE.search(body := SCRIPT.sub("", body)).end()
    body = (
        PLACE.sub(filled, body[:start]) + f'<script src="{static}load.js"></script>' + PLACE.sub(filled, body[start:])
    )
    sheet = f'<link rel="stylesheet" href="{static}live.css">'
    preload = PRELOAD.format(static=static, names=json.dumps(chain([kind for kind in kinds if kind in EARLY])))
    context["metatags"] = context.get("metatags", "") + sheet + preload
    context["body"] = body


def with_form(body: str, page: str) -> str:
    """The body with a form before the recorded answer of a chapter's explorer, unless the chapter has placed one itself."""
    chapter, answers = CHAPTER.match(page), list(EXPLORER.finditer(body))
    if not (chapter and chapter[1] in FORMS and answers) or 'data-gst-live="try"' in body:
        return body
    at = answers[-1].start()  # earlier cards answer other questions
    form = f'<div data-gst-live="try" data-form="{FORMS[chapter[1]]}"><noscript>{WORDS}</noscript></div>'
    return body[:at] + form + body[at:]


def filled(found: re.Match) -> str:
    """The place with what stands there before its script has arrived."""
    if found["kind"] != "click":
        return found[0]
    first = json.loads((LIVE / "made" / "trained.json").read_text())["first"]
    film = json.loads((LIVE / "made" / "film.json").read_text()) if "data-play" in found["rest"] else None
    made = container(first, found["words"].strip(), film, channels="data-channels" in found["rest"])
    return f"<div {found['before']}" + made.removeprefix("<div ")


@functools.cache
def imports_of(name: str) -> tuple[str, ...]:
    """The modules that a module imports as it starts."""
    return tuple(IMPORT.findall((LIVE / name).read_text()))


def chain(kinds: list[str]) -> list[str]:
    """All modules that these kinds of figures need, each once."""
    wanted, found = ["page.js", *(f"{MODULES[kind]}.js" for kind in kinds if kind in MODULES)], []
    while wanted:
        name = wanted.pop(0)
        if name in found or not (LIVE / name).is_file():
            continue
        found.append(name)
        wanted += [] if name == "page.js" else imports_of(name)
    return found
