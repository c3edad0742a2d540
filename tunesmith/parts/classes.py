"""One label of C: vocabulary, loss, decision, scores.

Axes: N rows of a set, B rows of a batch, C classes. Outputs are `{"logits": (N, C)}`; truth is (N,) class ids, -1 where the label
was unknown to training: such rows count as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import bare
from ..data.arrays import scratch, stretches, total
from ..memory import let_go
from ..task import Outputs, Truth
from . import confidence, curves

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

DIRECTIONS: Mapping[str, bool] = {
    "macro_f1": True, "accuracy": True, "precision": True, "recall": True, "auroc": True, "mcc": True,
    "brier": False, "ece": False, "log_loss": False,
}
"""Score -> whether higher is better."""
POSITIVE_WORDS = ("1", "true", "yes", "y", "positive", "pos", "spam", "toxic", "fraud", "hate", "entailment")
"""Labels that people mean by 'positive' in a question of two labels."""
PRIOR_ROWS = 20
"""Calibration rows of the positive class that weigh as much as the model's own probabilities in choosing a threshold."""
NEVER = -math.log(np.finfo(np.float64).eps)
"""Log loss of a row whose label was never seen: that of the smallest probability that scikit-learn lets stand."""
SHOWN_ALL, SHOWN_TOP = 20, 5
"""An answer lists all probabilities of up to so many classes, else the largest few."""


# -- labels -----------------------------------------------------------------------------------------------------------


def key(value: Any) -> str | None:
    """A label as text, None where the cell is empty. 1, 1.0 and "1" are one label, whatever type the file gave the column."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return None
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    return str(value)


def vocabulary(values: Iterable[Any]) -> tuple[str, ...]:
    """The distinct labels: numbers by size, everything else by the alphabet."""
    found = {name for name in map(key, values) if name is not None}
    return tuple(sorted(found, key=_numeric) if all(map(_is_number, found)) else sorted(found))


def encode(values: Iterable[Any], labels: Sequence[str]) -> np.ndarray:
    """(N,) class ids; -1 for an empty cell or a label that is not in `labels`."""
    ids = {label: i for i, label in enumerate(labels)}
    return np.array([ids.get(key(value) or "", -1) for value in values], np.int64)


def tally(column: pa.ChunkedArray) -> dict[str, int]:
    """Label -> rows, over a whole Arrow column, in the order of `vocabulary`."""
    found: dict[str, int] = {}
    for chunk in _plain(column).value_counts().to_pylist():
        name = key(chunk["values"])
        if name is not None:
            found[name] = found.get(name, 0) + int(chunk["counts"])
    return {label: found[label] for label in vocabulary(found)}


def encode_column(column: pa.ChunkedArray, labels: Sequence[str]) -> np.ndarray:
    """`encode`, of a whole Arrow column: each distinct cell is looked up once."""
    parts = _plain(column).dictionary_encode().combine_chunks()
    class_K = np.append(encode(parts.dictionary.to_pylist(), labels), -1)
    return np.asarray(class_K[bare.whole_numbers(parts.indices, -1)])


def counts(class_N: np.ndarray, classes: int) -> np.ndarray:
    """(C,) rows of each class."""
    return np.bincount(class_N[class_N >= 0], minlength=classes)


def balanced_weights(count_C: np.ndarray) -> tuple[float, ...]:
    """Weight of a row of each class so that all classes weigh the same, 1 on average over the rows."""
    present = count_C > 0
    weights = count_C.sum() / (present.sum() * np.maximum(count_C, 1))
    return tuple(float(w) for w in np.where(present, weights, 1.0))


def row_weights(class_N: np.ndarray, weight_C: Sequence[float]) -> np.ndarray:
    """(N,) the weight of each row's class (1 where there are none); 0 for an unknown label."""
    known_N = class_N >= 0
    return np.asarray(weight_C)[np.maximum(class_N, 0)] * known_N if len(weight_C) else known_N.astype(np.float64)


def positive(labels: Sequence[str], count_C: np.ndarray, asked: str = "") -> str:
    """The label that a yes-or-no question is about: the one asked for, a usual word, a clearly rarer one, or the second."""
    if asked or len(labels) != 2:
        return asked
    named = [label for label in labels if label.strip().lower() in POSITIVE_WORDS]
    if len(named) == 1:
        return named[0]
    rare = int(np.argmin(count_C))
    return labels[rare] if count_C[rare] < 0.3 * count_C.sum() else labels[1]


