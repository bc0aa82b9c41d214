"""Four headline numbers of the book once more, in plain PyTorch, on seeds and splits that no study has used.

Nothing of gst_tutorial is imported: data, network, masks, events and training are written down again here, from the words
of the book. The test that runs it with two seeds compares what it finds with the recorded intervals.

    python tests/replication.py 20          # seeds 3000 to 3019: about 4 minutes on one core
"""

import math
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EPOCHS, RATE_FALLS_AFTER, BATCH = 60, (40, 52), 100
NINE = range(5, 38, 4)
ARMS = ("none", "prune 80%", "shrink, unseen", "shrink, steps compensated", "zero the head's inputs")
DELAY = 3  # epochs after an event in which a delayed drop is looked for


def signals(seed):
    """1,000 training and 4,000 test signals of MNIST-1D, standardized with the training set's mean and deviation."""
    from mnist1d.data import get_dataset_args, make_dataset

    wanted = get_dataset_args()
    wanted.num_samples, wanted.train_split, wanted.seed = 5000, 1.0, seed
    made = make_dataset(wanted)
    x, y = torch.tensor(made["x"]).float()[:, None], torch.tensor(made["y"]).long()
    x = (x - x[:1000].mean()) / x[:1000].std()
    return x[:1000], y[:1000], x[1000:], y[1000:]


class Net(nn.Module):
    """Four convolutions with batch norm and a linear head; `mask` silences filters of the last one."""

    def __init__(self):
        super().__init__()
        channels = (1, 32, 32, 32, 64)
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, 3, stride=s, padding=1, bias=False) for a, b, s in zip(channels, channels[1:], (2, 2, 1, 1))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for b in channels[1:])
        self.head = nn.Linear(64 * 10, 10)
        self.register_buffer("mask", torch.ones(64))

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = norm(conv(x))
            x = (x * self.mask[:, None] if conv is self.convs[-1] else x).relu()
        return self.head(x.flatten(1))


@torch.no_grad()
def shrink(net, filters, size):
    """Multiply filters of the last convolution by `size`, and the running statistics with them: no prediction changes."""
    net.convs[-1].weight[filters] *= size
    norm = net.norms[-1]
    norm.running_mean[filters] *= size
    norm.running_var[filters] = size**2 * (norm.running_var[filters] + norm.eps) - norm.eps


@torch.no_grad()
def event(net, arm, epoch, draw, step_factor, adam):
    """What happens after an epoch (0-based). `step_factor`, `(64,)`: of the last convolution's filters."""
    half = torch.randperm(64, generator=draw)[:32]
    if arm == "prune 80%" and epoch in (5, 14, 23):
        kept = 64 - math.floor(51 * ((5, 14, 23).index(epoch) + 1) / 3)  # 13 of 64 are left in the end
        alive = net.mask.nonzero().flatten()
        gone = alive[torch.randperm(len(alive), generator=draw)[: len(alive) - kept]]
        net.mask[gone] = 0
    elif arm == "shrink, unseen" and epoch in NINE:
        shrink(net, half, 0.25)
    elif arm == "shrink, steps compensated" and epoch in NINE:
        # The half of the last event gets its length back; the new half gets short, and its steps with it. A short filter's
        # gradient is longer by 1 / size, so Adam's averages must be told, too.
        for filters, size in (((step_factor != 1).nonzero().flatten(), 4.0), (half, 0.25)):
            shrink(net, filters, size)
            step_factor[filters] *= size
            adam["exp_avg"][filters] /= size
            adam["exp_avg_sq"][filters] /= size**2
    elif arm == "zero the head's inputs" and epoch in NINE:
        net.head.weight[:, torch.randperm(640, generator=draw)[:320]] = 0


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def trained(arm, seed, data):
    """(test accuracy after each epoch, before that epoch's event; largest drop at an event)."""
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    net, draw = Net(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, RATE_FALLS_AFTER, 0.1)
    order, drop, curve = torch.Generator().manual_seed(seed + 1), 0.0, []
    weight, step_factor = net.convs[-1].weight, torch.ones(64)
    for epoch in range(EPOCHS):
        net.train()
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            before = weight.detach().clone()
            optimizer.step()
            if (step_factor != 1).any():
                with torch.no_grad():
                    weight.copy_(before + step_factor[:, None, None] * (weight - before))
        curve.append(accuracy(net, x_test, y_test))
        if epoch in (*NINE, 14, 23):
            event(net, arm, epoch, draw, step_factor, optimizer.state[weight])
            drop = max(drop, curve[-1] - accuracy(net, x_test, y_test))
        scheduler.step()
    return np.array(curve), drop


def delayed_drop(curve, twin):
    """The largest fall below the twin within three epochs after an event."""
    return max((twin - curve)[epoch + 1 : epoch + 1 + DELAY].max() for epoch in NINE)


def replicate(seeds):
    """{arm: paired gains over "none" in percentage points, `(n_seeds,)`}, {arm: largest drop at an event}, and
    {arm: largest delayed drop of each seed, in points}."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found, drops, delayed = {arm: [] for arm in ARMS}, dict.fromkeys(ARMS, 0.0), {arm: [] for arm in ARMS}
    for seed in seeds:
        data, twin = signals(seed), None
        for arm in ARMS:
            curve, drop = trained(arm, seed, data)
            twin = curve if twin is None else twin  # the first arm is "none"
            found[arm].append(100 * curve[-1])
            drops[arm] = max(drops[arm], drop)
            delayed[arm].append(100 * delayed_drop(curve, twin))
    torch.set_num_threads(threads)
    gains = {arm: np.array(found[arm]) - np.array(found["none"]) for arm in ARMS[1:]}
    return gains, drops, {arm: np.array(delayed[arm]) for arm in ARMS[1:]}


if __name__ == "__main__":
    gains, drops, delayed = replicate(range(3000, 3000 + int(sys.argv[1] if len(sys.argv) > 1 else 20)))
    for arm, gain in gains.items():
        error = gain.std(ddof=1) / math.sqrt(len(gain))
        print(
            f"{arm:<26} gain {gain.mean():+.2f} +- {error:.2f} points; largest drop at an event {100 * drops[arm]:.1f}, "
            f"within three epochs after one {delayed[arm].mean():.1f}"
        )
