"""What tasks give beside rows: solved heads, what is known of rows not yet encoded, and answers that are neither labels nor numbers, as
the report shows them: rows in words, right or not, with what to point out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Mark:
    """A stretch of an input cell that the report points out: `end` is the character behind its last."""

    column: str
    start: int
    end: int
    of: Literal["truth", "answer"]
    label: str = ""


@dataclass(frozen=True)
class Pieces:
    """M parts of answers (the entities of texts), each judged apart: how sure, before calibration, whether right, and of which row."""

    sure_M: np.ndarray
    plain_M: np.ndarray
    right_M: np.ndarray
    row_M: np.ndarray
    what: str
    """In words: `each found span`."""


@dataclass(frozen=True)
class Graded:
    """Rows as a reader of the report sees them, for answers that are neither labels nor numbers."""

    truth: Sequence[str]
    answer: Sequence[str]
    right_N: np.ndarray
    """bool: wholly right."""
    loss_N: np.ndarray
    """How wrong, for the order of the worst rows."""
    sure_N: np.ndarray
    """Calibrated probability that the answer is right; NaN where there is none."""
    plain_N: np.ndarray
    """The same before calibration."""
    marks: Sequence[Sequence[Mark]] = ()
    """What to point out in each row's inputs."""
    names: Sequence[str] = ()
    """Kinds of answers that are counted apart."""
    counts_NK3: np.ndarray | None = None
    """(N, K, 3) of each kind in each row: right, answered and true ones."""
    pieces: Pieces | None = None
    """Parts of answers, where confidences are theirs."""
    by_degree: bool = False
    """Whether rows are more or less right rather than right or wrong: then they are judged by `loss_N`."""
    degree: str = "how far off, 0 (as wanted) to 1"
    """What `loss_N` says then."""


@dataclass(frozen=True)
class Solution:
    """A linear head solved to its optimum on frozen features: logits = features @ weight.T + bias."""

    weight_CD: np.ndarray
    bias_C: np.ndarray


@dataclass(frozen=True)
class Light:
    """What is known of rows that are encoded only when a batch needs them, since encoded they would fill the memory."""

    arrays: dict[str, np.ndarray]
    """What examples hold besides their inputs (targets, weights): name -> (N, ...)."""
    lengths_N: np.ndarray
    """Tokens of each row: what batches are cut by."""
    row_N: np.ndarray | None = None
    """Where a row gives several examples (tiles): the row of each, in order; `PART` of the row says which is meant."""
