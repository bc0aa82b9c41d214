"""A real browser: a folder served on loopback, pages that reach nothing else, and what to ask of them."""

from __future__ import annotations

import contextlib
import functools
import gzip
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FIGURE = ".gst-slider"
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}
#: The picture of a slider figure has been painted: decoded, and two frames have gone by.
PAINTED = """async (image) => {
  await image.decode();
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
}"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without logging."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/favicon.ico":  # browsers ask for it unasked
            self.send_response(204)
            self.end_headers()
        else:
            with contextlib.suppress(ConnectionError):  # a page that was left while it loaded
                super().do_GET()


class CompressingHandler(QuietHandler):
    """Serves a folder as a host of pages does: texts are compressed on their way."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".css", ".js", ".json", ".svg") or not path.is_file():
            return super().do_GET()
        body = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


@contextlib.contextmanager
def serve(folder: Path, *, compressed: bool = False) -> Iterator[str]:
    """The address, without a slash at its end, at which `folder` is served on loopback while the block lasts.

    With `compressed`, texts come gzip-compressed: for measuring how long a slow connection takes.
    """
    handler = CompressingHandler if compressed else QuietHandler
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def chromium():
    """A headless Chromium of the system, for programs that are not tests (tests have the fixture `browser`)."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def slow_down(page, *, megabits: float = 1.6, latency: float = 0.15, processor: int = 6) -> None:
    """Give a page of Chromium a slow connection (both ways, with this many seconds of delay) and a slower processor."""
    client = page.context.new_cdp_session(page)
    speed = megabits * 1e6 / 8
    client.send("Network.enable")
    client.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 1000 * latency, "downloadThroughput": speed, "uploadThroughput": speed / 2},
    )
    client.send("Emulation.setCPUThrottlingRate", {"rate": processor})


@dataclass
class Visit:
    """One open page and what went wrong on it: console errors, uncaught exceptions, requests beyond the server."""

    page: object
    address: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Visit:
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        return self

    def first_load(self, path: str) -> dict[str, int]:
        """Open a page for the first time; the gzip-compressed size in bytes of everything that came, by address."""
        answers = []
        self.page.on("requestfinished", lambda request: answers.append(request.response()))
        self.open(path)
        self.page.wait_for_load_state("networkidle")
        return {each.url: len(gzip.compress(each.body(), 6)) for each in answers if each.status == 200}

    def figures(self) -> list:
        """The slider figures of the page, in view of the mouse and the eye: folds are open, hidden results shown."""
        self.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        self.page.evaluate(
            "document.querySelectorAll('.cell > .gst-covered button').forEach((button) => button.click())"
        )
        # Formulas that are typeset late move what stands below them by fractions of a pixel.
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("Promise.all([document.fonts.ready, window.MathJax?.startup?.promise]).then(() => true)")
        return self.page.locator(FIGURE).all()


@contextlib.contextmanager
def visit(browser, address: str, **options) -> Iterator[Visit]:
    """A page in a context of its own that can reach `address` only; `options` go to playwright's `new_context`."""
    # Playwright waits for conditions with eval, which the pages' policy forbids; tests/book/test_browser_book_policy.py keeps it.
    context = browser.new_context(**{"viewport": WIDE, "bypass_csp": True, **options})
    page = context.new_page()
    here = Visit(page, address)

    def refuse(route):
        here.problems.append(f"request beyond the local server: {route.request.url}")
        route.abort()

    context.route(re.compile(rf"^(?!{re.escape(address)}/|data:|blob:|about:)"), refuse)
    page.on("console", lambda message: message.type == "error" and here.problems.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: here.problems.append(f"uncaught: {error}"))
    page.on("response", lambda answer: answer.status >= 400 and here.problems.append(f"{answer.status}: {answer.url}"))
    try:
        yield here
    finally:
        context.close()


def accessibility_problems(page, within: str | None = None, allowed: Sequence[str] = ()) -> list[str]:
    """axe-core's violations, one line each: rule, element, reason. `allowed` are exact rule ids."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        if rule["id"] not in allowed
        for node in rule["nodes"]
    ]


def sideways_overflow(page) -> int:
    """By how many px the page is wider than its window, which makes it scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def state(figure) -> tuple[int, str, str]:
    """(slider position, address of the picture, sentence below it)."""
    return (
        int(figure.locator("input[type=range]").input_value()),
        figure.locator("img").get_attribute("src"),
        figure.locator("output").inner_text(),
    )


def painted(figure) -> bytes:
    """Take a screenshot of a figure's picture."""
    figure.locator("img").evaluate(PAINTED)
    return figure.locator(".gst-picture").screenshot(animations="disabled")


def drag(page, slider, start: float, end: float):
    """Move the mouse along a range input with the button down, between two shares of its length."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    margin, y = 8, box["y"] + box["height"] / 2  # half a thumb
    left, length = box["x"] + margin, box["width"] - 2 * margin
    page.mouse.move(left + start * length, y)
    page.mouse.down()
    page.mouse.move(left + end * length, y, steps=4)
    page.mouse.up()


def colour(locator, prop: str) -> str:
    """A colour as the browser computed it: "rgb(r, g, b)"."""
    return locator.evaluate("(element, prop) => getComputedStyle(element).getPropertyValue(prop)", prop)


def luminance(colour: str | Sequence[float]) -> float:
    """Relative luminance (WCAG 2) of "#rrggbb", "rgb(r, g, b)" or (r, g, b) in 0..255."""
    if isinstance(colour, str):
        if colour.startswith("#"):
            colour = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        else:
            colour = [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]
    shares = [value / 255 for value in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other) -> float:
    """Contrast ratio (WCAG 2) of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
