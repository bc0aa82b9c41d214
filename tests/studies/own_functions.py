"""What a reader might write: everything that a config can name, as functions of their own."""

import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst

N_STRIPES = 3


def stripes(n_train=60, n_test=60, seed=0):
    """Three classes of 8x8 images: stripes of another period each, under noise."""
    generator = torch.Generator().manual_seed(seed)
    n = n_train + n_test
    y = torch.arange(n) % N_STRIPES
    waves = torch.sin(torch.arange(8.0)[None, :] * (1 + y[:, None].float()))  # (N, 8)
    x = waves[:, None, None, :] + 0.3 * torch.randn((n, 1, 8, 8), generator=generator)
    return gst.Dataset.from_arrays(x[:n_train], y[:n_train], x[n_train:], y[n_train:], "stripes")


def small_net(n_classes, input_shape):
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 64, n_classes),
    )


def half_turn(site, size=1.0):
    """Turn the filters round."""
    site.weight[site.units] *= -size


def forget_inputs(site):
    site.weight[:, site.units] = 0


forget_inputs.hits = "inputs"


def from_the_end(layer, model, x):
    return torch.arange(layer.mask.n_filters, 0.0, -1)


def rms(parameters, lr, weight_decay=0.0):
    return torch.optim.RMSprop(parameters, lr=lr, weight_decay=weight_decay)


def focal(logits, y):
    p = F.softmax(logits, 1).gather(1, y[:, None]).squeeze(1)
    return (-((1 - p) ** 2) * p.log()).mean()


def at_squares(epochs):
    return [i * i for i in range(1, epochs) if i * i < epochs - 1]


def confidence(model, dataset):
    with torch.no_grad():
        return F.softmax(model(dataset.x_test), 1).max(1).values.mean().item()


def two_numbers(model, dataset):
    return {"n_parameters": sum(p.numel() for p in model.parameters()), "n_test": len(dataset.y_test)}


def a_text(model, dataset):
    return "good"


def taken(model, dataset):
    return {"final_accuracy": 1.0}


def dies(n_classes, input_shape):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
