"""What the rules behind `auto` rest on: the rows, the model and this machine, measured in some seconds before anything is decided."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from .data.dataset import Dataset
from .disk import write_synced
from .errors import ResourceError
from .inference import READ_TOKENS, Encoded, Ragged, encode, pad_id
from .models.source import Source, processor
from .rehearsal import DROPOUT, ROWS, Above, Manner, Rehearsal, above, rehearse, wanted
from .spec import Spec
from .spent import alone, cores
from .task import Task
from .trial import CLEARLY, PASS_TOKENS, Precision, Trial, Usual, trial

SAMPLE = 512
"""Rows tokenised to learn how long rows are."""
FEW = 5_000
"""Training rows below which batches are small."""
SMALL = 10_000_000
"""Weights up to which a CPU trains in float32 untried: it takes no time, and noise would decide."""
MUCH_SECONDS = 10.0
"""Seconds of reading all rows once, at the rate of a plain matrix product, from which a trial of bf16 is worth its own seconds."""
WINDOW = 50
"""Batches whose rows are sorted together (`training.batches.WINDOW`)."""
HEAPS = 0.6
"""Power of the number of rows with which the number of different tokens grows."""
GPU = 100.0
"""How many times faster than a CPU a GPU is taken to be where only that matters."""


@final
@dataclass(frozen=True)
class Facts:
    """What the choices rest on."""

    rows: int
    tokens: float
    """Mean tokens of a training row."""
    source: Source
    cuda: bool
    cores: int
    flops: float
    """Measured rate of a plain float32 matrix product, per second."""
    unknown: float = 0.0
    """Share of tokens that the model's vocabulary does not have."""
    longest: int = 0
    """Most tokens of a row, of those sampled."""
    encoding: float = 0.0
    """Seconds to encode a row, once; where rows are encoded late, to say what is light of it."""
    fetching: float = 0.0
    """Seconds to read a row each time that a pass wants it; 0 where rows are held as encoded."""
    changing: float = 0.0
    """The same where it is learnt from, and changed in each epoch."""
    examples: float = 1.0
    """Examples of a row: windows of long texts, tiles of large images."""
    units: float = 1.0
    """Vectors of a row from which the head answers: one, or its tagged words."""
    trial: Trial | None = None
    """What a token costs on the model at hand; None where that could not be tried."""
    written: float = 0.0
    """Tokens written of the test rows."""
    asked: tuple[int, float] = (0, 0.0)
    """Entries of a decoder's vocabulary, and the share of tokens whose likelihood among them is learnt."""
    augments: bool = False
    """Whether images change from epoch to epoch."""
    afterwards: float = 0.0
    """Tokens that are read once the weights are final: `Task.afterwards`."""
    epochs: float = 0.0
    """Epochs that the task asks for; 0: it leaves that to the rules."""
    words: float = 1.0
    """Share of the vocabulary that the training rows are thought to use: the others' vectors are not trained."""
    translating: float = 0.0
    """Seconds in which training texts are translated there and back before the first step."""
    translator: int = 0
    """Weights of the larger of the two models that do so."""
    joint: bool = False
    """Whether the loss compares rows: `Task.joint`."""
    above: Above = Above()
    """What the head of a table costs."""
    columns: int = 0
    """Columns whose worth the report tells."""
    trees: tuple[int, int] = (0, 0)
    """`Task.trees`."""
    singles: int = 0
    """Models of one target each that are trained beside the model."""
    probed: bool = True
    """`Task.probed`."""
    did: bool = False
    """Whether the model is judged before its first step, too: `Task.did`."""
    padding: float = 1.0
    """Tokens computed over tokens read, in training's batches of rows of like length."""
    filling: float = 1.0
    """The same of passes that only read, whose rows are alike the more of them there are."""
    keeping: float = 0.0
    """Seconds a byte that is written down, with its hash."""

    @property
    def headed(self) -> float:
        """Operations of a token with a decoder's map to the vocabulary over those of its layers alone."""
        entries, share = self.asked
        return 1 + self.source.hidden * entries * share / max(1, self.trial.body if self.trial else self.source.parameters)


def measure(spec: Spec, task: Task, source: Source, data: Dataset, steps: bool = True) -> Facts:
    """Row lengths from a sample, and what this machine is. `steps`: whether weights will learn step by step; where rows are only read,
    bf16 is tried if there is much to read."""
    reader, rows = processor(source), min(SAMPLE, len(data.train))
    # From all over: the first rows of a file may be its shortest.
    few, made = data.train.take(np.linspace(0, len(data.train) - 1, rows).round().astype(int)), list[Encoded]()
    encoding = alone(lambda: made.append(encode(task, reader, few))) / rows
    encoded, each = made[0], len(made[0]) / rows
    cuda = _cuda() if spec.train.device != "cpu" else False
    if spec.train.device == "cuda" and not cuda:
        raise ResourceError(
            "train.device", expected="a CUDA device", got="none", fix="leave --set train.device out", code="no-cuda"
        )
    threads, flops = cores() if spec.train.threads == "auto" else int(spec.train.threads), matrix_rate()
    length = float(encoded.lengths_N.mean())
    much = 2 * source.parameters * length * len(data.train) > MUCH_SECONDS * flops
    several = task.lengths(encoded)
    texts_NK = encoded.lengths_N[:, None] if several is None else several
    usual = _usual(spec, task, len(data.train), texts_NK, threads)
    tried = trial(source, usual, flops, threads, _precision(spec, source, steps or much, cuda))
    half = spec.train.precision == "bf16" or (tried is not None and tried.bf16 >= CLEARLY)
    late = Rehearsal(0.0, 0.0, None)
    if wanted(task, source, encoded):
        manner = Manner(_dropout(spec, task), half, ROWS if encoded.later else usual.passing(round(length)))
        late = rehearse(task.rehearsed(), source, encoded, reader, threads, manner)
    tried = replace(late.trial, bf16=tried.bf16 if tried else 0.0) if late.trial else tried
    wish = task.suggested().get("train.epochs")
    return Facts(
        len(data.train), float(encoded.lengths_N.sum() / rows), source, cuda, cores(), flops, _unknown(encoded, reader),
        int(encoded.lengths_N.max()), encoding, late.fetching * each, late.changing * each, each,
        _units(task, encoded, len(data.train) * each) / rows, tried,
        task.effort(len(data.test)), _asked(task, source, reader, encoded), task.augments and task.modality == "image",
        task.afterwards(),
        wish.value if wish else 0.0,
        _words(encoded, reader, len(data.train) / rows), joint=task.joint,
        above=above(task, source, encoded, task.truth(few), usual, pad_id(reader), half) if task.wide else Above(),
        columns=len(task.read_as()) if task.wide else 0, trees=task.trees(), singles=len(task.singles()),
        probed=task.probed, did=task.did, keeping=writing_rate(),
        padding=padded(texts_NK, min(WINDOW, len(data.train) * each / usual.rows)),
        filling=padded(texts_NK, len(data.test) * each * length / (READ_TOKENS * threads)),
    )  # fmt: skip


