"""Augmentation: each output is one of the changes that are allowed, drawn from its own generator."""

import pytest
import torch

from gst_tutorial.data.augment import AUGMENTATIONS, crop_flip, none, shift_noise


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def signals():
    return torch.randn(60, 2, 40, generator=stream(1))


@pytest.fixture
def images():
    return torch.randn(60, 3, 6, 8, generator=stream(2))


def shifted(signal, by):
    """`signal` (C, L) moved by `by` samples, its edge repeated."""
    positions = [min(max(i + by, 0), signal.shape[1] - 1) for i in range(signal.shape[1])]
    return signal[:, positions]


def cropped(image, top, left, padding, flip):
    """The crop of the zero-padded `image` (C, H, W) whose corner is (top, left), then flipped."""
    n_channels, height, width = image.shape
    canvas = torch.zeros(n_channels, height + 2 * padding, width + 2 * padding)
    canvas[:, padding : padding + height, padding : padding + width] = image
    crop = canvas[:, top : top + height, left : left + width]
    return crop.flip(2) if flip else crop


def test_none_returns_the_batch_itself_and_draws_nothing(signals):
    generator = stream()
    before = generator.get_state()
    assert none(signals, generator) is signals
    assert torch.equal(generator.get_state(), before)


def test_shift_moves_each_signal_by_any_allowed_step_and_repeats_edges(signals):
    shifts = []
    for signal, changed in zip(signals, shift_noise(signals, stream(), noise=0.0), strict=True):
        matching = [by for by in range(-3, 4) if torch.equal(changed, shifted(signal, by))]
        assert len(matching) == 1
        shifts += matching
    assert set(shifts) == set(range(-3, 4))


def test_shift_noise_adds_gaussian_noise_of_the_given_standard_deviation(signals):
    added = shift_noise(signals, stream(), max_shift=0, noise=0.1) - signals
    assert added.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(added.mean().item()) < 0.01


def test_without_padding_an_image_is_itself_or_its_mirror_image(images):
    flips = []
    for image, changed in zip(images, crop_flip(images, stream(), padding=0), strict=True):
        assert torch.equal(changed, image) or torch.equal(changed, image.flip(2))
        flips.append(torch.equal(changed, image.flip(2)))
    assert 15 < sum(flips) < 45


def test_every_image_is_a_crop_of_the_zero_padded_one_perhaps_flipped(images):
    corners = set()
    for image, changed in zip(images, crop_flip(images, stream(), padding=2), strict=True):
        matching = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
            if torch.equal(changed, cropped(image, top, left, 2, flip))
        ]
        assert len(matching) == 1
        corners |= set(matching)
    assert {top for top, _, _ in corners} == {left for _, left, _ in corners} == set(range(5))


@pytest.mark.parametrize("name", ["shift_noise", "crop_flip"])
def test_augmentation_keeps_shape_and_input_and_follows_its_generator(name, signals, images):
    x = signals if name == "shift_noise" else images
    before = x.clone()
    torch.manual_seed(0)
    first = AUGMENTATIONS[name](x, stream(7))
    torch.manual_seed(1)
    again, other = AUGMENTATIONS[name](x, stream(7)), AUGMENTATIONS[name](x, stream(8))
    assert torch.equal(x, before)
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
