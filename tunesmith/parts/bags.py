"""The classical model beside the tuned one: TF-IDF and a linear model, as scikit-learn makes them.

Words and word pairs where texts have spaces, characters where they have none (Chinese, Japanese, Thai). A pair of texts adds what the
two share.

Axes: N rows, C labels or targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Outputs, Truth
from .tokens import as_text

if TYPE_CHECKING:
    from ..data.table import Table

MOST_ROWS = 60_000
"""Training rows that are used, the first ones by content hash: more change a bag of words little."""
WORDS_A_TEXT = 3
"""Fewer words than this in the typical text: characters are used."""


def classes(train: Table, rows: Table, columns: Sequence[str], class_N: Truth, count: int) -> Outputs:
    """Multinomial logistic regression on TF-IDF: `logits` (N, C) for `rows`, log-probabilities."""
    from sklearn.linear_model import LogisticRegression

    there, here, kept = _features(train, rows, columns)
    known = class_N[kept] >= 0
    model = LogisticRegression(C=10.0, max_iter=300).fit(there[known], class_N[kept][known])
    logits_NC = np.full((len(rows), count), -30.0, np.float32)
    logits_NC[:, model.classes_] = model.predict_log_proba(here)
    return {"logits": np.maximum(logits_NC, -30.0)}


def flags(train: Table, rows: Table, columns: Sequence[str], flag_NC: Truth) -> Outputs:
    """One logistic regression a label: `logits` (N, C)."""
    from sklearn.linear_model import LogisticRegression

    there, here, kept = _features(train, rows, columns)
    found = np.empty((len(rows), flag_NC.shape[1]), np.float32)
    for label, flag_N in enumerate(flag_NC[kept].T):
        alone = len(np.unique(flag_N)) == 1
        model = None if alone else LogisticRegression(C=5.0, max_iter=300).fit(there, flag_N)
        found[:, label] = (10.0 if flag_N[0] else -10.0) if model is None else model.decision_function(here)
    return {"logits": found}


def numbers(train: Table, rows: Table, columns: Sequence[str], number_NC: Truth) -> Outputs:
    """Ridge regression, its strength by leave-one-out: `numbers` (N, C) in the target's units."""
    from sklearn.linear_model import Ridge

    there, here, kept = _features(train, rows, columns)
    model = Ridge(alpha=3.0, solver="sparse_cg").fit(there, number_NC[kept])
    return {"numbers": model.predict(here).reshape(len(rows), -1).astype(np.float32)}


def _features(train: Table, rows: Table, columns: Sequence[str]) -> tuple[Any, Any, np.ndarray]:
    """TF-IDF of both, and the positions of the training rows that were used."""
    from scipy import sparse

    kept = np.arange(len(train)) if len(train) <= MOST_ROWS else np.sort(np.argsort(train.row_ids, kind="stable")[:MOST_ROWS])
    used = train.take(kept)
    there, here = ([[as_text(v) for v in table.column(c)] for c in columns] for table in (used, rows))
    vectoriser = _vectoriser(there[0]).fit([text for column in there for text in column])
    blocks = [[vectoriser.transform(column) for column in side] for side in (there, here)]
    joined = [sparse.hstack([*parts, *_shared(parts, side)]).tocsr() for parts, side in zip(blocks, (there, here), strict=True)]
    return joined[0], joined[1], kept


def _vectoriser(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = np.median([len(text.split()) for text in texts[:1000]] or [0])
    length = np.median([len(text) for text in texts[:1000]] or [0])
    if words < WORDS_A_TEXT or length > 12 * words:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=1 + (len(texts) > 500), sublinear_tf=True, max_features=200_000)
    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, max_features=200_000)


def _shared(parts: Sequence[Any], texts: Sequence[Sequence[str]]) -> list[Any]:
    """For a pair: TF-IDF cosine, the shares of words in common, the difference in length, and what words only one has."""
    from scipy import sparse

    if len(parts) != 2:
        return []
    cosine_N = np.asarray(parts[0].multiply(parts[1]).sum(1))[:, 0]
    sets = [[set(text.lower().split()) for text in column] for column in texts]
    overlap = [(len(a & b) / max(1, len(a)), len(a & b) / max(1, len(b)), abs(len(a) - len(b)) / 10) for a, b in zip(*sets, strict=True)]
    return [sparse.csr_matrix(np.column_stack([cosine_N, overlap]) * 3), abs(parts[0] - parts[1])]
