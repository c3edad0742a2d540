"""What a stage trains on: rows, their cached activations, and where the frozen part ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ResourceError
from ..inference import Encoded, collate, infer, pad_id
from ..models.prefix import cut as cut_model
from ..strategy import Outline, Stage
from ..task import Outputs, Truth
from . import batches, cache, device
from . import views as view
from .events import Adjusted
from .kept import encoded as encode
from .kept import outputs as kept_outputs
from .step import Gradient, gradient

if TYPE_CHECKING:
    from ..data.table import Table
    from .state import State


@final
@dataclass(frozen=True)
class Rows:
    """Encoded rows with their targets, as scoring wants them."""

    encoded: Encoded
    truth: Truth


@final
@dataclass(frozen=True)
class Work:
    """Everything a run trains and validates on."""

    train: Rows
    validation: Rows
    pad: int
    cached: bool = False
    """Whether the rows are activations of what lies below the weights that learn."""

    @classmethod
    def of(cls, state: State) -> Work:
        """Encode the training and the validation rows, once; where texts are changed in each epoch, the training rows anew then."""
        data, task = state.ready.data, state.ready.task
        make = lambda table: Rows(encode(task, state.processor, table), task.truth(table))  # noqa: E731
        train = make(data.train)
        learned = _mined(state, task.learned(train.encoded))
        changing = Rows(learned.changing(task, state.processor, data.train), train.truth)
        return cls(changing, make(data.validation), pad_id(state.processor))

    def beside(self, rows: Table) -> Work:
        """The same work, whose training rows are encoded anew from these: the same ones, with more columns."""
        later = self.train.encoded.later
        assert later is not None, "rows that change are encoded late"
        return replace(self, train=Rows(replace(self.train.encoded, later=replace(later, rows=rows)), self.train.truth))

    def map(self, function: Any) -> Work:
        """The same rows as cached activations."""
        return Work(
            Rows(function(self.train.encoded), self.train.truth),
            Rows(function(self.validation.encoded), self.validation.truth),
            self.pad,
            cached=True,
        )


def _mined(state: State, encoded: Encoded) -> Encoded:
    """The training rows with what the untuned model finds among them: the same after resuming, whatever the weights are by then."""
    task = state.ready.task
    if not task.mines:
        return encoded
    ready, settings = state.ready, state.ready.plan.spec.train
    known = f"{ready.source.digest} {ready.plan.spec.strategy} {ready.strategy} {settings.seed} {settings.precision}"

    def say() -> Outputs:
        model = state.model if state.total == 0 else type(state).start(ready).model
        return infer(task, model, encoded, pad=pad_id(state.processor), micro_tokens=state.micro_tokens)

    return task.mine(encoded, kept_outputs(task, state.processor, ready.data.train, known, say))  # type: ignore[attr-defined]


def frozen_cut(state: State, stage: Stage) -> cache.Cut | None:
    """The highest place below which nothing learns in this stage, if the model can be cut there."""
    if not getattr(state.model, "cuttable", True):
        return None
    lowest = lowest_depth(state.outline, stage)
    frozen = tuple(name for name, depth in state.outline.depths.items() if depth < lowest)
    if lowest >= state.outline.layers + 2:
        return cache.Cut(None, state.model.features, frozen, state.model.per_token)
    if lowest < 2 or getattr(state.model, "whole_only", False):
        return None
    found = cut_model(state.model, min(lowest - 1, state.outline.layers))
    state.model.cut = found
    if found is None:
        return None
    return cache.Cut(
        found.layer, found.below, tuple(name for name in frozen if state.outline.depths[name] <= found.layer)
    )


def lowest_depth(outline: Outline, stage: Stage) -> int:
    """Depth of the lowest weight that learns."""
    return min((outline.depths[name] for name in stage.rates), default=outline.layers + 2)


def with_cache(state: State, work: Work, epochs: float) -> tuple[Work, list[Adjusted]]:
    """The stage's rows with cached activations where that saves time; what was decided, and why."""
    setting = state.ready.plan.spec.train.cache
    cut = None if setting == "off" else frozen_cut(state, state.current)
    if cut is None:
        return work, []
    need = cache.bytes_needed(work.train.encoded, cut, _width(state, cut))
    if work.train.encoded.augmented and not state.current.solve:
        return _with_views(state, work, cut, epochs, need)
    if setting == "auto" and cut.layer is not None and epochs <= 1:
        return work, [_note(state, "no activation cache", f"one epoch reads each activation {cut.where} once")]
    if not cache.fits(need):
        return work, [
            _note(
                state,
                "no activation cache",
                f"it would take {need / 2**20:,.0f} MiB {cut.where}: over the limit or half the free disk",
            )
        ]
    attach = lambda encoded: cache.attach(state.ready.task, state.model, encoded, cut, how_read(state, work.pad))  # noqa: E731
    why = f"activations {cut.where} do not change: computed once ({need / 2**20:,.0f} MiB), dropout off below"
    try:
        return work.map(attach), [_note(state, "activation cache", why)]
    except ResourceError as error:
        return work, [_note(state, "no activation cache", f"it could not be written: {error.got}; training goes on without")]


