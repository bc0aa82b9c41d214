"""`run_explorer`: what its knobs mean, what it shows first, runs beside their twins, and runs that really stop."""

import base64
import importlib
import itertools
import math
import re
import threading
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch

import gst_tutorial as gst
from gst_tutorial import studies
from gst_tutorial.book.studies.book import anatomy_configs
from gst_tutorial.book.widgets import run_pictures
from gst_tutorial.book.widgets.answers import new_axes

live = importlib.import_module("gst_tutorial.book.widgets.run_explorer")  # not the function of that name

TINY = gst.RunConfig(
    n_train=100,
    n_test=100,
    width=0.25,
    intervention="prune",
    schedule=gst.PruneSchedule(0, 3, 2),
    layers=("conv3",),
).replace(epochs=5, batch_size=50, milestones=())
HALF = gst.RunConfig(
    intervention="zero", target="random", draws="afresh", prune_fraction=0.5, schedule=gst.PruneSchedule(5, 37, 4)
)
BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = sorted(path.stem for path in BOOK.glob("0[3-7]_*.ipynb"))


def png_of(html: str) -> bytes:
    return base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', html)[1])


def explorer(base=TINY, knobs=live.USUAL, first=None) -> live.RunExplorer:
    return live.RunExplorer(knobs, base, first)


def finish(explorer) -> None:
    if explorer.thread is not None:
        explorer.thread.join(120)
        assert not explorer.thread.is_alive()
    assert not explorer.train_button.disabled
    assert explorer.stop_button.disabled


def words_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# --- what the knobs mean ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", live.KNOBS)
@pytest.mark.parametrize("base", [live.BASE, HALF], ids=["pruning", "jolts"])
def test_every_value_of_every_knob_enters_a_run_and_is_read_back(name, base):
    knob = live.KNOBS[name]
    for value in knob.values.values():
        config = live.config_from({name: value}, base)
        if knob.counts(base):
            assert knob.read(config) == value
        else:
            assert config == base


def test_every_pair_of_values_is_a_run_or_a_sentence():
    """What does not go together is said; nothing raises."""
    sentences = set()
    for one, other in itertools.combinations(live.KNOBS, 2):
        values = itertools.product(live.KNOBS[one].values.values(), list(live.KNOBS[other].values.values())[:6])
        for a, b in values:
            sentences.add(live.why_not(live.config_from({one: a, other: b}, HALF)))
    assert sentences == {
        "",
        "A hit of 90 batches lasts beyond the next event, 40 batches later, so nothing could be given back. "
        "Choose a shorter hit, or give back nothing.",
    }


@pytest.mark.parametrize("restore", ["values", "norm"])
def test_what_is_refused_in_a_sentence_is_what_a_run_would_refuse(restore):
    small = HALF.replace(n_train=1000, n_test=50, width=0.25)
    for n_batches in live.KNOBS["n_batches"].values.values():
        config = live.config_from({"n_batches": n_batches, "restore": restore}, small)
        if live.why_not(config):
            with pytest.raises(ValueError, match="needs the filters back"):
                gst.Experiment(config)
        else:
            gst.Experiment(config)


def test_a_run_with_a_recorded_seed_is_the_recorded_run():
    study = {config.hash: arm.label for arm, config in studies.get("tradeoff").runs}
    for target, period in itertools.product(gst.pruning.TARGETS, (2, 4, 6, 9, 12, 18)):
        config = live.config_from({"target": target, "retrain_period": period, "seed": 0})
        assert study[config.replace(evaluate_every=10).hash] == f"{target}, period {period}"


def test_the_jolts_are_those_of_the_study_of_chapter_6():
    arms = anatomy_configs()
    base = HALF.replace(data_seed=None)
    words = {
        "set to zero": "zero",
        "shorten": "shrink",
        "shorten, adjust batch norm": "shrink, unseen",
        "lengthen": "grow",
        "lengthen, adjust batch norm": "grow, unseen",
        "turn to a new direction": "redirect",
    }
    words |= {each: each for each in ("noise, same norm", "zero the head's inputs", "reset the moments")}
    for jolt, arm in words.items():
        assert live.config_from({"jolt": jolt}, base).replace(evaluate_every=10) == arms[arm], jolt


