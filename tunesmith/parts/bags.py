"""Classical models on bags of words and characters: what a fine-tuned model has to beat.

One setting for all data, chosen once on public sets (banking77, sst2, sms_spam, chnsenticorp, goemotions, emobank). Everything is fitted
on the training rows alone and is deterministic.

Axes: N training rows, M rows to answer, F n-grams, C classes, labels or targets.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Outputs
from . import classes, flags
from .languages import spaceless
from .tokens import as_text

if TYPE_CHECKING:
    from ..data.table import Table

Texts = Sequence[Any]
Pair = tuple[Texts, Texts | None]
"""The first text of every row, and the second where rows are pairs."""

MOST_ROWS = 50_000
"""Training rows that a classical model sees, evenly spaced: more hardly helps it, and it has to stay a matter of seconds."""
CHARACTER_ROWS = 20_000
"""Up to this many training rows, character n-grams stand beside words: they help most where rows are few."""
HELD_OUT = 10
"""Every tenth training row is kept apart to fit temperatures, thresholds and strengths, then given back."""
NEGATIONS = frozenset("no not never none nobody nothing neither nor without cannot n't t isn aren don doesn didn".split())
ALPHAS = (0.3, 1.0, 3.0, 10.0, 30.0)


def texts(table: Table, text: str, text_pair: str = "") -> Pair:
    """The text columns of a table."""
    return table.column(text), table.column(text_pair) if text_pair else None


# -- models -----------------------------------------------------------------------------------------------------------


def class_outputs(train: Pair, class_N: np.ndarray, count: int, rows: Pair) -> Outputs:
    """TF-IDF + linear SVM for one label of `count`; its margins scaled to fit held-out rows, as logits."""
    train, class_N = _known(train, class_N)
    seen = np.unique(class_N)
    bags = _bags(train, rows)
    if bags is None or len(seen) < 2:
        return classes.prior_outputs(class_N, count, len(rows[0]))
    held_N = _held_out(len(class_N))
    own = _margins(bags[0][~held_N], class_N[~held_N], count, bags[0][held_N]) if held_N.any() else None
    temperature = classes.fit_temperature({"logits": own}, class_N[held_N]) if own is not None else 1.0
    return {"logits": _margins(bags[0], class_N, count, bags[1])} | _temperature(len(rows[0]), temperature)


def flag_outputs(train: Pair, flags_NC: np.ndarray, rows: Pair) -> Outputs:
    """TF-IDF + one logistic regression per label, with thresholds that fit held-out rows."""
    chosen_N = _spaced(len(flags_NC))
    train, flags_NC = _take(train, chosen_N), flags_NC[chosen_N]
    bags = _bags(train, rows, characters=False)
    if bags is None:
        return flags.prior_outputs(flags_NC, len(rows[0]))
    held_N = _held_out(len(flags_NC))
    threshold_C: Any = [0.5] * flags_NC.shape[1]
    if held_N.any():
        own = _log_odds(bags[0][~held_N], flags_NC[~held_N], bags[0][held_N])
        threshold_C = flags.fit_thresholds(flags.probabilities({"logits": own}), flags_NC[held_N])
    outputs = {"logits": _log_odds(bags[0], flags_NC, bags[1]), "threshold": np.tile(threshold_C, (len(rows[0]), 1))}
    return outputs | _temperature(len(rows[0]), 1.0)


def number_outputs(train: Pair, target_NC: np.ndarray, rows: Pair) -> Outputs:
    """TF-IDF + ridge regression for each target, its strength chosen on held-out rows."""
    chosen_N = _spaced(len(target_NC))
    train, target_NC = _take(train, chosen_N), target_NC[chosen_N]
    bags = _bags(train, rows)
    columns = []
    for target_N in target_NC.T:
        there_N = ~np.isnan(target_N)
        mean = float(target_N[there_N].mean()) if there_N.any() else 0.0
        enough = bags is not None and there_N.sum() >= 2
        columns.append(_ridge(bags[0][there_N], target_N[there_N], bags[1]) if enough and bags else np.full(len(rows[0]), mean))
    return {"numbers": np.stack(columns, 1)}


def overlap_class_outputs(train: Pair, class_N: np.ndarray, count: int, rows: Pair) -> Outputs:
    """Boosted trees on what two texts share, for one label of `count`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    train, class_N = _known(train, class_N)
    seen = np.unique(class_N)
    if len(seen) < 2:
        return classes.prior_outputs(class_N, count, len(rows[0]))
    own, other = overlap(train, rows)
    trees = HistGradientBoostingClassifier(learning_rate=0.05, max_iter=150, max_leaf_nodes=15, early_stopping=False, random_state=0)
    probability = trees.fit(own, class_N).predict_proba(other)
    logits = np.full((len(other), count), -30.0)
    logits[:, seen] = np.log(np.clip(probability, 1e-9, 1))
    return {"logits": logits} | _temperature(len(rows[0]), 1.0)


