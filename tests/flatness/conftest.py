"""A bowl whose curvature is known, a small network, and their examples."""

import pytest
import torch
from torch import nn


@pytest.fixture
def bowl():
    """A linear model at the minimum of 1/2 w^T diag(0.5, 2) w + 0: curvatures 0.5 and 2 along the axes."""
    model = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    return model, torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double(), torch.zeros(2, 1).double()


@pytest.fixture
def net():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    ).double()
    model(torch.randn(30, 1, 8).double())
    model[1].eps = 0.0  # with it, rescaled filters are the same function exactly
    return model.eval()


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, 1, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (11,), generator=generator)
