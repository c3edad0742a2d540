"""Any of C labels: cells to tags, loss, thresholds, scores.

Axes: N rows of a set, B rows of a batch, C labels. Outputs are `{"logits": (N, C)}`; truth is (N, C) 0/1 flags, or (N, C + 1) where
a row holds tags that training never saw: the last column counts them, and each counts as missed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Outputs, Truth
from . import classes, confidence, curves

if TYPE_CHECKING:
    import torch

DIRECTIONS: Mapping[str, bool] = {
    "micro_f1": True, "macro_f1": True, "map": True, "auroc": True, "subset_accuracy": True, "brier": False, "ece": False,
}
"""Score -> whether higher is better."""
SEPARATORS = ("|", ";", ",")
"""Between the tags of one cell, in the order tried."""
PRIOR_ROWS = 20
"""Calibration rows with a label that weigh as much as the threshold of all labels in choosing the label's own."""
SWEEPS = 2
"""Times that every label's threshold is chosen anew."""
OFF = ("0", "false", "no", "f", "n")
"""Texts that say 'not this label' in a column of its own."""
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


# -- cells ------------------------------------------------------------------------------------------------------------


def tags(cell: Any, separator: str = "") -> list[str]:
    """The tags of a cell: a list, a list written as JSON or Python, or texts parted by `separator`; none where empty."""
    if isinstance(cell, str):
        text = cell.strip()
        items = _listed(text) if text[:1] == "[" and text[-1:] == "]" else text.split(separator) if separator else [text]
    else:
        items = list(cell) if isinstance(cell, list | tuple | set | np.ndarray) else [cell]
    named = (classes.key(item) for item in items)
    return list(dict.fromkeys(name.strip() for name in named if name is not None))


def find_separator(cells: Iterable[Any]) -> str:
    """The character between the tags of a column's cells, or none.

    It stands in some cell, and most tags that it parts stand in another cell too: that is what tells `fear, joy` from a label
    such as `Sad, but hopeful`.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and not cell.strip().startswith("[")]
    for separator in SEPARATORS:
        several = [text for text in texts if separator in text]
        if several:
            seen = Counter(tag for text in texts for tag in set(tags(text, separator)))
            parted = {tag for text in several for tag in tags(text, separator)}
            if sum(seen[tag] > 1 for tag in parted) >= 0.5 * len(parted):
                return separator
    return ""


def is_on(cell: Any) -> bool:
    """Whether a cell of a label's own column says that the row has the label."""
    name = classes.key(cell)
    return name is not None and name.strip().lower() not in OFF


