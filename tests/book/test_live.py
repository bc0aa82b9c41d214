"""What the experiment in the page is made of: its data, rules, random numbers and files, each against the package."""

import csv
import io
import json

import numpy as np
import pytest
import torch

import gst_tutorial as gst
from tools.live_pages import LIVE, as_json, bare_page
from tools.pages import live

MADE = LIVE / "made"
SHORT = {
    "seed": 5,
    "intervention": "zero",
    "target": "random",
    "dose": 0.5,
    "events": 2,
    "first": 0,
    "last": 1,
    "learningRate": 2e-3,
    "weightDecay": 0,
    "epochs": 3,
}
PAIR = """async (settings) => {
  const { trainer, Trainer } = await import("/live/trainer.js");
  const told = { hit: [], twin: [] };
  const fresh = new Trainer();
  const listen = (who, { id, stepMilliseconds, ...message }) => told[who].push(message);
  const ends = await fresh.pair(settings, listen, { quick: true });
  fresh.learners.forEach(({ worker }) => worker.terminate());
  return { told, gain: ends.hit.accuracy - ends.twin.accuracy };
}"""


@pytest.fixture(scope="module")
def dataset():
    return gst.load()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with bare_page(browser, tmp_path_factory.mktemp("live")) as here:
        yield here.page
        assert here.problems == []


# --- files -----------------------------------------------------------------------------------------------------------


def test_the_modules_reach_nothing_but_their_own_folder():
    for path in [*LIVE.glob("*.js"), *LIVE.glob("*.css")]:
        text = path.read_text()
        for name in (
            "http://localhost:8000/",
            "http://www.w3.org/2000/svg",
        ):  # a sentence, and a name that is no address
            text = text.replace(name, "")
        assert "http://" not in text, path.name
        assert "https://" not in text, path.name


def test_signals_and_recorded_runs_are_what_the_package_gives(dataset):
    assert [name for name, data in live.data_files().items() if (MADE / name).read_bytes() != data] == []


def test_quantized_signals_are_close_and_cost_no_accuracy(dataset):
    scale = json.loads((MADE / "levels.json").read_text())
    parts = [
        live.unpack_signals((MADE / f"{name}.bin").read_bytes(), **scale) for name in ("train", "test", "test-more")
    ]
    x_train, y_train = parts[0]
    x_test, y_test = (torch.cat([part[i] for part in parts[1:]]) for i in range(2))
    assert torch.equal(y_train, dataset.y_train) and torch.equal(y_test, dataset.y_test)
    for packed, original in ((x_train, dataset.x_train), (x_test, dataset.x_test)):
        assert (packed - original).abs().max() <= 0.5001 * scale["step"]
    model = live.stored_network("trained")
    exact = gst.accuracy(model, dataset.x_test, dataset.y_test)
    assert exact > 0.7
    assert gst.accuracy(model, x_test, y_test) == pytest.approx(exact, abs=0.003)


@pytest.mark.parametrize("pooled", [False, True], ids=["positions", "averages"])
def test_state_survives_the_way_to_the_page_and_back(dataset, pooled):
    torch.manual_seed(4)
    model, other = gst.conv1d_net(pooled=pooled), gst.conv1d_net(pooled=pooled)
    model.train()(dataset.x_train[:50])  # statistics that are not the first ones
    live.load_page_state(other, live.page_state(model))
    assert torch.equal(model.eval()(dataset.x_test[:20]), other.eval()(dataset.x_test[:20]))


@pytest.mark.parametrize("name", [name for name, *_ in live.NETWORKS])
def test_stored_network_is_where_its_curve_ends(dataset, name):
    first = json.loads((MADE / f"{name}.json").read_text())["first"]
    model = live.stored_network(name)
    assert len(first["curve"]) == live.EPOCHS_TRAINED
    reached = gst.accuracy(model, dataset.x_test[:1000], dataset.y_test[:1000])
    assert reached == pytest.approx(first["curve"][-1], abs=0.003)
    # The page computes the same as soon as the reader comes near: its first number must not jump.
    assert first["accuracy"] == pytest.approx(live.first_numbers(model)["accuracy"], abs=1e-6)
    assert len(first["profiles"]) == 640