def test_what_makes_no_difference_changes_nothing():
    long = {"n_batches": 20, "restore": "values"}
    assert live.config_from({"intervention": "prune", **long}, HALF) == live.config_from(
        {"intervention": "prune"}, HALF
    )
    assert live.config_from({"jolt": "reset the moments", "target": "largest", "prune_fraction": 0.1}, HALF) == (
        live.config_from({"jolt": "reset the moments"}, HALF)
    )


def test_a_twin_has_the_same_seed_and_recipe_and_no_event():
    config = live.config_from({"seed": 3, "weight_decay": 0.1, "dropout": 0.5, "n_batches": 20}, HALF)
    twin = live.twin_of(config)
    assert (twin.recipe, twin.seed, twin.event_epochs) == (config.recipe, 3, ())
    assert twin == gst.RunConfig(seed=3, weight_decay=0.1, dropout=0.5)


def test_what_will_happen_is_said():
    said = lambda base=live.BASE, **settings: live.plan_words(live.config_from(settings, base))  # noqa: E731
    assert said(retrain_period=18) == "2 events, the last after epoch 23; each prunes 45% of the filters of conv4."
    assert said(retrain_period=2).startswith("18 events, the last after epoch 39; each prunes 5% ")
    assert said(end=23, retrain_period=18, prune_fraction=0.4).endswith("each prunes 20% of the filters of conv4.")
    assert said(HALF) == "9 events, the last after epoch 37; each hits 50% of the filters of conv4."
    assert said(HALF, jolt="zero the head's inputs").endswith("each hits 50% of the inputs of head.")
    assert said(HALF, jolt="reset the moments") == "9 events, the last after epoch 37."
    assert said(TINY, retrain_period=18).startswith("1 event, after epoch 0;")


def test_a_name_holds_the_chosen_values_and_not_those_that_are_as_ever():
    knobs = ("jolt", "prune_fraction", "learning_rate", "n_batches", "flatness", "seed")
    name = lambda **settings: live.name_of(live.config_from(settings, HALF), knobs, HALF)  # noqa: E731
    assert name() == "set to zero, 50%, seed 0"
    assert (
        name(jolt="turn to a new direction", learning_rate=1e-2)
        == "turn to a new direction, 50%, learning rate 0.01, seed 0"
    )
    assert name(jolt="prune", n_batches=20) == "prune, 50%, seed 0"
    assert live.name_of(live.config_from({}, HALF), knobs, HALF, seed=False) == "set to zero, 50%"


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def ax():
    return new_axes(4.4, 3.0)


def result(final=0.5, config=TINY, **measures) -> gst.RunResult:
    epochs = pd.DataFrame({"epoch": range(3), "test_accuracy": [0.2, 0.3, final]})
    event = {"epoch": 1, "accuracy_before": 0.8, "accuracy_after": 0.3, "instability": 0.625}
    return gst.RunResult(config, final, final, 1.0, 0.625, pd.DataFrame([event]), epochs, measures, 1.0)


def test_a_curve_drops_at_an_event_and_an_empty_picture_says_so(ax):
    text = run_pictures.draw_runs(ax, [run_pictures.shown_result("mine", "now", result())], 60)
    assert text == "Training curves. mine: 50.0% after epoch 2, with 1 events."
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([20, 80, 30, 50])
    assert run_pictures.draw_runs(ax, [], 60) == "Training curves. Nothing trained yet."
    assert not ax.lines


def test_each_role_has_a_look_of_its_own_and_a_grey_curve_its_number(ax):
    shown = [run_pictures.shown_result(f"{i}: run", role, result()) for i, role in enumerate(run_pictures.ROLES)]
    run_pictures.draw_runs(ax, shown, 60)
    looks = {(line.get_color(), str(line.get_linestyle()), line.get_linewidth()) for line in ax.lines}
    assert len(looks) == len(run_pictures.ROLES)
    assert [text.get_text() for text in ax.texts] == ["3"]


