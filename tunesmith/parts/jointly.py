"""Several targets that learn together: what rows teach of each, what their heads are solved on, how their answers are shown.

Axes: N rows, E examples, M units that a head answers, T tokens, W words of a row, D features, K targets.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.arrays import objects
from ..task import Example, Graded, Outputs, Row, Solution, Truth
from . import alignment, several
from .several import WORDWISE

if TYPE_CHECKING:
    from ..inference import Encoded

# -- rows -------------------------------------------------------------------------------------------------------------


def aims(part: Any, name: str, kind: str, rows: Sequence[Row]) -> list[Any]:
    """What each row teaches of a target, as its own task encodes it: `target` and `row_weight`, 0 where the row lacks it; of words
    (W,) labels, None where the row lacks them."""
    known = [several.there(row[name]) for row in rows]
    asked = [row for row, there in zip(rows, known) if there]
    found = iter(part.aims(asked) if asked else ())
    blank: Any = None
    if kind not in WORDWISE:
        shape = {"number": np.full(1, np.nan, np.float32), "labels": np.zeros(several.width(part, kind), np.float32)}
        blank = {"target": shape.get(kind, -1), "row_weight": 0.0}
    return [next(found) if there else blank for there in known]


def teach(examples: Sequence[Example], aims_K: Sequence[Sequence[Any]], kinds: Sequence[str]) -> None:
    """Put the aims of K targets into examples: `target_k` and `row_weight_k` (shared among a row's windows), or `tags_k`."""
    of = [example.get("row", at) for at, example in enumerate(examples)]
    windows = Counter(of)
    for at, (own, kind) in enumerate(zip(aims_K, kinds, strict=True)):
        for row, example in zip(of, examples, strict=True):
            if kind not in WORDWISE:
                example[f"target_{at}"] = own[row]["target"]
                example[f"row_weight_{at}"] = own[row]["row_weight"] / windows[row]
            elif own[row] is None:
                example[f"tags_{at}"] = np.full(len(example["words"]), -100, np.int32)
            else:
                example[f"tags_{at}"] = alignment.spoken(own[row], example["words"])


def known(encoded: Encoded, kinds: Sequence[str]) -> np.ndarray:
    """(E, K) bool: which examples teach which target."""
    tagged = lambda tags: np.array([(tags[row] >= 0).any() for row in range(len(encoded))], bool)  # noqa: E731
    own = [
        tagged(encoded.arrays[f"tags_{at}"]) if kind in WORDWISE else np.asarray(encoded.arrays[f"row_weight_{at}"]) > 0
        for at, kind in enumerate(kinds)
    ]
    return np.stack(own, 1)


# -- solved heads -----------------------------------------------------------------------------------------------------


def units(encoded: Encoded, truth: Truth, kinds: Sequence[tuple[str, str]], pooling: str) -> tuple[np.ndarray, Truth]:
    """Features (M, D) of the texts, behind those of the words where some have tags; and objects: places (M, K) of each unit in each
    target's truth, -1 where it has none, then the K truths. `kinds`: each target and what it is."""
    own = [several.of_target(truth, name, kind) for name, kind in kinds]
    text_MK = np.stack([_places(own_N, encoded.row_N, kind) for (own_N, _), (_, kind) in zip(own, kinds)], 1)
    values = [value for _, value in own]
    if not any(kind in WORDWISE for _, kind in kinds):
        return np.asarray(encoded.arrays["pooled_D"]), objects([text_MK, *values])
    features, words = (np.asarray(getattr(encoded.arrays[name], "values")) for name in ("features_TD", "words"))  # noqa: B009
    spoken_T = words >= 0
    none_M = np.full(int(spoken_T.sum()), -1)
    word_MK = []
    for at, (_, kind) in enumerate(kinds):
        if kind in WORDWISE:
            values[at] = np.asarray(getattr(encoded.arrays[f"tags_{at}"], "values"))[spoken_T].astype(np.int64)  # noqa: B009
        word_MK.append(np.where(values[at] >= 0, np.arange(len(none_M)), -1) if kind in WORDWISE else none_M)
    vectors = several.pooled(features, np.asarray(getattr(encoded.arrays["features_TD"], "starts")), pooling)  # noqa: B009
    return np.concatenate([features[spoken_T], vectors]), objects([np.concatenate([np.stack(word_MK, 1), text_MK]), *values])


def cut(solution: Solution, first: int, last: int) -> Solution:
    """The head of one target."""
    return Solution(solution.weight_CD[first:last], solution.bias_C[first:last])


def stacked(heads: Sequence[Solution]) -> Solution:
    """The heads of all targets."""
    return Solution(np.concatenate([one.weight_CD for one in heads]), np.concatenate([one.bias_C for one in heads]))


def _places(own_N: np.ndarray, row_E: np.ndarray, kind: str) -> np.ndarray:
    """(E,) which of a target's truths an example has; -1: none, or not of the whole text."""
    if kind in WORDWISE:
        return np.full(len(row_E), -1)
    return np.asarray(np.where(own_N, np.cumsum(own_N) - 1, -1)[row_E])


# -- scores -----------------------------------------------------------------------------------------------------------

Each = Iterable[tuple[str, str, Any]]
"""Target, kind and task of each."""


def condense(each: Each, outputs: Outputs, truth: Truth) -> Outputs:
    """Each target's outputs in the smallest form, its truth beside them, and `known`: which rows have it. What is condensed stays."""
    found: Outputs = {}
    for name, kind, part in each:
        own = several.own(outputs, name)
        if "known" in own:
            return outputs
        known_N, value_M = several.of_target(truth, name, kind)
        small = part.condense({key: value[known_N] for key, value in own.items()}, value_M) if known_N.any() else {}
        small = {key: several.spread(known_N, value) for key, value in small.items()} | {"known": known_N}
        found |= several.named(small if kind in WORDWISE else small | {"truth": several.spread(known_N, value_M)}, name)
    return found


def scores(each: Each, condensed: Outputs) -> tuple[list[float], dict[str, float]]:
    """The headlines of the targets that some of the rows have, and all scores of all targets, NaN where no row has one."""
    heads, found = list[float](), dict[str, float]()
    for name, _, part in each:
        own = several.own(condensed, name)
        known_N = own.pop("known")
        own = {key: value[known_N] for key, value in own.items()}
        made = part.score(own, own.pop("truth", np.zeros(int(known_N.sum())))) if known_N.any() else {}
        found |= {f"{name} {score}": made.get(score, np.nan) for score in part.directions}
        heads += [made[next(iter(part.directions))]] if made else []
    return heads, found


# -- baselines --------------------------------------------------------------------------------------------------------


def ladder(names: Sequence[str], each: Sequence[Mapping[str, Outputs]]) -> dict[str, Outputs]:
    """The first baselines of all targets as one, then the second; of a target with fewer, its last."""
    found = {}
    for rung in range(max(map(len, each))):
        chosen = [list(own.items())[min(rung, len(own) - 1)] for own in each]
        title = ", ".join(dict.fromkeys(title for title, _ in chosen))
        found[title] = {k: v for name, (_, own) in zip(names, chosen, strict=True) for k, v in several.named(own, name).items()}
    return found


# -- in words ---------------------------------------------------------------------------------------------------------

Shown = tuple[int, str, str, float]
"""Row, truth and answer in words, and how far off, 0 (as wanted) to 1."""


def graded(outputs: Outputs, truth: Truth, name: str, kind: str, part: Any) -> Iterator[Shown]:
    """The rows that have a target."""
    known_N, value_M = several.of_target(truth, name, kind)
    own = {key: value[known_N] for key, value in outputs.items()}
    rows = np.flatnonzero(known_N).tolist()
    if rows and kind in WORDWISE:
        seen = part.grade(own, value_M)
        yield from zip(rows, seen.truth, seen.answer, (1.0 - seen.right_N).tolist(), strict=True)
    elif rows:
        for row, value, answer in zip(rows, value_M, part.answers(own), strict=True):
            yield row, meant(part, kind, value), said(answer), off(part, kind, answer, value)


def grade(names: Sequence[str], each: Sequence[Iterator[Shown]], rows: int) -> Graded:
    """Rows with all targets in words; how far off is the mean of the targets that a row has."""
    off_NK = np.full((rows, len(names)), np.nan)
    truth, answer = ([list[str]() for _ in range(rows)] for _ in range(2))
    for at, (name, shown) in enumerate(zip(names, each, strict=True)):
        for row, true, given, far in shown:
            truth[row].append(f"{name}: {true}")
            answer[row].append(f"{name}: {given}")
            off_NK[row, at] = far
    loss_N = np.nansum(off_NK, 1) / np.maximum(1, (~np.isnan(off_NK)).sum(1))
    none_N, join = np.full(rows, np.nan), "; ".join
    right_N = (np.nan_to_num(off_NK) < 0.25).all(1)
    return Graded(list(map(join, truth)), list(map(join, answer)), right_N, loss_N, none_N, none_N, by_degree=True)


def said(answer: Mapping[str, Any]) -> str:
    """A target's answer in words."""
    if "labels" in answer:
        return ", ".join(map(str, answer["labels"])) or "none"
    return str(answer["label"]) if "label" in answer else f"{answer['value']:.4g}"


def meant(part: Any, kind: str, truth: Any) -> str:
    """What a row says of a target, in words."""
    if kind == "class":
        return str(part.labels[truth]) if 0 <= truth < len(part.labels) else "a label unknown to the training rows"
    if kind == "number":
        return f"{truth[0]:.4g}"
    return ", ".join(str(name) for name, on in zip(part.vocabulary, truth) if on) or "none"


def off(part: Any, kind: str, answer: Mapping[str, Any], truth: Any) -> float:
    """How far off an answer is, 0 (as wanted) to 1: wrong or right, the distance in two standard deviations, or the share of labels
    that only one side has."""
    if kind == "class":
        return float(answer["label"] != meant(part, kind, truth))
    if kind == "number":
        return 0.0 if math.isnan(truth[0]) else min(1.0, abs(answer["value"] - truth[0]) / (2 * part.deviations[0]))
    given, true = {part.vocabulary.index(name) for name in answer["labels"]}, {at for at, on in enumerate(truth) if on}
    return 1 - len(given & true) / len(given | true) if given | true else 0.0
