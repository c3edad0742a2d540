"""The task's own step on some of its training rows: what an image or a sound costs to read, forward and backward, and what it keeps.

No number of weights tells what a convolution costs, nor how long a file takes to be read. The model is made from its config with weights
of no meaning: time and memory are those of the real one, none of its weights has to be read, and nothing that is learnt depends on it.
Numbers too small to be normal are taken for zero meanwhile: layers of no meaning answer many, on which a CPU takes eight times as long.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from .inference import MICRO_TOKENS, Encoded, collate, infer, pad_id
from .models.dropout import quicken
from .models.heads import set_dropout
from .models.source import Source, untrained
from .spent import alone
from .task import Batch, Task, Truth
from .trial import Trial, Usual, kept_by, learning, undisturbed, update_seconds

if TYPE_CHECKING:
    from torch import nn

LARGEST = 300_000_000
"""Weights from which a whole model is too much for a trial."""
ROWS = 8
"""Most rows that are read and computed: images and sounds gain little from being many."""
FROM = 256
"""Rows among which those of usual length are looked for."""
PASS_SECONDS = 0.5
"""Time of a pass above which fewer rows are tried."""
READ_SECONDS = 1.0
"""The same of a pass that only reads."""
DROPOUT = 0.1
"""What encoders are pretrained with, and learn with where nothing else is said."""
WORKING = 2
"""Times its largest kept part that a way back works with: the gradient behind an operation and the one before it."""


@final
@dataclass(frozen=True)
class Rehearsal:
    """What rows that are encoded late cost: seconds to read one, and where it is changed for each epoch; the model's part, where its
    architecture can be made from its config."""

    fetching: float
    changing: float
    trial: Trial | None


def rehearse(task: Task, source: Source, encoded: Encoded, processor: Any, threads: int, dropout: float = DROPOUT) -> Rehearsal:
    """Rows from all over the training rows, read as they are and as they are learnt from, and through the model."""
    import torch

    rows = _usual(encoded.lengths_N)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        fetching = _each(encoded, rows)
        changing = _each(encoded.at(0, 0), rows) if encoded.augmented else fetching
        with torch.random.fork_rng(devices=[]):
            return Rehearsal(fetching, changing, _tried(task, source, encoded, rows, pad_id(processor), dropout))
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class Above:
    """What a head that is no linear one costs, which reads a table beside the vectors of a frozen model, once these are there."""

    step: float = 0.0
    """Seconds of an optimiser step."""
    asking: float = 0.0
    """Seconds a row to be asked once and scored."""


def above(task: Task, source: Source, encoded: Encoded, truth: Truth, usual: Usual, pad: int, half: bool) -> Above:
    """Usual steps on these rows (in bf16 where `half`), and all asked once, with vectors of no meaning; nothing where the model cannot be
    made alone. Rows are cut into passes by the tokens that they stand for, as in training."""
    import torch

    if source.parameters > LARGEST:
        return Above()
    try:
        with torch.random.fork_rng(devices=[]):
            model = task.model(untrained(source, task.form), dropout=DROPOUT)
        vectors = np.random.default_rng(0).standard_normal((len(encoded), model.head.in_features)).astype(np.float32)  # type: ignore[union-attr,arg-type]
        known = encoded.cached(pooled_D=vectors)
        bare = known.without("input_ids", "token_type_ids")
        asked, _ = undisturbed(lambda: task.score(infer(task, model, bare, pad=pad), truth), laps=1)
        rows = np.arange(min(usual.rows, len(known)))
        parts = np.array_split(rows, -(-usual.rows // usual.passing(round(usual.tokens))))
        return Above(_stepped(task, model, known, parts, pad, half), asked / len(known))
    except Exception:  # an architecture that wants more than its config: the forecast does without
        return Above()


def _stepped(task: Task, model: nn.Module, known: Encoded, parts: Sequence[np.ndarray], pad: int, half: bool) -> float:
    import torch

    own = [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]
    optimizer = torch.optim.AdamW(own, fused=True)
    model.train()

    def step() -> None:
        for rows in parts:
            batch = collate(task, known, rows, pad)
            with learning(half):
                loss = task.loss(model, batch).sum()
            loss.backward()
        torch.nn.utils.get_total_norm([weight.grad for weight in own if weight.grad is not None])
        optimizer.step()
        optimizer.zero_grad()

    return undisturbed(step)[0]


def _usual(lengths_N: np.ndarray) -> np.ndarray:
    """Rows from all over; where their lengths differ, those next to the mean: rows of like length stand together in training, too."""
    most = ROWS if np.ptp(lengths_N) == 0 else FROM
    spread = np.linspace(0, len(lengths_N) - 1, min(most, len(lengths_N))).round().astype(int)
    away = np.abs(lengths_N[spread] - lengths_N.mean())
    return np.sort(spread[np.argsort(away, kind="stable")[:ROWS]])


def _each(encoded: Encoded, rows: Sequence[int]) -> float:
    """Seconds an example: the median of the rows, each read by itself after one that imports what it needs."""
    encoded.examples(rows[:1])
    return statistics.median(alone(lambda: encoded.examples([row])) for row in rows)  # noqa: B023


def _tried(task: Task, source: Source, encoded: Encoded, rows: np.ndarray, pad: int, dropout: float) -> Trial | None:
    """The costs of a token of these rows; None for a model that is too large or cannot be made alone."""
    if source.parameters > LARGEST:
        return None
    try:
        model = task.model(untrained(source, task.form), dropout=DROPOUT)
        set_dropout(model, DROPOUT)
        quicken(model)
        few = _few(task, model, collate(task, encoded, rows[:1], pad), len(rows))
        batch, tokens = collate(task, encoded, rows[:few], pad), int(encoded.lengths_N[rows[:few]].sum())
        return replace(_measured(task, model, batch, tokens, dropout), forward=_reading(task, model, encoded, pad))
    except Exception:  # an architecture that wants more than its config: the forecast does without
        return None


def _few(task: Task, model: nn.Module, one: Batch, most: int) -> int:
    """As many rows as a pass of limited time can hold, told by the second pass of one."""
    model.train()
    _step(task, model, one)
    return int(np.clip(PASS_SECONDS / max(alone(lambda: _step(task, model, one)), 1e-6), 1, most))


def _measured(task: Task, model: nn.Module, batch: Batch, tokens: int, dropout: float) -> Trial:
    """What a training step costs. Memory is that of a model with dropout, whether or not it learns with some: what that keeps more is what
    lies free without (Whisper: 2,782 of 2,845 MiB foretold so, 1,780 otherwise)."""
    kept, largest = kept_by(model, lambda: _step(task, model, batch))
    set_dropout(model, dropout)
    both, _ = undisturbed(lambda: _step(task, model, batch))
    body = sum(weight.numel() for weight in model.parameters())
    return Trial(0.0, both / tokens, (kept + WORKING * largest) / tokens, update_seconds(model), body, body)


def _reading(task: Task, model: nn.Module, encoded: Encoded, pad: int) -> float:
    """Seconds a token of a pass that only reads, of usual size where that is a matter of a second: arrays of many images are too large for
    memory to be used again, and each costs its pages."""
    import torch

    most = min(len(encoded), max(1, MICRO_TOKENS // int(encoded.lengths_N.max())))
    rows = np.linspace(0, len(encoded) - 1, most).round().astype(int)
    model.eval()
    with torch.inference_mode():
        one = collate(task, encoded, rows[:1], pad)
        rows = rows[: max(1, int(READ_SECONDS / max(undisturbed(lambda: task.outputs(model, one), laps=1)[0], 1e-6)))]
        batch = collate(task, encoded, rows, pad)
        return undisturbed(lambda: task.outputs(model, batch), laps=1)[0] / int(encoded.lengths_N[rows].sum())


def _step(task: Task, model: nn.Module, batch: Batch) -> None:
    task.loss(model, batch).sum().backward()
    model.zero_grad()
