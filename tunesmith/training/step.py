"""One optimiser step: the gradient of the nominal batch, however it is cut.

Each micro-batch gives a SUM of weighted losses; all are divided by the whole batch's weight, so that cutting changes rounding only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..spec import Train
from ..task import Batch, Task
from . import device, joint

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Gradient:
    """What a backward pass over a nominal batch said."""

    loss: float
    norm: float
    tokens: int
    bad: tuple[int, ...] = ()
    """Indices of micro-batches whose loss was not finite."""

    @property
    def finite(self) -> bool:
        """Whether it may be used."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


@dataclass(frozen=True)
class Sums:
    """What backward passes over micro-batches added up to; the gradients themselves are in the parameters."""

    loss: float = 0.0
    weight: float = 0.0
    tokens: int = 0
    bad: tuple[int, ...] = ()


def gradient(
    task: Task,
    model: nn.Module,
    batches: Sequence[Batch],
    settings: Train,
    accelerator: Accelerator,
    seeds: tuple[int, ...],
) -> Gradient:
    """Accumulate the gradient of these micro-batches as one batch. Seeds: (seed, stage, step)."""
    whole = sum(task.weight(batch) for batch in batches) or 1.0  # no row counts: the gradient is nothing
    batches = joint.settled(task, model, batches, accelerator, seeds)
    sums = accumulate(task, model, batches, settings, accelerator, seeds, whole)
    return Gradient(sums.loss, math.nan if sums.bad else finish(model, settings), sums.tokens, sums.bad)


def accumulate(
    task: Task,
    model: nn.Module,
    batches: Sequence[Batch],
    settings: Train,
    accelerator: Accelerator,
    seeds: tuple[int, ...],
    whole: float,
    first: int = 0,
) -> Sums:
    """Backward passes over these micro-batches, each loss divided by `whole`.

    `first`: the number of the first one, so that the dropout of one process's micro-batches is not another's. Losses are looked at
    once, at the end: looking at one makes a GPU's work wait.
    """
    losses, tokens = [], []
    weight = float(sum(task.weight(batch) for batch in batches))
    twice = settings.gradient_checkpointing == "on"
    for index, batch in enumerate(batches):
        device.seed(*seeds, first + index)
        with device.computing(accelerator, model, twice=twice):
            loss = _loss(task, model, batch, settings) / whole
        losses.append(loss.detach())
        mask = batch.get("attention_mask")
        tokens.append(loss.new_tensor(len(next(iter(batch.values())))) if mask is None else mask.sum())
        accelerator.backward(loss)
    values = [float(value) for value in torch.stack(losses).tolist()] if losses else []
    return Sums(sum(values), weight, int(sum(tokens)), tuple(i for i, value in enumerate(values) if not math.isfinite(value)))


def bad_rows(task: Task, model: nn.Module, batch: Batch) -> list[int]:
    """Rows of a batch whose own loss is not finite (each computed alone, without dropout)."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        rows = [{k: v[i : i + 1] for k, v in batch.items()} for i in range(len(next(iter(batch.values()))))]
        found = [i for i, row in enumerate(rows) if not torch.isfinite(task.loss(model, row)).all()]
    model.train(was_training)
    return found


def _loss(task: Task, model: nn.Module, batch: Batch, settings: Train) -> torch.Tensor:
    loss = task.loss(model, batch)
    if settings.r_drop:
        loss = 0.5 * (loss + task.loss(model, batch)) + settings.r_drop * _disagreement(task, model, batch)
    return loss


def _disagreement(task: Task, model: nn.Module, batch: Batch) -> torch.Tensor:
    """Symmetric KL (or squared distance) between two dropout draws, summed over rows (arXiv 2106.14448, eq. 3)."""
    first, second = (_together(next(iter(task.outputs(model, batch).values()))) for _ in range(2))
    if first.ndim == 1 or first.shape[-1] == 1:
        return ((first - second) ** 2).sum()
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    return 0.5 * ((p.exp() - q.exp()) * (p - q)).sum()


def _together(value: Any) -> torch.Tensor:
    """Outputs of rows of unlike length end to end: every token is compared with itself."""
    return torch.cat(value) if isinstance(value, list) else value


def finish(model: nn.Module, settings: Train) -> float:
    """L1 and clipping, once the gradient is whole; returns its norm before clipping."""
    parameters = [p for p in model.parameters() if p.requires_grad and p.grad is not None]
    if settings.l1:
        for parameter in parameters:
            parameter.grad.add_(parameter.detach().sign(), alpha=settings.l1)  # type: ignore[union-attr]
    if not parameters:
        return 0.0
    norm = nn.utils.get_total_norm([p.grad for p in parameters])  # type: ignore[misc]
    value, limit = float(norm), settings.clip or math.inf
    if limit < value < math.inf:  # else nothing would change, and every number be read and written for it
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return value


def average(kept: dict[str, Any], model: nn.Module, decay: float, names: Iterable[str]) -> None:
    """Move the exponential moving average towards the model, in place."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            kept.setdefault(name, parameters[name].detach().clone()).lerp_(parameters[name].detach(), 1 - decay)