def test_table_has_a_row_per_run_and_escapes_markup(ax):
    twin, run = result(0.5), result(0.58)
    shown = [
        run_pictures.shown_result("twin", "twin", twin),
        run_pictures.shown_result("<b>mine</b>", "now", run, twin),
    ]
    earlier = [run_pictures.shown_result(f"{i}: before", "earlier", result(0.4), twin) for i in range(1, 7)]
    html = live.runs_html(ax, shown, earlier)
    assert "<b>" not in html
    assert html.count("<tr") == 1 + 2 + 6
    assert "&lt;b&gt;mine&lt;/b&gt; 0.625 58.0% +8.0" in words_of(html).replace("<b>", "")
    assert "1: before 0.625 40.0% \N{MINUS SIGN}10.0" in words_of(html)
    assert len(ax.lines) == 2 + run_pictures.MOST_DRAWN == html.count("<svg")  # the others stand in the table only
    assert "sharpness" not in html
    assert png_of(html).startswith(b"\x89PNG")


def test_sharpness_is_a_column_where_it_was_measured(ax):
    measured = result(**{live.SHARPNESS: 12.34})
    html = live.runs_html(
        ax, [run_pictures.shown_result("a", "now", measured), run_pictures.shown_result("b", "beside", result())]
    )
    assert "sharpness" in html and "12.3" in words_of(html)


def test_five_seeds_have_the_interval_that_the_statistics_give():
    pairs = live.Pairs("mine")
    gains = [0.01, 0.02, 0.03, 0.05, 0.04]
    for seed, gain in enumerate(gains):
        sharp = {live.SHARPNESS: 2.0 + seed}
        pairs.by_seed[seed] = (result(0.5 + gain, **sharp), result(0.5, **{live.SHARPNESS: 4.0 + 2 * seed}))
        if seed == 1:
            assert live.intervals_html([pairs]) == ""  # two seeds have no interval
    e = gst.statistics.mean_estimate(pd.Series(gains), "mine")
    assert (pairs.gain.value, pairs.gain.low, pairs.gain.high) == pytest.approx((e.value, e.low, e.high))
    assert pairs.sharpness.value == pytest.approx(math.log(0.5))
    html = live.intervals_html([pairs])
    assert f"mine (5 seeds): +3.0 points, 95% interval {100 * e.low:+.1f} to {100 * e.high:+.1f}" in html
    assert "sharpness 0.50 times its twin&#x27;s" in html
    assert png_of(html).startswith(b"\x89PNG")


# --- before anybody trains -------------------------------------------------------------------------------------------


def test_first_picture_shows_unstable_gentle_and_unpruned_run():
    here = live.RunExplorer()
    assert [each.role for each in here.runs] == ["twin", "now", "beside"]
    twin, unstable, gentle = (each.result for each in here.runs)
    assert unstable.instability > 5 * gentle.instability > 0
    assert live.twin_of(unstable.config) == twin.config == live.twin_of(gentle.config)
    assert here.config == unstable.config  # the controls stand at what the picture shows
    assert f"{unstable.final_accuracy:.1%}" in here.curves.value
    assert here.thread is None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_first_picture_of_every_chapter_is_recorded_and_stored(chapter):
    """A page without a kernel shows it, and a kernel trains nothing for it."""
    notebook = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4)
    cell = next(cell for cell in notebook.cells if "run_explorer(" in cell.source and cell.cell_type == "code")
    made = []
    stand_in = type("Stand-in", (), {"widgets": type("", (), {"run_explorer": staticmethod(lambda *a, **k: made.append(
        live.RunExplorer(*a, **k)))}), "RunConfig": gst.RunConfig, "PruneSchedule": gst.PruneSchedule})  # fmt: skip
    exec(cell.source, {"gst": stand_in})
    (here,) = made
    assert not here.waiting
    assert [each.role for each in here.runs] == ["twin", "now", "beside"]
    assert here.config == here.runs[1].result.config
    stored = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
    assert words_of(stored).endswith(words_of(here.curves.value).split("}")[-1])
    assert 'alt="Training curves. undisturbed twin: ' in stored


