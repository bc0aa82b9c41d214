"""The experiment in the page: how fast it trains beside PyTorch, how lightly it answers, and whether its results are the
recorded studies' own. `rows()` gives one dict per measurement; rows without a time have no seconds.

Run it alone: python -m benchmarks live        (with --quick two seeds instead of twenty)
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from scipy import stats
from torch.nn import functional as F

import gst_tutorial as gst
from tools.browser import chromium, serve, slow_down, visit
from tools.live_pages import bare_page

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "_build" / "html"
SEEDS = 20
# Seconds; a step and a pair on two idle cores.
STEP_LIMIT, PAIR_LIMIT, FRAME_LIMIT, CLICK_LIMIT, FIRST_CLICK_LIMIT = 0.010, 15.0, 0.050, 0.050, 5.0
MEMORY_RUNS = 20
DOSE = {"intervention": "prune", "target": "random", "dose": 0.8, "events": 3, "first": 5, "last": 23}
JOLT = {"intervention": "zero", "target": "random", "dose": 0.5, "events": 9, "first": 5, "last": 37}
COMMON = {"learningRate": 2e-3, "weightDecay": 0}

PAIR = """async (settings) => {
  const { trainer } = await import("/live/trainer.js");
  const start = performance.now();
  const { hit, twin } = await trainer.pair(settings, () => {});
  return { hit, twin, seconds: (performance.now() - start) / 1000 };
}"""
# What the eye sees, whoever was at fault.
WATCH = """() => {
  window.gaps = [];
  let last = performance.now();
  const frame = (now) => { window.gaps.push((now - last) / 1000); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
CLICKS = """async (n) => {
  const tiles = [...document.querySelectorAll(".gst-filter")], seconds = [];
  const afterPaint = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  }));
  for (let i = 0; i < n; i++) {
    await afterPaint();
    const tile = tiles[(7 * i) % tiles.length], start = performance.now();
    tile.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true, pointerType: "mouse", pointerId: 1 }));
    tile.dispatchEvent(new PointerEvent("pointerup", { bubbles: true, pointerType: "mouse", pointerId: 1 }));
    await afterPaint();
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}"""


def row(name: str, ours: str, peer: str, seconds=(math.nan, math.nan), ratio: float = math.nan, note: str = "") -> dict:
    """A row of the table of all benchmarks."""
    return {
        "benchmark": name,
        "ours": ours,
        "peer": peer,
        "ours_seconds": seconds[0],
        "peer_seconds": seconds[1],
        "ratio": seconds[1] / seconds[0] if math.isnan(ratio) else ratio,
        "note": note,
    }


def rows(quick: bool = False) -> list[dict]:
    """All measurements; about eight minutes, with `quick` one."""
    found = []
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        with bare_page(browser, Path(folder)) as here:
            found += _speed_rows(here.page)
            found += _statistics_rows(here.page, 2 if quick else SEEDS)
        with bare_page(browser, Path(folder)) as here:
            found.append(_memory_row(here.page, 4 if quick else MEMORY_RUNS))
        if BOOK.is_dir():
            with serve(BOOK) as address:
                found += [_click_row(browser, address), _frames_row(browser, address), *_weight_rows(browser, address)]
            with serve(BOOK, compressed=True) as address:
                found.append(_first_click_row(browser, address))
    return found


def _speed_rows(page) -> list[dict]:
    page.evaluate(PAIR, {**DOSE, **COMMON, "seed": 900, "epochs": 2, "first": 0, "last": 1, "events": 1})  # compiles
    pair = page.evaluate(PAIR, {**DOSE, **COMMON, "seed": 901})
    step = max(pair[who]["stepMilliseconds"] for who in ("hit", "twin")) / 1000
    torch_step = _torch_step()
    return [
        row(
            "training step, batch of 100, two networks at once",
            "jax-js in workers",
            "PyTorch, one thread",
            (step, torch_step),
            note=_verdict(step, STEP_LIMIT, "s"),
        ),
        row(
            "60 epochs with the twin, evaluations included",
            "in the page",
            f"limit, {PAIR_LIMIT:.0f} s",
            (pair["seconds"], PAIR_LIMIT),
            note=_verdict(pair["seconds"], PAIR_LIMIT, "s"),
        ),
    ]


def _torch_step() -> float:
    """Median seconds of PyTorch's step on the same network and batch."""
    data = gst.load()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = gst.conv1d_net()
    optimizer = gst.Recipe().build_optimizer(model)
    seconds = []
    for i in range(100):
        batch = slice(100 * (i % 10), 100 * (i % 10) + 100)
        start = time.perf_counter()
        loss = F.cross_entropy(model(data.x_train[batch]), data.y_train[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _verdict(value: float, limit: float, unit: str) -> str:
    return f"{'within' if value <= limit else 'OVER'} the limit of {limit:g} {unit}"


# --- the same results ------------------------------------------------------------------------------------------------


def _statistics_rows(page, n: int) -> list[dict]:
    """Means over seeds, from pairs trained in the page, beside the intervals of the recorded studies."""
    pairs = {
        name: [page.evaluate(PAIR, {**setting, **COMMON, "seed": seed}) for seed in range(n)]
        for name, setting in (("80% pruned at random", DOSE), ("half zeroed nine times", JOLT))
    }
    twins = np.array([pair["twin"]["accuracy"] for pair in pairs["80% pruned at random"]])
    recorded = {
        "80% pruned at random": _recorded("dose", target="random", prune_fraction=0.8),
        "half zeroed nine times": _recorded(
            "jolts", layers="conv4", prune_fraction=0.5, intervention="zero", target="random"
        ),
    }
    found = [_agreement("accuracy without pruning", 100 * twins, recorded["80% pruned at random"][1])]
    for name, own in pairs.items():
        ends = np.array([pair["hit"]["accuracy"] for pair in own])
        theirs, base = recorded[name]
        found.append(_agreement(f"accuracy, {name}", 100 * ends, theirs))
        found.append(_agreement(f"gain, {name}", 100 * (ends - twins), theirs - base))
    return found


def _recorded(study: str, **factors) -> tuple[np.ndarray, np.ndarray]:
    """Final accuracies of one recorded setting and of its unpruned twins, in percent, seed by seed."""
    runs = gst.recorded(study)
    # The column that tells the untouched runs from the others.
    kind = "intervention" if "intervention" in runs else "method"
    plain = runs[runs[kind] == "none"].set_index("seed").final_accuracy
    hit = runs[runs[kind].isin(["prune", "zero"])]
    for name, value in factors.items():
        hit = hit[hit[name] == value]
    hit = hit.set_index("seed").final_accuracy
    assert hit.index.is_unique, f"more than one recorded setting has {factors}"
    return 100 * hit.to_numpy(), 100 * plain.loc[hit.index].to_numpy()


def _agreement(name: str, own: np.ndarray, recorded: np.ndarray) -> dict:
    low, high = stats.t.interval(0.95, len(recorded) - 1, recorded.mean(), stats.sem(recorded))
    apart = stats.ttest_ind(own, recorded, equal_var=False).confidence_interval()
    inside = "inside" if low <= own.mean() <= high else "OUTSIDE"
    return row(
        f"{name}, {len(own)} runs in the page",
        f"{own.mean():.2f}",
        f"recorded {recorded.mean():.2f} [{low:.2f}, {high:.2f}]",
        ratio=own.mean() / recorded.mean(),
        note=f"{inside} the recorded interval; page minus recorded {own.mean() - recorded.mean():+.2f} "
        f"[{apart.low:+.2f}, {apart.high:+.2f}]",
    )


# --- what it costs the page ------------------------------------------------------------------------------------------


def _memory_row(page, n: int) -> dict:
    """Memory of all processes of the browser in the last runs of n in a row, beside that after the first quarter of them.

    The garbage collector comes when it likes, so medians over a quarter of the runs are compared.
    """
    sizes = []
    for seed in range(n):
        page.evaluate(PAIR, {**JOLT, **COMMON, "seed": seed, "epochs": 8, "first": 1, "last": 6, "events": 3})
        sizes.append(_browser_memory())
    quarter = n // 4
    early, late = (float(np.median(part)) / 1e6 for part in (sizes[quarter : 2 * quarter], sizes[-quarter:]))
    return row(
        f"memory of the browser, {n} runs with their twins in a row",
        f"{late:.0f} MB in the last {quarter}",
        f"{early:.0f} MB in runs {quarter + 1} to {2 * quarter}",
        ratio=early / late,
        note=f"growth {late - early:+.1f} MB",
    )


def _browser_memory() -> int:
    """Bytes that only the browser's processes hold."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        if "chrom" in process.name():
            total += process.memory_full_info().uss
    return total


def _click_row(browser, address: str) -> dict:
    with visit(browser, address) as here:
        here.open("book/index.html")
        here.page.locator(".gst-filter").first.hover()
        here.page.wait_for_selector("[data-gst-live=click][data-ready]")
        here.page.evaluate(CLICKS, 5)
        seconds = np.array(here.page.evaluate(CLICKS, 200))
    slow = float(np.quantile(seconds, 0.95))
    return row(
        "click on a filter to painted accuracy of 1,000 signals, 95th percentile",
        "in the page",
        f"limit, {1000 * CLICK_LIMIT:.0f} ms",
        (slow, CLICK_LIMIT),
        note=f"200 clicks, median {1000 * np.median(seconds):.0f} ms; {_verdict(slow, CLICK_LIMIT, 's')}",
    )


# Presses a filter again and again from the moment when it is there, until it answers.
PRESS = """async () => {
  const tile = document.querySelectorAll(".gst-filter")[5];
  while (tile.getAttribute("aria-pressed") !== "true") {
    for (const kind of ["pointerdown", "pointerup"]) {
      tile.dispatchEvent(new PointerEvent(kind, { bubbles: true, pointerType: "mouse", pointerId: 1 }));
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  await new Promise(requestAnimationFrame);
  return performance.now() / 1000;
}"""
NUMBER = "/%/.test(document.querySelector('.gst-number b').textContent)"


def _first_click_row(browser, address: str) -> dict:
    """Fast 3G and a processor six times slower: from the request for the page to the answer of the first filter."""
    with visit(browser, address) as here:
        slow_down(here.page)
        here.page.goto(f"{address}/book/index.html", wait_until="commit")
        here.page.wait_for_selector(".gst-filter", timeout=60_000)
        first = here.page.evaluate(PRESS)
        here.page.wait_for_function(NUMBER, timeout=60_000)
        known = here.page.evaluate("performance.now() / 1000")
    return row(
        "first press of a filter on the first page, Fast 3G, processor six times slower",
        "in the page",
        f"limit, {FIRST_CLICK_LIMIT:.0f} s",
        (first, FIRST_CLICK_LIMIT),
        note=f"{_verdict(first, FIRST_CLICK_LIMIT, 's')}, with {psutil.getloadavg()[0]:.1f} jobs running; its accuracy "
        f"after {known:.1f} s",
    )


def _frames_row(browser, address: str) -> dict:
    """The longest task of the page's thread, by the clock and in processor time: on a busy machine the clock also counts
    how long the page waited for its turn."""
    with visit(browser, address) as here:
        here.open("book/live.html")
        here.page.get_by_role("button", name="a jolt that changes no prediction").click()
        here.page.get_by_role("button", name="Train a pair").click()
        here.page.wait_for_function("document.querySelector('.gst-experiment output').textContent.includes('training')")
        here.page.evaluate(WATCH)
        browser.start_tracing(page=here.page, categories=["toplevel"])
        here.page.wait_for_selector("[data-gst-live=experiment][data-runs]", timeout=120_000)
        clock, own = _tasks(browser.stop_tracing())
        gaps = np.array(here.page.evaluate("window.gaps"))
    load = psutil.getloadavg()[0]
    return row(
        "longest task of the page while two networks train",
        f"{1000 * clock.max():.0f} ms by the clock, {1000 * own.max():.0f} ms of processor time",
        f"limit, {1000 * FRAME_LIMIT:.0f} ms",
        ratio=FRAME_LIMIT / clock.max(),
        note=f"{_verdict(clock.max(), FRAME_LIMIT, 's')}, with {load:.1f} jobs running; {(clock > FRAME_LIMIT).sum()} of "
        f"{len(clock)} tasks are longer; {len(gaps)} frames, gap between two: 95% under "
        f"{1000 * np.quantile(gaps, 0.95):.0f} ms, longest {1000 * gaps.max():.0f} ms",
    )


def _tasks(trace: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Seconds by the clock and in processor time of every task of the page's thread, from a trace of Chromium."""
    events = json.loads(trace)["traceEvents"]
    pages = {
        (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    tasks = [e for e in events if e["name"].endswith("::RunTask") and "tdur" in e and (e["pid"], e["tid"]) in pages]
    return tuple(np.array([task[kind] for task in tasks]) / 1e6 for kind in ("dur", "tdur"))


def _weight_rows(browser, address: str) -> list[dict]:
    import gzip

    found = []
    for page, limit in (("book/index.html", 300_000), ("book/live.html", 300_000)):
        with visit(browser, address) as here:
            first = sum(here.first_load(page).values())
            asked = {}

            def keep(answer, asked=asked):
                if answer.status == 200 and "_static/live/" in answer.url:
                    asked[answer.url] = answer

            here.page.context.on("response", keep)
            press_train(here.page)
            after = sum(len(gzip.compress(answer.body(), 6)) for answer in asked.values())
        found.append(
            row(
                f"{page}: what a reader who trains loads besides, gzip",
                f"{after / 1000:.0f} KB in {len(asked)} files",
                f"limit, {limit / 1000:.0f} KB",
                ratio=limit / after,
                note=f"first load {first / 1000:.0f} KB (limit 450 KB)",
            )
        )
    return found


def press_train(page) -> None:
    """Begin a training on the first page or the live page, and wait for its first epochs."""
    if page.locator(".gst-experiment").count():
        page.get_by_role("button", name="Train a pair").click()
        page.wait_for_function(
            "document.querySelector('.gst-experiment output').textContent.includes('training')", timeout=60_000
        )
    else:
        page.get_by_role("button", name="Cut half").first.click()
        page.wait_for_function("document.querySelectorAll('.gst-filter[aria-pressed=true]').length === 32")
        page.get_by_role("button", name="Keep training").first.click()
        page.wait_for_function(
            "document.querySelector('.gst-click output').textContent.includes('caught up') || "
            "document.querySelector('.gst-click').parentElement.dataset.gain !== undefined",
            timeout=120_000,
        )