def overlap_number_outputs(train: Pair, target_NC: np.ndarray, rows: Pair) -> Outputs:
    """Boosted trees on what two texts share, for each target."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    chosen_N = _spaced(len(target_NC))
    train, target_NC = _take(train, chosen_N), target_NC[chosen_N]
    own, other = overlap(train, rows)
    columns = []
    for target_N in target_NC.T:
        there_N = ~np.isnan(target_N)
        trees = HistGradientBoostingRegressor(learning_rate=0.05, max_iter=150, max_leaf_nodes=15, early_stopping=False, random_state=0)
        columns.append(trees.fit(own[there_N], target_N[there_N]).predict(other) if there_N.any() else np.zeros(len(other)))
    return {"numbers": np.stack(columns, 1)}


# -- features ---------------------------------------------------------------------------------------------------------


def overlap(train: Pair, rows: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(N, 17) and (M, 17) features of pairs: shared words (weighed by rarity), cosines, lengths, negations, numbers."""
    whole = spaceless(train[0])
    split = list if whole else _split
    rarity = _rarity([split(as_text(text)) for side in train if side is not None for text in side])
    similar = _cosines(train, rows, whole)
    return tuple(  # type: ignore[return-value]
        np.column_stack([np.array([_shared(split(as_text(a)), split(as_text(b)), rarity) for a, b in zip(one, other or ())]), cosine])
        for (one, other), cosine in zip((train, rows), similar)
    )


def _split(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _shared(one: list[str], other: list[str], rarity: Callable[[str], float]) -> list[float]:
    first, second = set(one), set(other)
    both, left, right = first & second, first - second, second - first

    def weight(words: set[str]) -> float:
        return sum(map(rarity, words), 0.0)

    bigrams = set(zip(one, one[1:])), set(zip(other, other[1:]))
    numbers = [{word for word in words if word.isdigit()} for words in (first, second)]
    return [
        len(both) / max(len(first | second), 1), len(both) / max(len(first), 1), len(both) / max(len(second), 1),
        weight(both) / max(weight(first), 1e-9), weight(both) / max(weight(second), 1e-9),
        max(map(rarity, left), default=0.0), max(map(rarity, right), default=0.0),
        len(bigrams[0] & bigrams[1]) / max(len(bigrams[0] | bigrams[1]), 1), len(one), len(other),
        (len(one) - len(other)) / max(len(one) + len(other), 1),
        len(NEGATIONS & first), len(NEGATIONS & second), len(numbers[0] ^ numbers[1]), float(one == other),
    ]


def _rarity(documents: list[list[str]]) -> Callable[[str], float]:
    count: dict[str, int] = {}
    for words in documents:
        for word in set(words):
            count[word] = count.get(word, 0) + 1
    return lambda word: float(np.log((len(documents) + 1) / (count.get(word, 0) + 1)))


def _cosines(train: Pair, rows: Pair, whole: bool) -> list[np.ndarray]:
    found: list[list[np.ndarray]] = [[], []]
    for vectorizer in (_words(), _characters()) if not whole else (_characters(), _characters()):
        try:
            vectorizer.fit([as_text(text) for side in train if side is not None for text in side])
        except ValueError:  # no n-gram at all
            return [np.zeros((len(pair[0]), 2)) for pair in (train, rows)]
        for column, pair in zip(found, (train, rows)):
            one, other = (vectorizer.transform([as_text(text) for text in side or ()]) for side in pair)
            column.append(np.asarray(one.multiply(other).sum(1)).ravel())
    return [np.column_stack(columns) for columns in found]


def _bags(train: Pair, rows: Pair, characters: bool = True) -> tuple[Any, Any] | None:
    """(N, F) and (M, F) sparse TF-IDF features, the two texts of a pair side by side; None where there is not one n-gram."""
    import scipy.sparse

    own, other = [], []
    for texts, more in zip(train, rows):
        for vectorizer in _vectorizers(texts, characters) if texts is not None else ():
            try:
                own.append(vectorizer.fit_transform([as_text(text) for text in texts or ()]))
            except ValueError:  # an empty vocabulary
                continue
            other.append(vectorizer.transform([as_text(text) for text in more or ()]))
    return (scipy.sparse.hstack(own, "csr"), scipy.sparse.hstack(other, "csr")) if own else None


def _vectorizers(texts: Texts, characters: bool) -> list[Any]:
    rare = 1 if len(texts) <= CHARACTER_ROWS else 2
    if spaceless(texts):
        return [_vectorizer(analyzer="char", ngram_range=(1, 3), min_df=2)]
    return [_words(rare), _characters()] if characters and len(texts) <= CHARACTER_ROWS else [_words(rare)]


def _words(rare: int = 1) -> Any:
    return _vectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=rare)