def _with_views(state: State, work: Work, cut: cache.Cut, epochs: float, need: int) -> tuple[Work, list[Adjusted]]:
    """The stage's rows with the activations of some of their views."""
    views, why = view.count(state, work.train.encoded, epochs, need)
    if not views:
        return work, [_note(state, "no activation cache", why)]
    try:
        how = how_read(state, work.pad)
        train = view.attached(state, work.train.encoded, cut, views, how)
        rows = cache.attach(state.ready.task, state.model, work.validation.encoded, cut, how)
    except ResourceError as error:
        return work, [_note(state, "no activation cache", f"it could not be written: {error.got}; training goes on without")]
    made = Work(Rows(train, work.train.truth), Rows(rows, work.validation.truth), work.pad, cached=True)
    return made, [_note(state, "activation cache", f"activations {cut.where} do not change: {why}; dropout off below")]


def how_read(state: State, pad: int) -> cache.How:
    """How frozen layers read rows that are learnt from, or chosen by: as they would in each step, without a cache."""
    return cache.How(pad, state.micro_tokens, device.autocast(state.ready.plan.spec.train))


def _width(state: State, cut: cache.Cut) -> int:
    """Numbers of a cached vector: what the head reads may be several side by side."""
    return int(state.model.head.in_features) if cut.layer is None and not cut.per_token else state.ready.source.hidden


NOISE_DRAWS = 40
"""Resamples behind the standard error of a validation score: a rough one is enough."""


def validate(state: State, work: Work) -> tuple[dict[str, float], float, bytes]:
    """Scores of the model as it stands on the validation rows, the standard error of the deciding one (by bootstrap), and a look at what
    it makes, where the task takes one."""
    task, truth = state.ready.task.watching(), work.validation.truth
    outputs = infer(
        task,
        state.model,
        work.validation.encoded,
        pad=work.pad,
        micro_tokens=state.micro_tokens,
        autocast=device.autocast(state.ready.plan.spec.train),
    )
    sheet, outputs = task.sheet(outputs), task.condense(outputs, truth)
    metric, rng, drawn = task.chooses(state.ready.plan.spec.evaluate.metric), batches.seeded(0, len(truth)), []
    for _ in range(NOISE_DRAWS):
        rows = rng.integers(0, len(truth), len(truth))
        drawn.append(task.score({name: value[rows] for name, value in outputs.items()}, truth[rows])[metric])
    scores = task.score(outputs, truth)
    return {metric: scores[metric]} | scores, float(np.nanstd(drawn)) if np.isfinite(drawn).any() else 0.0, sheet


def steps_in(state: State, work: Work, stage: Stage) -> tuple[int, int]:
    """(optimiser steps of the stage, steps of one epoch)."""
    settings = state.ready.plan.spec.train
    rows = len(_epoch_rows(state, work, 0))
    per_epoch = batches.steps_per_epoch(rows, int(settings.batch))
    return (0 if stage.solve else max(1, round(float(settings.epochs) * stage.share * per_epoch))), per_epoch


def batches_from(state: State, work: Work, per_epoch: int, total: int) -> Iterator[np.ndarray]:
    """Nominal batches from the state's position to the stage's end."""
    settings = state.ready.plan.spec.train
    step = state.step
    while step < total:
        epoch, skip = divmod(step, per_epoch)
        positions = _epoch_rows(state, work, epoch)
        made = batches.nominal_batches(
            positions, work.train.encoded.lengths_N, int(settings.batch), settings.seed, epoch + 1000 * state.stage
        )
        for batch in made[skip : skip + total - step]:
            yield batch
            step += 1


def _epoch_rows(state: State, work: Work, epoch: int) -> np.ndarray:
    settings, truth, encoded = state.ready.plan.spec.train, work.train.truth, work.train.encoded
    drawn = state.ready.task.drawn(encoded)
    if drawn is not None:
        return batches.drawn_rows(*drawn, settings.seed, epoch)
    classes = truth[encoded.row_N] if truth.ndim == 1 and np.issubdtype(truth.dtype, np.integer) else None
    return batches.epoch_rows(classes, len(encoded), settings.balance, settings.seed, epoch)


def gradient_of(state: State, work: Work, positions: np.ndarray) -> Gradient:
    """The gradient of one nominal batch."""
    if state.crew is not None:
        return state.crew.gradient(state, work, positions)
    encoded, task = this_epoch(state, work), state.ready.task
    parts = batches.micro_batches(positions, encoded.lengths_N, state.micro_tokens)
    made = [collate(task, encoded, part, work.pad, state.accelerator.device) for part in parts]
    settings = state.settings
    return gradient(task, state.model, made, settings, state.accelerator, (settings.seed, state.stage, state.step))


def this_epoch(state: State, work: Work) -> Encoded:
    """The training rows as the epoch of the state's position sees them."""
    encoded, settings = work.train.encoded, state.ready.plan.spec.train
    if not encoded.augmented and not encoded.views:
        return encoded
    per_epoch = batches.steps_per_epoch(len(_epoch_rows(state, work, 0)), int(settings.batch))
    return encoded.at(settings.seed, state.step // per_epoch + 1000 * state.stage)


def _note(state: State, what: str, why: str) -> Adjusted:
    return Adjusted(state.total, what, why)
