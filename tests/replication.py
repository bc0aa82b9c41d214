"""Three headline numbers of the book once more, in plain PyTorch, on seeds and splits that no study has used.

Nothing of gst_tutorial is imported: data, network, masks, events and training are written down again here, from the words
of the book. What it prints stands beside the recorded intervals in the test that runs it at small size.

    python tests/replication.py 20          # seeds 1000 to 1019: about 3 minutes on one core
"""

import math
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EPOCHS, RATE_FALLS_AFTER, BATCH = 60, (40, 52), 100
NINE = range(5, 38, 4)
ARMS = ("none", "prune 80%", "shrink, unseen", "zero the head's inputs")


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
def event(net, arm, epoch, draw):
    """What happens after an epoch (0-based)."""
    half = torch.randperm(64, generator=draw)[:32]
    if arm == "prune 80%" and epoch in (5, 14, 23):
        kept = 64 - math.floor(51 * ((5, 14, 23).index(epoch) + 1) / 3)  # 13 of 64 are left in the end
        alive = net.mask.nonzero().flatten()
        gone = alive[torch.randperm(len(alive), generator=draw)[: len(alive) - kept]]
        net.mask[gone] = 0
    elif arm == "shrink, unseen" and epoch in NINE:
        net.convs[-1].weight[half] *= 0.25
        norm = net.norms[-1]
        norm.running_mean[half] *= 0.25
        norm.running_var[half] = 0.25**2 * (norm.running_var[half] + norm.eps) - norm.eps
    elif arm == "zero the head's inputs" and epoch in NINE:
        net.head.weight[:, torch.randperm(640, generator=draw)[:320]] = 0


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def trained(arm, seed, data):
    """(test accuracy after training, largest drop at an event)."""
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    net, draw = Net(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, RATE_FALLS_AFTER, 0.1)
    order, drop = torch.Generator().manual_seed(seed + 1), 0.0
    for epoch in range(EPOCHS):
        net.train()
        for batch in torch.randperm(len(x), generator=order).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
        if epoch in (*NINE, 14, 23):
            before = accuracy(net, x_test, y_test)
            event(net, arm, epoch, draw)
            drop = max(drop, before - accuracy(net, x_test, y_test))
        scheduler.step()
    return accuracy(net, x_test, y_test), drop


def replicate(seeds):
    """{arm: paired gains over "none" in points, `(n_seeds,)`} and {arm: largest drop}."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found, drops = {arm: [] for arm in ARMS}, dict.fromkeys(ARMS, 0.0)
    for seed in seeds:
        data = signals(seed)
        for arm in ARMS:
            final, drop = trained(arm, seed, data)
            found[arm].append(100 * final)
            drops[arm] = max(drops[arm], drop)
    torch.set_num_threads(threads)
    return {arm: np.array(found[arm]) - np.array(found["none"]) for arm in ARMS[1:]}, drops


if __name__ == "__main__":
    gains, drops = replicate(range(1000, 1000 + int(sys.argv[1] if len(sys.argv) > 1 else 20)))
    for arm, gain in gains.items():
        error = gain.std(ddof=1) / math.sqrt(len(gain))
        print(f"{arm:<24} gain {gain.mean():+.2f} +- {error:.2f} points, largest drop {100 * drops[arm]:.1f} points")
