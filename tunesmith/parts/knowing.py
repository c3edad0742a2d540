"""What was found for a question: which of it is the answer, how sure that is, when to refuse, and how right it all was.

What a model (or a simple search) finds for a row is one JSON text, `found`:

    hits      passages, best first: [document, place, from, to, score, cosine, BM25, the sentence nearest to the question]
    spans     stretches that may answer: [hit, from, to, text, odds against no answer, its sentence, cosine]; sentences chosen by words have
              an eighth entry, 1, and four times the share of the question's words for odds
    reply     a written answer {text, odds, cites: the hits that it names}; null for a reader of stretches
    hidden    spans, or the reply, where the documents that do answer were left out; null where nobody knows these
    read      how many hits were read

Scores: answers by SQuAD's or CMRC's rules; recall@k, the share of what is to be found that stands in the first k passages; nDCG@10, where
each stretch (or document) that is to be found gains once; the reciprocal rank of the first.

Axes: N rows, F features of confidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np

from ..task import Graded, Outputs, Truth
from . import answers

DIRECTIONS: Mapping[str, bool] = {
    "answer_f1": True, "exact_match": True, "recall_1": True, "recall_5": True, "recall_20": True, "ndcg_10": True, "mrr": True,
    "citation_precision": True, "refusal_accuracy": True,
}
Form = Literal["span", "sentence", "words"]
FORMS: tuple[Form, ...] = ("span", "sentence", "words")
"""What is answered: the reader's stretch, the sentence around it, or the sentence nearest to the question by words. A reader that has seen
little is the better for the last two; which it is, the rows that fit the rule say."""
HOW = {
    "citation_precision": "share of given answers whose cited passage holds (half of) the right stretch",
    "refusal_accuracy": "mean of two shares: answered, of questions whose passage was read; refused, of questions without an answer and of "
    "all others asked again with the documents that answer them left out",
}
"""What counts, said beside the scores."""
SAID: Mapping[Form, str] = {
    "span": "official F1; answered is the reader's stretch",
    "sentence": "official F1; answered is the sentence around the reader's stretch, which suited the validation questions better",
    "words": "official F1; answered is the sentence that shares most words with the question, which suited the validation questions better "
    "than the reader",
}
SECTIONS: Mapping[str, Sequence[str]] = {
    "Answers": ("answer_f1", "exact_match"), "Passages": ("recall_1", "recall_5", "recall_20", "ndcg_10", "mrr"),
    "Citations and refusals": ("citation_precision", "refusal_accuracy"),
}
FOUND = ("ndcg_10", "recall_1", "recall_5", "recall_20", "mrr")
"""Scores where nothing is answered."""
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""By how much log odds an answer is believed less for each doubling of its passage's rank: one of these, whichever answers best."""
RIGHT = 0.5
"""F1 from which an answer counts as right where one word has to be said."""
SHOWN = 3
"""Sources that an answer names."""
NOTHING = "(refused)"


@final
@dataclass(frozen=True)
class Rule:
    """How an answer is chosen and believed. `weights_F`, `bias`: of odds and cosine (logistic)."""

    step: float = 1.0
    weights_F: tuple[float, ...] = (1.0, 0.0)
    bias: float = 0.0
    threshold: float = 0.0
    by: answers.Rule = "squad"
    form: Form = "span"


@final
@dataclass(frozen=True)
class Decided:
    """One row's answer; `span`: its place among the spans, -1 where there is none."""

    text: str
    span: int
    sure: float
    features_F: tuple[float, ...]
    refused: bool


# -- decisions --------------------------------------------------------------------------------------------------------


def parsed(outputs: Outputs) -> list[dict[str, Any]]:
    """What was found, row by row."""
    return [json.loads(text) for text in outputs["found"]]


