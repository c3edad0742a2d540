"""How well vectors find what belongs together: ranks of right texts among all texts of the judged rows, or agreement with scores.

Rows are judged as one search: every different text of these rows that is not an anchor is a candidate. Anchors that stand in several
rows are one question with several right answers; a row without an anchor only adds its texts to be searched among.

Axes: N rows, K texts of a row, D features, U candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.arrays import objects
from ..task import Graded, Outputs, Truth
from .contrast import ANCHOR, POSITIVE
from .languages import spaceless
from .tokens import as_text

RANKED: Mapping[str, bool] = {"ndcg_10": True, "recall_1": True, "recall_10": True, "mrr": True}
SCORED: Mapping[str, bool] = {"spearman": True, "pearson": True}
BLOCK = 256
CLOSE = 0.1
"""A pair is called right where its cosine's place among all is this near to its score's, in shares of the rows."""


# -- similarity -------------------------------------------------------------------------------------------------------


def cosines(outputs: Outputs) -> np.ndarray:
    """(N,) cosine of each row's first two texts."""
    if "bags" in outputs:
        return np.array([float(bag[0].multiply(bag[1]).sum()) for bag in outputs["bags"]])
    return np.asarray((outputs["vectors"][:, ANCHOR] * outputs["vectors"][:, POSITIVE]).sum(-1), np.float64)


def _texts(outputs: Outputs, rows: np.ndarray, texts: np.ndarray) -> Any:
    """The vectors of these rows' texts: dense, or sparse for bags of words."""
    if "bags" in outputs:
        import scipy.sparse

        return scipy.sparse.vstack([outputs["bags"][row][text] for row, text in zip(rows, texts)], "csr")
    return outputs["vectors"][rows, texts]


def bags(train: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]]) -> Outputs:
    """TF-IDF vectors of the rows' texts (each a list of K), fitted on the training rows' texts: of pieces of words, since words that
    training lacks would say nothing (stsb: Spearman .705 against .647 by words)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    own = [as_text(text) for texts in train for text in texts]
    whole = spaceless(own)
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer="char" if whole else "char_wb", ngram_range=(1, 3) if whole else (2, 5))
    try:
        vectorizer.fit(own)
    except ValueError:  # not one word in them
        vectorizer.fit(["nothing"])
    return {"bags": objects([vectorizer.transform([as_text(text) for text in texts]) for texts in rows])}


# -- ranks ------------------------------------------------------------------------------------------------------------


def condense(outputs: Outputs, truth: Truth, grouped: bool) -> Outputs:
    """Of each row, as one search among all of these: its scores (N, 4) as RANKED names them, the `rank` (N,) of its first right text, and
    what it counts (`weight` (N,): rows of one anchor share 1; 0 where nothing is asked or nothing could be found).

    `truth` (N, K) int: keys of the texts; `grouped`: of a text and its group, where all texts of the group are right.
    """
    if "scores" in outputs:
        return outputs
    key_N = truth[:, 0].astype(np.int64)
    row_U, text_U, key_U = _candidates(truth, grouped)
    right = _right(truth, grouped, key_U)
    scores_N4, rank_N = np.zeros((len(truth), 4)), np.full(len(truth), np.nan)
    _, first_Q, of_N = np.unique(key_N, return_index=True, return_inverse=True)
    asked_Q = np.array([q for q, row in enumerate(first_Q) if key_N[row] != 0 and len(right[key_N[row] if not grouped else row])], np.int64)
    there: Any = _texts(outputs, row_U, text_U) if len(row_U) else None
    for start in range(0, len(asked_Q), BLOCK):
        part_Q = asked_Q[start : start + BLOCK]
        rows = first_Q[part_Q]
        cosine_BU = _texts(outputs, rows, np.zeros(len(rows), np.int64)) @ there.T
        cosine_BU = np.asarray(cosine_BU.todense() if hasattr(cosine_BU, "todense") else cosine_BU)
        for q, row, cosine_U in zip(part_Q, rows, cosine_BU):
            found = _one(cosine_U, right[key_N[row] if not grouped else row], key_U == key_N[row])
            scores_N4[of_N == q], rank_N[of_N == q] = found[:4], found[4]
    share_N = 1.0 / np.bincount(of_N)[of_N]
    return {"scores": scores_N4, "rank": rank_N, "weight": np.where(np.isnan(rank_N), 0.0, share_N)}


def _candidates(truth: Truth, grouped: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(U,) row, text and key of each different text that may be found."""
    texts = truth[:, :1] if grouped else truth[:, 1:]
    row_F, text_F = np.divmod(np.arange(texts.size), texts.shape[1])
    key_F = texts.reshape(-1).astype(np.int64)
    _, first = np.unique(key_F, return_index=True)
    first = np.sort(first[key_F[first] != 0])
    return row_F[first], text_F[first] + (0 if grouped else 1), key_F[first]


