"""Exercises of chapter 9 whose checks are functions: the right answer passes and each plausible mistake is named."""

import pytest

from gst_tutorial.book.exercises import grade


def norms(layer):
    return layer.conv.weight.detach().flatten(1).norm(dim=1)


def folded(layer, model, x):
    return norms(layer) * layer.norm.weight.detach().abs() / (layer.norm.running_var + layer.norm.eps).sqrt()


def geometric(p, final):
    return 1 - (1 - final) ** p


def test_folded_score_and_the_geometric_schedule_are_right():
    assert grade("10.2", folded)[0]
    assert grade("10.3", geometric)[0]


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        ("10.2", lambda *_: None, "returns None"),
        ("10.2", 3.0, "the function itself"),
        ("10.2", lambda layer, model, x: norms(layer), "scale is missing"),
        ("10.2", lambda layer, model, x: folded(layer, model, x) * layer.norm.weight.sign().detach(), "absolute value"),
        ("10.2", lambda layer, model, x: folded(layer, model, x) / norms(layer), "norm is missing"),
        ("10.2", lambda layer, model, x: norms(layer) * layer.norm.weight.detach().abs(), "standard deviation"),
        ("10.2", lambda layer, model, x: folded(layer, model, x).mean(), r"shape (4,)"),
        ("10.2", lambda layer, model, x: folded(layer, model, x).requires_grad_(), "detach"),
        ("10.2", lambda layer, model, x: folded(layer, model, x) + 1, "The scores are not"),
        ("10.3", lambda p, final: None, "returns None"),
        ("10.3", 0.5, "the function itself"),
        ("10.3", lambda p, final: p * final, "not the same share"),
        ("10.3", lambda p, final: (1 - final) ** p, "share that is left"),
        ("10.3", lambda p, final: 1 - (1 - final) ** (2 * p), "At the end a share of 0.5"),
    ],
)
def test_plausible_mistake_gets_a_helpful_sentence(exercise, answer, hint):
    solved, sentence = grade(exercise, answer)
    assert not solved
    assert hint in sentence