def decide(found: Mapping[str, Any], rule: Rule, hidden: bool = False) -> Decided:
    """The best stretch, or the reply; refused where belief does not reach the threshold."""
    said = found["hidden"] if hidden else found["reply"] or found["spans"]
    if isinstance(said, Mapping):
        return _believed(said["text"], -1, (float(said["odds"]), float(found["hits"][0][5]) if found["hits"] else 0.0), rule)
    if not said:
        return Decided("", -1, 0.0, (-20.0, 0.0), True)
    pool = [at for at, one in enumerate(said) if (len(one) > 7) == (rule.form == "words")] or list(range(len(said)))
    values = [said[at][4] - rule.step * np.log2(1 + said[at][0]) for at in pool]
    best = int(np.argmax(values))
    one = said[pool[best]]
    return _believed(one[5 if rule.form == "sentence" else 3], pool[best], (float(values[best]), float(one[6])), rule)


def _believed(text: str, span: int, features: tuple[float, ...], rule: Rule) -> Decided:
    sure = 1 / (1 + np.exp(-np.clip(np.dot(rule.weights_F, features) + rule.bias, -30, 30)))
    return Decided(text, span, float(sure), features, bool(sure < rule.threshold) or not text.strip())


def fit(found: Sequence[Mapping[str, Any]], truth: Truth, by: answers.Rule, share: float) -> Rule:
    """The rule that suits these rows: what a rank costs, how likely an answer is right, and the threshold at which refusing is better
    where a `share` of the questions has no answer in the documents (those whose documents were hidden stand for them)."""
    rows = [row for row in range(len(truth)) if truth[row]["answers"]]
    kinds = [Rule(step, by=by, form=form) for form in FORMS for step in STEPS]
    worth = [np.mean([_f1(decide(found[row], kind).text, truth[row], by) for row in rows] or [0.0]) for kind in kinds]
    rule = _sure(found, truth, kinds[int(np.argmax(worth))])
    shown = [decide(one, rule) for one in found]
    gain = np.array([_f1(one.text, row, by) - _f1("", row, by) for one, row in zip(shown, truth)])
    weight = np.full(len(gain), (1 - share) / max(len(gain), 1))
    without = [decide(one, rule, hidden=True) for one in found if one["hidden"] is not None]
    sure = np.array([one.sure for one in [*shown, *without]])
    gain = np.concatenate([gain, np.full(len(without), -1.0)])
    weight = np.concatenate([weight, np.full(len(without), share / max(len(without), 1))])
    return replace(rule, threshold=_threshold(sure, gain * weight))


def _threshold(sure_M: np.ndarray, worth_M: np.ndarray) -> float:
    """From which belief on answers are worth most together, those of equal belief answered alike."""
    order = np.argsort(-sure_M, kind="stable")
    ends = np.append(sure_M[order][1:] < sure_M[order][:-1], True)
    worth = np.cumsum(worth_M[order])
    best = int(np.where(ends, worth, -np.inf).argmax())
    if worth[best] <= 0:
        return float(np.nextafter(sure_M[order[0]], 2))
    return float((sure_M[order[best]] + sure_M[order[best + 1]]) / 2) if best + 1 < len(order) else 0.0


def _sure(found: Sequence[Mapping[str, Any]], truth: Truth, rule: Rule) -> Rule:
    """The rule with the logistic map from features to the chance of a right answer."""
    told = [(decide(one, rule), _f1(decide(one, rule).text, row, rule.by) >= RIGHT) for one, row in zip(found, truth)]
    told += [(decide(one, rule, hidden=True), False) for one in found if one["hidden"] is not None]
    features_NF, right_N = np.array([one.features_F for one, _ in told]), np.array([right for _, right in told])
    if right_N.all() or not right_N.any():
        return rule
    from sklearn.linear_model import LogisticRegression

    spread_F = np.maximum(features_NF.std(0), 1e-6)
    fitted = LogisticRegression(C=1.0).fit(features_NF / spread_F, right_N)
    return replace(rule, weights_F=tuple((fitted.coef_[0] / spread_F).tolist()), bias=float(fitted.intercept_[0]))


