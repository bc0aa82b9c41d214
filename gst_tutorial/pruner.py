"""Prune in anybody's training loop: `Pruner`, whose `step(epoch)` is called after each epoch."""

from __future__ import annotations

import bisect
import contextlib
import copy
import dataclasses
import fnmatch
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

from gst_tutorial import _arguments as check
from gst_tutorial import batches as batching
from gst_tutorial import masks, pruning, seeding
from gst_tutorial.data.dataset import Dataset
from gst_tutorial.graph.compact import compact
from gst_tutorial.instability import METRICS, Instability, PruningEvent, correct, measure_instability
from gst_tutorial.schedules import Schedule, as_schedule
from gst_tutorial.scores import Score, filter_scores, find_layer, score_function

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("parameters", "multiply-adds", "milliseconds")
_HALVINGS = 7  # a budget's fraction is found to 1 / 128


class Pruner:
    """Prunes a network while a training loop of yours trains it, and records the instability of each event.

    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> import gst_tutorial as gst
    >>> data, model = gst.load("mnist1d", n_train=200, n_test=100), gst.conv1d_net()
    >>> train = DataLoader(TensorDataset(data.x_train, data.y_train), batch_size=50, shuffle=True)
    >>> test = DataLoader(TensorDataset(data.x_test, data.y_test), batch_size=50)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> pruner = gst.Pruner(model, (0, 2), score="taylor", prune_fraction=0.5, batches=train, evaluate=test)
    >>> for epoch in range(3):
    ...     for x, y in train:
    ...         optimizer.zero_grad()
    ...         nn.functional.cross_entropy(model(x), y).backward()
    ...         optimizer.step()
    ...     event = pruner.step(epoch)  # None, if there is none after this epoch
    >>> pruner.events[["epoch", "n_filters", "sparsity"]].round(2)
       epoch  n_filters  sparsity
    0      0         40      0.25
    1      2         40      0.50

    The masks belong to the network, so optimizers, schedulers and checkpoints stay as they are. Other loops need three lines
    (tests/loops runs each of these)::

        LambdaCallback(on_train_epoch_end=lambda trainer, module: pruner.step(trainer.current_epoch))  # Lightning

        class Prune(TrainerCallback):                                                      # Hugging Face's Trainer
            def on_epoch_end(self, args, state, control, **others): pruner.step(round(state.epoch) - 1)

        pruner = gst.Pruner(accelerator.unwrap_model(model), ...)                          # Accelerate; timm needs no unwrapping
        lr_scheduler.step(epoch + 1); pruner.step(epoch)                                   # at the end of the loop's epoch

    With several processes (DDP), each makes a `Pruner` of its own and calls `step`. Scores are averaged over the processes,
    and the masks are those of the first.

    Args:
        model: a prunable network, see `gst.make_prunable`; pruned in place. Wrapped in DDP, the network inside is taken.
        schedule: epochs after which filters are pruned: a `gst.PruneSchedule`, or 0-based epochs such as `(5, 14, 23)`.
        score, target: see `gst.filter_scores` and `gst.choose_filters`. The batches that a score `(layer, model, batch)` of
            yours gets are those of `batches`, on the model's device.
        prune_fraction: fraction of each layer's original filters pruned in the end, in [0, 1). Or a dict from layers (or
            globs) to fractions; it then says the layers, too.
        budget: instead of `prune_fraction` a pair such as `("parameters", 0.3)`: prune until at most this share of the
            network's "parameters", "multiply-adds" or "milliseconds" per batch is left, counted (or timed) on what
            `gst.compact` makes of it. Every layer loses the same fraction, the smallest that meets the budget, to 1 / 128;
            each event finds it by compacting the network seven times.
        layers: "all", the name of a layer, a glob such as "layer4.*", or a list of these.
        evaluate: measures the network before and after each event: a `DataLoader` or `gst.Dataset` of test examples, or a
            function without arguments that returns the accuracy, or which examples are right (bool, `(N,)`), or another
            metric. None: nothing is measured.
        metric: of another metric than the accuracy, which is better, "higher" or "lower". See `gst.instability_of`, which
            says how the instability of a loss is defined. The columns `accuracy_before` and `accuracy_after` then have the
            metric.
        batches: a `DataLoader` or list of batches, for scores that look at examples; a score is the mean over the first
            `n_batches` of them. Drawing them leaves torch's random numbers as they were.
        n_batches: number of batches for a score.
        example_input: of what the network reads, for the budgets in multiply-adds and milliseconds. Default: the first of
            `batches`.
        seed: of the target "random".

    Raises:
        ValueError, TypeError: an argument out of its range; no masks; a budget that cannot be met (in `step`).
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: Schedule | Iterable[int],
        *,
        score: str | Score = "l2",
        target: str = "smallest",
        prune_fraction: float | Mapping[str, float] | None = None,
        budget: tuple[str, float] | None = None,
        layers: str | Iterable[str] = "all",
        evaluate: Callable[[], Any] | Iterable | Dataset | None = None,
        metric: str = "accuracy",
        batches: Iterable | None = None,
        n_batches: int = 1,
        example_input: Any = None,
        seed: int = 0,
    ):
        while isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        self.model, self.schedule = check.model("model", model), as_schedule(schedule)
        self.score, self.target = score, check.one_of("target", target, pruning.TARGETS)
        self.metric, self.batches = check.one_of("metric", metric, METRICS), batches
        self.n_batches = check.integer("n_batches", n_batches, 1, check.MOST)
        if (prune_fraction is None) == (budget is None):
            raise ValueError(
                f"Give either prune_fraction={prune_fraction!r} or budget={budget!r}, not both or neither."
            )
        plan = prune_fraction
        if not isinstance(plan, Mapping):
            names = [layers] if isinstance(layers, str) else check.many("layers", layers)
            plan = dict.fromkeys(names, 0.0 if budget else prune_fraction)
        self.fractions: dict[str, float] = {}  # by layer; with a budget, each event decides
        for pattern, fraction in plan.items():
            pruning.kept_in_the_end(1, fraction)  # checks that it lies in [0, 1)
            self.fractions |= dict.fromkeys(_matching(model, pattern), fraction)
        for name, fraction in self.fractions.items():
            pruning.warn_of_nothing(name, find_layer(model, name).mask.n_filters, fraction)
        if getattr(score_function(score), "watch", None) is not None:
            raise ValueError(f"score={check.shown(score)} watches training batches; it is for gst.run only.")
        self.evaluate = evaluate
        if evaluate is not None and not callable(evaluate):
            self.evaluate = lambda: correct(model, evaluate)
        self.budget, self._example = budget, example_input
        if budget is not None:
            what, share = budget
            check.one_of("budget", what, COSTS)
            check.real("budget", share, 0, 1, open_low=True)
            self._full_cost = self._cost()
        self._generator = seeding.generator(seed, "random targets")
        self._events: list[PruningEvent] = []
        self._done = 0  # events of the schedule that are past

    @property
    def events(self) -> pd.DataFrame:
        """A row per event so far, see `gst.PruningEvent`."""
        import pandas as pd

        columns = [field.name for field in dataclasses.fields(PruningEvent)]
        return pd.DataFrame([dataclasses.asdict(event) for event in self._events], columns=columns)

    def step(self, epoch: int) -> PruningEvent | None:
        """Prune if the schedule has an event after this epoch, or had one since the last call. Call it after each epoch.

        Args:
            epoch: 0-based.

        Returns:
            The event; None if there was none.

        Raises:
            ValueError: a score or a metric that is not as it should be, or a budget that cannot be met.
        """
        due = bisect.bisect_right(self.schedule.epochs, check.integer("epoch", epoch, 0))
        if due <= self._done:
            return None
        measured = contextlib.nullcontext(Instability())
        if self.evaluate is not None:
            measured = measure_instability(self.evaluate, metric=self.metric)
        before = copy.deepcopy(self._kept)
        with measured as found:
            scores = {name: self._score(name) for name in self.fractions}
            if self.budget is None:
                self._prune(scores, due, self.schedule.n_events)
            else:
                self._prune_to_budget(scores, due / self.schedule.n_events)
            for name in self.fractions if _n_processes() > 1 else ():
                distributed.broadcast(find_layer(self.model, name).mask.mask, 0)
        self._done = due
        new = {name: int((before[name] & ~kept).sum()) for name, kept in self._kept.items()}
        event = PruningEvent(
            epoch=epoch,
            layers="+".join(name for name, n in new.items() if n),
            n_filters=sum(new.values()),
            sparsity=masks.sparsity(self.model, new),
            accuracy_before=found.accuracy_before,
            accuracy_after=found.accuracy_after,
            instability=found.instability,
            standard_error=found.standard_error,
        )
        self._events.append(event)
        return event

    def state_dict(self) -> dict:
        """Everything that a checkpoint needs apart from the network, whose state has the masks."""
        events = [dataclasses.asdict(event) for event in self._events]
        return {"events": events, "done": self._done, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        self._events[:] = [PruningEvent(**event) for event in state["events"]]
        self._done = state["done"]
        self._generator.set_state(state["generator"])

    @property
    def _kept(self) -> dict[str, torch.Tensor]:
        """Bool `(C,)` by layer: the filters that are still there."""
        return {name: find_layer(self.model, name).mask.kept for name in self.fractions}

    def _score(self, layer: str) -> torch.Tensor:
        """The layer's scores, `(C,)`: the mean over batches and processes."""
        if self.target == "random":
            return find_layer(self.model, layer).mask.mask  # not looked at
        found = [filter_scores(self.model, layer, self.score, batch) for batch in self._first(self.n_batches)]
        scores = torch.stack(found).mean(0)
        if _n_processes() > 1:
            distributed.all_reduce(scores)
            scores /= _n_processes()
        return scores

    def _first(self, n: int) -> list:
        """The first n batches; one that is None where there are no batches."""
        if self.batches is None:
            return [None]
        with torch.random.fork_rng([]):  # a loader draws numbers, which training would then miss
            return [batching.moved(batch, self.model) for batch in itertools.islice(self.batches, n)]

    def _prune(self, scores: dict[str, torch.Tensor], due: int, n_events: int) -> None:
        """Mask filters until each layer keeps what it should after event number `due` of `n_events`."""
        for name, fraction in self.fractions.items():
            mask = find_layer(self.model, name).mask
            keep = pruning.kept_filters(mask.n_filters, fraction, n_events)[due - 1]
            n_new = max(0, int(mask.kept.sum()) - keep)
            mask.mask[pruning.choose_filters(scores[name], mask.kept, n_new, self.target, self._generator)] = False

    def _prune_to_budget(self, scores: dict[str, torch.Tensor], progress: float) -> None:
        """Prune the smallest fraction of all layers that leaves what the budget allows by now; found by bisection."""
        what, share = self.budget
        allowed = (1 - (1 - share) * progress) * self._full_cost
        low, high = 0.0, 1.0
        state, generator = copy.deepcopy(self._kept), self._generator.get_state()
        for _ in range(_HALVINGS):
            self.fractions = dict.fromkeys(self.fractions, (low + high) / 2)
            self._prune(scores, 1, 1)
            low, high = (low, (low + high) / 2) if (left := self._cost()) <= allowed else ((low + high) / 2, high)
            for name, kept in state.items():
                find_layer(self.model, name).mask.mask.copy_(kept)
            self._generator.set_state(generator)
        if high == 1:
            share_left = left / self._full_cost
            raise ValueError(
                f"budget={self.budget!r} cannot be met: with {low:.0%} of the filters of these layers pruned, "
                f"{share_left:.0%} of the {what} are left."
            )
        self.fractions = dict.fromkeys(self.fractions, high)
        self._prune(scores, 1, 1)

    def _cost(self) -> float:
        """Parameters, multiply-adds or milliseconds of the network without its pruned filters."""
        what = self.budget[0]
        model = self.model
        if masks.sparsity(model):
            model = compact(model, skip_uncuttable=True)
        if what == "parameters":
            return sum(parameter.numel() for parameter in model.parameters())
        if self._example is None and self.batches is None:
            raise ValueError(f"budget={self.budget!r} needs example_input, a batch of what the network reads.")
        example = self._example if self._example is not None else batching.parted(self._first(1)[0])[0]
        with torch.no_grad(), masks.evaluation_mode(model):
            if what == "multiply-adds":
                from torch.utils.flop_counter import FlopCounterMode

                with FlopCounterMode(display=False) as counter:
                    check.output_of(model, example)
                return counter.get_total_flops() / 2
            return 1000 * min(_seconds(model, example) for _ in range(10))


def _seconds(model: nn.Module, example: Any) -> float:
    start = time.perf_counter()
    check.output_of(model, example)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _matching(model: nn.Module, pattern: str) -> list[str]:
    """The prunable layers that a name, a glob or "all" stands for."""
    found = masks.prunable_layers(model)
    names = list(found) if pattern == "all" and found else fnmatch.filter(found, pattern)
    return names or [find_layer(model, pattern).name]  # which raises an error that says what is wrong with the name


def _n_processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
