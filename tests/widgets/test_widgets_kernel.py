"""The kernel side of the live widgets, spoken to as a notebook's page does: by comm messages to a kernel of its own.

Once with the environment of the tests (ipywidgets 8), once with the oldest versions (ipywidgets 7.7, Colab's).
"""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.publishing.test_colab import oldest, wheel  # noqa: F401  the fixtures

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 240  # seconds; a kernel that imports torch on a busy machine takes a while
PREPARE = """
import ipywidgets, gst_tutorial as gst
base = gst.RunConfig(n_train=100, n_test=100, width=0.25, schedule=gst.PruneSchedule(0, 3, 2)).replace(
    epochs=5, batch_size=50, milestones=())
result = gst.run(base.replace(epochs=12))
print(ipywidgets.__version__)
"""


class Page:
    """What a notebook's page knows: the state of every widget, kept up to date by the kernel's messages."""

    def __init__(self, client):
        self.client = client
        self.widgets: dict[str, dict] = {}
        self.printed = ""

    def hear(self, deadline: float) -> dict:
        message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        kind, content = message["msg_type"], message["content"]
        assert kind != "error", "\n".join(content["traceback"])
        if kind == "stream":
            self.printed += content["text"]
        if kind == "comm_open":
            self.widgets[content["comm_id"]] = content["data"]["state"]
        if kind == "comm_msg" and content["data"].get("method") == "update":
            self.widgets[content["comm_id"]].update(content["data"]["state"])
        return message

    def run(self, code: str) -> None:
        sent, deadline = self.client.execute(code), time.monotonic() + TIMEOUT
        while True:
            message = self.hear(deadline)
            ours = message["parent_header"].get("msg_id") == sent
            if ours and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            self.hear(deadline)

    def find(self, **state) -> str:
        """The id of the newest widget with that state."""
        return [i for i, widget in self.widgets.items() if all(widget.get(k) == v for k, v in state.items())][-1]

    def send(self, widget: str, data: dict) -> None:
        message = self.client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        self.client.shell_channel.send(message)

    def move(self, widget: str, **state) -> None:
        self.send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def click(self, widget: str) -> None:
        self.send(widget, {"method": "custom", "content": {"event": "click"}})

    def text(self, start: str) -> str | None:
        """The newest HTML widget whose value begins so."""
        values = [w["value"] for w in self.widgets.values() if w.get("_model_name") == "HTMLModel"]
        return next((value for value in reversed(values) if value.startswith(start)), None)


def open_page(python: Path, folder: Path):
    """A kernel of `python` and a page that listens to it."""
    spec = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "under test"}
    (folder / "kernels" / "tested").mkdir(parents=True)
    (folder / "kernels" / "tested" / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    manager = KernelManager(kernel_name="tested", kernel_spec_manager=specs)
    manager.start_kernel(
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}
    )
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=TIMEOUT)
    return manager, Page(client)


@pytest.fixture(scope="module", params=["ipywidgets 8", "ipywidgets 7.7"])
def page(request, tmp_path_factory):
    old = request.param == "ipywidgets 7.7"
    python = request.getfixturevalue("oldest") if old else Path(sys.executable)
    manager, page = open_page(python, tmp_path_factory.mktemp("kernel"))
    try:
        page.run(PREPARE)
        assert page.printed.startswith("7.7." if old else "8.")
        yield page
    finally:
        page.client.stop_channels()
        manager.shutdown_kernel(now=True)


pytestmark = pytest.mark.slow


def test_moving_the_slider_of_the_page_changes_the_answer(page):
    page.run("display(gst.widgets.prune_explorer(result.model, result.dataset, n_examples=50))")
    first = page.text("<style>")
    page.move(page.find(_model_name="SelectionSliderModel"), index=19)  # the last: 95%
    page.wait_for(lambda: page.text("<style>") != first)
    assert "15 of 16 filters pruned" in page.text("<style>")
    page.click(page.find(description="Reset"))
    page.wait_for(lambda: page.text("<style>") == first)


def test_train_and_stop_work_from_the_page(page):
    page.run("display(gst.widgets.run_explorer(base=base))")
    train, stop, more = (page.find(description=name) for name in ("Train", "Stop", "Five more seeds"))
    rested = lambda: page.widgets[stop]["disabled"] and not page.widgets[train]["disabled"]  # noqa: E731
    page.click(train)
    page.wait_for(lambda: page.text("<p>Final test accuracy"))
    page.wait_for(rested)
    page.click(more)
    page.wait_for(lambda: "6 seeds" in (page.text("<p>prune, 90%") or ""))
    assert any("Mean gains over the twin" in widget.get("value", "") for widget in page.widgets.values() if widget.get(
        "_model_name") == "HTMLModel")  # fmt: skip
    page.wait_for(rested)

    page.run("display(gst.widgets.run_explorer(base=base.replace(epochs=1_000_000)))")
    train, stop = page.find(description="Train"), page.find(description="Stop")
    page.click(train)
    page.wait_for(lambda: page.text("<p>Training:"))
    page.click(stop)
    page.wait_for(lambda: page.text("<p>Stopped;"))
    page.wait_for(lambda: page.widgets[stop]["disabled"])
