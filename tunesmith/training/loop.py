"""The training loop: a generator of events. It prints nothing, calls nobody back, and reads top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

import numpy as np
import torch

from .. import memory
from ..errors import DivergedError, listing
from ..inference import Encoded, collate
from ..models import compiled
from ..task import Solution
from . import batches, blend, cache, checkpoint, device, optim, range_test, room, solve, soup, words
from .crew import Crew
from .events import Adjusted, Evaluated, Event, Finished, Saved, Started, Step
from .retold import retold
from .stages import Work, batches_from, frozen_cut, gradient_of, how_read, steps_in, this_epoch, validate, with_cache
from .state import Best, State
from .step import Gradient, average, bad_rows
from .watch import Watch

if TYPE_CHECKING:
    from ..spec import Train

T = TypeVar("T")

SHEETS = "samples"
"""Folder of a run with what was made at each validation."""
MOST_SHEETS = 48
"""Four times what the report shows; above, one of those that are close together goes."""
UNTUNED = "untuned"
"""Stage of the weights of a model that could do the task before its first step."""
SAVE_SECONDS = 60.0
"""Time between checkpoints where the plan names no number of steps; when it is written changes no bit of what is learned."""


@final
@dataclass
class Clock:
    """When the last checkpoint was written, and how long one takes."""

    saved: float
    cost: float = 0.0

    def due(self, settings: Train, step: int) -> bool:
        """Whether to save now: every so many steps, or every minute but never more than a twentieth of the time."""
        if settings.save_every != "auto":
            return step % int(settings.save_every) == 0
        return time.monotonic() - self.saved > max(SAVE_SECONDS, 20 * self.cost)


def train(state: State, folder: Path) -> Iterator[Event]:
    """Train from where `state` stands to the end, to the budget, or to `state.stop_asked`; checkpoints go to `folder`.

    Raises DivergedError, with the rows, within the step that first gave a number that is not finite; ResourceError where one of
    several processes is gone.
    """
    try:
        yield from _train(state, folder)
    finally:
        if state.crew is not None:
            state.crew.dismiss()
            state.crew = None


def _train(state: State, folder: Path) -> Iterator[Event]:
    work = Work.of(state)
    memory.give_back()
    total = sum(steps_in(state, work, stage)[0] for stage in state.stages)
    learning = sum(p.numel() for n, p in state.model.named_parameters() if n in state.carried)
    yield Started(str(folder.parent), state.total, total, tuple(s.name for s in state.stages), learning)
    if state.padded:
        yield Adjusted(state.total, "rows are padded", f"`train.packing` does not suit this model: {state.padded}")
    if state.smaller:
        yield room.after_kill(state, work, folder)
    work = yield from retold(state, work)
    if state.ready.translators and state.stop_asked:
        yield _finished(state, "stopped")  # no step was taken: there is nothing to save
        return
    while state.stage < len(state.stages) and not state.done:
        if state.optimizer is None:
            state.enter_stage()
        yield from _solve(state, work, folder) if state.current.solve else _descend(state, work, folder)
        if state.stop_asked:
            yield _save(state, folder, None)
            yield _finished(state, "stopped")
            return
        state.leave_stage()
    if state.done in ("", "budget") and state.best and state.best.stage not in ("blend", "average"):
        yield from blend.blend(state, work, folder, metric(state))
        yield from soup.average_tops(state, work, folder, metric(state))
    state.done = state.done or "complete"
    yield _save(state, folder, None)
    yield _finished(state, state.done)


def _solve(state: State, work: Work, folder: Path) -> Iterator[Event]:
    """Solve the head on frozen features and score it."""
    known, notes = with_cache(state, work, epochs=math.inf)
    yield from notes
    train, validation = ((_with_features(state, rows.encoded, work.pad), rows.truth) for rows in (known.train, known.validation))
    task = state.ready.task
    tried = solve.path(task, train, validation, metric(state), apart=solve.apart(state.ready.data.splits))
    chosen = solve.choose(task, tried, metric(state))
    if chosen is None:
        yield Adjusted(state.total, "head not solved", "this task's head has no optimum to solve for; it starts at random")
        return
    best, start = chosen
    state.probe = best.solution
    _set_head(state, best.solution)
    yield Adjusted(state.total, "head solved", f"L2 strength {best.strength:g} is best on rows that it did not learn from")
    yield from _evaluate(state, known, folder, 0.0)
    _set_head(state, start.solution)
    if start is not best and state.stage + 1 < len(state.stages):
        yield Adjusted(state.total, "tuning starts from smaller head weights", f"L2 strength {start.strength:g}")


def _set_head(state: State, solution: Solution) -> None:
    state.model.set_head(torch.from_numpy(solution.weight_CD), torch.from_numpy(solution.bias_C))


def _with_features(state: State, encoded: Encoded, pad: int) -> Encoded:
    """The rows with what the head reads, from the cache where it is on."""
    cut = frozen_cut(state, state.current)
    assert cut is not None and cut.layer is None
    if cut.array in encoded.arrays:
        return encoded
    return cache.compute(state.ready.task, state.model, encoded, cut, how_read(state, pad))


def _descend(state: State, work: Work, folder: Path) -> Iterator[Event]:
    """A stage of optimiser steps."""
    total, per_epoch = steps_in(state, work, state.current)
    yield from words.part(state, work)
    work, notes = with_cache(state, work, total / per_epoch)
    yield from notes
    settings, clock, watch = state.ready.plan.spec.train, Clock(time.monotonic()), Watch()
    every = max(1, int(per_epoch / float(settings.evaluations)))
    if int(settings.processes) > 1 and state.crew is None:
        state.crew = Crew.gather(folder.parent, int(settings.processes), int(settings.threads), state.accelerator.device.type)
    if settings.range_test and state.step == 0:
        yield range_test.find_rate(state, work, per_epoch)
    if state.ready.task.did and state.best is None:
        yield from _evaluate(state, work, folder, 0.0, UNTUNED)  # what tuning makes worse is not kept
    for positions in batches_from(state, work, per_epoch, total):
        if settings.patience is not None and state.without_gain >= int(settings.patience):
            yield Adjusted(state.total, "stage ended early", f"{state.without_gain} validations without gain")
            return
        yield from _step(state, work, positions, total, per_epoch)
        yield from watch.step(state, work, positions, total)
        over = _over_budget(state)
        if state.step == total or over or (state.step % every == 0 and total - state.step > every // 2):
            yield from _evaluate(state, work, folder, state.step / per_epoch)
        if clock.due(settings, state.total):
            yield _save(state, folder, clock)
        if over:
            state.done = "budget"
        if state.done or state.stop_asked:
            return


def _step(state: State, work: Work, positions: np.ndarray, total: int, per_epoch: int) -> Iterator[Event]:
    """One optimiser step, tried again with smaller micro-batches when memory runs out."""
    settings = state.ready.plan.spec.train
    factor = optim.factor(settings.schedule, state.step, total, settings.warmup)
    assert state.optimizer is not None
    optim.set_rate(state.optimizer, state.peak_rate, factor)
    state.model.train()
    found = yield from _fitting(state, work, lambda: gradient_of(state, work, positions))
    if not found.finite:
        raise _diverged(state, work, positions, found)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step, state.total = state.step + 1, state.total + 1
    if float(settings.ema):
        # Few steps are averaged over fewer: what the weights were before the first ones would else be remembered for long.
        rising = (1 + state.step) / (10 + state.step)
        average(state.ema, state.model, min(float(settings.ema), rising), state.current.rates)
    yield Step(
        state.total,
        state.current.name,
        state.step / per_epoch,
        found.loss,
        state.peak_rate * factor,
        found.norm,
        len(positions),
        found.tokens,
        state.seconds,
    )


def _fitting(state: State, work: Work, passes: Callable[[], T]) -> Generator[Event, None, T]:
    """What these passes give, tried again with less at a time while memory runs out, and as they are where layers do not compile."""
    while True:
        try:
            return passes()
        except (RuntimeError, MemoryError) as error:
            full, why = device.out_of_memory(error), error
            if not (room.can_shrink(state) if full else compiled.failed(error)):
                raise
        if state.optimizer is not None:
            state.optimizer.zero_grad()
        yield room.smaller(state, work) if full else _uncompiled(state, why)


def _uncompiled(state: State, error: Exception) -> Adjusted:
    """Go on with the layers as they are. Raises SpecError where they were to be compiled and no step has been taken."""
    refused = compiled.refusal(error)
    if state.total == 0 and state.ready.asked.train.compile == "on":
        raise refused from error
    state.model.compiled = None
    return Adjusted(state.total, "layers are not compiled", refused.got)


def _validated(state: State, work: Work) -> tuple[dict[str, float], float, bytes]:
    with _averaged(state):
        return validate(state, work)


def _evaluate(state: State, work: Work, folder: Path, epoch: float, stage: str = "") -> Iterator[Event]:
    """Score the validation rows; keep the weights if they are to be taken. `stage`: what they are of, if not of the current one."""
    memory.trim()
    scores, noise, sheet = yield from _fitting(state, work, lambda: _validated(state, work))
    value = scores[metric(state)]
    better = 1 if state.ready.task.directions[metric(state)] else -1
    gain = math.isfinite(value) and (state.best is None or better * value > better * state.best.peak)
    state.without_gain = 0 if gain else state.without_gain + 1
    peak = value if gain or state.best is None else state.best.peak
    here = Best(value, state.total, stage or state.current.name, scores, peak)
    take = gain or taken(state.best, here, better, noise)
    if take:
        state.best = here
    if state.current.solve:
        state.anchor = here
    state.tops = _tops(state, here, better)
    if take or here in state.tops:
        yield Saved(state.total, str(state.save_weights(folder, here)))
        yield _save(state, folder, None)
    if sheet:
        keep_sheet(folder.parent / SHEETS, f"{state.total:08d}-{here.stage.replace(' ', '-')}", sheet)
    memory.trim()
    yield Evaluated(state.total, here.stage, epoch, scores, take, state.seconds)


def keep_sheet(place: Path, name: str, sheet: bytes) -> None:
    """The first and the last always stay, and of the others those that are spread most evenly over the steps."""
    place.mkdir(exist_ok=True)
    checkpoint.write_bytes(place / f"{name}{'.wav' if sheet.startswith(b'RIFF') else '.png'}", sheet)
    kept = sorted(path for path in place.iterdir() if path.suffix in (".wav", ".png"))
    if len(kept) > MOST_SHEETS:
        steps = [int(path.name.split("-")[0]) for path in kept]
        kept[min(range(1, len(kept) - 1), key=lambda i: steps[i + 1] - steps[i - 1])].unlink()


def taken(best: Best | None, here: Best, better: int, noise: float) -> bool:
    """Whether weights without a new peak replace the best: later ones of the same stage, within half a standard error of the peak.

    Differences that small are chance, and the later weights have seen more of the falling rate. Another stage's weights (a solved
    head's) are replaced by better ones only.
    """
    return (
        best is not None
        and math.isfinite(here.value)
        and here.stage == best.stage
        and better * here.value >= better * best.peak - 0.5 * noise
    )


def _tops(state: State, here: Best, better: int) -> tuple[Best, ...]:
    count = state.ready.plan.spec.train.average
    if count == 1 or here.stage == UNTUNED or not math.isfinite(here.value) or state.current.solve:
        return state.tops
    return tuple(sorted([*state.tops, here], key=lambda top: -better * top.value)[:count])


class _averaged:
    """The moving averages in place of the weights, while they are scored."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        named = dict(self.state.model.named_parameters())
        for name, kept in self.state.ema.items():
            here = named[name].detach().clone()
            named[name].data.copy_(kept)
            kept.copy_(here)


