"""Record the film of the first page: a run of the page's own trainer, and the same cut with twenty seeds.

python -m tools.pages.film            # write _web/live/made/film.json; a quarter of an hour on an idle machine
python -m tools.pages.film --film     # record the film only, and keep the twenty gains

Chromium trains both. The film is what a reader sees who presses "Prune 80%" and trains: the network of trained.bin, and the
filters that this button draws first. The twenty pairs start from other weights and lose as many filters at the same epoch.
"""

import json
import sys
import tempfile
from pathlib import Path

from tools.browser import chromium
from tools.live_pages import bare_page

FILE = Path(__file__).resolve().parents[2] / "_web" / "live" / "made" / "film.json"
CUT, SHARE, SEEDS = 51, 0.8, 20  # 80% of 64 filters, rounded as the package does

FILM = """async (n) => {
  const load = (name) => import(`/live/${name}.js`);
  const [{ trainer }, { loadState, loadSignals }, { norms, choose }, { stream }] =
    await Promise.all(["trainer", "data", "interventions", "random"].map(load));
  const [{ copyState, FILTERS }, { DEFAULTS }, forward, { standing }] =
    await Promise.all(["shapes", "settings", "forward", "commentary"].map(load));
  const { state, about } = await loadState("trained"), test = await loadSignals("test");
  const cut = choose(norms(state), [...Array(FILTERS).keys()], n, "random", stream(1, "cut"));
  const from = copyState(state);
  cut.forEach((c) => (from.mask[c] = 0));
  const steps = forward.activations(state, test.signals);
  let step = steps.next();
  while (!step.done) step = steps.next();
  const parts = forward.contributions(step.value, state.weights.wh);
  const accuracyWith = (mask) => forward.score(forward.logits(parts, mask, state.weights.bh), test.labels).accuracy;
  const seen = { hit: [], twin: [] }, classes = [];
  await trainer.pair({ ...DEFAULTS, seed: about.seed }, (who, message) => {
    if (message.kind !== "epoch") return;
    seen[who].push(message.accuracy);
    if (who === "hit") classes.push(message.classes.map((share) => Math.round(100 * share) / 100));
  }, { from: state, hitFrom: from, startEpoch: about.epochs, quick: true });
  const both = standing();
  seen.hit.forEach((accuracy, i) => both.tell(about.epochs + i, accuracy, seen.twin[i]));
  return { seed: about.seed, epochs: about.epochs, cut: cut.sort((a, b) => a - b),
    accuracy: accuracyWith(state.mask), after: accuracyWith(from.mask), ...seen, classes, overtook: both.overtook };
}"""

GAIN = """async ({ seed, share, epoch }) => {
  const { trainer } = await import("/live/trainer.js");
  const { DEFAULTS } = await import("/live/settings.js");
  const settings = { ...DEFAULTS, seed, target: "random", dose: share, events: 1, first: epoch, last: epoch };
  const { hit, twin } = await trainer.pair(settings, () => {});
  return Math.round(1000 * 100 * (hit.accuracy - twin.accuracy)) / 1000;
}"""


def record(known_gains: list[float] | None = None) -> dict:
    """The film, and in `gains` the gain in percentage points of each of twenty other runs with the same cut."""
    with chromium() as browser, tempfile.TemporaryDirectory() as folder, bare_page(browser, Path(folder)) as here:
        film = here.page.evaluate(FILM, CUT)
        event = {"share": SHARE, "epoch": film["epochs"] - 1}
        gains = known_gains or [here.page.evaluate(GAIN, {**event, "seed": seed}) for seed in range(SEEDS)]
    return film | {"gains": gains}


if __name__ == "__main__":
    known = json.loads(FILE.read_text())["gains"] if "--film" in sys.argv[1:] else None
    found = record(known)
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    print(
        f"{FILE}: overtaken in epoch {found['overtook']}, {sum(gain > 0 for gain in found['gains'])} of {SEEDS} ahead"
    )
