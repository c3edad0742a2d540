"""Adapters folded into the weights that they stand beside."""

from __future__ import annotations

import copy

from torch import nn

from ..errors import ModelError
from .heads import bare, virtual_tokens
from .loading import quiet


def merged(model: nn.Module) -> nn.Module:
    """A copy without adapters that answers the same: their updates are added to the weights. Raises ModelError as `merge` does."""
    cut, model.cut = model.cut, None
    twin = copy.deepcopy(model)
    model.cut = cut
    return merge(twin)


def merge(model: nn.Module) -> nn.Module:
    """The model itself without adapters: their updates are added to the weights, in place.

    Raises ModelError (`not-mergeable`) for virtual tokens and bottlenecks, which are no updates of weights.
    """
    tokens, bottlenecks = virtual_tokens(model.backbone), hasattr(bare(model.backbone), "tunesmith_bottlenecks")
    if tokens or bottlenecks:
        raise ModelError(
            "merge",
            expected="an adapter that is an update of weights (lora, dora, ia3, vera)",
            got=f"{tokens} learnt tokens in front of each text" if tokens else "bottlenecks, which are layers of their own",
            fix="use the run's model as it was saved (base and adapter), or tune with --strategy lora",
            code="not-mergeable",
        )
    if hasattr(model.backbone, "merge_and_unload"):
        with quiet():
            model.backbone = model.backbone.merge_and_unload()
    return model
