"""Spans of words found by a label for each word: decoded, scored strictly, and with a probability each.

Labels are O and, for each type, B (its first word) and I; or one label for each type where every word has one (`plain`).

Axes: N rows, W words of a row, C labels, K types, G rows computed together, M spans of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.arrays import objects
from ..task import Outputs, Truth
from . import confidence, tags

DIRECTIONS: Mapping[str, bool] = {
    "entity_f1": True, "precision": True, "recall": True, "macro_f1": True, "partial_f1": True, "token_accuracy": True,
}
"""Strict entity F1 (start, end and type), its precision and recall, the mean F1 of the types; F1 where a span that only overlaps one of
its type counts half (SemEval-2013 task 9); share of words with the right label."""
CELLS = 1 << 22
"""Scores decoded together."""
SILENT = -30.0
"""Score of every label but O for a word that the tokenizer has no token for."""
TINY = 1e-9
Found = tuple[int, int, int]
"""First word, the one behind the last, type."""
HIT, ANSWERED, SUPPORT, PART = range(4)


def labels(types: Sequence[str], plain: bool) -> tuple[str, ...]:
    """The names of the C labels."""
    return tuple(types) if plain else ("O", *(f"{letter}-{kind}" for kind in types for letter in "BI"))


def encode(spans: Sequence[Sequence[Any]], words: int, types: Sequence[str], plain: bool) -> np.ndarray:
    """(W,) labels of a row; -100 where a span's type is unknown."""
    label_W = np.full(words, -100 if plain else 0, np.int32)
    for start, end, kind in spans:
        at = types.index(kind) if kind in types else -1
        label_W[start:end] = -100 if at < 0 else at if plain else 2 + 2 * at
        if at >= 0 and not plain:
            label_W[start] -= 1
    return label_W


def silent(words: int, count: int, plain: bool) -> np.ndarray:
    """(W, C) scores of words that no token speaks for: outside."""
    logits_WC = np.full((words, count), 0.0 if plain else SILENT, np.float32)
    logits_WC[:, 0] = 0.0
    return logits_WC


