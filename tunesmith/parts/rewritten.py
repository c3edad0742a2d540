"""What was made of texts (translations, summaries): outputs of each row, its numbers, its answers, as the report sees it.

Axes: N rows of a set, M of them for which something was written, B rows of a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Batch, Graded, Outputs, Truth
from . import writing
from .rewriting import BEAMS, ROOM, Reply, Rewriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..inference import Encoded


def before(encoded: Encoded, task: Rewriter) -> Encoded:
    """What is written: of all rows for a verdict; while training, of the first few where a score of written texts chooses."""
    if task.purpose == "answering" or not len(encoded):
        return encoded
    row_N = np.asarray(encoded.row_N)
    last_N = np.append(row_N[1:] != row_N[:-1], True)
    if task.purpose == "judging":
        return encoded.with_arrays(asked=last_N.astype(np.int64))
    few_N = (row_N < task.validation_rows) & (task.choose_by != "bits_per_byte")
    return encoded.with_arrays(asked=(last_N & few_N).astype(np.int64))


def outputs(model: Any, batch: Batch, task: Rewriter) -> dict[str, Any]:
    """Of each row: `nll` (nats of the target), `tokens`, `bytes`, and where it was asked `reply` and `stopped`."""
    if task.kind == "language":
        purpose = task.purpose if task.purpose == "answering" else "judging" if bool(batch["asked"].any()) else "training"
        reply: Any = Reply(task.new_kept, purpose)
        return writing.outputs(model, batch, reply, ends=task.ends)
    rows = len(batch["input_ids"])
    nll_B = model(batch).sum(1) if task.purpose != "answering" else batch["bytes"].new_zeros(rows)
    replies, stopped = [""] * rows, [0] * rows
    places_B = batch["asked"].nonzero()[:, 0]
    if len(places_B):
        written = model.write(batch["input_ids"][places_B], batch["attention_mask"][places_B], search(task))
        for place, one in zip(places_B.tolist(), written, strict=True):
            replies[place] = model.tokenizer.decode(list(one.ids), skip_special_tokens=True).strip()
            stopped[place] = int(one.stopped)
    return {
        "nll": nll_B.double(), "tokens": (batch["labels"] >= 0).sum(1), "bytes": batch["bytes"], "asked": batch["asked"],
        "reply": replies, "stopped": batch["asked"].new_tensor(stopped),
    }  # fmt: skip


def effort(task: Rewriter) -> float:
    """Tokens written of a row, those of texts that are given up included."""
    beams = 1 if task.kind == "language" else int(search(task)["beams"])
    return beams * task.new_kept / ROOM


def search(task: Rewriter) -> dict[str, Any]:
    """The fields of `models.seq2seq.Search`."""
    return {
        "most": task.new_kept, "least": min(task.min_new_tokens, task.new_kept),
        "beams": BEAMS if task.beams == "auto" else int(task.beams), "length_penalty": task.length_penalty,
        "no_repeat": task.no_repeat_ngram, "first": task.first if task.first >= 0 else None,
    }  # fmt: skip


def weight_of(batch: Batch) -> float:
    """Learned tokens."""
    return float((batch["labels"] >= 0).sum()) if "labels" in batch else writing.weight_of(batch)


def guessed(replies: Sequence[str]) -> Outputs:
    """What a simple model wrote, in the form of outputs."""
    none_N, one_N = np.zeros(len(replies), np.int64), np.ones(len(replies), np.int64)
    said_N = writing.texts(replies)
    return {"nll": none_N.astype(float), "tokens": none_N, "bytes": none_N, "asked": one_N, "reply": said_N, "stopped": one_N}


# -- scores ------------------------------------------------------------------------------------------------------------


def counted(found: Outputs) -> Outputs:
    """Numbers of each row, the text left as it is."""
    return {
        name: value if name == "reply" else np.asarray(value, np.float64).reshape(len(value), -1)[:, 0] for name, value in found.items()
    }


def asked_rows(found: Outputs, truth: Truth) -> tuple[np.ndarray, list[str], list[list[str]]]:
    """(M,) rows for which something was written, what, and their targets."""
    rows_M = np.flatnonzero(np.asarray(found["asked"]).reshape(-1) > 0)
    return rows_M, [str(found["reply"][row]) for row in rows_M], [list(truth[row]) or [""] for row in rows_M]


def likelihoods(found: Outputs) -> dict[str, float]:
    """Of the targets: bits per byte and perplexity per token; and how often the model stopped by itself."""
    nll, tokens_, size, asked = (float(np.sum(found[name], dtype=np.float64)) for name in ("nll", "tokens", "bytes", "asked"))
    return {
        "stops": float((found["stopped"] * found["asked"]).sum()) / asked if asked else math.nan,
        "bits_per_byte": nll / writing.LOG2 / size if size else math.nan,
        "perplexity": math.exp(min(nll / tokens_, 700.0)) if tokens_ else math.nan,
    }


def answers(found: Outputs) -> list[dict[str, Any]]:
    """`text` and `stopped` of what was written; `bits_per_byte` of targets that were there."""
    return [{key: value for key, value in one.items() if key != "tokens"} for one in writing.answers(found)]


def grade(found: Outputs, truth: Truth, quality_N: np.ndarray) -> Graded:
    """Rows for the report, the least alike first. `quality_N`: how good each is, 0 to 1."""
    said = [str(text) if asked else "(not asked)" for text, asked in zip(found["reply"], np.asarray(found["asked"]).reshape(-1))]
    right_N = np.array([text.strip() in {ref.strip() for ref in refs} for text, refs in zip(said, truth)], bool)
    none_N = np.full(len(said), np.nan)
    return Graded([" | ".join(refs) for refs in truth], said, right_N, 1 - quality_N, none_N, none_N, by_degree=True)


def references(truth: Truth) -> int:
    """How many targets each row has; 0 where they have unlike numbers of them."""
    found = {len(refs) for refs in truth}
    return next(iter(found)) if len(found) == 1 else 0
