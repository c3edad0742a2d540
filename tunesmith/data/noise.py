"""Suspected wrong labels: rows whose label a simple model, which never saw the row, contradicts with confidence.

Out-of-fold probabilities of a logistic regression on TF-IDF, judged by confident learning (Northcutt et al., arXiv
1911.00068): a row is suspected where some other label is as probable as it usually is for rows that truly have it, and
the given one is not.

Axes: N rows, C classes.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import aside
from . import cut, shingles
from .answers import Answers
from .texts import at

MOST_ROWS = 20_000
"""Rows that are looked at, drawn by content hash."""
MOST_WORK = 400_000
"""Rows times classes: bounds the time where classes are many."""
MOST_CLASSES = 300
FOLDS = 3
FEATURES = 30_000
CHARACTERS = 1_000
"""Of each text."""
MARGIN = 0.5
"""The suggested label is more probable than the given one by at least this."""
FEWEST = 100
"""Rows below which a simple model knows too little to doubt anyone."""
FEWEST_OF_CLASS = 8
APART = 1_000
"""Rows from which the simple model has a process of its own: scikit-learn and what it imports hold 90 MiB, which would lie beside all of
a training."""


@dataclass(frozen=True)
class Suspect:
    """A row whose label is doubted."""

    position: int
    given: str
    suggested: str
    confidence: float
    """Probability of the suggested label less that of the given one, out of fold."""


@dataclass(frozen=True)
class Doubts:
    """Doubtful rows, the most doubtful first."""

    suspects: tuple[Suspect, ...]
    looked_at: int
    """Rows that were looked at; 0: too few rows, or too many classes, to tell."""
    agreement: float
    """Share of the other rows whose label the simple model gives too: how much its doubts are worth."""


def suspects(texts: Sequence[str], labels: Answers, key_N: np.ndarray) -> Doubts:
    """Rows whose label is doubted.

    `labels`: one of each row, or none. `key_N`: content hashes, so that equal texts share a fold.

    Takes up to about ten seconds on two cores.
    """
    counts = labels.occurring()
    rows = labels.where(lambda row: counts.get(row, 0) >= FEWEST_OF_CLASS)
    classes = sorted({row for row, rows_of in counts.items() if rows_of >= FEWEST_OF_CLASS})
    if len(rows) < FEWEST or not 2 <= len(classes) <= MOST_CLASSES:
        return Doubts((), 0, 0.0)
    draw_N = cut.unit(key_N[rows], 0, salt=2)
    rows = rows[np.sort(np.argsort(draw_N, kind="stable")[: min(MOST_ROWS, MOST_WORK // len(classes))])]
    number = {row: i for i, row in enumerate(classes)}
    class_N = np.array([number[row] for row in labels.take(rows)], np.int64)
    probability_NC = _out_of_fold([text[:CHARACTERS] for text in at(texts, rows)], class_N, key_N[rows], len(classes))
    found = [
        Suspect(int(rows[i]), "".join(classes[class_N[i]]), "".join(classes[j]), round(float(margin), 3))
        for i, j, margin in _confident(probability_NC, class_N)
    ]
    agreed = int((probability_NC.argmax(1) == class_N).sum())
    ranked = tuple(sorted(found, key=lambda s: (-s.confidence, s.position)))
    return Doubts(ranked, len(rows), agreed / max(1, len(rows) - len(found)))


def _confident(probability_NC: np.ndarray, class_N: np.ndarray) -> list[tuple[int, int, float]]:
    """(row, suggested class, margin) of the rows that confident learning doubts."""
    n, classes = probability_NC.shape
    given_N = probability_NC[np.arange(n), class_N]
    size_C = np.bincount(class_N, minlength=classes)
    threshold_C = np.where(size_C > 0, np.bincount(class_N, given_N, minlength=classes) / np.maximum(size_C, 1), 1.0)
    confident_NC = np.where(probability_NC >= threshold_C, probability_NC, -1.0)
    best_N = confident_NC.argmax(1)
    margin_N = confident_NC.max(1) - given_N
    doubted = np.flatnonzero((best_N != class_N) & (margin_N >= MARGIN))
    return [(int(i), int(best_N[i]), float(margin_N[i])) for i in doubted]


def _out_of_fold(texts: Sequence[str], class_N: np.ndarray, key_N: np.ndarray, classes: int) -> np.ndarray:
    """(N, C) probabilities of each row by models that saw neither it nor an equal text; of many rows from a process of its own."""
    if len(texts) >= APART and "sklearn" not in sys.modules:
        given = {"texts": texts, "class_N": class_N.tolist(), "key_N": key_N.tolist(), "classes": classes}
        found = aside.run(__name__, given=json.dumps(given))
        if not found.returncode:
            return np.array(json.loads(found.stdout))
    return _by_folds(texts, class_N, key_N, classes)


def _by_folds(texts: Sequence[str], class_N: np.ndarray, key_N: np.ndarray, classes: int) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import SGDClassifier

    features_NV = _features(texts)
    fold_N = (cut.unit(key_N, 0, salt=3) * FOLDS).astype(int)
    probability_NC = np.zeros((len(texts), classes))
    for fold in range(FOLDS):
        here, rest = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
        if not len(here) or len(np.unique(class_N[rest])) < 2:
            continue
        model = SGDClassifier(loss="log_loss", alpha=3e-5, max_iter=6, tol=None, average=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of passes is meant
            model.fit(features_NV[rest], class_N[rest])
        probability_NC[np.ix_(here, model.classes_)] = model.predict_proba(features_NV[here])
    return probability_NC


def _features(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    folded = [shingles.fold(text) for text in texts]
    unspaced = np.mean([len(t) / (t.count(" ") + 1) for t in folded]) > 12
    kind: dict[str, Any] = {"analyzer": "char"} if unspaced else {"token_pattern": r"\w+|[^\w\s]"}
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=FEATURES, dtype=np.float32,
        **kind)
    return words.fit_transform(folded)


def main() -> None:
    """Answer the process that started this one: the probabilities, row by row."""
    asked = json.load(sys.stdin)
    keys = {"class_N": np.array(asked["class_N"], np.int64), "key_N": np.array(asked["key_N"], np.uint64)}
    json.dump(_by_folds(asked["texts"], **keys, classes=asked["classes"]).tolist(), sys.stdout)


if __name__ == "__main__":
    main()