def metric(state: State) -> str:
    """Name of the score that decides."""
    return state.ready.task.chooses(str(state.ready.plan.spec.evaluate.metric))


def _save(state: State, folder: Path, clock: Clock | None) -> Saved:
    start = time.monotonic()
    path = state.save(folder)
    if clock:
        clock.saved, clock.cost = time.monotonic(), time.monotonic() - start
    return Saved(state.total, str(path))


def _over_budget(state: State) -> bool:
    budget = state.ready.plan.budget_seconds
    return budget is not None and state.seconds > budget


def _finished(state: State, reason: str) -> Finished:
    best = state.best
    return Finished(
        state.total,
        reason,
        best.step if best else 0,
        best.stage if best else "",
        best.scores if best else {},
        state.seconds,
    )


def _diverged(state: State, work: Work, positions: np.ndarray, found: Gradient) -> DivergedError:
    encoded, task, train = this_epoch(state, work), state.ready.task, state.ready.data.train
    parts = batches.micro_batches(positions, encoded.lengths_N, state.micro_tokens)
    bad: list[int] = []
    for index in found.bad or range(len(parts)):
        batch = collate(task, encoded, parts[index], work.pad, state.accelerator.device)
        bad += [int(parts[index][row]) for row in bad_rows(task, state.model, batch)]
    rows = [train.place(int(encoded.row_N[p])) for p in (bad or positions)]
    what = "loss" if found.bad else "gradient"
    cause = "these rows alone give it" if bad else "no row alone gives it: the rate is too high, or a weight overflowed"
    return DivergedError(
        f"step {state.total + 1}",
        expected=f"a finite {what}",
        got=f"{found.loss if found.bad else found.norm} on {listing(rows, 8)}",
        fix=f"{cause}; look at them, or set a smaller --lr; the last checkpoint is sound",
        code="not-finite",
    )