def test_film_cuts_the_stored_network_as_torch_does(dataset):
    film = json.loads((MADE / "film.json").read_text())
    scale = json.loads((MADE / "levels.json").read_text())
    x, y = live.unpack_signals((MADE / "test.bin").read_bytes(), **scale)
    model = live.stored_network("trained")
    assert gst.accuracy(model, x, y) == pytest.approx(film["accuracy"], abs=0.002)
    gst.prunable_layers(model)["conv4"].mask.mask[film["cut"]] = 0
    assert gst.accuracy(model, x, y) == pytest.approx(film["after"], abs=0.002)
    assert len(film["hit"]) == len(film["twin"]) == len(film["classes"]) == 60 - film["epochs"]
    assert len(film["gains"]) == 20


def test_recorded_gains_are_paired_differences_of_the_studies():
    table = json.loads((MADE / "recorded.json").read_text())
    for study, label, twin, wanted in (
        ("head-by-data", "signals, pooled, prune 80%", "signals, pooled, none", {"head": "averages"}),
        (
            "resets-and-decay",
            "0% wrong labels, coupled 0.03, prune 80%",
            "0% wrong labels, coupled 0.03, none",
            {"weightDecay": 0.03},
        ),
    ):
        wanted = {"intervention": "prune", "dose": 0.8, "weightDecay": 0, "head": "positions"} | wanted
        (row,) = [
            named
            for named in (dict(zip(table["columns"], row)) for row in table["rows"])
            if named["learningRate"] == 0.002
            and all(named[key] == value for key, value in wanted.items())
            and named["seeds"] == 10
        ]
        gain = gst.statistics.paired_difference(gst.recorded(study), label, twin)
        assert [row["gain"], row["low"], row["high"]] == pytest.approx(
            [gain.value * 100, gain.low * 100, gain.high * 100], abs=2e-3
        )


def test_recorded_settings_have_the_means_of_the_studies():
    table = json.loads((MADE / "clouds.json").read_text())["settings"]
    rows = {tuple(row[:5]): row[5:] for row in table["rows"]}
    dose = gst.recorded("dose")
    runs = dose[dose.label == "random, 80%"]
    twins = dose[dose.label == "none"].set_index("seed").final_accuracy
    gain = 100 * (runs.final_accuracy - runs.seed.map(twins))
    instability, mean, low, high, seeds = rows[5, 23, 3, "random", 0.8]
    assert (instability, mean, seeds) == (
        pytest.approx(runs.instability.mean(), abs=1e-3),
        pytest.approx(gain.mean(), abs=1e-3),
        len(runs),
    )
    assert low < mean < high
    # The same events under two names are one setting with twenty networks, not forty.
    assert max(row[-1] for row in rows.values()) == 20


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_page_prunes_as_many_filters_at_the_same_epochs_as_the_package(page):
    cases = [(512, 0.9, 7), (512, 0.3, 4), (64, 0.8, 3), (64, 0.05, 1), (64, 0.95, 19), (10, 0.9, 1), (10, 0.7, 2)]
    kept = page.evaluate(
        "async (cases) => { const m = await import('/live/schedule.js'); return cases.map((c) => m.keptFilters(...c)); }",
        cases,
    )
    assert kept == [gst.kept_filters(*case) for case in cases]
    schedules = [(5, 23, 9), (5, 39, 2), (5, 23, 18), (5, 37, 4), (5, 23, 1), (7, 7, 3)]
    spaced = page.evaluate(
        "async (cases) => { const m = await import('/live/schedule.js'); return cases.map((c) => m.eventEpochs(...c)); }",
        [(first, last, gst.PruneSchedule(first, last, period).n_events) for first, last, period in schedules],
    )
    assert spaced == [list(gst.PruneSchedule(*case).epochs) for case in schedules]


