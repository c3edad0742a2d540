"""The task's own step on some of its training rows: what an image or a sound costs to read, forward and backward, and what it keeps.

No number of weights tells what a convolution costs, nor how long a file takes to be read, nor what two stacks of layers and a head on the
whole vocabulary take for a target's token. The model is made from its config with weights
of no meaning: time and memory are those of the real one, none of its weights has to be read, and nothing that is learnt depends on it.
Numbers too small to be normal are taken for zero meanwhile: layers of no meaning answer many, on which a CPU takes eight times as long.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from .inference import MICRO_TOKENS, Encoded, collate, infer, pad_id, reading
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
MOST_SHARED = 10
"""Times a row's own part that a pass of two rows is taken for at most."""
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


def wanted(task: Task, source: Source, encoded: Encoded) -> bool:
    """Whether a few layers do not tell what a row costs: rows that are read when they are wanted, no texts, a model of two stacks."""
    return encoded.later is not None or source.modality != "text" or task.form == "seq2seq"


@final
@dataclass(frozen=True)
class Manner:
    """How the model is to learn."""

    dropout: float = DROPOUT
    half: bool = False
    """In bf16."""
    rows: int = ROWS
    """Most rows of a pass that are worth trying."""


def rehearse(task: Task, source: Source, encoded: Encoded, processor: Any, threads: int, manner: Manner = Manner()) -> Rehearsal:
    """Rows from all over the training rows, read as they are and as they are learnt from, and through the model."""
    import torch

    rows = _usual(encoded.lengths_N, manner.rows)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        fetching = _each(encoded, rows) if encoded.later else 0.0
        changing = _each(encoded.at(0, 0), rows) if encoded.augmented else fetching
        with torch.random.fork_rng(devices=[]):
            return Rehearsal(fetching, changing, _tried(task, source, encoded, rows, pad_id(processor), manner))
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


def _usual(lengths_N: np.ndarray, rows: int) -> np.ndarray:
    """Rows from all over; where their lengths differ, those next to the mean: rows of like length stand together in training, too."""
    most = rows if np.ptp(lengths_N) == 0 else FROM
    spread = np.linspace(0, len(lengths_N) - 1, min(most, len(lengths_N))).round().astype(int)
    away = np.abs(lengths_N[spread] - lengths_N.mean())
    return np.sort(spread[np.argsort(away, kind="stable")[:rows]])


def _each(encoded: Encoded, rows: Sequence[int]) -> float:
    """Seconds an example: the median of the rows, each read by itself after one that imports what it needs."""
    encoded.examples(rows[:1])
    return statistics.median(alone(lambda: encoded.examples([row])) for row in rows)  # noqa: B023


def _tried(task: Task, source: Source, encoded: Encoded, rows: np.ndarray, pad: int, manner: Manner) -> Trial | None:
    """The costs of a token of these rows; None for a model that is too large or cannot be made alone."""
    if source.parameters > LARGEST:
        return None
    try:
        model = task.model(untrained(source, task.form), dropout=DROPOUT)
        set_dropout(model, DROPOUT)
        quicken(model)
        few = _few(task, model, [collate(task, encoded, rows[:count], pad) for count in (1, 2)], len(rows))
        batch, tokens = collate(task, encoded, rows[:few], pad), int(encoded.lengths_N[rows[:few]].sum())
        found = _measured(task, model, batch, tokens, manner)
        seen = _reading(task, model, encoded, pad, True) if manner.half else 0.0
        return replace(found, forward=_reading(task, model, encoded, pad), seen=seen)
    except Exception:  # an architecture that wants more than its config: the forecast does without
        return None


def _few(task: Task, model: nn.Module, small: Sequence[Batch], most: int) -> int:
    """As many rows as a pass of limited time can hold, told by passes of one row and of two: some of their time is that of any pass."""
    model.train()
    _step(task, model, small[0])
    one, two = (alone(lambda: _step(task, model, batch)) for batch in small)  # noqa: B023
    each = max(two - one, two / MOST_SHARED, 1e-6)
    return int(np.clip(1 + (PASS_SECONDS - one) / each, 1, most))


def _measured(task: Task, model: nn.Module, batch: Batch, tokens: int, manner: Manner) -> Trial:
    """What a training step costs. Memory is that of a model with dropout, whether or not it learns with some: what that keeps more is what
    lies free without (Whisper: 2,782 of 2,845 MiB foretold so, 1,780 otherwise)."""
    kept, largest = kept_by(model, lambda: _step(task, model, batch))
    set_dropout(model, manner.dropout)
    both, _ = undisturbed(lambda: _step(task, model, batch, manner.half))
    body = sum(weight.numel() for weight in model.parameters())
    return Trial(0.0, both / tokens, (kept + WORKING * largest) / tokens, update_seconds(model), body, body)


def _reading(task: Task, model: nn.Module, encoded: Encoded, pad: int, half: bool = False) -> float:
    """Seconds a token of a pass that only reads, of usual size where that is a matter of a second: arrays of many images are too large for
    memory to be used again, and each costs its pages."""
    import torch

    most = min(len(encoded), max(1, MICRO_TOKENS // int(encoded.lengths_N.max())))
    rows = np.linspace(0, len(encoded) - 1, most).round().astype(int)
    model.eval()
    with reading(torch.autocast("cpu", torch.bfloat16) if half else None)():
        one = collate(task, encoded, rows[:1], pad)
        rows = rows[: max(1, int(READ_SECONDS / max(undisturbed(lambda: task.outputs(model, one), laps=1)[0], 1e-6)))]
        batch = collate(task, encoded, rows, pad)
        return undisturbed(lambda: task.outputs(model, batch), laps=1)[0] / int(encoded.lengths_N[rows].sum())


def _step(task: Task, model: nn.Module, batch: Batch, half: bool = False) -> None:
    with learning(half):
        loss = task.loss(model, batch).sum()
    loss.backward()
    model.zero_grad()
