"""Relations scored as SemEval-2010 task 8 does: a mean F1 of the relations, each right only in its own direction, without the label that
means none; and answers in the user's own words.

Axes: N rows, P pairs of a row, C labels, K relations (labels without their direction, and without the one that means none).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.arrays import objects
from ..task import Graded, Mark, Outputs, Pieces, Truth
from . import classes
from .relating import directed

DIRECTIONS = {"macro_f1": True, "micro_f1": True, "precision": True, "recall": True, "accuracy": True}
HIT, ANSWERED, SUPPORT = range(3)
TINY = 1e-9
UNKNOWN = "a relation unknown to the training rows"


def names(labels: Sequence[str], negative: str) -> tuple[str, ...]:
    """The K relations of these labels."""
    return tuple(dict.fromkeys(directed(label)[0] for label in labels if label != negative))


def condense(outputs: Outputs, truth: Truth, labels: Sequence[str], negative: str) -> Outputs:
    """`counts` (N, K + 1, 3): relations of each row that are right, answered and true, those unknown to training last; `pairs` (N, 2):
    pairs with the right label, and all."""
    if "counts" in outputs:
        return outputs
    relation_C = _relation_of(labels, negative)
    if truth.dtype != object:
        return _condense_rows(outputs["logits"], truth, relation_C)
    counts_NK3 = np.zeros((len(truth), relation_C.max(initial=-1) + 2, 3), np.int32)
    pairs_N2 = np.zeros((len(truth), 2), np.int32)
    for row, (logits_PC, said, true) in enumerate(zip(outputs["logits"], outputs["said"], truth)):
        pairs, label_P = json.loads(said)["pairs"], targets(json.loads(said)["pairs"], true, labels)
        chosen_P = np.asarray(logits_PC).argmax(1) if len(pairs) else np.zeros(0, np.int64)
        answered = {(*pair, labels[label]) for pair, label in zip(pairs, chosen_P) if labels[label] != negative}
        for which, found in ((HIT, answered & links(true)), (ANSWERED, answered), (SUPPORT, links(true))):
            for _, _, label in found:
                counts_NK3[row, relation_C[labels.index(label)] if label in labels else -1, which] += 1
        pairs_N2[row] = int((chosen_P == label_P).sum()), len(pairs)
    return {"counts": counts_NK3, "pairs": pairs_N2}


def _condense_rows(logits_NC: np.ndarray, class_N: np.ndarray, relation_C: np.ndarray) -> Outputs:
    rows, chosen_N = np.arange(len(class_N)), logits_NC.argmax(1)
    counts_NK3 = np.zeros((len(rows), relation_C.max(initial=-1) + 2, 3), np.int32)
    true_N = np.where(class_N >= 0, relation_C[np.maximum(class_N, 0)], counts_NK3.shape[1] - 1)
    for which, relation_N in ((ANSWERED, relation_C[chosen_N]), (SUPPORT, true_N)):
        there_N = relation_N >= 0
        counts_NK3[rows[there_N], relation_N[there_N], which] = 1
    counts_NK3[..., HIT] = counts_NK3[..., ANSWERED] * (chosen_N == class_N)[:, None]
    return {"counts": counts_NK3, "pairs": np.stack([chosen_N == class_N, np.ones(len(rows))], 1).astype(np.int32)}


def _relation_of(labels: Sequence[str], negative: str) -> np.ndarray:
    """(C,) the relation of each label; -1 for the one that means none."""
    known = {name: at for at, name in enumerate(names(labels, negative))}
    return np.array([-1 if label == negative else known[directed(label)[0]] for label in labels], np.int64)


def links(true: Any) -> set[tuple[int, int, str]]:
    """The true relations of a row of many pairs."""
    return {(head, tail, label) for head, tail, label in true["links"]}


def targets(pairs: Sequence[Sequence[int]], true: Any, labels: Sequence[str]) -> np.ndarray:
    """(P,) the label of each pair: the first that the row names, label 0 (none) where it names none, -1 for one unknown to training."""
    said: dict[tuple[int, int], int] = {}
    for head, tail, label in true["links"]:
        said.setdefault((head, tail), labels.index(label) if label in labels else -1)
    return np.array([said.get((head, tail), 0) for head, tail in pairs], np.int64)


def score(outputs: Outputs) -> dict[str, float]:
    """The scores of condensed outputs. The mean F1 is over the relations that are true somewhere in these rows (the official scorer's)."""
    total_K3, (right, pairs) = outputs["counts"].sum(0), outputs["pairs"].sum(0)
    hit, answered, support = total_K3.sum(0).tolist()
    there_K3 = total_K3[total_K3[:, SUPPORT] > 0]
    each_K = 2 * there_K3[:, HIT] / (there_K3[:, ANSWERED] + there_K3[:, SUPPORT])
    return {
        "macro_f1": float(each_K.mean()) if len(each_K) else 0.0, "micro_f1": 2 * hit / max(answered + support, 1),
        "precision": hit / max(answered, 1), "recall": hit / max(support, 1), "accuracy": float(right / max(pairs, 1)),
    }


# -- many pairs -------------------------------------------------------------------------------------------------------


def stacked(outputs: Outputs, truth: Truth, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of all rows: (M, C) logits, (M,) true labels, (M,) rows."""
    said = [json.loads(row)["pairs"] for row in outputs["said"]]
    size_N = [len(pairs) for pairs in said]
    logits = [np.asarray(logits_PC)[:size] for logits_PC, size in zip(outputs["logits"], size_N)]
    true_M = np.concatenate([targets(pairs, true, labels) for pairs, true in zip(said, truth)] or [np.zeros(0, np.int64)])
    logits_MC = np.concatenate([np.zeros((0, len(labels))), *logits])
    return logits_MC, true_M, np.repeat(np.arange(len(size_N)), size_N)


def answers(outputs: Outputs, labels: Sequence[str], temperature: float) -> list[dict[str, Any]]:
    """`relations` of each row: head, relation and tail in words, where they stand, and confidence; and the row's `entities`."""
    found = []
    for logits_PC, cell in zip(outputs["logits"], outputs["said"]):
        said = json.loads(cell)
        probability_PC = classes.probabilities({"logits": np.asarray(logits_PC)}, temperature)
        own = [_answer(said, pair, row_C, labels) for pair, row_C in zip(said["pairs"], probability_PC) if row_C.argmax() > 0]
        found.append({"relations": own})
    return found


def _answer(said: Any, pair: Sequence[int], probability_C: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    (start, end, kind), (first, last, other) = (said["spans"][at] for at in pair)
    label = int(probability_C.argmax())
    return {
        "head": said["text"][start:end], "relation": labels[label], "tail": said["text"][first:last],
        "confidence": round(float(probability_C[label]), 4), "head_span": [start, end], "tail_span": [first, last],
        "head_type": kind or None, "tail_type": other or None,
    }


def grade(outputs: Outputs, truth: Truth, labels: Sequence[str], negative: str, temperature: float, column: str) -> Graded:
    """Rows of many pairs as the report shows them; of condensed outputs only which are right, and the counts."""
    condensed = condense(outputs, truth, labels, negative)
    counts_NK3 = condensed["counts"]
    right_N = (counts_NK3[..., HIT] == counts_NK3[..., ANSWERED]).all(1) & (counts_NK3[..., HIT] == counts_NK3[..., SUPPORT]).all(1)
    kinds = (*names(labels, negative), UNKNOWN)
    unsure_N, nothing = np.full(len(truth), np.nan), [""] * len(truth)
    if "said" not in outputs:
        return Graded(nothing, nothing, right_N, unsure_N, unsure_N, unsure_N, names=kinds, counts_NK3=counts_NK3)
    pieces, loss_N = _pieces(outputs, truth, labels, temperature)
    said = [json.loads(cell) for cell in outputs["said"]]
    true = [[(head, tail, label) for head, tail, label in row["links"]] for row in truth]
    given = [_given(np.asarray(logits_PC), row["pairs"], labels) for logits_PC, row in zip(outputs["logits"], said)]
    marks = [[*_marks(row, a, "truth", column), *_marks(row, b, "answer", column)] for row, a, b in zip(said, true, given)]
    return Graded(
        [_words(row, own) for row, own in zip(said, true)], [_words(row, own) for row, own in zip(said, given)], right_N, loss_N,
        _least(pieces.sure_M, pieces.row_M, len(truth)), _least(pieces.plain_M, pieces.row_M, len(truth)), marks, kinds, counts_NK3, pieces,
    )


def _pieces(outputs: Outputs, truth: Truth, labels: Sequence[str], temperature: float) -> tuple[Pieces, np.ndarray]:
    """The relations answered, each judged apart, and (N,) how surprising each row's truth is."""
    logits_MC, true_M, row_M = stacked(outputs, truth, labels)
    warm_MC, plain_MC = (classes.probabilities({"logits": logits_MC}, value) for value in (temperature, 1.0))
    chosen_M = logits_MC.argmax(1)
    own_M = np.where(true_M >= 0, warm_MC[np.arange(len(true_M)), np.maximum(true_M, 0)], TINY)
    loss_N = np.bincount(row_M, -np.log(np.maximum(own_M, TINY)), len(truth))
    some_M = np.flatnonzero(chosen_M > 0)
    sure, plain = warm_MC[some_M, chosen_M[some_M]], plain_MC[some_M, chosen_M[some_M]]
    return Pieces(sure, plain, (chosen_M == true_M)[some_M], row_M[some_M], "each found relation"), loss_N


def _given(logits_PC: np.ndarray, pairs: Sequence[Sequence[int]], labels: Sequence[str]) -> list[tuple[int, int, str]]:
    return [(pair[0], pair[1], labels[int(row.argmax())]) for pair, row in zip(pairs, logits_PC) if row.argmax() > 0]


def _marks(said: Any, found: Sequence[tuple[int, int, str]], of: Any, column: str) -> list[Mark]:
    ends = [(at, f"{label} {number}") for head, tail, label in found for at, number in ((head, 1), (tail, 2))]
    return [Mark(column, said["spans"][at][0], said["spans"][at][1], of, label) for at, label in ends]


def _words(said: Any, found: Sequence[tuple[int, int, str]]) -> str:
    words = [said["text"][start:end] for start, end, _ in said["spans"]]
    return ", ".join(f"{words[head]} {label} {words[tail]}" for head, tail, label in found) or "none"


def _least(sure_M: np.ndarray, row_M: np.ndarray, rows: int) -> np.ndarray:
    least_N = np.full(rows, np.inf)
    np.minimum.at(least_N, row_M, sure_M)
    return np.where(np.isinf(least_N), np.nan, least_N)


def said(logits: Sequence[np.ndarray], texts: Sequence[str]) -> Outputs:
    """Outputs of rows of many pairs: (P, C) logits of each row and what it says, as JSON."""
    return {"logits": objects(logits), "said": objects(texts)}
