"""A network, data and loaders that are small enough to train in a loop of any kind."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gst_tutorial as gst


def net() -> nn.Module:
    layers = [nn.Conv1d(1, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 6, 3), nn.ReLU(), nn.Flatten()]
    return gst.make_prunable(nn.Sequential(*layers, nn.Linear(24, 3)), torch.randn(2, 1, 8))


def tensors(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of waves, under noise."""
    y = torch.arange(n) % 3
    waves = torch.sin(torch.arange(8.0) * (1 + y[:, None]))
    return waves[:, None] + 0.3 * torch.randn((n, 1, 8), generator=torch.Generator().manual_seed(0)), y


def loader(shuffle: bool = False) -> DataLoader:
    return DataLoader(TensorDataset(*tensors()), batch_size=20, shuffle=shuffle)
