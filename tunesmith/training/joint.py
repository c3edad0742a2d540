"""Losses that depend on a whole batch, cut into passes exactly: gradient caching (GradCache, arXiv 2101.06983).

First the rows' vectors are computed pass by pass without keeping activations; the loss of all of them together gives each vector's
gradient; then each pass runs again with the same dropout, and is pulled by those. The sum is the gradient of the uncut batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..task import Batch, Task
from . import device

if TYPE_CHECKING:
    from accelerate import Accelerator

PULL, OWN = "pull", "own_loss"
INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


def settled(
    task: Task, model: nn.Module, batches: Sequence[Batch], accelerator: Accelerator, seeds: tuple[int, ...]
) -> Sequence[Batch]:
    """The batches with `pull` (B, K, D), the gradient of the joint loss by each row's vectors, and `own_loss` (B,), where the task's loss
    is joint and there are several. Seeds: those of the passes to come."""
    if not task.joint or len(batches) < 2:
        return batches
    vectors = []
    for index, batch in enumerate(batches):
        device.seed(*seeds, index)
        with torch.no_grad(), device.computing(accelerator, model):
            vectors.append(task.represent(model, batch).float())
    whole_BKD = torch.cat(vectors).requires_grad_()
    loss_B = task.joint_loss(whole_BKD, merged(batches))
    (pull_BKD,) = torch.autograd.grad(loss_B.sum(), whole_BKD)
    sizes = [len(part) for part in vectors]
    parts = zip(batches, pull_BKD.split(sizes), loss_B.detach().split(sizes), strict=True)
    return [batch | {PULL: pull, OWN: loss} for batch, pull, loss in parts]


def merged(batches: Sequence[Batch]) -> Batch:
    """All that these batches hold beside the model's inputs, as one: narrower ones are filled with zeros."""
    names = [name for name in batches[0] if name not in INPUTS]
    return {name: torch.cat(_wide([batch[name] for batch in batches])) for name in names}


def _wide(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    if parts[0].ndim < 2:
        return list(parts)
    axes = range(parts[0].ndim - 1, 0, -1)
    widest = {axis: max(part.shape[axis] for part in parts) for axis in axes}
    return [nn.functional.pad(part, [n for axis in axes for n in (0, widest[axis] - part.shape[axis])]) for part in parts]
