"""Random changes of training examples that keep their label, applied to whole batches of tensors.

Each function takes a batch and a generator on the batch's device. A run has a generator for augmentation alone, so two runs
with the same seed see the same changes.
"""

from __future__ import annotations

from gst_tutorial._lazy import F, torch


def none(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the batch unchanged."""
    return x


def shift_noise(x: torch.Tensor, generator: torch.Generator, max_shift: int = 3, noise: float = 0.1) -> torch.Tensor:
    """Shift each signal of x `(B, C, L)` by up to `max_shift` samples, repeating its edge, and add Gaussian noise."""
    n_batch, n_channels, length = x.shape
    padded = F.pad(x, (max_shift, max_shift), mode="replicate")  # (B, C, L + 2 max_shift)
    start = _integers(2 * max_shift + 1, n_batch, generator)
    index = (start + torch.arange(length, device=x.device))[:, None].expand(-1, n_channels, -1)  # (B, C, L)
    return padded.gather(2, index) + noise * torch.randn(x.shape, generator=generator, device=x.device)


def _integers(high: int, n_batch: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `(n_batch, 1)` whole numbers below `high`, on the generator's device."""
    return torch.randint(high, (n_batch, 1), generator=generator, device=generator.device)


def crop_flip(x: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Crop each image of x `(B, C, H, W)` at random after zero padding, and flip half of them left to right."""
    n_batch, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)  # (B, C, H + 2 padding, W + 2 padding)
    top = _integers(2 * padding + 1, n_batch, generator)
    left = _integers(2 * padding + 1, n_batch, generator)
    flip = torch.rand(n_batch, 1, generator=generator, device=x.device) < 0.5
    rows = top + torch.arange(height, device=x.device)  # (B, H)
    columns = torch.arange(width, device=x.device)
    columns = left + torch.where(flip, columns.flip(0), columns)  # (B, W)
    batch = torch.arange(n_batch, device=x.device)[:, None, None]
    index = (batch, slice(None), rows[:, :, None], columns[:, None, :])
    return padded[index].movedim(-1, 1)  # indexing gave (B, H, W, C)


AUGMENTATIONS = {"none": none, "shift_noise": shift_noise, "crop_flip": crop_flip}