def _dropout(spec: Spec, task: Task) -> float:
    asked, wish = spec.train.dropout, task.suggested().get("train.dropout")
    return float(asked) if asked != "auto" else wish.value if wish else DROPOUT


def usual_batch(rows: int) -> int:
    """Rows of a batch where nobody says otherwise: fewer where there are few, so that there are steps enough."""
    return 16 if rows < FEW else 32


def _usual(spec: Spec, task: Task, rows: int, texts_NK: np.ndarray, threads: int) -> Usual:
    """What training passes will be like."""
    wish, asked, most = task.suggested().get("train.batch"), spec.train.batch, spec.train.micro_tokens
    batch = int(asked) if asked != "auto" else wish.value if wish else usual_batch(rows)
    return Usual.of(batch, texts_NK, PASS_TOKENS * threads if most == "auto" else int(most))


def _precision(spec: Spec, source: Source, worth: bool, cuda: bool) -> Precision:
    """The one that training will have; `auto` where that has to be tried."""
    if cuda:
        return "fp32"
    if spec.train.precision == "auto":
        return "auto" if worth and source.parameters > SMALL else "fp32"
    return "bf16" if spec.train.precision == "bf16" else "fp32"


def padded(texts_NK: np.ndarray, parts: float) -> float:
    """Tokens computed over tokens read, where rows are sorted by length and stand in so many passes, each as wide as the longest row; or,
    of rows of several texts, the longest of each of them."""
    ordered_NK = texts_NK[np.argsort(texts_NK.sum(1), kind="stable")]
    passes = np.array_split(ordered_NK, int(np.clip(round(parts), 1, len(texts_NK))))
    return float(sum(len(rows) * rows.max(0).sum() for rows in passes) / max(1, texts_NK.sum()))


def _unknown(encoded: Encoded, reader: Any) -> float:
    """Share of tokens that stand for `unknown`: of a language that the model was never shown, most do."""
    ids, missing = encoded.arrays.get("input_ids"), getattr(reader, "unk_token_id", None)
    return float(np.mean(ids.values == missing)) if isinstance(ids, Ragged) and missing is not None else 0.0


def _units(task: Task, encoded: Encoded, examples: float) -> float:
    """Vectors from which the head answers: of these examples, or of their words or cells with a tag. `examples`: of all rows."""
    tags = encoded.arrays.get("tags")
    if tags is None:
        return float(len(encoded))
    found = int(((tags.values if isinstance(tags, Ragged) else tags) >= 0).sum())
    return min(found, task.solved * len(encoded) / examples) if task.solved else float(found)


def _asked(task: Task, source: Source, reader: Any, encoded: Encoded) -> tuple[int, float]:
    learn = encoded.arrays.get("learn")
    known = task.form == "language" and isinstance(learn, Ragged) and len(learn.values) > 0
    return (len(reader), float(np.mean(learn.values))) if known else (0, 0.0)  # type: ignore[union-attr]


def _words(encoded: Encoded, reader: Any, times: float) -> float:
    """Share of the vocabulary in `times` as many rows as these: new words come the more slowly the more rows are read (Heaps' law)."""
    ids = encoded.arrays.get("input_ids")
    if not isinstance(ids, Ragged) or not hasattr(reader, "__len__"):
        return 1.0
    return min(1.0, len(np.unique(ids.values)) * times**HEAPS / max(1, len(reader)))


@cache
def matrix_rate(size: int = 768, seconds: float = 0.15) -> float:
    """Floating-point operations per second of a plain float32 matrix product here, the better of a few."""
    import torch

    a, b = torch.ones(size, size), torch.ones(size, size)
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


@cache
def writing_rate(size: int = 8_000_000) -> float:
    """Seconds a byte in which a file is written down and hashed, waiting for the disk left out; 0 where no file can be written."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory() as folder:
        return min(alone(lambda: write_synced(Path(folder) / "file", [bytes(size)])) for _ in range(3)) / size
    return 0.0


def device_rate(spec: Spec) -> float:
    """Operations a second of where the model will be trained, roughly: of a GPU a hundredfold of this CPU's core."""
    return matrix_rate() * (GPU if spec.train.device != "cpu" and _cuda() else 1.0)


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
