"""What the build adds to a page for the experiment in it."""

from tools.publish import live_forms

CARD = '<div class="gst-card gst-answer tex2jax_ignore"><div class="gst-sides">recorded</div></div>'


def test_form_goes_before_the_last_recorded_answer_of_a_chapter():
    body = live_forms.with_form(f"<p>early</p>{CARD}<p>late</p>{CARD}", "book/06_what_a_jolt_is_made_of")
    assert body.count("data-gst-live") == 1
    assert body.index("late") < body.index('data-form="anatomy"') < body.rindex("recorded")


def test_form_that_a_writer_has_placed_is_kept_alone():
    placed = '<div data-gst-live="try" data-form="noise"></div>' + CARD
    assert live_forms.with_form(placed, "book/06_what_a_jolt_is_made_of") == placed


def test_answer_box_of_an_exercise_is_no_recorded_run():
    box = '<div class="gst-answer gst-card" id="answer-3-1"></div>'
    assert live_forms.with_form(box, "book/03_the_tradeoff") == box


def test_every_module_that_a_figure_imports_is_asked_for_early():
    names = live_forms.chain(["click"])
    assert names[:2] == ["page.js", "filters.js"] and len(set(names)) == len(names)
    assert {"forward.js", "shapes.js", "schedule.js"} <= set(names)
    assert not {"network.js", "worker.js"} & set(names), "nothing that trains is loaded before the reader trains"


def test_filters_are_in_the_page_before_any_script_and_keep_its_id():
    place = '<div id="live-click" data-gst-live="click" data-channels>\n<p>words</p>\n</div>'
    made = live_forms.PLACE.sub(live_forms.filled, place)
    assert made.startswith('<div id="live-click" data-gst-live="click" data-channels')
    assert made.count('class="gst-filter"') == 64
    assert "<noscript><p>words</p></noscript>" in made