def _right(truth: Truth, grouped: bool, key_U: np.ndarray) -> Any:
    """Anchor's key (grouped: row) -> places of the candidates that are right for it, in order."""
    place = {int(one): at for at, one in enumerate(key_U)}
    if grouped:
        groups: dict[int, set[int]] = {}
        for one, group in truth[:, :2].astype(np.int64).tolist():
            if one in place:
                groups.setdefault(group, set()).add(place[one])
        own = [(place.get(one, -1), group) for one, group in truth[:, :2].astype(np.int64).tolist()]
        return [np.array(sorted(groups.get(group, set()) - {at}), np.int64) for at, group in own]
    right: dict[int, set[int]] = {}
    for anchor, positive in truth[:, :2].astype(np.int64).tolist():
        right.setdefault(anchor, set()).update([place[positive]] if positive in place and positive != anchor else [])
    return {anchor: np.array(sorted(places), np.int64) for anchor, places in right.items()}


def _one(cosine_U: np.ndarray, right_R: np.ndarray, own_U: np.ndarray) -> tuple[float, float, float, float, float]:
    """nDCG@10, recall@1 and @10, reciprocal rank and rank of one search; of candidates that come equally near the wrong ones go first."""
    cosine_U = np.where(own_U, -np.inf, cosine_U)
    best = cosine_U[right_R]
    wrong_U = np.ones(len(cosine_U), bool)
    wrong_U[right_R] = False
    wrong = np.sort(-cosine_U[wrong_U])
    ahead_R = np.searchsorted(wrong, np.sort(-best), side="right")  # wrong ones at least as near as each right one, nearest first
    rank_R = ahead_R + 1 + np.arange(len(best))
    ideal = (1 / np.log2(np.arange(2, min(len(best), 10) + 2))).sum()
    gain = (1 / np.log2(rank_R[rank_R <= 10] + 1)).sum()
    first = float(rank_R[0])
    return float(gain / ideal), float((rank_R <= 1).sum() / len(best)), float((rank_R <= 10).sum() / len(best)), 1 / first, first


def score_ranks(outputs: Outputs) -> dict[str, float]:
    """Means over the questions of condensed outputs."""
    weight_N = outputs["weight"]
    means = (outputs["scores"] * weight_N[:, None]).sum(0) / weight_N.sum() if weight_N.sum() else np.full(4, np.nan)
    return dict(zip(RANKED, means.tolist()))


def grade_ranks(outputs: Outputs) -> Graded:
    """Rows of condensed outputs as the report shows them."""
    rank_N = outputs["rank"]
    said = ["not asked" if np.isnan(rank) else f"found at place {int(rank):,}" for rank in rank_N]
    wanted = ["" if np.isnan(rank) else "at place 1" for rank in rank_N]
    unsure_N = np.full(len(rank_N), np.nan)
    return Graded(wanted, said, ~(rank_N > 1), np.log(np.nan_to_num(rank_N, nan=1.0)), unsure_N, unsure_N)


# -- scores -----------------------------------------------------------------------------------------------------------


def condense_pairs(outputs: Outputs) -> Outputs:
    """`cosine` (N,) of each pair."""
    return outputs if "cosine" in outputs else {"cosine": cosines(outputs)}


def score_pairs(outputs: Outputs, target_N: np.ndarray) -> dict[str, float]:
    """Correlations of cosines with the scores, by rank (ties share theirs) and plain."""
    cosine_N, wanted_N = outputs["cosine"], np.asarray(target_N, np.float64).reshape(len(target_N), -1)[:, 0]
    return {"spearman": _pearson(_ranks(cosine_N), _ranks(wanted_N)), "pearson": _pearson(cosine_N, wanted_N)}


def grade_pairs(outputs: Outputs, target_N: np.ndarray) -> Graded:
    """Pairs as the report shows them: how far a cosine's place among all is from its score's."""
    cosine_N, wanted_N = outputs["cosine"], np.asarray(target_N, np.float64).reshape(len(target_N), -1)[:, 0]
    apart_N = np.abs(_ranks(cosine_N) - _ranks(wanted_N)) / max(len(cosine_N), 1)
    unsure_N = np.full(len(cosine_N), np.nan)
    return Graded([f"{value:g}" for value in wanted_N], [f"cosine {value:.3f}" for value in cosine_N], apart_N <= CLOSE, apart_N,
                  unsure_N, unsure_N)


def _ranks(value_N: np.ndarray) -> np.ndarray:
    """(N,) ranks from 1; equal values share their mean."""
    _, place_N, count = np.unique(value_N, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place_N])


def _pearson(one_N: np.ndarray, other_N: np.ndarray) -> float:
    one_N, other_N = one_N - one_N.mean(), other_N - other_N.mean()
    spread = float(np.sqrt((one_N**2).sum() * (other_N**2).sum()))
    return float((one_N * other_N).sum() / spread) if spread else float("nan")


def vectors(outputs: Outputs) -> list[list[float]]:
    """Each row's first vector as numbers that JSON holds."""
    return [[round(float(x), 6) for x in vector_D] for vector_D in outputs["vectors"][:, ANCHOR]]
