"""Firefox and WebKit of the system, driven through the W3C's WebDriver protocols; Chromium is driven by tools/browser.py.

Firefox speaks WebDriver BiDi over a web socket, WebKitGTK classic WebDriver over HTTP. Both take the same lists of actions for
mouse and keyboard, and a page's own errors are collected by a script that `serve_recorded` puts on every page.

    with serve_recorded(folder) as address, firefox() as tab:
        tab.open(f"{address}/index.html")
        tab.press("input[type=range]", ARROW_RIGHT)
        assert tab.errors() == []
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

from tools.browser import QuietHandler

ARROW_RIGHT, ENTER = "\ue014", "\ue007"
MINIBROWSER = "/usr/lib/*-linux-gnu/webkit2gtk-4.*/MiniBrowser"
RECORDER = b"""
window.gstErrors = [];
addEventListener("error", (event) => gstErrors.push(`error: ${event.message || event.target.src || event.target.href}`), true);
addEventListener("unhandledrejection", (event) => gstErrors.push(`unhandled: ${event.reason}`));
addEventListener("securitypolicyviolation", (event) => gstErrors.push(`policy: ${event.effectiveDirective} ${event.blockedURI}`));
const log = console.error;
console.error = (...words) => { gstErrors.push(`console: ${words.join(" ")}`); log(...words); };
"""


class _Recorded(QuietHandler):
    """Serves a folder; every page begins with a script that writes down what goes wrong on it."""

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/recorder.js":
            self._send(RECORDER, "text/javascript")
        elif path.endswith(".html"):
            file = Path(self.directory, path.lstrip("/"))
            text = file.read_bytes() if file.is_file() else b"<head>"
            self._send(
                text.replace(b"<head>", b'<head><script src="/recorder.js"></script>', 1), "text/html; charset=utf-8"
            )
        else:
            super().do_GET()

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serve_recorded(folder: Path) -> Iterator[str]:
    """The address at which `folder` is served, with the recorder on every page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Recorded, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Tab:
    """One tab of a browser; an engine adds `open`, `js` (the value of an expression, promises awaited) and `act`."""

    timeout = 120  # seconds for anything that a page is waited for; a busy machine is slow

    def open(self, address: str) -> None:
        raise NotImplementedError

    def js(self, expression: str):
        raise NotImplementedError

    def act(self, sources: list[dict]) -> None:
        """Perform lists of mouse and keyboard actions, as the W3C's "perform actions" takes them."""
        raise NotImplementedError

    def errors(self) -> list[str]:
        """Errors of the page since it was opened."""
        return json.loads(self.js("JSON.stringify(window.gstErrors)"))

    def wait(self, condition: str, seconds: float = timeout) -> None:
        """Wait until an expression is true on the page."""
        deadline = time.monotonic() + seconds
        while not self.js(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {condition}")
            time.sleep(0.2)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """(left, top, width, height) of an element in the window, which is scrolled to it."""
        self.wait(f"document.querySelector({selector!r})")
        return tuple(
            json.loads(
                self.js(f"""(() => {{
                  const element = document.querySelector({selector!r});
                  element.scrollIntoView({{ block: "center", behavior: "instant" }});
                  const box = element.getBoundingClientRect();
                  return JSON.stringify([box.left, box.top, box.width, box.height]);
                }})()""")
            )
        )

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click an element with the mouse, at a share of its width."""
        left, top, width, height = self.place(selector)
        x, y = round(left + across * width), round(top + height / 2)
        steps = [{"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0}, {"type": "pause"}]
        self.act([{"type": "pointer", "id": "mouse", "actions": [*steps, {"type": "pointerUp", "button": 0}]}])

    def press(self, selector: str, key: str) -> None:
        """Focus an element and press a key."""
        self.place(selector)
        self.js(f"document.querySelector({selector!r}).focus()")
        self.act([{"type": "key", "id": "keys", "actions": [{"type": t, "value": key} for t in ("keyDown", "keyUp")]}])


class _Firefox(Tab):
    def __init__(self, socket):
        self._socket, self._numbers = socket, itertools.count()
        self._send("session.new", capabilities={})
        self._context = self._send("browsingContext.getTree")["contexts"][0]["context"]
        self._send("browsingContext.setViewport", context=self._context, viewport={"width": 1280, "height": 900})

    def _send(self, method: str, **params) -> dict:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            pass  # an event
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
        return answer["result"]

    def open(self, address):
        self._send("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def js(self, expression):
        found = self._send(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        return found["result"].get("value")

    def act(self, sources):
        self._send("input.performActions", context=self._context, actions=sources)


class _WebKit(Tab):
    def __init__(self, address: str, binary: str):
        self._address = address
        options = {"webkitgtk:browserOptions": {"binary": binary, "args": ["--automation"]}}
        self._address += f"/session/{self._send('/session', capabilities={'alwaysMatch': options})['sessionId']}"
        self._send("/timeouts", script=1000 * self.timeout, pageLoad=1000 * self.timeout)
        self._send("/window/rect", x=0, y=0, width=1280, height=900)

    def _send(self, path: str, **body):
        request = urllib.request.Request(
            self._address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=2 * self.timeout) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()}") from None

    def open(self, address):
        self._send("/url", url=address)

    def js(self, expression):
        return self._send("/execute/sync", script=f"return {expression.strip()}", args=[])

    def act(self, sources):
        self._send("/actions", actions=sources)


def missing() -> dict[str, str]:
    """Return, for each engine that cannot run here, a sentence that says why."""
    needs = {
        "firefox": ([_firefox_program()], "firefox-esr"),
        "webkit": ([shutil.which("WebKitWebDriver"), shutil.which("Xvfb")], "webkit2gtk-driver xvfb"),
    }
    return {
        engine: f"{engine} cannot run on this machine (Debian: apt-get install {packages})"
        for engine, (programs, packages) in needs.items()
        if not all(programs)
    }


def _firefox_program() -> str | None:
    return shutil.which("firefox-esr") or shutil.which("firefox")


@contextlib.contextmanager
def _process(*command: str, **options) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


@contextlib.contextmanager
def firefox() -> Iterator[Tab]:
    """A tab of a headless Firefox with a profile of its own."""
    import websocket

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        command = [_firefox_program(), "--headless", "--no-remote", "--profile", home, "--remote-debugging-port", "0"]
        environment = {**os.environ, "HOME": home}
        with _process(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
            for line in process.stderr:
                if found := re.search(r"BiDi listening on (ws://\S+)", line):
                    break
            else:
                raise RuntimeError("Firefox ended before it listened")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # or its pipe fills up
            socket = websocket.create_connection(f"{found[1]}/session", timeout=2 * Tab.timeout, suppress_origin=True)
            yield _Firefox(socket)
            socket.close()


@contextlib.contextmanager
def webkit() -> Iterator[Tab]:
    """A tab of WebKitGTK's MiniBrowser, on a screen of its own."""
    binary = str(next(Path("/").glob(MINIBROWSER.lstrip("/"))))
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        read, write = os.pipe()
        screen = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1000x24", "-nolisten", "tcp"]
        stack.enter_context(_process(*screen, pass_fds=[write], stderr=subprocess.DEVNULL))
        os.close(write)
        with open(read) as file:
            display = f":{file.readline().strip()}"
        # Under the locale C, Intl knows no language and libraries that format numbers fail.
        environment = {**os.environ, "DISPLAY": display, "LANG": "en_US.UTF-8", "HOME": home, "XDG_RUNTIME_DIR": home}
        port = _free_port()
        driver = ["WebKitWebDriver", f"--port={port}"]
        stack.enter_context(_process(*driver, env=environment, stderr=subprocess.DEVNULL))
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/status", timeout=5).close()
                break
            time.sleep(0.2)
        tab = _WebKit(address, binary)
        yield tab
        with contextlib.suppress(Exception):
            urllib.request.urlopen(urllib.request.Request(tab._address, method="DELETE"), timeout=20).close()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


ENGINES = {"firefox": firefox, "webkit": webkit}