@pytest.mark.browser
def test_the_rate_of_an_epoch_is_the_recipe_s(page):
    rates = page.evaluate(
        """async () => { const { learningRate, epochsLeft } = await import("/live/schedule.js");
        const rates = Array.from({ length: 60 }, (_, epoch) => learningRate(epoch, 0.002));
        return [rates, [[23], [39], [45], []].map(epochsLeft)]; }"""
    )
    parameter = torch.nn.Parameter(torch.zeros(1))
    recipe = gst.Recipe()
    optimizer = torch.optim.Adam([parameter], lr=recipe.learning_rate)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, recipe.milestones, recipe.gamma)
    expected = []
    for _ in range(recipe.epochs):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(expected)
    assert rates[1] == [16, 0, 0, 40]


@pytest.mark.browser
def test_random_numbers_are_uniform_normal_and_a_stream_of_their_own(page):
    uniform, other, normal, order, again = page.evaluate(
        """async () => { const { stream, normal, permutation } = await import("/live/random.js");
        const draw = (seed, name, n) => { const next = stream(seed, name); return Array.from({ length: n }, next); };
        const gauss = stream(1, "directions");
        return [draw(1, "batches", 20000), draw(2, "batches", 20000), Array.from({ length: 20000 }, () => normal(gauss)),
                permutation(1000, stream(3, "batches")), permutation(1000, stream(3, "batches"))]; }"""
    )
    # Five standard errors: 1/sqrt(12 * 20000) of a uniform mean, 1/sqrt(20000) of a normal one.
    assert abs(np.mean(uniform) - 0.5) < 5 / np.sqrt(12 * 20000)
    assert np.histogram(uniform, 10, (0, 1))[0] == pytest.approx(2000, abs=5 * np.sqrt(1800))
    assert abs(np.corrcoef(uniform, other)[0, 1]) < 5 / np.sqrt(20000)
    assert abs(np.mean(normal)) < 5 / np.sqrt(20000) and np.std(normal) == pytest.approx(1, abs=0.03)
    assert sorted(order) == list(range(1000)) and order == again and order != sorted(order)


@pytest.mark.browser
def test_first_weights_have_the_distribution_of_torch_s(page):
    state = page.evaluate(
        """async () => { const { initialState } = await import("/live/shapes.js");
        const { weights, statistics } = initialState(7);
        const plain = (table) => Object.fromEntries(Object.entries(table).map(([k, v]) => [k, Array.from(v)]));
        return { ...plain(weights), ...plain(statistics) }; }"""
    )
    expected = live.page_state(gst.conv1d_net())
    assert {name: len(values) for name, values in state.items()} == {name: v.size for name, v in expected.items()}
    for name in ("w2", "w3", "w4", "wh"):
        assert np.abs(state[name]).max() == pytest.approx(np.abs(expected[name]).max(), rel=0.01)
        assert np.std(state[name]) == pytest.approx(expected[name].std(), rel=0.06)
    for name in ("g1", "b1", "m1", "v1"):
        assert state[name] == expected[name].tolist()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["trained", "trained-averages"])
