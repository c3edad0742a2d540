"""Images that change in each epoch under a frozen encoder: some views of each are computed once and kept, and epochs go round them.

The views are those that the stage's first epochs would see: with no more epochs than views, nothing differs from computing them anew.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from ..inference import Encoded
from . import cache

if TYPE_CHECKING:
    from .state import State


def count(state: State, encoded: Encoded, epochs: float, need: int) -> tuple[int, str]:
    """How many views are kept (0: none), and why so many. `need`: bytes of one."""
    train, kept = state.ready.plan.spec.train, int(state.ready.plan.spec.train.views)
    if state.ready.task.modality != "image":
        return 0, "each epoch sees the rows otherwise (`augment`)"
    if train.cache == "auto" and epochs <= kept:
        return 0, f"each epoch sees the rows otherwise (`augment`), and {math.ceil(epochs)} epochs are no more than {kept} views"
    fitting = next((some for some in range(min(kept, max(1, math.ceil(epochs))), 0, -1) if cache.fits(need * some)), 0)
    if not fitting:
        return 0, f"one view of each image would take {need / 2**20:,.0f} MiB: over the limit or half the free disk"
    return fitting, f"{fitting} views of each image are computed once ({need * fitting / 2**20:,.0f} MiB), and epochs go round them"


def attached(state: State, encoded: Encoded, cut: cache.Cut, views: int, how: cache.How) -> Encoded:
    """The rows with the activations of their views. Raises ResourceError when the disk is full."""
    seed, task = state.ready.plan.spec.train.seed, state.ready.task
    seen = [encoded.at(seed, epoch + 1000 * state.stage) for epoch in range(views)]
    made = tuple(cache.attach(task, state.model, one, cut, how) for one in seen)
    return dataclasses.replace(made[0], views=made)