def test_the_time_of_a_run_is_measured_and_said(monkeypatch):
    live._seconds_of.cache_clear()
    assert 0 < live.seconds_of(TINY) < 5
    monkeypatch.setattr(live, "_seconds_of", lambda config: 21.2)
    assert "The run and its twin take about 43 s here" in explorer().status.value
    monkeypatch.setattr(live, "_seconds_of", lambda config: 212)
    assert "about 8 min" in explorer().status.value
    monkeypatch.setattr(live, "_seconds_of", lambda config: math.nan)
    assert explorer().status.value == f"<p>{live.WAITING} </p>"


def test_a_run_whose_time_cannot_be_told_is_still_offered(monkeypatch):
    live._seconds_of.cache_clear()
    monkeypatch.setattr(live.cost, "study_cost", lambda *_, **__: 1 / 0)
    assert math.isnan(live.seconds_of(TINY.replace(width=0.125)))
    live._seconds_of.cache_clear()


# --- training from the controls --------------------------------------------------------------------------------------


def test_a_run_is_trained_beside_its_twin_and_the_next_one_turns_it_grey():
    here = explorer()
    before = here.curves.value
    here.controls["seed"].value = 2
    here.train_button.click()
    finish(here)
    expected, twin = gst.run(here.config), gst.run(live.twin_of(here.config))
    assert [each.role for each in here.runs] == ["twin", "now"]
    shown = here.runs[1]
    assert shown.result.epochs.equals(expected.epochs)
    assert shown.gain == expected.final_accuracy - twin.final_accuracy
    assert f"{expected.final_accuracy:.1%} after epoch 4, with 2 events" in here.curves.value
    assert f"{expected.final_accuracy:.1%}" in here.status.value
    assert before != here.curves.value
    assert shown.result.model is None  # a long evening of runs keeps no networks

    here.controls["intervention"].value = "gaussian"
    assert "The run takes" in here.status.value  # its twin is known
    here.train_button.click()
    finish(here)
    assert [each.role for each in here.runs] == ["earlier", "twin", "now"]
    assert here.runs[-1].result.config.intervention == "gaussian"
    assert "1: prune, 90%, smallest, every 2 epochs, seed 2" in here.curves.value
    here.clear_button.click()
    assert here.runs == [] and "Nothing trained yet" in here.curves.value


def test_a_twin_is_trained_once(monkeypatch):
    trained = []
    ours = live.Experiment
    monkeypatch.setattr(live, "Experiment", lambda config: trained.append(config.intervention) or ours(config))
    here = explorer()
    for intervention in ("prune", "zero"):
        here.controls["intervention"].value = intervention
        here.train_button.click()
        finish(here)
    assert trained == ["none", "prune", "zero"]


def test_five_more_seeds_give_an_interval_and_five_more_a_closer_one():
    here = explorer()
    here.controls["seed"].value = 3
    here.train_button.click()
    finish(here)
    assert here.intervals.value == ""
    here.more_button.click()
    finish(here)
    (pairs,) = here.pairs.values()
    assert sorted(pairs.by_seed) == [3, 4, 5, 6, 7, 8]
    assert "prune, 90%, smallest, every 2 epochs (6 seeds)" in here.intervals.value
    assert len([each for each in here.runs if each.role == "now"]) == 1  # ten seeds are an interval, not ten curves
    here.more_button.click()
    finish(here)
    assert sorted(pairs.by_seed) == list(range(3, 14))
    here.clear_button.click()
    assert here.intervals.value == "" and here.pairs == {}


def test_what_is_not_recorded_is_trained_on_the_first_press():
    here = explorer(first={"unstable": {"retrain_period": 4}, "gentle": {"retrain_period": 1}})
    assert here.runs == [] and list(here.waiting) == ["unstable", "gentle"]
    assert here.controls["retrain_period"].value == 4
    here.controls["retrain_period"].value = 2
    here.train_button.click()
    finish(here)
    assert here.waiting == {}
    assert [each.name for each in here.runs if each.role == "earlier"] == ["unstable", "gentle"]
    assert "2: gentle" in here.curves.value


def test_flatness_is_measured_where_it_is_asked_for():
    here = explorer(knobs=("intervention", "flatness", "seed"))
    here.controls["flatness"].value = ("sharpness",)
    here.train_button.click()
    finish(here)
    run, twin = here.runs[1].result, here.runs[0].result
    assert (
        f"<b>{run.measures[live.SHARPNESS] / twin.measures[live.SHARPNESS]:.2f}</b> times its twin's"
        in here.status.value
    )


