"""Answer boxes in Chromium: whatever the reader types, the page says what `gst.exercises.check` prints in Python."""

import pytest

from gst_tutorial.book.exercises import CHECKS, answer_box, grade
from gst_tutorial.book.exercises.tabled import Counts, Letter, Measured, Number, Table
from tests.book import figure_pages
from tools.browser import NARROW, accessibility_problems, sideways_overflow

pytestmark = pytest.mark.browser
TABLES = {name: getattr(check, "table", check) for name, check in CHECKS.items()}
TABLES = {name: table for name, table in TABLES.items() if isinstance(table, Table)}

open_page = figure_pages.open_page


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boxes")
    boxes = "".join(answer_box(exercise).data for exercise in CHECKS)
    with figure_pages.served(folder, boxes) as address:
        yield address


def box(page, exercise):
    return page.locator(f"#answer-{exercise.replace('.', '-')}")


def in_python(exercise, answer) -> str:
    right, sentence = grade(exercise, answer)
    return f"{'Right' if right else 'Not yet'}. {sentence}"


def answers(table) -> list:
    """Right, rounded, wrong in every known way, nearly right, in percent, and far off."""
    if isinstance(table, Letter):
        return table.letters
    if isinstance(table, Counts):
        mistakes = [[7 if each is None else each for each in mistake] for mistake in table.wrong]
        return [list(table.expected), *mistakes, [1, 2, 3, 4], [1, 2]]
    right, unit = table.expected, 10.0**-table.decimals
    near = [round(right, table.decimals), right + 0.7 * unit, right + 1.2 * unit, right - 4 * unit, 100 * right, 1e6]
    return [right, *table.wrong, *near]


def test_box_says_what_the_check_says_in_python(open_page):
    page = open_page().page
    for exercise, table in TABLES.items():
        here = box(page, exercise)
        for answer in answers(table):
            if isinstance(table, Letter):
                here.get_by_label(f"({answer})").check()
            else:
                here.get_by_role("textbox").fill(
                    ", ".join(map(str, answer)) if isinstance(answer, list) else repr(answer)
                )
            here.get_by_role("button").click()
            assert here.locator("output").inner_text() == in_python(exercise, answer)


def test_box_reads_a_number_as_people_write_it(open_page):
    page = open_page().page
    for exercise, typed, answer in [
        ("2.2", "0.875", 0.875),
        ("2.2", " 0,88 ", 0.88),
        ("2.2", "87.5%", 87.5),
        ("4.2", "\N{MINUS SIGN}0.1", -0.1),
        ("10.1", "110,592", 110_592),
        ("1.1", "[106, 84, 62, 39]", [106, 84, 62, 39]),
        ("2.1", "a lot", "a lot"),
        ("2.1", "", "nothing"),
    ]:
        here = box(page, exercise)
        here.get_by_role("textbox").fill(typed)
        here.get_by_role("textbox").press("Enter")
        assert here.locator("output").inner_text() == in_python(exercise, answer)


def test_box_without_a_choice_asks_for_one(open_page):
    here = box(open_page().page, "2.4")
    here.get_by_role("button").press("Enter")
    assert here.locator("output").inner_text() == "Not yet. Answer with one of the letters a, b, c."


def test_code_exercise_says_where_to_write_it(open_page):
    page = open_page().page
    for exercise in CHECKS.keys() - TABLES.keys():
        assert "in Colab" in box(page, exercise).inner_text()
        assert box(page, exercise).locator("button").count() == 0


def test_answer_is_not_readable_in_the_source():
    for exercise, table in TABLES.items():
        source = answer_box(exercise).data
        assert not any(row.sentence in source for row in table.rows)


def test_every_number_and_choice_is_a_table():
    assert {type(check) for check in CHECKS.values()} >= {Number, Letter, Counts, Measured}
    assert len(TABLES) > len(CHECKS) / 2


@pytest.mark.parametrize("name", ["page.html", "dark.html"])
def test_boxes_are_accessible_before_and_after_an_answer(open_page, name):
    page = open_page(name).page
    assert accessibility_problems(page, within=".gst-answer") == []
    for button in page.locator(".gst-answer button").all():
        button.click()
    assert accessibility_problems(page, within=".gst-answer") == []


def test_boxes_fit_a_telephone_and_stay_quiet_without_scripts(open_page):
    assert sideways_overflow(open_page(viewport=NARROW).page) == 0
    quiet = box(open_page(java_script_enabled=False).page, "2.1")
    assert not quiet.get_by_role("textbox").is_visible()
    assert "With scripts" in quiet.inner_text()