def gathered(outputs: Outputs, arrays: Mapping[str, Any], row_N: np.ndarray, count: int, plain: bool) -> Outputs:
    """Of windows' outputs each row's logits (W, C), its text, and its words' places in it. `arrays`: the encoded windows; `row_N`: the row
    of each."""
    own, letters, span = (arrays[name] for name in ("words", "characters", "span"))
    _, first_N = np.unique(row_N, return_index=True)
    logits = [silent(len(span[first]), count, plain) for first in first_N]
    for at, (row, found_WC) in enumerate(zip(row_N, outputs["logits"])):
        word_T = own[at]
        logits[row][word_T[word_T >= 0]] = found_WC
    texts = [letters[first].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") for first in first_N]
    return {"logits": objects(logits), "text": objects(texts), "span": objects([span[first] for first in first_N])}


# -- decoding ---------------------------------------------------------------------------------------------------------


def decode(logits_N: np.ndarray, plain: bool) -> list[np.ndarray]:
    """(W,) labels of each row: the best sequence that can be read, an I only after B or I of its type (Viterbi, without learned
    transitions)."""
    if plain:
        return [np.asarray(logits_WC).argmax(-1).astype(np.int32) for logits_WC in logits_N]
    found: list[np.ndarray] = [np.zeros(0, np.int32)] * len(logits_N)
    for rows in _together(logits_N):
        size_G = np.array([len(logits_N[row]) for row in rows])
        scores_GWC = np.zeros((len(rows), size_G.max(), logits_N[rows[0]].shape[1]), np.float32)
        for at, row in enumerate(rows):
            scores_GWC[at, : size_G[at]] = logits_N[row]
        for row, label_W, size in zip(rows, _viterbi(scores_GWC, size_G), size_G.tolist()):
            found[row] = label_W[:size]
    return found


def _together(logits_N: np.ndarray) -> Iterator[list[int]]:
    """Rows of about one length, so many that they fit."""
    order = sorted((row for row in range(len(logits_N)) if len(logits_N[row])), key=lambda row: len(logits_N[row]))
    start = 0
    for stop, row in enumerate(order):
        if stop > start and (stop + 1 - start) * logits_N[row].size > CELLS:
            yield order[start:stop]
            start = stop
    if start < len(order):
        yield order[start:]


def _viterbi(scores_GWC: np.ndarray, size_G: np.ndarray) -> np.ndarray:
    rows, words, _ = scores_GWC.shape
    best_GC = scores_GWC[:, 0].copy()
    best_GC[:, 2::2] = -np.inf
    any_GW, goes_on_GWK = np.zeros((rows, words), np.int32), np.zeros((rows, words, scores_GWC.shape[2] // 2), bool)
    for at in range(1, words):
        any_GW[:, at] = best_GC.argmax(1)
        goes_on_GWK[:, at] = best_GC[:, 2::2] > best_GC[:, 1::2]
        new_GC = scores_GWC[:, at] + best_GC.max(1, keepdims=True)
        new_GC[:, 2::2] = scores_GWC[:, at, 2::2] + np.maximum(best_GC[:, 1::2], best_GC[:, 2::2])
        best_GC = np.where((at < size_G)[:, None], new_GC, best_GC)
    return _traced(best_GC.argmax(1).astype(np.int32), any_GW, goes_on_GWK, size_G)


def _traced(last_G: np.ndarray, any_GW: np.ndarray, goes_on_GWK: np.ndarray, size_G: np.ndarray) -> np.ndarray:
    rows = np.arange(len(last_G))
    label_GW = np.zeros(any_GW.shape, np.int32)
    label_G = last_G
    for at in range(any_GW.shape[1] - 1, -1, -1):
        label_GW[:, at] = label_G
        kind_G = np.maximum(label_G - 1, 0) // 2
        inside_G = (label_G > 0) & (label_G % 2 == 0)
        before_G = np.where(inside_G, 1 + 2 * kind_G + goes_on_GWK[rows, at, kind_G], any_GW[:, at])
        label_G = np.where(at < size_G, before_G, label_G)
    return label_GW


def spans(label_W: np.ndarray, plain: bool) -> list[Found]:
    """The spans of a row's labels."""
    if plain:
        return [(at, at + 1, int(kind)) for at, kind in enumerate(label_W)]
    found: list[Found] = []
    for at in np.flatnonzero(label_W).tolist():
        kind, inside = divmod(int(label_W[at]) - 1, 2)
        if inside and found and found[-1][1:] == (at, kind):
            found[-1] = (found[-1][0], at + 1, kind)
        else:
            found.append((at, at + 1, kind))
    return found


# -- scores -----------------------------------------------------------------------------------------------------------


def condense(outputs: Outputs, truth: Truth, types: Sequence[str], plain: bool, strange: Sequence[str] = ()) -> Outputs:
    """`counts` (N, K, 4): spans of each type that are right, answered, true, and right in part; types that training never saw come last,
    those that are named (`strange`) also where these rows have none. `words` (N, 2): words with the right label, and all."""
    if "counts" in outputs:
        return outputs
    names = all_types(truth, [*types, *strange])
    counts_NK4 = np.zeros((len(truth), len(names), 4), np.int32)
    words_N2 = np.zeros((len(truth), 2), np.int32)
    for row, (label_W, true) in enumerate(zip(decode(outputs["logits"], plain), truth)):
        true_spans = [(start, end, names.index(kind)) for start, end, kind in true["spans"]]
        _count(counts_NK4[row], spans(label_W, plain), true_spans)
        truth_W = encode(true["spans"], true["words"], types, plain)
        words_N2[row] = int((truth_W == label_W).sum()), len(truth_W)
    return {"counts": counts_NK4, "words": words_N2}


def all_types(truth: Truth, types: Sequence[str]) -> list[str]:
    """The types of training, then those that only the truth has."""
    return [*types, *sorted({kind for row in truth for _, _, kind in row["spans"]} - set(types))]


def _count(counts_K4: np.ndarray, answered: Sequence[Found], true: Sequence[Found]) -> None:
    right = set(answered) & set(true)
    for which, found in ((HIT, right), (ANSWERED, answered), (SUPPORT, true)):
        for _, _, kind in found:
            counts_K4[kind, which] += 1
    left = [span for span in true if span not in right]
    for start, end, kind in (span for span in answered if span not in right):
        near = next((span for span in left if span[2] == kind and span[0] < end and start < span[1]), None)
        if near is not None:
            counts_K4[kind, PART] += 1
            left.remove(near)


def score(outputs: Outputs) -> dict[str, float]:
    """The scores of condensed outputs, as seqeval's strict mode defines those that it has. Types that are neither true nor answered do
    not count for the mean."""
    total_K4, (right, words) = outputs["counts"].sum(0), outputs["words"].sum(0)
    hit, answered, support, part = total_K4.sum(0).tolist()
    there_K4 = total_K4[total_K4[:, ANSWERED] + total_K4[:, SUPPORT] > 0]
    each_K = 2 * there_K4[:, HIT] / (there_K4[:, ANSWERED] + there_K4[:, SUPPORT])
    return {
        "entity_f1": 2 * hit / max(answered + support, 1), "precision": hit / max(answered, 1), "recall": hit / max(support, 1),
        "macro_f1": float(each_K.mean()) if len(each_K) else 0.0, "partial_f1": (2 * hit + part) / max(answered + support, 1),
        "token_accuracy": float(right / max(words, 1)),
    }


# -- confidence -------------------------------------------------------------------------------------------------------


def probabilities(logits_WC: np.ndarray, temperature: float) -> np.ndarray:
    """(W, C) probabilities of a row's labels."""
    scaled_WC = np.asarray(logits_WC, np.float64) / temperature
    spread_WC = np.exp(scaled_WC - scaled_WC.max(-1, keepdims=True))
    return np.asarray(spread_WC / spread_WC.sum(-1, keepdims=True))


def sure(probability_WC: np.ndarray, found: Sequence[Found], plain: bool) -> list[float]:
    """The probability of each span: that its first word begins it, the others go on, and the word behind does not."""
    return [_probability(probability_WC, span, plain) for span in found]


def _probability(probability_WC: np.ndarray, span: Found, plain: bool) -> float:
    start, end, kind = span
    if plain:
        return float(probability_WC[start, kind])
    first, inside = 1 + 2 * kind, 2 + 2 * kind
    ends = 1 - probability_WC[end, inside] if end < len(probability_WC) else 1.0
    return float(probability_WC[start, first] * probability_WC[start + 1 : end, inside].prod() * ends)


def judged(outputs: Outputs, truth: Truth, types: Sequence[str], plain: bool) -> tuple[list[list[Found]], np.ndarray, np.ndarray]:
    """The spans answered in each row, (M,) whether each is right, and (M,) its row."""
    found = [spans(label_W, plain) for label_W in decode(outputs["logits"], plain)]
    right, row_M = list[bool](), list[int]()
    for row, (answered, true) in enumerate(zip(found, truth)):
        there = {(start, end, kind) for start, end, kind in true["spans"]}
        right += [(start, end, types[kind]) in there for start, end, kind in answered]
        row_M += [row] * len(answered)
    return found, np.array(right, bool), np.array(row_M, np.int64)


def sure_all(outputs: Outputs, found: Sequence[Sequence[Found]], temperature: float, plain: bool) -> np.ndarray:
    """(M,) the probability of every span of every row."""
    rows = zip(outputs["logits"], found)
    each = [sure(probabilities(logits_WC, temperature), own, plain) for logits_WC, own in rows if own]
    return np.array([value for row in each for value in row])


def fit_temperature(outputs: Outputs, truth: Truth, types: Sequence[str], plain: bool) -> float:
    """The temperature at which the spans' probabilities agree best with how often they are right."""
    found, right_M, _ = judged(outputs, truth, types, plain)
    if not len(right_M):
        return 1.0
    at = lambda temperature: np.clip(sure_all(outputs, found, temperature, plain), TINY, 1 - TINY)  # noqa: E731

    def loss(temperature: float) -> float:
        sure_M = at(temperature)
        return float(-np.log(np.where(right_M, sure_M, 1 - sure_M)).sum())

    return confidence.fit_temperature(loss, lambda temperature: confidence.reliability(at(temperature), right_M).ece)


# -- answers ----------------------------------------------------------------------------------------------------------


def answers(outputs: Outputs, types: Sequence[str], temperature: float, plain: bool) -> list[dict[str, Any]]:
    """`entities` of each row: text, type, start, end (characters of the user's text) and confidence."""
    found = []
    for label_W, logits_WC, text, span_W2 in zip(decode(outputs["logits"], plain), outputs["logits"], outputs["text"], outputs["span"]):
        own = spans(label_W, plain)
        chance = sure(probabilities(logits_WC, temperature), own, plain) if own else []
        found.append({"entities": [_answer(span, value, text, span_W2, types) for span, value in zip(own, chance)]})
    return found


def _answer(span: Found, chance: float, text: str, span_W2: Any, types: Sequence[str]) -> dict[str, Any]:
    start, end = int(span_W2[span[0]][0]), int(span_W2[span[1] - 1][1])
    return {"text": text[start:end], "type": types[span[2]], "start": start, "end": end, "confidence": round(chance, 4)}


def written(outputs: Outputs, types: Sequence[str], plain: bool, scheme: str) -> list[list[str]]:
    """Each row's answer as tags in the user's own scheme."""
    found = []
    for label_W in decode(outputs["logits"], plain):
        own = [(start, end, types[kind]) for start, end, kind in spans(label_W, plain)]
        found.append(tags.write(own, len(label_W), scheme))
    return found


def from_spans(rows: Sequence[Sequence[Found]], sizes: Sequence[int], types: Sequence[str], plain: bool) -> np.ndarray:
    """(N,) scores (W, C) that say just these spans: what a rule answers."""
    count = len(labels(types, plain))
    said = []
    for row, size in zip(rows, sizes):
        label_W = encode([(start, end, types[kind]) for start, end, kind in row], size, types, plain)
        said.append(4.0 * np.eye(count, dtype=np.float32)[np.maximum(label_W, 0)])
    return objects(said)
