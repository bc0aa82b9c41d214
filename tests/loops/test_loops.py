"""The three-line recipes of `gst.Pruner`, each run in the real loop of Lightning, Hugging Face and timm.

The packages are optional: `pip install lightning transformers accelerate timm` beside this one.
"""

import contextlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gst_tutorial as gst
from gst_tutorial.data import torchvision
from tests.loops import small

SCHEDULE = (0, 2)


def package(name: str):
    """The package, or a skip that says how to get it."""
    with contextlib.suppress(ImportError):
        torchvision()  # what these packages import, made importable beside a torch for CPUs
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")


def check(pruner, epochs=SCHEDULE):
    """The events came after the epochs of the schedule, and half of each layer is pruned."""
    assert pruner.events.epoch.tolist() == list(epochs)
    assert pruner.events.n_filters.sum() == 7 and gst.sparsity(pruner.model) == 0.5
    assert pruner.events.accuracy_before.iloc[-1] > 0.5  # it did train


def test_lightning_needs_one_callback(tmp_path):
    package("lightning")
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import LambdaCallback

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = small.net()

        def training_step(self, batch, i):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.02)

    torch.manual_seed(0)
    module = Module()
    train = small.loader(shuffle=True)
    pruner = gst.Pruner(
        module.net, SCHEDULE, score="taylor", prune_fraction=0.5, batches=train, evaluate=small.loader()
    )
    callback = LambdaCallback(on_train_epoch_end=lambda trainer, module: pruner.step(trainer.current_epoch))
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    pl.Trainer(max_epochs=4, accelerator="cpu", callbacks=[callback], default_root_dir=tmp_path, **quiet).fit(
        module, train
    )
    check(pruner)


class Classifier(nn.Module):
    """A network as the Trainer expects it: takes labels, returns a loss and logits."""

    def __init__(self):
        super().__init__()
        self.net = small.net()

    def forward(self, signal, labels=None):
        logits = self.net(signal)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def test_hugging_face_trainer_needs_one_callback(tmp_path):
    package("transformers")
    package("accelerate")
    from transformers import Trainer, TrainerCallback, TrainingArguments

    torch.manual_seed(0)
    model = Classifier()
    examples = [{"signal": x, "labels": y} for x, y in zip(*small.tensors())]
    batches = [torch.utils.data.default_collate(examples[:20])]
    pruner = gst.Pruner(model, SCHEDULE, score="taylor", prune_fraction=0.5, batches=batches, evaluate=batches)

    class Prune(TrainerCallback):
        def on_epoch_end(self, args, state, control, **others):
            pruner.step(round(state.epoch) - 1)

    settings = TrainingArguments(
        str(tmp_path), num_train_epochs=4, per_device_train_batch_size=20, learning_rate=0.02, use_cpu=True,
        report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, settings, train_dataset=examples, callbacks=[Prune()]).train()
    check(pruner)


def test_accelerate_needs_the_unwrapped_model():
    accelerate = package("accelerate")

    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True)
    model = small.net()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    model, optimizer, train = accelerator.prepare(model, optimizer, small.loader(shuffle=True))
    pruner = gst.Pruner(accelerator.unwrap_model(model), SCHEDULE, prune_fraction=0.5, evaluate=small.loader())
    for epoch in range(4):
        for x, y in train:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(x), y))
            optimizer.step()
        pruner.step(epoch)
    check(pruner)


def test_timm_loop_needs_one_line_behind_its_scheduler():
    """The loop of timm's train.py: its optimizer, scheduler, loss and averaged weights, with a network of timm's."""
    timm = package("timm")
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import ModelEmaV3

    torch.manual_seed(0)
    x = F.interpolate(small.tensors()[0][:, :, None].expand(-1, 3, 8, 8), size=32)
    y = small.tensors()[1]
    model = timm.create_model("resnet10t", num_classes=3)
    gst.make_prunable(model, x[:2])
    layers = "layer[34].0.conv1"
    pruner = gst.Pruner(
        model, SCHEDULE, score="taylor", prune_fraction=0.5, layers=layers, batches=[(x, y)], evaluate=[(x, y)]
    )
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, momentum=0.9)
    lr_scheduler, n_epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=4)
    ema, loss = ModelEmaV3(model, decay=0.5), LabelSmoothingCrossEntropy(0.1)
    for epoch in range(n_epochs):
        for part in torch.randperm(60).split(20):
            optimizer.zero_grad()
            loss(model(x[part]), y[part]).backward()
            optimizer.step()
            ema.update(model)
        lr_scheduler.step(epoch + 1)
        pruner.step(epoch)
    ema.update(model)
    names = list(pruner.fractions)
    assert names == ["layer3.0.conv1", "layer4.0.conv1"]
    assert pruner.events.epoch.tolist() == list(SCHEDULE)
    assert gst.sparsity(model, names) == gst.sparsity(ema.module, names) == 0.5