def _f1(text: str, row: Mapping[str, Any], by: answers.Rule) -> float:
    return answers.score(text, row["answers"], by)[0]


# -- what users see ---------------------------------------------------------------------------------------------------


def answer(found: Mapping[str, Any], rule: Rule | None) -> dict[str, Any]:
    """`answer` (empty where refused), how sure, and the sources it rests on, the cited one first; without a rule the sources alone."""
    hits = found["hits"]
    if rule is None:
        return {"sources": [_source(hit, hit[7]) for hit in hits[: 2 * SHOWN - 1]]}
    one = decide(found, rule)
    cited = cites(found, one)
    sources = [_source(hits[at], _sentence(found, one, at)) for at in cited]
    sources += [_source(hits[at], hits[at][7]) for at in range(min(len(hits), SHOWN)) if at not in cited]
    return {"answer": "" if one.refused else one.text, "refused": one.refused, "confidence": one.sure, "sources": sources}


def cites(found: Mapping[str, Any], one: Decided) -> list[int]:
    """The hits that an answer rests on; none where it is refused."""
    if one.refused:
        return []
    if one.span >= 0:
        return [int(found["spans"][one.span][0])]
    return [int(at) for at in (found["reply"] or {}).get("cites", [])]


def _sentence(found: Mapping[str, Any], one: Decided, hit: int) -> str:
    return str(found["spans"][one.span][5] if one.span >= 0 else found["hits"][hit][7])


def _source(hit: Sequence[Any], sentence: str) -> dict[str, Any]:
    return {"file": hit[0], "place": hit[1], "start": hit[2], "end": hit[3], "text": sentence}


# -- scores -----------------------------------------------------------------------------------------------------------


def condense(outputs: Outputs, truth: Truth, rule: Rule | None) -> Outputs:
    """(N,) what scores are means of; NaN where a row does not count."""
    rows = [_row(found, row, rule) for found, row in zip(parsed(outputs), truth)]
    names = rows[0] if rows else [*DIRECTIONS, "stay", "leave", "sure"]
    return {name: np.array([row[name] for row in rows], np.float64) for name in names}


def _row(found: Mapping[str, Any], truth: Mapping[str, Any], rule: Rule | None) -> dict[str, float]:
    nan = float("nan")
    ranked = ranks(found["hits"], truth["units"])
    values = dict(zip(("recall_1", "recall_5", "recall_20", "ndcg_10", "mrr"), found_scores(found["hits"], truth)))
    if rule is None:
        return values | dict.fromkeys(("answer_f1", "exact_match", "citation_precision", "stay", "leave", "sure"), nan)
    one = decide(found, rule)
    f1, exact = answers.score("" if one.refused else one.text, truth["answers"], rule.by)
    there = any(rank <= found["read"] for rank in ranked)
    left = [float(decide(found, rule, hidden=True).refused)] if found["hidden"] is not None else []
    left += [] if truth["answers"] else [float(one.refused)]
    cited = [float(any(rank == at + 1 for rank in all_ranks(found["hits"], truth["units"]))) for at in cites(found, one)]
    return values | {
        "answer_f1": f1, "exact_match": exact, "citation_precision": float(np.mean(cited)) if cited and truth["units"] else nan,
        "stay": float(not one.refused) if there and truth["answers"] else nan, "leave": float(np.mean(left)) if left else nan,
        "sure": one.sure,
    }


def found_scores(hits: Sequence[Sequence[Any]], truth: Mapping[str, Any]) -> tuple[float, float, float, float, float]:
    """recall@1, @5, @20, nDCG@10 and reciprocal rank of one row."""
    return measures(ranks(_documents(hits) if truth["how"] == "document" else hits, truth["units"]))


