"""Random changes of training examples that keep their label, on whole batches of tensors.

Each takes a batch and the generator of the run's augmentation stream, on the batch's device: same seed, same augmentation.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def none(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The batch as it is."""
    return x


def shift_noise(x: torch.Tensor, generator: torch.Generator, max_shift: int = 3, noise: float = 0.1) -> torch.Tensor:
    """Signals `(B, C, L)`: each moved by up to `max_shift` samples (edges repeated), plus Gaussian noise."""
    n_batch, n_channels, length = x.shape
    padded = F.pad(x, (max_shift, max_shift), mode="replicate")  # (B, C, L + 2 max_shift)
    start = _integers(2 * max_shift + 1, n_batch, generator)
    index = (start + torch.arange(length, device=x.device))[:, None].expand(-1, n_channels, -1)  # (B, C, L)
    return padded.gather(2, index) + noise * torch.randn(x.shape, generator=generator, device=x.device)


def _integers(high: int, n_batch: int, generator: torch.Generator) -> torch.Tensor:
    """`(n_batch, 1)` whole numbers below `high`, on the generator's device."""
    return torch.randint(high, (n_batch, 1), generator=generator, device=generator.device)


def crop_flip(x: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Images `(B, C, H, W)`: a random crop after zero padding and, for half of them, a left-right flip."""
    n_batch, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    top = _integers(2 * padding + 1, n_batch, generator)
    left = _integers(2 * padding + 1, n_batch, generator)
    flip = torch.rand(n_batch, 1, generator=generator, device=x.device) < 0.5
    rows = top + torch.arange(height, device=x.device)  # (B, H)
    columns = torch.arange(width, device=x.device)
    columns = left + torch.where(flip, columns.flip(0), columns)  # (B, W)
    batch = torch.arange(n_batch, device=x.device)[:, None, None]
    index = (batch, slice(None), rows[:, :, None], columns[:, None, :])
    return padded[index].movedim(-1, 1)  # advanced indexing puts the channels last


AUGMENTATIONS = {"none": none, "shift_noise": shift_noise, "crop_flip": crop_flip}