def test_predictions_in_plain_javascript_are_those_of_torch(page, dataset, name):
    model = live.stored_network(name)
    mask = [0 if c % 3 == 0 else 1 for c in range(64)]
    ours = page.evaluate(
        """async ({ state, signals, mask }) => {
        const { activations, contributions, logits } = await import("/live/forward.js");
        const typed = (t) => Object.fromEntries(Object.entries(t).map(([k, v]) => [k, Float32Array.from(v)]));
        const plain = { weights: typed(state.weights), statistics: typed(state.statistics) };
        const steps = activations(plain, Float32Array.from(signals));
        let step = steps.next(); while (!step.done) step = steps.next();
        const parts = contributions(step.value, Float32Array.from(state.weights.wh));
        return Array.from(logits(parts, mask, Float32Array.from(state.weights.bh))); }""",
        {"state": as_json(model), "signals": dataset.x_test[:200].flatten().tolist(), "mask": mask},
    )
    gst.prunable_layers(model)["conv4"].mask.mask[:] = torch.tensor(mask, dtype=torch.float32)
    with torch.no_grad():
        expected = model(dataset.x_test[:200])
    assert (torch.tensor(ours).view_as(expected) - expected).abs().max() < 1e-4


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_two_short_runs_share_their_start_and_repeat_bit_for_bit(page):
    one, same = (page.evaluate(PAIR, SHORT) for _ in range(2))
    assert one == same
    hit, twin = one["told"]["hit"], one["told"]["twin"]
    assert [message["kind"] for message in hit] == ["epoch", "event", "epoch", "event", "epoch", "end"]
    assert [message["kind"] for message in twin] == ["epoch", "epoch", "epoch", "end"]
    assert hit[0] == twin[0], "before the first event the two are one network"
    assert hit[2]["loss"] > twin[1]["loss"], "half of the filters were zeroed"
    assert twin[2]["loss"] < twin[0]["loss"] and twin[-1]["accuracy"] > 0.3
    events = [message for message in hit if message["kind"] == "event"]
    assert hit[-1]["instability"] == pytest.approx(np.mean([event["instability"] for event in events]))
    assert all(event["hit"] == 32 and event["instability"] > 0 for event in events)
    assert page.evaluate(PAIR, {**SHORT, "seed": 6})["told"]["twin"] != twin


@pytest.mark.browser
def test_training_pauses_goes_on_and_stops_when_it_is_told_to(page):
    found = page.evaluate(
        """async (settings) => {
        const { Trainer, Stopped } = await import("/live/trainer.js");
        const trainer = new Trainer(), wait = (ms) => new Promise((done) => setTimeout(done, ms));
        let epochs = 0, first;
        const started = new Promise((done) => (first = done));
        const pair = trainer.pair(settings, (who, { kind }) => { if (kind === "epoch") { epochs++; first(); } }, { quick: true });
        const outcome = pair.then(() => "ended", (error) => (error instanceof Stopped ? "stopped" : String(error)));
        await started;
        trainer.tell("pause");
        let atPause = -1; // what was under way arrives, however busy the machine is
        for (let quiet = 0; quiet < 4; quiet++) {
          await wait(300);
          if (epochs !== atPause) [quiet, atPause] = [0, epochs];
        }
        await wait(1200);
        const whilePaused = epochs - atPause;
        trainer.tell("go on");
        for (let i = 0; i < 100 && epochs === atPause; i++) await wait(200);
        const afterwards = epochs - atPause;
        trainer.tell("stop");
        const end = await outcome;
        const again = await trainer.pair({ ...settings, epochs: 1 }, () => {}, { quick: true });
        trainer.learners.forEach(({ worker }) => worker.terminate());
        return { whilePaused, afterwards, end, again: again.twin.accuracy };
      }""",
        {**SHORT, "epochs": 60},
    )
    assert found["whilePaused"] == 0
    assert found["afterwards"] > 0
    assert found["end"] == "stopped"
    assert found["again"] > 0.1


@pytest.mark.browser
def test_training_that_diverges_says_so(page):
    message = page.evaluate(
        """async (settings) => { const { Trainer } = await import("/live/trainer.js"); const trainer = new Trainer();
        try { await trainer.pair(settings, () => {}, { quick: true }); return "no error"; }
        catch (error) { return error.message; } finally { trainer.learners.forEach(({ worker }) => worker.terminate()); } }""",
        {**SHORT, "learningRate": 1e30},
    )
    assert "diverged" in message


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_an_address_holds_an_experiment_and_a_bad_one_harms_nothing(page):
    there_and_back = """async (wishes) => { const { fromAddress, toAddress, valid } = await import("/live/settings.js");
      return wishes.map((wish) => [valid(wish), fromAddress(toAddress(valid(wish)))]); }"""
    wishes = [
        {},
        {
            "intervention": "zero_inputs",
            "dose": 0.5,
            "events": 9,
            "first": 5,
            "last": 37,
            "seed": 12,
            "weightDecay": 0.01,
        },
    ]
    for settings, again in page.evaluate(there_and_back, wishes):
        assert settings == again
    bad = page.evaluate(
        "async (addresses) => addresses.map((await import('/live/settings.js')).fromAddress)",
        ["#dose=7&events=900&first=50&last=3&seed=-4", "#intervention=__proto__&target=<b>&learningRate=x", "#%%%"],
    )
    assert bad[0] | {"dose": 0.95, "events": 1, "first": 50, "last": 50, "seed": 0} == bad[0]
    default = page.evaluate("async () => (await import('/live/settings.js')).DEFAULTS")
    assert bad[1] == bad[2] == default