def _documents(hits: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The first hit of each document, where documents are what is to be found."""
    return list({hit[0]: hit for hit in reversed(hits)}.values())[::-1]


def ranks(hits: Sequence[Sequence[Any]], units: Sequence[Sequence[Sequence[Any]]]) -> list[float]:
    """For each thing that is to be found the rank (from 1) of the first passage that holds it; infinite where none does."""
    return [next((at for at, hit in enumerate(hits, 1) if _holds(hit, unit)), np.inf) for unit in units]


def all_ranks(hits: Sequence[Sequence[Any]], units: Sequence[Sequence[Sequence[Any]]]) -> list[int]:
    """Ranks of all passages that hold something that is to be found."""
    return [at for at, hit in enumerate(hits, 1) if any(_holds(hit, unit) for unit in units)]


def _holds(hit: Sequence[Any], unit: Sequence[Sequence[Any]]) -> bool:
    """Whether a passage holds at least half of one of these stretches, or lies within it (a whole document)."""
    return any(
        name == hit[0] and 2 * (min(end, hit[3]) - max(start, hit[2])) >= max(min(end - start, hit[3] - hit[2]), 1)
        for name, start, end in unit
    )


def measures(ranked: Sequence[float]) -> tuple[float, float, float, float, float]:
    """recall@1, @5, @20, nDCG@10 and reciprocal rank; NaN where nothing is to be found."""
    if not ranked:
        return (float("nan"),) * 5
    first = np.sort(ranked)
    recall = [float((first <= k).mean()) for k in (1, 5, 20)]
    gain = sum(1 / np.log2(rank + 1) for rank in set(first[first <= 10].tolist()))  # one passage may hold two things: it gains once
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(len(first), 10) + 1))
    return recall[0], recall[1], recall[2], float(gain / ideal), float(1 / first[0])


def score(rows: Outputs, names: Sequence[str]) -> dict[str, float]:
    """Means of condensed rows."""
    found = {name: _mean(rows[name]) for name in names if name != "refusal_accuracy"}
    if "refusal_accuracy" in names:
        found["refusal_accuracy"] = (_mean(rows["stay"]) + _mean(rows["leave"])) / 2
    return {name: found[name] for name in names}


def _mean(value_N: np.ndarray) -> float:
    value_N = value_N[~np.isnan(value_N)]
    return float(value_N.mean()) if len(value_N) else float("nan")


def grade(outputs: Outputs, truth: Truth, rule: Rule | None) -> Graded:
    """Rows as the report shows them: what was answered, from where, and where the right passage stood."""
    found, rows = parsed(outputs), condense(outputs, truth, rule)
    said = [_said(one, rule) for one in found]
    wanted = [_wanted(one, row) for one, row in zip(found, truth)]
    if rule is None:
        right_N, loss_N, sure_N = rows["recall_1"] > 0, 1 - np.nan_to_num(rows["ndcg_10"], nan=1.0), np.full(len(truth), np.nan)
        return Graded(wanted, said, right_N, loss_N, sure_N, sure_N)
    right_N = rows["answer_f1"] >= RIGHT
    return Graded(wanted, said, right_N, 1 - rows["answer_f1"] + rows["sure"] * ~right_N, rows["sure"], rows["sure"])


def _said(found: Mapping[str, Any], rule: Rule | None) -> str:
    shown = answer(found, rule)
    sources = [f"{one['file']}{', ' + one['place'] if one['place'] else ''}: “{one['text']}”" for one in shown["sources"][:1]]
    head = [] if rule is None else [NOTHING if shown["refused"] else shown["answer"]]
    return " — ".join([*head, *sources]) or NOTHING


def _wanted(found: Mapping[str, Any], truth: Mapping[str, Any]) -> str:
    first = min(ranks(found["hits"], truth["units"]), default=None)
    where = "" if first is None else f" (found at place {int(first):,})" if np.isfinite(first) else " (its passage was not found)"
    texts = " | ".join(truth["answers"]) or ", ".join(sorted({unit[0][0] for unit in truth["units"]})[:SHOWN]) or "(no answer)"
    return texts + where
