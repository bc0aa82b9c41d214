"""The network that trains in the page is the package's: the same losses, logits and instabilities, in a real Chromium."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial import interventions, masks
from tools.live_pages import PROGRAM, as_json, bare_page, from_json
from tools.pages.live import load_page_state

pytestmark = pytest.mark.browser

STEPS = 20
TOLERANCE = 1e-4
FROM_KINK, FIRST_GRADIENT = 2e-6, 5e-7  # several times what float32 is off by
PRUNED = list(range(0, 64, 3))
N_TEST = 500
CASES = {  # pruned filters, what the head reads, recipe
    "whole": ((), "positions", gst.Recipe()),
    "masked": (PRUNED, "positions", gst.Recipe()),
    "coupled decay": ((), "positions", gst.Recipe(weight_decay=1e-2)),
    "decoupled decay": ((), "positions", gst.Recipe(optimizer="adamw", weight_decay=1.0)),
    "masked averages": (PRUNED, "averages", gst.Recipe()),
    "averages with decay": ((), "averages", gst.Recipe(weight_decay=3e-2)),
}

TRAIN_STEPS = f"""async ({{ state, signals, labels, batches, test, rate, decay, optimizer, head }}) => {{ {PROGRAM}
  const program = programFor(head);
  const train = {{ patches: patchesOf(Float32Array.from(signals)), labels: Uint8Array.from(labels), n: labels.length }};
  const network = new Network(program, stateOf(state));
  const losses = [];
  for (const batch of batches) {{
    const {{ patches, y }} = batchOf(train, batch);
    losses.push(await network.step(patches, y, rate, decay, optimizer));
  }}
  const logits = await network.logits(patchesOf(Float32Array.from(test)));
  network.dispose();
  return {{ losses, logits: Array.from(logits) }};
}}"""

HIT = f"""async ({{ state, settings, test, labels }}) => {{ {PROGRAM}
  const program = programFor(settings.head);
  const {{ hit }} = await import("/live/training.js");
  const {{ score }} = await import("/live/forward.js");
  const accuracy = (logits, labels) => score(logits, labels).accuracy;
  const {{ stream }} = await import("/live/random.js");
  const network = new Network(program, stateOf(state));
  const patches = patchesOf(Float32Array.from(test)), classes = Uint8Array.from(labels);
  const before = accuracy(await network.logits(patches), classes);
  const hitState = await network.read();
  const chosen = hit(hitState, settings, 0, 1, stream(settings.seed, "targets"), stream(settings.seed, "directions"));
  network.write(hitState);
  const logits = await network.logits(patches);
  const plain = (table) => Object.fromEntries(Object.entries(table).map(([name, values]) => [name, Array.from(values)]));
  const after = await network.read();
  network.dispose();
  return {{ chosen, before, after: accuracy(logits, classes), logits: Array.from(logits),
    weights: plain(after.weights), statistics: plain(after.statistics), mask: Array.from(after.mask) }};
}}"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with bare_page(browser, tmp_path_factory.mktemp("parity")) as here:
        yield here.page
        assert here.problems == []


@pytest.fixture(scope="module")
def dataset():
    return gst.load()


@pytest.fixture(scope="module")
def trained(dataset):
    """A network that has learned something: three epochs, so that batch norm's statistics are not the first ones."""
    torch.manual_seed(1)
    model = gst.conv1d_net()
    gst.train(model, dataset, gst.Recipe(epochs=3), 1)
    return model.eval()