# -- loss -------------------------------------------------------------------------------------------------------------


def loss(
    logits_BC: torch.Tensor, target_B: torch.Tensor, weight_B: torch.Tensor, *, smoothing: float = 0.0, gamma: float = 0.0
) -> torch.Tensor:
    """SUM of weighted cross-entropies; `gamma` above 0: focal loss (arXiv 1708.02002). Rows of class -1 count nothing."""
    from torch.nn import functional

    logits_BC = logits_BC.float()
    known_B = target_B.clamp_min(0)
    loss_B = functional.cross_entropy(logits_BC, known_B, reduction="none", label_smoothing=smoothing)
    if gamma:
        own_B = logits_BC.log_softmax(-1).gather(-1, known_B[:, None])[:, 0].exp()
        loss_B = loss_B * (1 - own_B).clamp_min(1e-6) ** gamma
    return (loss_B * weight_B * (target_B >= 0)).sum()


# -- decisions --------------------------------------------------------------------------------------------------------


def log_probabilities(logits_NC: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """(N, C) log-softmax of logits / temperature, in float64."""
    scaled_NC = _scaled(logits_NC, temperature)
    scaled_NC -= np.log(np.exp(scaled_NC).sum(1, keepdims=True))
    return scaled_NC


def probabilities(outputs: Outputs, temperature: float = 1.0) -> np.ndarray:
    """(N, C) softmax of logits / temperature, in float64."""
    exponent_NC = np.exp(_scaled(outputs["logits"], own(outputs, "temperature", temperature)))
    exponent_NC /= exponent_NC.sum(1, keepdims=True)
    return np.asarray(exponent_NC)


def own(outputs: Outputs, name: str, otherwise: Any) -> Any:
    """The `temperature` (N, 1) or `threshold` that outputs bring with them: a baseline is judged by its own, not the model's."""
    return outputs.get(name, otherwise)


def decide(probability_NC: np.ndarray, positive_class: int = 1, threshold: float | np.ndarray | None = None) -> np.ndarray:
    """(N,) the likeliest class; with a threshold, one or (N,) (two classes): the positive one from that probability on."""
    if threshold is None or probability_NC.shape[1] != 2:
        return np.asarray(probability_NC.argmax(1))
    return np.where(probability_NC[:, positive_class] >= threshold, positive_class, 1 - positive_class)


def fit_temperature(outputs: Outputs, truth: Truth) -> float:
    """The temperature that suits these rows (arXiv 1706.04599); no row's likeliest label changes."""
    known_N = truth >= 0
    logits_NC, class_N = outputs["logits"][known_N], truth[known_N]
    if not len(class_N):
        return 1.0

    def negative_log_likelihood(temperature: float) -> float:
        return -float(log_probabilities(logits_NC, temperature)[np.arange(len(class_N)), class_N].sum())

    def error(temperature: float) -> float:
        probability_NC = np.exp(log_probabilities(logits_NC, temperature))
        return confidence.reliability(probability_NC.max(1), probability_NC.argmax(1) == class_N).ece

    return confidence.fit_temperature(negative_log_likelihood, error)


def ideal_threshold(cost_miss: float) -> float:
    """The best threshold on true probabilities, where a miss costs as much as `cost_miss` false alarms (Elkan 2001)."""
    return 1 / (1 + cost_miss)


def fit_threshold(probability_N: np.ndarray, positive_N: np.ndarray, cost_miss: float) -> float:
    """The probability from which the positive label costs least, where a miss costs as much as `cost_miss` false alarms.

    With true probabilities that is `ideal_threshold`. The rows' own outcome moves it, the more the more positive rows there are.
    """
    trust = positive_N.sum() / (positive_N.sum() + PRIOR_ROWS)
    believed_N = trust * positive_N + (1 - trust) * probability_N
    order_N = np.argsort(probability_N)
    # Cost of starting at the k-th smallest probability: misses below it, false alarms from it on.
    misses = np.concatenate([[0], np.cumsum(believed_N[order_N])]) * cost_miss
    alarms = np.concatenate([np.cumsum((1 - believed_N[order_N])[::-1])[::-1], [0]])
    edges = np.concatenate([[0.0], probability_N[order_N], [1.0]])
    middles = (edges[:-1] + edges[1:]) / 2
    cost, ideal = misses + alarms, ideal_threshold(cost_miss)
    least = np.flatnonzero(cost <= cost.min() * (1 + 1e-9) + 1e-12)
    return float(middles[least[np.argmin(np.abs(middles[least] - ideal))]])


def cost(predicted_N: np.ndarray, truth: Truth, positive_class: int, cost_miss: float) -> float:
    """Mean cost per row, in false alarms."""
    missed = (truth == positive_class) & (predicted_N != positive_class)
    alarm = (truth != positive_class) & (predicted_N == positive_class)
    return float((missed * cost_miss + alarm).mean()) if len(truth) else 0.0


def answers(probability_NC: np.ndarray, predicted_N: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """`label`, `confidence` (probability of that label) and `probabilities`, largest first."""
    shown = len(labels) if len(labels) <= SHOWN_ALL else SHOWN_TOP
    order_NC = np.argsort(-probability_NC, axis=1, kind="stable")[:, :shown]
    return [
        {
            "label": labels[choice], "confidence": float(row_C[choice]),
            "probabilities": {labels[c]: float(row_C[c]) for c in order_C},
        }
        for row_C, choice, order_C in zip(probability_NC, predicted_N.tolist(), order_NC.tolist())
    ]


# -- scores -----------------------------------------------------------------------------------------------------------


def score(
    outputs: Outputs, truth: Truth, *, temperature: float = 1.0, positive_class: int = 1, threshold: float | None = None
) -> dict[str, float]:
    """All scores of DIRECTIONS, as scikit-learn defines them (two classes: AUROC of the positive one, Brier from 0 to 1).

    Means over classes take those that occur among the truth or the decisions; an unknown label is one more, never found.
    """
    rows, classes = len(truth), outputs["logits"].shape[1]
    given = own(outputs, "temperature", temperature), own(outputs, "threshold", threshold)
    ranked, found = scratch((rows,) if classes == 2 else (rows, classes), np.float64), 0
    table_CC, binned, sums = np.zeros((classes + 1, classes + 1), np.int64), confidence.NOTHING, []
    for at in stretches(rows, 8 * classes):
        truth_S, room = truth[at], None if classes == 2 else ranked[at]
        made = _each(outputs["logits"][at], truth_S, positive_class, *(_of_rows(value, at) for value in given), room)
        table_CC += _counts(made["predicted"], truth_S, classes)
        binned = confidence.binned(made["sure"], made["predicted"] == truth_S, before=binned)
        sums.append(np.array([made["distance"].sum(), made["loss"].sum()]))
        if classes == 2:
            found += _part(ranked, made["probability"][:, positive_class], at, truth_S == positive_class, found)
        for array in (ranked, truth, outputs["logits"]):
            let_go(array)
    distance, loss = (total(iter(sums), rows, 8 * classes) / rows).tolist()
    return {
        **_agreement(table_CC),
        "auroc": _auroc(ranked, truth, found),
        "mcc": _mcc(table_CC),
        "brier": (distance + 1) / 2 if classes == 2 else distance + 1,
        "ece": confidence.Reliability.of(binned).ece,
        "log_loss": loss,
    }


def _each(
    logits_NC: np.ndarray, truth: Truth, positive_class: int, temperature: float | np.ndarray, threshold: float | np.ndarray | None,
    room_NC: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """What scores are made of, row by row: `probability` (N, C), in `room_NC` where it is given; (N,) `predicted`, how `sure`,
    `distance` (of Brier, less 1), `loss`."""
    scaled_NC, rows = _scaled(logits_NC, temperature, room_NC), np.arange(len(truth))
    own_N = scaled_NC[rows, truth]
    probability_NC = np.exp(scaled_NC, out=scaled_NC)
    total_N = probability_NC.sum(1)
    probability_NC /= total_N[:, None]
    predicted_N = decide(probability_NC, positive_class, threshold)
    believed_N = np.where(truth >= 0, probability_NC[rows, truth], 0.0)
    return {
        "probability": probability_NC, "predicted": predicted_N, "sure": probability_NC[rows, predicted_N],
        "distance": np.einsum("nc,nc->n", probability_NC, probability_NC) - 2 * believed_N,
        "loss": np.where(truth >= 0, np.log(total_N) - own_N, NEVER),
    }


def _of_rows(value: Any, at: slice) -> Any:
    """These rows' part of a number for each row; of one for all, itself."""
    return value[at] if np.ndim(value) else value


def _part(ranked: np.ndarray, score_S: np.ndarray, at: slice, sought_S: np.ndarray, before: int) -> int:
    """Put down what AUROC ranks of two classes: scores of the positive one's own rows from the front, where `before` are, those of all
    others from the back. Returns how many of its own there are here."""
    others = len(ranked) - (at.start - before)
    own_P, rest_M = score_S[sought_S], score_S[~sought_S]
    ranked[before : before + len(own_P)] = own_P
    ranked[others - len(rest_M) : others] = rest_M
    return len(own_P)


def confusion(
    outputs: Outputs, truth: Truth, *, temperature: float = 1.0, positive_class: int = 1, threshold: float | None = None
) -> np.ndarray:
    """(C, C) rows by true and decided class. Rows with an unknown label stand in no cell."""
    probability_NC = probabilities(outputs, temperature)
    classes = probability_NC.shape[1]
    return _counts(decide(probability_NC, positive_class, own(outputs, "threshold", threshold)), truth, classes)[:classes, :classes]


def per_class(table_CC: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1, support and decisions of each class, from `confusion`."""
    precision_C, recall_C, f1_C = _ratios(table_CC)
    return [
        {
            "label": label, "precision": float(precision_C[c]), "recall": float(recall_C[c]), "f1": float(f1_C[c]),
            "support": int(table_CC[c].sum()), "decided": int(table_CC[:, c].sum()),
        }
        for c, label in enumerate(labels)
    ]


def prior_outputs(class_N: np.ndarray, classes: int, rows: int) -> Outputs:
    """The majority baseline: every row gets the classes' shares among the training rows."""
    share_C = (counts(class_N, classes) + 1e-6) / (len(class_N) + 1e-6 * classes)
    return {"logits": np.tile(np.log(share_C), (rows, 1)), "temperature": np.ones((rows, 1))}


def _scaled(logits_NC: np.ndarray, temperature: float | np.ndarray, room_NC: np.ndarray | None = None) -> np.ndarray:
    """(N, C) logits less their row's largest, over the temperature; in `room_NC` where it is given."""
    scaled_NC = np.empty(logits_NC.shape) if room_NC is None else room_NC
    scaled_NC[:] = logits_NC
    scaled_NC -= scaled_NC.max(1, keepdims=True)
    scaled_NC /= temperature
    return scaled_NC


def _counts(predicted_N: np.ndarray, truth: Truth, classes: int) -> np.ndarray:
    """(C + 1, C + 1): the last row holds unknown labels; nothing is ever decided for the last column."""
    size = classes + 1
    return np.bincount(np.where(truth >= 0, truth, classes) * size + predicted_N, minlength=size * size).reshape(size, size)


def _ratios(table_CC: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hit_C, decided_C, true_C = np.diag(table_CC), table_CC.sum(0), table_CC.sum(1)
    f1_C = 2 * hit_C / np.maximum(decided_C + true_C, 1)
    return hit_C / np.maximum(decided_C, 1), hit_C / np.maximum(true_C, 1), f1_C


def _agreement(table_CC: np.ndarray) -> dict[str, float]:
    seen_C = (table_CC.sum(0) + table_CC.sum(1)) > 0
    precision_C, recall_C, f1_C = (ratio_C[seen_C] for ratio_C in _ratios(table_CC))
    accuracy = float(np.trace(table_CC) / max(table_CC.sum(), 1))
    return {
        "macro_f1": float(f1_C.mean()), "accuracy": accuracy, "precision": float(precision_C.mean()),
        "recall": float(recall_C.mean()),
    }


def _mcc(table_CC: np.ndarray) -> float:
    """Matthews correlation for many classes (Gorodkin 2004); 0 where all decisions or all labels are the same."""
    total, hits = float(table_CC.sum()), float(np.trace(table_CC))
    decided_C, true_C = table_CC.sum(0).astype(float), table_CC.sum(1).astype(float)
    spread = math.sqrt(total**2 - decided_C @ decided_C) * math.sqrt(total**2 - true_C @ true_C)
    return float(np.clip((hits * total - decided_C @ true_C) / spread, -1, 1)) if spread else 0.0


def _auroc(ranked: np.ndarray, truth: Truth, found: int) -> float:
    if ranked.ndim == 1:
        return curves.mean(np.array([curves.area(ranked[:found], ranked[found:])]), 0.5)
    return curves.mean(curves.auroc(ranked, curves.members(truth, ranked.shape[1])), 0.5)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists, objects and bytes, which Arrow cannot count, as text."""
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        cells = [None if cell is None else str(cell) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(cells, pa.large_string())])
    return column


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _numeric(text: str) -> tuple[float, str]:
    return float(text), text