@pytest.mark.browser
def test_runs_are_written_with_the_columns_of_the_package(page):
    text = page.evaluate(
        """async () => { const { toCsv, DEFAULTS } = await import("/live/settings.js");
        return toCsv([{ settings: DEFAULTS, hit: { accuracy: 0.86, instability: 0.1 }, twin: { accuracy: 0.83 }, gain: 3 }]); }"""
    )
    (row,) = csv.DictReader(io.StringIO(text))
    recorded = gst.recorded("tradeoff").columns
    ours = set(row) - {"twin_accuracy", "gain", "weight_decay", "learning_rate", "intervention", "layers"}
    assert ours <= set(recorded) | {"start", "prune_fraction"}
    assert row["final_accuracy"] == "0.86000" and row["n_events"] == "3" and row["start"] == "5" and row["end"] == "23"


@pytest.mark.browser
def test_means_and_intervals_are_student_s(page):
    values = [1.0, 2.5, -0.3, 4.1]
    ours = page.evaluate("async (v) => (await import('/live/statistics.js')).estimate(v)", values)
    theirs = gst.statistics.mean_estimate(np.array(values), "test")
    assert [ours["mean"], ours["low"], ours["high"]] == pytest.approx([theirs.value, theirs.low, theirs.high], abs=1e-3)


# --- what is said -----------------------------------------------------------------------------------------------------

TOLD = """async ([hit, twin]) => { const both = (await import("/live/commentary.js")).standing();
  const said = hit.map((accuracy, epoch) => both.tell(epoch, accuracy, twin[epoch]));
  return [said, both.verdict(100 * (hit.at(-1) - twin.at(-1)))]; }"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("hit", "said", "verdict"),
    [
        ([0.4, 0.6, 0.7, 0.8, 0.8, 0.8], ["", "", "caught up", "", "", "overtaken"], "has overtaken"),
        ([0.4, 0.5, 0.7, 0.6, 0.6, 0.6], ["", "", "caught up", "", "", ""], "did not stay ahead"),
        ([0.4, 0.5, 0.5, 0.5, 0.5, 0.5], [""] * 6, "never caught up"),
        ([0.7, 0.7, 0.7, 0.7, 0.7, 0.7], [""] * 6, "end level"),
    ],
    ids=["overtakes", "falls back", "stays behind", "level"],
)
def test_catching_up_and_overtaking_are_both_announced(page, hit, said, verdict):
    told, end = page.evaluate(TOLD, [hit, [0.7] * 6])
    assert [bool(sentence) for sentence in told] == [bool(words) for words in said]
    assert all(words in sentence for words, sentence in zip(said, told))
    assert verdict in end


@pytest.mark.browser
def test_time_left_comes_from_the_slower_network(page):
    left = page.evaluate(
        """async () => { const { pace } = await import("/live/commentary.js");
        const clock = pace(60), left = [clock.left()];
        for (let epoch = 0; epoch < 10; epoch++) { clock.epoch("hit", 1000 * epoch); clock.epoch("twin", 2000 * epoch); }
        left.push(clock.left(), clock.done()); return left.map((value) => (Number.isNaN(value) ? null : value)); }"""
    )
    assert left == [None, 100, pytest.approx(10 / 60)]