def _characters() -> Any:
    return _vectorizer(analyzer="char_wb", ngram_range=(2, 5))


def _vectorizer(**settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, **settings)


# -- solvers ----------------------------------------------------------------------------------------------------------


def _margins(own: Any, class_N: np.ndarray, count: int, other: Any) -> np.ndarray:
    from sklearn.svm import LinearSVC

    with _hushed():
        model = LinearSVC(C=0.5, random_state=0).fit(own, class_N)
    margins = np.asarray(model.decision_function(other))
    margins = np.stack([-margins, margins], 1) if margins.ndim == 1 else margins
    logits = np.full((other.shape[0], count), margins.min() - 1.0 if margins.size else 0.0)
    logits[:, model.classes_] = margins
    return logits


def _log_odds(own: Any, flags_NC: np.ndarray, other: Any) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    columns = []
    for flags_N in flags_NC.T:
        if flags_N.min() == flags_N.max():
            share = (flags_N.sum() + 0.5) / (len(flags_N) + 1)
            columns.append(np.full(other.shape[0], np.log(share / (1 - share))))
            continue
        with _hushed():
            model = LogisticRegression(C=3.0, solver="liblinear", dual=True, tol=1e-2, random_state=0).fit(own, flags_N)
        columns.append(np.asarray(model.decision_function(other)))
    return np.stack(columns, 1)


def _ridge(own: Any, target_N: np.ndarray, other: Any) -> np.ndarray:
    held_N = _held_out(len(target_N))
    alpha = ALPHAS[1]
    if held_N.any():
        errors = [np.square(_ridge_at(a, own[~held_N], target_N[~held_N], own[held_N]) - target_N[held_N]).mean() for a in ALPHAS]
        alpha = ALPHAS[int(np.argmin(errors))]
    return _ridge_at(alpha, own, target_N, other)


def _ridge_at(alpha: float, own: Any, target_N: np.ndarray, other: Any) -> np.ndarray:
    from sklearn.linear_model import Ridge

    return np.asarray(Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3).fit(own, target_N).predict(other))


@contextmanager
def _hushed() -> Iterator[None]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A baseline a hair from its optimum is as good a baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# -- rows -------------------------------------------------------------------------------------------------------------


def _known(train: Pair, class_N: np.ndarray) -> tuple[Pair, np.ndarray]:
    chosen_N = np.flatnonzero(class_N >= 0)
    chosen_N = chosen_N[_spaced(len(chosen_N))]
    return _take(train, chosen_N), class_N[chosen_N]


def _spaced(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(rows - 1, 0), min(rows, MOST_ROWS)).astype(np.int64))


def _take(pair: Pair, chosen_N: np.ndarray) -> Pair:
    first, second = ([side[i] for i in chosen_N] if side is not None else None for side in pair)
    return first or [], second


def _held_out(rows: int) -> np.ndarray:
    """(N,) bool; none of fewer than 100 rows."""
    return np.arange(rows) % HELD_OUT == HELD_OUT - 1 if rows >= 100 else np.zeros(rows, bool)


def _temperature(rows: int, value: float) -> Outputs:
    return {"temperature": np.full((rows, 1), value)}
