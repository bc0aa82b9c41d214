"""Random changes of training examples that keep their label, on whole batches of tensors.

Each takes a batch and the generator of the run's augmentation stream: same seed, same augmentation.
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
    start = torch.randint(2 * max_shift + 1, (n_batch, 1), generator=generator)
    index = (start + torch.arange(length)).to(x.device)[:, None].expand(-1, n_channels, -1)  # (B, C, L)
    return padded.gather(2, index) + noise * torch.randn(x.shape, generator=generator).to(x.device)


def crop_flip(x: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Images `(B, C, H, W)`: a random crop after zero padding and, for half of them, a left-right flip."""
    n_batch, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    top = torch.randint(2 * padding + 1, (n_batch, 1), generator=generator)
    left = torch.randint(2 * padding + 1, (n_batch, 1), generator=generator)
    flip = torch.rand(n_batch, 1, generator=generator) < 0.5
    rows = top + torch.arange(height)  # (B, H)
    columns = torch.arange(width)
    columns = left + torch.where(flip, columns.flip(0), columns)  # (B, W)
    batch = torch.arange(n_batch)[:, None, None]
    index = (batch.to(x.device), slice(None), rows[:, :, None].to(x.device), columns[:, None, :].to(x.device))
    return padded[index].movedim(-1, 1)  # advanced indexing puts the channels last


AUGMENTATIONS = {"none": none, "shift_noise": shift_noise, "crop_flip": crop_flip}