def torch_steps(model, dataset, batches, recipe, dtype):
    """Losses, and evaluation logits after a step of the recipe's optimizer on each batch, of a copy of `model`."""
    model = copy.deepcopy(model).to(dtype)
    optimizer = recipe.build_optimizer(model)
    losses = []
    for batch in batches:
        loss = batch_loss(model, dataset, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, torch_logits(model, dataset)


def batch_loss(model, dataset, batch):
    x = dataset.x_train[batch].to(model.head.weight.dtype)
    return F.cross_entropy(model.train()(x), dataset.y_train[batch])


def random_batch():
    return torch.randperm(1000)[:100].tolist()


def clear_batches(model, dataset, recipe):
    """Random batches in which rounding decides nothing.

    A training step jumps at two places: a rectifier's slope at zero, and Adam's first step, which moves a weight by the
    sign of its gradient, however small that is. One value of 190,000 that rounding puts on the other side changes logits
    by about .01 twenty steps later. So a batch is left out if it brings, in float64, a value that near to zero.
    """
    model = copy.deepcopy(model).double()
    optimizer = recipe.build_optimizer(model)
    penalty = recipe.weight_decay if recipe.optimizer == "adam" else 0.0
    nearest = []
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.register_forward_hook(lambda _, __, out: nearest.append(smallest(out)))
    batches = []
    while len(batches) < STEPS:
        nearest.clear()
        before, batch = copy.deepcopy(model.state_dict()), random_batch()
        loss = batch_loss(model, dataset, batch)
        optimizer.zero_grad()
        loss.backward()
        first = not batches and min(smallest(p.grad + penalty * p) for p in model.parameters()) < FIRST_GRADIENT
        if first or min(nearest) < FROM_KINK:
            model.load_state_dict(before)  # the running statistics have seen the batch
            continue
        optimizer.step()
        batches.append(batch)
    return batches


def smallest(values):
    """The smallest size that is not zero: a masked filter's values and gradients are zeros everywhere."""
    sizes = values.detach().abs()
    return sizes[sizes > 0].min().item()


@torch.no_grad()
def torch_logits(model, dataset):
    return model.eval()(dataset.x_test[:N_TEST].to(model.head.weight.dtype))


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_give_the_losses_and_logits_of_torch(page, dataset, case):
    pruned, head, recipe = CASES[case]
    torch.manual_seed(2 + list(CASES).index(case))
    model = gst.conv1d_net(pooled=head == "averages")
    gst.prunable_layers(model)["conv4"].mask.mask[list(pruned)] = 0
    batches = clear_batches(model, dataset, recipe)
    ours = page.evaluate(
        TRAIN_STEPS,
        {
            "state": as_json(model),
            "signals": dataset.x_train.flatten().tolist(),
            "labels": dataset.y_train.tolist(),
            "batches": batches,
            "test": dataset.x_test[:N_TEST].flatten().tolist(),
            "rate": recipe.learning_rate,
            "decay": recipe.weight_decay,
            "optimizer": recipe.optimizer,
            "head": head,
        },
    )
    for dtype in (torch.float32, torch.float64):
        losses, logits = torch_steps(model, dataset, batches, recipe, dtype)
        assert losses[-1] < 0.9 * losses[0], "nothing was learned, so equal losses would say nothing"
        assert ours["losses"] == pytest.approx(losses, abs=TOLERANCE)
        assert (torch.tensor(ours["logits"]).view_as(logits) - logits).abs().max() < TOLERANCE


def test_on_any_batches_torch_s_own_float32_is_further_off_than_that(dataset):
    """Why the batches are chosen: on random ones, rounding alone moves PyTorch's logits past any such tolerance."""
    apart: list[float] = []
    for seed in range(2, 60):  # which of them jump depends on the processor
        torch.manual_seed(seed)
        model = gst.conv1d_net()
        batches = [random_batch() for _ in range(STEPS)]
        logits = [
            torch_steps(model, dataset, batches, gst.Recipe(), dtype)[1] for dtype in (torch.float32, torch.float64)
        ]
        apart.append((logits[0] - logits[1]).abs().max().item())
        if max(apart) > 10 * TOLERANCE and min(apart) < TOLERANCE / 10:
            break
    assert min(apart) < TOLERANCE / 10, "without a jump, float32 is as good as float64"
    assert max(apart) > 10 * TOLERANCE


def intervene(model, name, chosen, ours):
    """The same event by the package's own function. Random directions, which it would draw itself, are the page's."""
    with torch.no_grad():
        if name == "zero_inputs":
            layer = masks.PrunableLayer("head", model.head, None, None)
            # The page counts its inputs position by position, torch filter by filter.
            chosen = [(row % 64) * 10 + row // 64 for row in chosen]
        else:
            layer = gst.prunable_layers(model)["conv4"]
        if name == "redirect":
            other = gst.conv1d_net()
            load_page_state(other, from_json(ours))
            layer.conv.weight[chosen] = gst.prunable_layers(other)["conv4"].conv.weight[chosen]
        else:
            site = interventions.Site(model, layer, torch.tensor(chosen), torch.tensor([]), torch.Generator())
            interventions.INTERVENTIONS[name].apply(site)


@pytest.mark.parametrize("target", ["smallest", "largest", "random"])
@pytest.mark.parametrize("name", ["prune", "zero", "scale", "rescale", "redirect", "zero_inputs"])
def test_every_intervention_is_the_one_that_torch_makes(page, dataset, trained, name, target):
    model = copy.deepcopy(trained)
    x, y = dataset.x_test[:N_TEST], dataset.y_test[:N_TEST]
    settings = {"seed": 3, "intervention": name, "target": target, "dose": 0.4}
    ours = page.evaluate(
        HIT, {"state": as_json(model), "settings": settings, "test": x.flatten().tolist(), "labels": y.tolist()}
    )
    chosen = ours["chosen"]
    # ceil(.6 * 64) filters stay; round(.4 * 64) are hit; 256 of 640 inputs are.
    expected = {"prune": 64 - 39, "zero_inputs": 256}.get(name, 26)
    assert len(set(chosen)) == len(chosen) == expected
    if target != "random" and name != "zero_inputs":
        scores = gst.filter_scores(model, "conv4", "l2")
        assert set(chosen) == set(scores.topk(expected, largest=target == "largest").indices.tolist())
    norms = gst.filter_scores(model, "conv4", "l2")
    before = torch_logits(model, dataset)
    accuracy_before = gst.accuracy(model, x, y)
    intervene(model, name, chosen, ours)
    logits = torch_logits(model, dataset)
    assert (torch.tensor(ours["logits"]).view_as(logits) - logits).abs().max() < TOLERANCE
    instability = (accuracy_before - gst.accuracy(model, x, y)) / accuracy_before
    assert (ours["before"] - ours["after"]) / ours["before"] == pytest.approx(instability, abs=1e-3)
    if name == "rescale":
        assert (logits - before).abs().max() < TOLERANCE, "a jolt that nobody sees must change no prediction"
    else:
        assert (logits - before).abs().max() > 0.1
    if name == "redirect":
        assert torch.allclose(gst.filter_scores(model, "conv4", "l2"), norms, rtol=1e-4)
