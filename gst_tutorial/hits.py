"""Hit filters at an event and before the batches after it, and give them back what they had."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from gst_tutorial import _arguments as check
from gst_tutorial.interventions import Intervention, Site
from gst_tutorial.weights import load_units, norms, save_units, set_norms

RESTORE = ("no", "values", "norm")


@dataclasses.dataclass
class _Hit:
    site: Site
    batches_left: int
    saved: list[tuple] | torch.Tensor | None  # what the units had before, see `Hits._save`
    fresh: bool = True  # hit at the event; that was the hit before the next batch


class Hits:
    """A training callback that hits the same units before each of the next `n_batches` training batches.

    `begin` makes the first hit immediately, at the event, so that the instability can be measured around it. That hit
    counts as the one before the first batch; the others come when the training loop announces batches 2 to N. With
    `restore`, the units get back what they had as soon as batch N is trained.

    Args:
        intervention: an entry of `gst.interventions.INTERVENTIONS`.
        steps_per_epoch: batches in an epoch, to tell a batch from the end of an epoch.
        n_batches: N, the number of *training* batches that are hit.
        size: None takes the intervention's usual size.
        restore: "no", "values" or "norm", see `gst.RunConfig`.

    Raises:
        ValueError: names the argument.
    """

    def __init__(
        self,
        intervention: Intervention,
        steps_per_epoch: int,
        n_batches: int = 1,
        size: float | None = None,
        restore: str = "no",
    ):
        self.intervention = check.instance("intervention", intervention, Intervention)
        self.n_batches = check.integer("n_batches", n_batches, low=1)
        self.restore = check.one_of("restore", restore, RESTORE)
        self.steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, low=1)
        self.sized = {} if size is None else {"size": check.real("size", size, 0)}
        self.hits: list[_Hit] = []
        self.followers: list[tuple[Site, Callable]] = []  # callbacks that the intervention returned

    def begin(self, site: Site) -> None:
        """Hit the units of `site` now, and before batches 2 to N."""
        check.instance("site", site, Site)
        hit = _Hit(site, self.n_batches, self._save(site))
        # A new event in a layer ends what is still under way there.
        self.hits = [other for other in self.hits if other.site.layer.name != site.layer.name] + [hit]
        follower = self._apply(site)
        if follower is not None:
            self.followers.append((site, check.function("what the intervention returned", follower)))

    def __call__(self, epoch: int, step: int) -> None:
        for hit in [hit for hit in self.hits if hit.batches_left == 0]:
            self.hits.remove(hit)
            if self.restore == "values":
                load_units(hit.saved, hit.site.units)
            elif self.restore == "norm":
                set_norms(hit.site.weight, hit.site.units, hit.saved)
        if step < self.steps_per_epoch:
            for hit in self.hits:
                if not hit.fresh:
                    self._apply(hit.site)
                hit.fresh = False
                hit.batches_left -= 1
        for _, follower in self.followers:
            follower(epoch, step)

    def _save(self, site: Site) -> list[tuple] | torch.Tensor | None:
        if self.restore == "values":
            return save_units(site.layer, site.units, self.intervention.hits)
        return norms(site.weight, site.units) if self.restore == "norm" else None

    @torch.no_grad()
    def _apply(self, site: Site) -> Any:
        return self.intervention.apply(site, **self.sized)

    def state_dict(self) -> dict:
        """Everything under way, in tensors and plain values, for a checkpoint."""
        return {
            "hits": [
                {
                    **_place(hit.site),
                    "batches_left": hit.batches_left,
                    "fresh": hit.fresh,
                    "saved": [values for *_, values in hit.saved] if isinstance(hit.saved, list) else hit.saved,
                }
                for hit in self.hits
            ],
            "followers": [{**_place(site), "state": follower.state_dict()} for site, follower in self.followers],
        }

    def load_state_dict(self, state: dict, site_of: Callable[..., Site]) -> None:
        """Continue from what `state_dict` returned; `site_of(layer, units, kept)` makes the sites again."""
        self.hits, self.followers = [], []
        for hit in state["hits"]:
            site, saved = site_of(hit["layer"], hit["units"], hit["kept"]), hit["saved"]
            if isinstance(saved, list):  # the values are kept; the tensors they belong to are the new network's
                tensors = save_units(site.layer, site.units, self.intervention.hits)
                saved = [(tensor, dim, values.to(tensor.device)) for (tensor, dim, _), values in zip(tensors, saved)]
            elif saved is not None:
                saved = saved.to(site.weight.device)
            self.hits.append(_Hit(site, hit["batches_left"], saved, hit["fresh"]))
        for each in state["followers"]:
            # Applied once more to make the callback; the checkpoint then sets weights and generators to what they were.
            site = site_of(each["layer"], each["units"], each["kept"])
            follower = self._apply(site)
            follower.load_state_dict(each["state"])
            self.followers.append((site, follower))


def _place(site: Site) -> dict:
    return {"layer": site.layer.name, "units": site.units, "kept": site.kept}