def vocabulary(rows: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The distinct tags: numbers by size, everything else by the alphabet."""
    return classes.vocabulary(tag for row in rows for tag in row)


def encode(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """(N, C) int8 flags; (N, C + 1) where tags are not in `labels`: how many, in the last column."""
    ids = {label: i for i, label in enumerate(labels)}
    flags_NC = np.zeros((len(rows), len(labels) + 1), np.int8)
    for flags_C, row in zip(flags_NC, rows):
        for tag in row:
            flags_C[ids.get(tag, -1)] += 1
    return flags_NC if flags_NC[:, -1].any() else flags_NC[:, :-1]


def _listed(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        quoted = [a or b for a, b in _QUOTED.findall(text)]
        return quoted or [part.strip() for part in text[1:-1].split(",")]
    return found if isinstance(found, list) else [found]


# -- loss -------------------------------------------------------------------------------------------------------------


def loss(
    logits_BC: torch.Tensor, target_BC: torch.Tensor, weight_B: torch.Tensor, *, kind: str = "bce",
    weight_C: Sequence[float] = (), gamma: float = 4.0, margin: float = 0.05,
) -> torch.Tensor:
    """SUM over rows of the weighted mean over labels. `weight_C`: weight of a label where it is set.

    `asymmetric` (arXiv 2009.14119): easy absent labels fade out by `gamma`, and below the probability `margin` altogether.
    """
    import torch
    from torch.nn import functional

    logits_BC = logits_BC.float()
    set_BC, unset_BC = functional.logsigmoid(logits_BC), functional.logsigmoid(-logits_BC)
    if kind == "asymmetric":
        probability_BC = logits_BC.sigmoid()
        shifted_BC = (probability_BC - margin).clamp_min(0)
        set_BC = set_BC * (1 - probability_BC)
        unset_BC = torch.log1p(-shifted_BC.clamp_max(1 - 1e-6)) * shifted_BC**gamma
    if weight_C:
        set_BC = set_BC * logits_BC.new_tensor(weight_C)
    loss_BC = -(target_BC * set_BC + (1 - target_BC) * unset_BC)
    return (loss_BC.mean(1) * weight_B).sum()


def balanced_weights(count_C: np.ndarray, rows: int, most: float = 20.0) -> tuple[float, ...]:
    """Weight of a label where it is set: the root of absent over present rows, so that rare labels are heard, not shouted."""
    ratio_C = (rows - count_C) / np.maximum(count_C, 1)
    return tuple(float(w) for w in np.clip(np.sqrt(ratio_C), 1.0, most))


# -- decisions --------------------------------------------------------------------------------------------------------


def probabilities(outputs: Outputs, temperature: float = 1.0) -> np.ndarray:
    """(N, C) sigmoid of logits / temperature, in float64."""
    scaled_NC = outputs["logits"].astype(np.float64) / classes.own(outputs, "temperature", temperature)
    return np.asarray(1 / (1 + np.exp(-np.clip(scaled_NC, -700, 700))))


def known(truth: Truth, labels: int) -> np.ndarray:
    """(N, C) the flags of known labels."""
    return np.asarray(truth[:, :labels])


def fit_temperature(outputs: Outputs, truth: Truth) -> float:
    """The temperature that suits these rows."""
    logits_NC = outputs["logits"].astype(np.float64)
    if not len(logits_NC):
        return 1.0
    flags_NC = known(truth, logits_NC.shape[1])
    signed_NC = np.where(flags_NC > 0, logits_NC, -logits_NC)

    def error(temperature: float) -> float:
        return _ece(probabilities(outputs, temperature), flags_NC)

    return confidence.fit_temperature(lambda t: float(np.logaddexp(0, -signed_NC / t).sum()), error)


def fit_thresholds(probability_NC: np.ndarray, truth: Truth) -> tuple[float, ...]:
    """For each label the probability from which it is given: where the micro-F1 of all labels is best, the others held fast, drawn
    towards the best threshold that all share, the more the fewer rows have the label."""
    flags_NC = known(truth, probability_NC.shape[1])
    overall = _best_threshold(probability_NC.ravel(), flags_NC.ravel(), 0, int(flags_NC.sum()))
    count_C, found_C = flags_NC.sum(0), np.full(len(flags_NC.T), overall)
    given_NC = probability_NC >= overall
    hits_C, given_C = (given_NC & (flags_NC > 0)).sum(0), given_NC.sum(0)
    for _ in range(SWEEPS):
        for c in range(len(found_C)):
            others = int(hits_C.sum() - hits_C[c]), int(given_C.sum() - given_C[c] + count_C.sum())
            own = _best_threshold(probability_NC[:, c], flags_NC[:, c], *others) if count_C[c] else overall
            logit = (count_C[c] * _logit(own) + PRIOR_ROWS * _logit(overall)) / (count_C[c] + PRIOR_ROWS)
            found_C[c] = 1 / (1 + np.exp(-logit))
            given_N = probability_NC[:, c] >= found_C[c]
            hits_C[c], given_C[c] = (given_N & (flags_NC[:, c] > 0)).sum(), given_N.sum()
    return tuple(found_C.tolist())


def _best_threshold(probability_K: np.ndarray, flags_K: np.ndarray, hits: int, total: int) -> float:
    """Where F1 is best among `hits` right answers and `total` given and true ones elsewhere."""
    if not flags_K.any():
        return 0.5
    order_K = np.argsort(-probability_K, kind="stable")
    sorted_K = probability_K[order_K]
    f1_K = 2 * (hits + np.cumsum(flags_K[order_K])) / (np.arange(1, len(order_K) + 1) + total)
    next_K = np.append(sorted_K[1:], 0.0)
    f1_K[sorted_K == next_K] = -1  # equal probabilities cannot be parted
    best = int(np.argmax(f1_K))
    return float(np.clip((sorted_K[best] + next_K[best]) / 2, 0.01, 0.99))


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def answers(probability_NC: np.ndarray, threshold_C: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """`labels` (those given, likeliest first, maybe none), `confidence` (of the least sure of all yes-or-no decisions) and
    `probabilities`, largest first."""
    shown = len(labels) if len(labels) <= classes.SHOWN_ALL else classes.SHOWN_TOP
    given_NC = probability_NC >= threshold_C
    sure_N = np.where(given_NC, probability_NC, 1 - probability_NC).min(1)
    order_NC = np.argsort(-probability_NC, axis=1, kind="stable")
    return [
        {
            "labels": [labels[c] for c in order_C if given_C[c]], "confidence": float(sure),
            "probabilities": {labels[c]: float(row_C[c]) for c in order_C[: max(shown, int(given_C.sum()))]},
        }
        for row_C, given_C, sure, order_C in zip(probability_NC, given_NC, sure_N, order_NC.tolist())
    ]


# -- scores -----------------------------------------------------------------------------------------------------------


def score(outputs: Outputs, truth: Truth, *, temperature: float = 1.0, thresholds: Sequence[float] = ()) -> dict[str, float]:
    """All scores of DIRECTIONS, as scikit-learn defines them.

    `map` and `auroc` are means over the labels that have a curve; Brier and ECE are over all yes-or-no decisions. Macro-F1 takes
    all labels of training (none true, none given: 0), and unknown tags as one more.
    """
    probability_NC = probabilities(outputs, temperature)
    flags_NC = known(truth, probability_NC.shape[1]).astype(bool)
    missed_N = truth[:, flags_NC.shape[1] :].sum(1)
    given_NC = probability_NC >= classes.own(outputs, "threshold", np.asarray(thresholds) if len(thresholds) else 0.5)
    hits_C, total_C = (given_NC & flags_NC).sum(0), given_NC.sum(0) + flags_NC.sum(0)
    f1_C = 2 * hits_C / np.maximum(total_C, 1)
    own = [np.flatnonzero(flags_N) for flags_N in flags_NC.T]
    missed = int(missed_N.sum())
    return {
        "micro_f1": float(2 * hits_C.sum() / max(total_C.sum() + missed, 1)),
        "macro_f1": float(f1_C.sum() / (len(f1_C) + (missed > 0))),
        **_curves(probability_NC, own),
        "subset_accuracy": float(((given_NC == flags_NC).all(1) & (missed_N == 0)).mean()),
        "brier": float(np.square(probability_NC - flags_NC).mean()),
        "ece": _ece(probability_NC, flags_NC),
    }


def per_label(
    outputs: Outputs, truth: Truth, labels: Sequence[str], *, temperature: float = 1.0, thresholds: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """Threshold, precision, recall, F1, average precision, AUROC (None: no curve) and support of each label."""
    probability_NC = probabilities(outputs, temperature)
    flags_NC = known(truth, len(labels)).astype(bool)
    threshold_C = np.asarray(thresholds) if len(thresholds) else np.full(len(labels), 0.5)
    given_NC = probability_NC >= threshold_C
    own = [np.flatnonzero(flags_N) for flags_N in flags_NC.T]
    precision_C, area_C = curves.average_precision(probability_NC, own), curves.auroc(probability_NC, own)
    hit_C, given_C, true_C = (given_NC & flags_NC).sum(0), given_NC.sum(0), flags_NC.sum(0)
    return [
        {
            "label": label, "threshold": float(threshold_C[c]), "precision": float(hit_C[c] / max(given_C[c], 1)),
            "recall": float(hit_C[c] / max(true_C[c], 1)), "f1": float(2 * hit_C[c] / max(given_C[c] + true_C[c], 1)),
            "average_precision": _or_none(precision_C[c]), "auroc": _or_none(area_C[c]), "support": int(true_C[c]),
        }
        for c, label in enumerate(labels)
    ]


def prior_outputs(flags_NC: np.ndarray, rows: int) -> Outputs:
    """The label-prior baseline: every row gets each label's share among the training rows, and the few commonest labels, as many as
    give the best micro-F1 there."""
    count_C = np.sort(flags_NC.sum(0))[::-1]
    f1_K = 2 * np.cumsum(count_C) / (np.arange(1, len(count_C) + 1) * len(flags_NC) + max(int(count_C.sum()), 1))
    share_C = (flags_NC.sum(0) + 0.5) / (len(flags_NC) + 1)
    given_C = flags_NC.sum(0) >= max(int(count_C[np.argmax(f1_K)]), 1)
    return {
        "logits": np.tile(np.log(share_C / (1 - share_C)), (rows, 1)), "temperature": np.ones((rows, 1)),
        "threshold": np.tile(np.where(given_C, 0.0, 1.0), (rows, 1)),
    }


def _curves(probability_NC: np.ndarray, own: list[np.ndarray]) -> dict[str, float]:
    precision_C, area_C = curves.average_precision(probability_NC, own), curves.auroc(probability_NC, own)
    return {"map": curves.mean(precision_C, 0.0), "auroc": curves.mean(area_C, 0.5)}


def _ece(probability_NC: np.ndarray, flags_NC: np.ndarray) -> float:
    return confidence.reliability(probability_NC.ravel(), flags_NC.ravel()).ece


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
