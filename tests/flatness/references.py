"""Small networks and slow, obvious computations that the measures of flatness are compared with."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call


def half_squared_error(z, y):
    return 0.5 * F.mse_loss(z, y)


def dense_hessian(model, x, y):
    """The whole Hessian by torch.func.hessian: an independent (forward over reverse) path through autograd."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    blocks = torch.func.hessian(lambda p: F.cross_entropy(functional_call(model, p, (x,)), y))(parameters)
    sizes = {name: p.numel() for name, p in parameters.items()}
    rows = [torch.cat([blocks[a][b].reshape(sizes[a], sizes[b]) for b in sizes], dim=1) for a in sizes]
    return torch.cat(rows).numpy()


def as_dense(operator):
    return operator @ np.eye(operator.shape[0])


def gradient_of(model, x, y):
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), [p for p in model.parameters() if p.requires_grad])
    return torch.cat([g.flatten() for g in gradients]).numpy()


def rescaled(model):
    """The same function with each filter multiplied by a number of its own, as batch norm allows."""
    model, a = copy.deepcopy(model), torch.tensor([0.1, 0.5, 3.0, 20.0]).double()
    with torch.no_grad():
        model[0].weight.mul_(a.view(4, 1, 1))
        model[1].running_mean.mul_(a)
        model[1].running_var.mul_(a**2)
    return model
