"""The moving figures: Python's first state against torch, and against what the script in the page computes, in Chromium."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gst_tutorial.book.figures import mechanism
from gst_tutorial.book.figures.mechanisms import MECHANISMS, arrow, head, signal, valley
from tests.book import figure_pages
from tests.book.figure_pages import INSERT
from tools.browser import NARROW, accessibility_problems, colour, sideways_overflow

open_page = figure_pages.open_page


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mechanisms")
    figures = "".join(mechanism(name).data for name in MECHANISMS)
    with figure_pages.served(folder, figures) as address:
        yield address


def figure(page, name):
    return page.locator(f"#mechanism-{name}")


def said(figure) -> str:
    return figure.locator("output").inner_text()


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?\d+\.\d+", text)]


def slide(figure, part: str, value: float):
    """Set a slider as a mouse would."""
    figure.locator(f"[data-part={part}]").fill(str(value))


# --- without a browser -------------------------------------------------------------------------------------------------


def test_mechanism_of_unknown_name_is_refused():
    with pytest.raises(ValueError, match="arow"):
        mechanism("arow")


@pytest.mark.parametrize("name", MECHANISMS)
def test_mechanism_is_deterministic_and_small(name):
    figure = mechanism(name).data
    assert figure == mechanism(name).data
    assert len(figure) < 25_000
    assert "http" not in figure


def test_signal_is_what_conv1d_and_batch_norm_give():
    x, kernel = torch.tensor(signal.signal()), torch.tensor(signal.KERNEL).double()
    u = F.conv1d(x.view(1, 1, -1), kernel.view(1, 1, 3), padding=1)
    assert np.allclose(signal.filtered(signal.signal()), u.flatten())
    mean, deviation = signal.statistics()
    z = F.batch_norm(
        0 * u,
        torch.tensor([mean]).double(),
        torch.tensor([deviation**2]).double(),
        torch.tensor([signal.SCALE]).double(),
        torch.tensor([signal.SHIFT]).double(),
        eps=0,
    )
    promised = f"the constant β − γμ/σ = {z[0, 0, 0]:.2f}"
    assert promised in mechanism("signal").data


def test_arrow_follows_the_gradient_that_autograd_finds():
    walk = arrow.walk(0.5, arrow.DECAY, steps=20)
    weights = torch.tensor([0.0, 0.5], dtype=torch.double)
    for step in range(20):
        weights.requires_grad_()
        asked = np.pi / 2 + (arrow.PULL if step % 2 == 0 else -arrow.PULL)
        target = torch.tensor([np.cos(asked), np.sin(asked)], dtype=torch.double)
        gradient = torch.autograd.grad(1 - weights @ target / weights.norm(), weights)[0]
        assert abs(float(gradient @ weights.detach())) < 1e-12  # at right angles
        weights = ((1 - arrow.RATE * arrow.DECAY) * weights - arrow.RATE * gradient).detach()
        assert np.allclose(walk[step + 1], weights)


def test_arrow_a_quarter_as_long_turns_sixteen_times_as_far():
    assert np.tan(np.radians(arrow.turn(0.1))) / np.tan(np.radians(arrow.turn(0.4))) == pytest.approx(16)


def test_ball_in_one_valley_spreads_as_theory_says():
    """Without a ridge in reach, x is an autoregression of first order, whose variance is known."""
    x = valley.walk(0.05, valley.BOTTOMS[0], steps=20_000)
    assert (x < valley.ridge()).all()
    assert x.var() == pytest.approx(0.05**2 / (1 - (1 - valley.RATE * valley.SHARP) ** 2), rel=0.05)


def test_averaging_head_ignores_a_shift_and_the_other_does_not():
    for shift in (-3, 3):
        reads, averages = head.scores(shift)
        assert averages == pytest.approx(1, abs=0.01)
        assert reads < 0.5


# --- in the page -------------------------------------------------------------------------------------------------------

browser_test = pytest.mark.browser


@browser_test
@pytest.mark.parametrize("name", MECHANISMS)
def test_script_repeats_the_still_that_python_drew(open_page, name):
    still = figure(open_page(java_script_enabled=False).page, name)
    moving = figure(open_page().page, name)
    assert said(still) == said(moving)
    assert still.locator(".gst-drawing").inner_text() == moving.locator(".gst-drawing").inner_text()
    paths = "paths => paths.map(path => (path.getAttribute('d').match(/[\\d.-]+/g)).map(Number))"
    drawn, redrawn = still.locator("path").evaluate_all(paths), moving.locator("path").evaluate_all(paths)
    for one, other in zip(drawn, redrawn, strict=True):
        assert np.allclose(one, other, atol=2e-4)
    assert not still.locator(".gst-controls").is_visible()
    assert still.locator("noscript").inner_text()
    assert moving.locator(".gst-controls").is_visible()


@browser_test
def test_signal_goes_silent_only_with_the_mask_or_scale_and_shift(open_page):
    silence = figure(open_page().page, "signal")
    x, (mean, deviation) = signal.signal(), signal.statistics()
    at = silence.get_by_role("slider")
    at.focus()
    at.press("ArrowRight")
    z = signal.SCALE * (signal.filtered(x)[signal.START + 1] - mean) / deviation + signal.SHIFT
    assert numbers(said(silence))[1] == pytest.approx(z, abs=0.005)

    passed_on = silence.locator("[data-part=relu-number]")
    ticks = {part: silence.locator(f"[data-part=no-{part}]") for part in ("weights", "scale", "shift", "mask")}
    ticks["weights"].press("Space")
    constant = signal.SHIFT - signal.SCALE * mean / deviation
    assert float(passed_on.inner_text()) == pytest.approx(constant, abs=0.005) != 0
    ticks["shift"].check()
    assert float(passed_on.inner_text()) == pytest.approx(constant - signal.SHIFT, abs=0.005) != 0
    ticks["scale"].check()
    assert passed_on.inner_text() == "0.00"
    for part in ("weights", "scale", "shift"):
        ticks[part].uncheck()
    ticks["mask"].check()
    assert passed_on.inner_text() == "0.00"
    assert "this filter is silent" in said(silence)


@browser_test
def test_arrow_in_the_page_walks_as_in_python(open_page):
    turned = figure(open_page().page, "arrow")
    for length, decay in ((0.25, False), (1.2, True)):
        slide(turned, "length", length)
        turned.get_by_role("checkbox").set_checked(decay)
        turned.locator("[data-part=at]").press("Home")
        assert numbers(said(turned))[1] == pytest.approx(arrow.turn(length), abs=0.05)
        turned.locator("[data-part=at]").press("End")
        final = np.linalg.norm(arrow.walk(length, arrow.DECAY * decay)[-1])
        assert numbers(said(turned))[0] == pytest.approx(final, abs=0.005)
        assert (final < length) == decay


@browser_test
def test_ball_in_the_page_rolls_as_in_python(open_page):
    shaken = figure(open_page().page, "valley")
    for noise, start in ((0.0, "sharp"), (0.15, "sharp"), (0.4, "flat")):
        slide(shaken, "noise", noise)
        shaken.get_by_label(f"in the {start} valley").check()
        shaken.locator("[data-part=at]").press("End")
        x = valley.walk(noise, valley.BOTTOMS[start == "flat"])[1:]
        assert f"spent {100 * np.mean(x > valley.ridge()):.0f}% of them in the flat valley" in said(shaken)
        assert numbers(said(shaken))[0] == pytest.approx(valley.loss(x).mean(), abs=0.006)


@browser_test
def test_heads_in_the_page_score_as_in_python(open_page):
    shifted = figure(open_page().page, "head")
    slider = shifted.get_by_role("slider")
    slider.focus()
    for key, shift in (("ArrowRight", 1), ("ArrowRight", 2), ("End", head.FURTHEST), ("Home", -head.FURTHEST)):
        slider.press(key)
        assert numbers(said(shifted)) == pytest.approx(head.scores(shift), abs=0.005)
        assert slider.get_attribute("aria-valuetext").split()[0] == str(abs(shift))


@browser_test
def test_film_plays_pauses_and_ends(open_page):
    here = open_page()
    here.page.clock.install()
    here.page.reload()
    shaken = figure(here.page, "valley")
    at, button = shaken.locator("[data-part=at]"), shaken.locator("button")
    button.press("Enter")
    here.page.clock.run_for(1000)
    assert shaken.locator("output").get_attribute("aria-live") == "off"
    button.press("Enter")
    paused = int(at.input_value())
    assert paused > 10
    here.page.clock.run_for(1000)
    assert int(at.input_value()) == paused
    button.press("Enter")
    here.page.clock.run_for(60_000)
    assert int(at.input_value()) == valley.STEPS
    assert (button.inner_text(), shaken.locator("output").get_attribute("aria-live")) == ("Play", "polite")


@browser_test
def test_reduced_motion_turns_the_film_into_single_steps(open_page):
    here = open_page(reduced_motion="reduce")
    here.page.clock.install()
    here.page.reload()
    for name in MECHANISMS:
        still = figure(here.page, name)
        at, button = still.locator("[data-part=at]"), still.locator("button")
        before = int(at.input_value())
        assert button.inner_text() == "Next"
        button.click()
        after = int(at.input_value())
        here.page.clock.run_for(5000)
        assert int(at.input_value()) == after > before


@browser_test
@pytest.mark.parametrize("name", ["page.html", "dark.html"])
def test_moving_figures_are_accessible_in_light_and_dark(open_page, name):
    assert accessibility_problems(open_page(name).page, within=".gst-mechanism") == []


@browser_test
def test_moving_figures_fit_a_telephone(open_page):
    page = open_page(viewport=NARROW).page
    assert sideways_overflow(page) == 0
    for name in MECHANISMS:
        card = figure(page, name).bounding_box()
        for part in figure(page, name).locator("button, input, .gst-row b, .gst-ends span").all():
            box = part.bounding_box()
            assert card["x"] <= box["x"] and box["x"] + box["width"] <= card["x"] + card["width"]


@browser_test
def test_forced_colors_reach_every_line(open_page):
    page = open_page(forced_colors="active").page
    strokes = page.locator(".gst-mechanism path:not(.gst-window)").evaluate_all(
        "paths => paths.map((path) => getComputedStyle(path).stroke)"
    )
    assert colour(figure(page, "arrow"), "background-color") not in strokes


@browser_test
def test_second_figure_of_one_kind_moves_alone(open_page):
    page = open_page().page
    page.evaluate(INSERT, mechanism("valley").data)
    old, new = page.locator("#mechanism-valley").all()
    new.get_by_label("in the flat valley").check()
    assert old.get_by_label("in the sharp valley").is_checked()
    assert "flat valley" in said(new) and "sharp valley" in said(old)
