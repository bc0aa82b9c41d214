"""The bars of `prune_explorer`: what was lost and won is as long as it was, and a hundred classes do not fill the page."""

import re

import numpy as np

from gst_tutorial.book.figures.effect import MOST_CLASSES, effect

SCORES, PRUNED = np.array([1.0, 3.0, 2.0]), np.array([True, False, False])


def test_bar_shows_what_is_left_and_what_was_lost_or_won():
    shown = effect("One event.", (0.8, 0.5), [("cat", 0.25, 0.75)], SCORES, PRUNED)
    assert 'class="gst-lost" style="left:50.00%;width:30.00%"' in shown
    assert 'class="gst-won" style="left:25.00%;width:50.00%"' in shown
    assert "80.0 &rarr; 50.0%" in shown and "25 &rarr; 75%" in shown
    assert "won.</p>" in shown
    assert "won.</p>" not in effect("One event.", (0.8, 0.5), [("cat", 0.75, 0.25)], SCORES, PRUNED)


def test_of_many_classes_those_that_changed_most_are_shown_in_their_order():
    classes = [(f"class {i}", 0.5, 0.5 - 0.004 * i) for i in range(100)]
    shown = effect("One event.", (0.5, 0.3), classes, SCORES, PRUNED)
    names = re.findall(r'gst-name">class (\d+)<', shown)
    assert names == [str(i) for i in range(100 - MOST_CLASSES, 100)]
    assert f"The {MOST_CLASSES} of 100 classes that changed most." in shown


def test_texts_are_escaped_and_filters_of_one_score_stand_in_the_middle():
    shown = effect("<i>A & b</i>", (0.5, 0.5), [("<b>", 0.5, 0.5)], np.ones(3), PRUNED)
    assert "&lt;i&gt;A &amp; b&lt;/i&gt;" in shown and "<b>" not in shown
    assert shown.count("M500 ") == 3
    assert 'class="gst-lost" style' not in shown  # nothing lost, nothing won


def test_picture_has_a_description_in_words():
    shown = effect("One event.", (0.8, 0.5), [("cat", 0.9, 0.3), ("dog", 0.7, 0.6)], SCORES, PRUNED)
    assert "all examples 80.0%, then 50.0%. The class that lost most: cat, from 90% to 30%." in shown