def test_stop_ends_a_run_that_would_last_for_hours_and_the_next_one_runs():
    here = explorer(TINY.replace(epochs=1_000_000))
    assert "min here" in here.status.value
    here.train_button.click()
    thread = here.thread
    here.train_button.click()  # a second press changes nothing
    here.more_button.click()
    here.clear_button.click()
    assert here.thread is thread
    assert not here.stop_button.disabled
    here.stop_button.click()
    finish(here)
    assert "Stopped;" in here.status.value
    assert here.runs == []
    here.base = TINY
    here.train_button.click()
    finish(here)
    assert len(here.runs) == 2


def test_a_new_explorer_ends_the_run_of_the_one_before():
    first, second = explorer(TINY.replace(epochs=1_000_000)), explorer()
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    first.train()
    second.train()
    assert not first.training
    finish(first)
    finish(second)
    assert len(second.runs) == 2
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)
    assert not [thread for thread in threading.enumerate() if thread.name == "gst run"]


def test_a_run_that_fails_shows_its_error():
    here = explorer(TINY.replace(learning_rate=1e30))
    here.train_button.click()
    finish(here)
    assert "Diverged: Training loss is" in here.status.value
    assert here.runs == []


def test_a_run_that_cannot_begin_shows_its_error():
    here = explorer(TINY.replace(layers=("conv9",)))
    here.train_button.click()
    finish(here)
    assert "ValueError: layers=&#x27;conv9&#x27; is not known" in here.status.value


def test_a_knob_that_makes_no_difference_is_greyed_out():
    here = explorer(HALF, ("jolt", "prune_fraction", "target", "n_batches", "restore", "seed"))
    off = lambda: {name for name, control in here.controls.items() if control.disabled}  # noqa: E731
    assert off() == set()
    here.controls["jolt"].value = "prune"
    assert off() == {"n_batches", "restore"}
    here.controls["jolt"].value = "reset the moments"
    assert off() == {"prune_fraction", "target"}


def test_conflicting_choices_are_explained_and_cannot_be_trained():
    here = explorer(HALF, ("intervention", "n_batches", "restore"))
    here.controls["n_batches"].value = 90
    assert not here.train_button.disabled
    here.controls["restore"].value = "values"
    assert "nothing could be given back" in here.plan.value
    assert here.train_button.disabled and here.more_button.disabled
    here.controls["n_batches"].value = 40
    assert "each hits 50%" in here.plan.value
    assert not here.train_button.disabled


def test_a_value_that_the_base_refuses_is_not_offered_and_its_own_is():
    here = explorer(TINY, ("end", "augment", "dropout"))
    assert [value for _, value in here.controls["end"].options] == [3]
    images = gst.RunConfig(data="digits", model="conv2d", dropout=0.25)
    here = explorer(images, ("augment", "dropout"))
    assert [value for _, value in here.controls["augment"].options] == ["none"]
    assert here.controls["augment"].disabled
    assert here.controls["dropout"].value == 0.25


def test_unknown_knob_and_layerwise_base_are_refused():
    with pytest.raises(ValueError, match=r"knobs='dosis' is not known"):
        live.run_explorer(("dosis",))
    with pytest.raises(TypeError, match=r"knobs='seed' must be a list of names"):
        live.run_explorer("seed")
    with pytest.raises(ValueError, match=r"knobs='wiht' is not known"):
        live.run_explorer(first={"a": {"wiht": 3}})
    with pytest.raises(ValueError, match=r"one schedule of regular events and one prune_fraction"):
        live.run_explorer(base=TINY.replace(layers=("conv3", "conv4"), prune_fraction=(0.5, 0.9)))
    with pytest.raises(TypeError, match=r"base=3 must be a gst.RunConfig"):
        live.run_explorer(base=3)


def test_the_widget_leaves_its_first_picture_where_no_kernel_runs():
    here = live.RunExplorer()
    bundle = here.box._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == here.curves.value
    assert "<script" not in bundle["text/html"]
