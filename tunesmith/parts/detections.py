"""Boxes that a model found: overlaps, suppression of doubles, and COCO's scores, made of counts of each image so that resampling is quick.

Detections of an image are (K, 6): class, score, left, top, right, bottom, in pixels of the image as it is seen; a score of 0: none there.
Which of them are right is pycocotools' answer; precision over recall is put together here, to the same numbers.

Axes: N images, K detections, M true boxes, C classes, I the ten overlaps from .5 to .95, R the 101 recalls of COCO's precision.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ResourceError, shorten
from ..graded import Graded, Pieces

DIRECTIONS: Mapping[str, bool] = {"map": True, "map_50": True, "map_75": True, "mar_100": True}
OVERLAPS = np.linspace(0.5, 0.95, 10)
"""I."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""R."""
MOST = 100
"""Detections of an image that are kept and judged, as COCO does."""
WIDTH = 6
"""Numbers of a detection."""
NOTHING = 0.05
"""mAP at an overlap of .50 below which next to nothing is found."""
KNOWN = 0.3
"""The same of training images, from which these are learned."""
SUREST = 10
"""Found boxes of an image among which the nearest to a true one is sought: one of a hundred is near by chance."""
SURE = 0.3
"""Least score of an answer, until calibration rows say better."""


def iou(one_M4: np.ndarray, other_K4: np.ndarray) -> np.ndarray:
    """(M, K) overlaps: area of both over area of either."""
    low, high = np.maximum(one_M4[:, None, :2], other_K4[:, :2]), np.minimum(one_M4[:, None, 2:], other_K4[:, 2:])
    both = np.clip(high - low, 0, None).prod(-1)
    area = lambda found: np.clip(found[:, 2:] - found[:, :2], 0, None).prod(-1)  # noqa: E731
    return both / np.maximum(area(one_M4)[:, None] + area(other_K4) - both, 1e-12)


def distinct(found_K6: np.ndarray, overlap: float) -> np.ndarray:
    """(K,) bool: the detections that stay when, of those of a class that overlap by more than this, the surest stays."""
    order = np.argsort(-found_K6[:, 1], kind="stable")
    rival_KK = (iou(found_K6[:, 2:], found_K6[:, 2:]) > overlap) & (found_K6[:, :1] == found_K6[:, 0])
    kept = np.zeros(len(found_K6), bool)
    for at in order:
        kept[at] = found_K6[at, 1] > 0 and not (rival_KK[at] & kept).any()
    return kept


def filled(found_K6: np.ndarray) -> np.ndarray:
    """(MOST, 6) float32: the surest, by falling score, and zeros behind them."""
    order = np.argsort(-found_K6[:, 1], kind="stable")[:MOST]
    made = np.zeros((MOST, WIDTH), np.float32)
    made[: len(order)] = found_K6[order]
    return made


def shaped(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, K, 6) detections, however flat they were kept."""
    found = np.asarray(outputs["detections"])
    return found.reshape(len(found), -1, WIDTH)


def paired(here_K6: np.ndarray, there_K6: np.ndarray) -> np.ndarray:
    """`there` in the order of `here`: of detections that are all but equally sure, rounding decides which is named first."""
    from scipy.optimize import linear_sum_assignment

    far_KK = np.abs(here_K6[:, None] - there_K6[None]).sum(-1)
    return there_K6[linear_sum_assignment(far_KK)[1]]


# -- scores -----------------------------------------------------------------------------------------------------------


def condense(outputs: Mapping[str, np.ndarray], truth: Sequence[Mapping[str, Any]], classes: int) -> dict[str, np.ndarray]:
    """What scores are made of, by pycocotools' matching: `found` (N, K, 2) class and score, `hit` (N, K, I) int8 (1 right, 0 wrong, -1
    counts for nothing), `true` (N, C + 1) boxes to be found, those of no known class last."""
    if "hit" in outputs:
        return dict(outputs)
    found_NK6 = shaped(outputs)
    hit_NKI = np.zeros((*found_NK6.shape[:2], len(OVERLAPS)), np.int8)
    true_NC = np.zeros((len(truth), classes + 1), np.int64)
    for row, one in enumerate(truth):
        known = [number for number, crowd in zip(one["classes"], one["crowds"]) if not crowd]
        true_NC[row] = np.bincount(np.array(known, np.int64), minlength=classes + 1)
    for match in _matches(found_NK6, truth, classes):
        slots = np.array(match["dtIds"], np.int64) - 1
        row, at = np.divmod(slots, found_NK6.shape[1])
        hit_NKI[row, at] = np.where(match["dtIgnore"], -1, match["dtMatches"] > 0).astype(np.int8).T
    return {"found": found_NK6[:, :, :2].copy(), "hit": hit_NKI, "true": true_NC}


def evaluator() -> Any:
    """pycocotools' evaluator. Raises ResourceError that names the extra where it is not installed."""
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ResourceError(
            "object-detection", expected="pycocotools, which judges boxes", got="it is not installed",
            fix="pip install 'tunesmith[detection]'", code="no-pycocotools",
        ) from None
    return COCOeval


def judged(found_NK6: np.ndarray, truth: Sequence[Mapping[str, Any]], classes: int) -> Any:
    """pycocotools' evaluator with these boxes and every parameter set, nothing matched yet."""
    from pycocotools.coco import COCO

    made_by = evaluator()
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
        sides = []
        for marks in (_true(truth), _found(found_NK6)):
            side = COCO()
            categories = [{"id": number} for number in range(classes + 1)]
            side.dataset = {"images": [{"id": row} for row in range(len(truth))], "annotations": marks, "categories": categories}
            side.createIndex()
            sides.append(side)
        evaluation = made_by(*sides, iouType="bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [MOST]
    return evaluation


def _matches(found_NK6: np.ndarray, truth: Sequence[Mapping[str, Any]], classes: int) -> list[dict[str, Any]]:
    if not len(truth):
        return []
    evaluation = judged(found_NK6, truth, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return [one for one in evaluation.evalImgs if one is not None and one["dtIds"]]


def _true(truth: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    marks = []
    for row, one in enumerate(truth):
        for corners, number, crowd in zip(one["boxes"], one["classes"], one["crowds"]):
            marks.append(_mark(len(marks) + 1, row, int(number), corners) | {"iscrowd": int(crowd)})
    return marks


def _found(found_NK6: np.ndarray) -> list[dict[str, Any]]:
    rows, slots = np.nonzero(found_NK6[:, :, 1] > 0)
    flat = rows * found_NK6.shape[1] + slots + 1
    values = found_NK6[rows, slots].astype(np.float64).tolist()
    return [_mark(int(i), int(row), int(v[0]), v[2:]) | {"score": v[1], "iscrowd": 0} for i, row, v in zip(flat, rows, values)]


def _mark(number: int, row: int, kind: int, corners: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom = corners
    box = [left, top, right - left, bottom - top]
    return {"id": number, "image_id": row, "category_id": kind, "bbox": box, "area": box[2] * box[3]}


def score(counts: Mapping[str, np.ndarray]) -> dict[str, float]:
    """COCO's means over overlaps and over the classes that have true boxes; NaN where there are none."""
    per_CI = class_scores(counts)
    if not len(per_CI[0]):
        return dict.fromkeys(DIRECTIONS, float("nan"))
    precision_CI, recall_CI = per_CI
    return {
        "map": float(precision_CI.mean()), "map_50": float(precision_CI[:, 0].mean()), "map_75": float(precision_CI[:, 5].mean()),
        "mar_100": float(recall_CI.mean()),
    }


def astray(scores: Mapping[str, float]) -> bool:
    """Whether next to no box was found, however roughly."""
    return scores["map_50"] < NOTHING


def nearest(outputs: Mapping[str, np.ndarray], truth: Sequence[Mapping[str, Any]]) -> float:
    """Mean over the true boxes of the overlap with the nearest of their image's surest ones, whatever these are said to be around; NaN: no
    true box."""
    best: list[float] = []
    for found_K6, one in zip(shaped(outputs), truth):
        true_M4 = np.array(one["boxes"], np.float64).reshape(-1, 4)
        sure_K6 = found_K6[np.argsort(-found_K6[:, 1], kind="stable")[:SUREST]].astype(np.float64)
        best += iou(true_M4, sure_K6[sure_K6[:, 1] > 0, 2:]).max(1, initial=0.0).tolist()
    return float(np.mean(best)) if best else float("nan")


def by_heart(scores: Mapping[str, float], overlap: float, images: int, steps: int) -> str:
    """What the scores of some training images say of a model that finds next to nothing on others."""
    on = f"On {images} of its training images its mAP at IoU .50 is {scores['map_50']:.2f}"
    near = f"of the {SUREST} surest boxes of an image the nearest overlaps a true one by {overlap:.2f} on average"
    if np.isnan(scores["map_50"]):
        return ""
    if scores["map_50"] >= KNOWN:
        return f"{on}: it learned these, and little that holds for others. Boxes and model fit together; more images or epochs are needed."
    if overlap >= OVERLAPS[0]:
        return f"{on}, though {near}: places are learned, what the boxes are around is not. Look whether the labels fit the boxes."
    return (
        f"{on}, and {near}: it has not learned its own training images. Too few steps do that ({steps:,} were taken; more: train.epochs). "
        "Where many more change nothing, something between boxes and model is wrong: look at the true boxes that the report draws."
    )


def class_scores(counts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and recall (C', I) of the classes that have true boxes, in their order."""
    found_NK2, hit_NKI = counts["found"], counts["hit"]
    there = found_NK2[:, :, 1] > 0
    class_D, score_D, hit_DI = found_NK2[there][:, 0].astype(np.int64), found_NK2[there][:, 1], hit_NKI[there]
    precision, recall = [], []
    for kind, true in enumerate(counts["true"].sum(0).tolist()):
        if true:
            own = class_D == kind
            one = _average(score_D[own], hit_DI[own], true)
            precision.append(one[0])
            recall.append(one[1])
    return np.array(precision).reshape(-1, len(OVERLAPS)), np.array(recall).reshape(-1, len(OVERLAPS))


def _average(score_D: np.ndarray, hit_DI: np.ndarray, true: int) -> tuple[np.ndarray, np.ndarray]:
    """(I,) average precision over COCO's 101 recalls, and (I,) recall, of one class."""
    order = np.argsort(-score_D, kind="mergesort")
    hit_DI = hit_DI[order]
    right_DI, wrong_DI = np.cumsum(hit_DI == 1, 0), np.cumsum(hit_DI == 0, 0)
    if not len(order):
        return np.zeros(len(OVERLAPS)), np.zeros(len(OVERLAPS))
    recall_DI = right_DI / true
    precision_DI = right_DI / (right_DI + wrong_DI + np.spacing(1))
    best_DI = np.maximum.accumulate(precision_DI[::-1], 0)[::-1]
    at_IR = np.stack([np.searchsorted(recall_DI[:, i], RECALLS, side="left") for i in range(len(OVERLAPS))])
    padded = np.vstack([best_DI, np.zeros(len(OVERLAPS))])
    return padded[at_IR, np.arange(len(OVERLAPS))[:, None]].mean(1), recall_DI[-1]


def threshold(counts: Mapping[str, np.ndarray]) -> float:
    """The least score of an answer by which F1 at an overlap of one half is best; SURE where nothing is found right."""
    found, hit = counts["found"][:, :, 1].ravel(), counts["hit"][:, :, 0].ravel()
    kept = (found > 0) & (hit >= 0)
    order = np.argsort(-found[kept], kind="stable")
    right, true = np.cumsum(hit[kept][order] == 1), int(counts["true"].sum())
    if not len(order) or not true or not right[-1]:
        return SURE
    f1 = 2 * right / (np.arange(1, len(order) + 1) + true)
    best = int(f1.argmax())
    sorted_ = found[kept][order]
    below = float(sorted_[best + 1]) if best + 1 < len(sorted_) else 0.0
    return round(max(0.01, (float(sorted_[best]) + below) / 2), 4)


def honest(counts: Mapping[str, np.ndarray], least: float) -> tuple[float, float]:
    """Slope and offset of `confidence`, by which scores of this size or more are as often right as they say (Platt's scaling, held near
    1 and 0 where rows are few)."""
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    score, hit = counts["found"][:, :, 1].ravel(), counts["hit"][:, :, 0].ravel()
    kept = (score >= least) & (score > 0) & (hit >= 0)
    if not kept.any():
        return 1.0, 0.0
    raw, right = logit(np.clip(score[kept].astype(np.float64), 1e-6, 1 - 1e-6)), hit[kept] == 1

    def cost(at: np.ndarray) -> float:
        sure = np.clip(expit(at[0] * raw + at[1]), 1e-9, 1 - 1e-9)
        return float(-np.log(np.where(right, sure, 1 - sure)).sum() + (at[0] - 1) ** 2 + 0.1 * at[1] ** 2)

    slope, offset = minimize(cost, np.array([1.0, 0.0]), method="Nelder-Mead").x.tolist()
    return (slope, offset) if slope > 0 else (1.0, 0.0)


def confidence(score: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Scores as confidences."""
    from scipy.special import expit, logit

    if (slope, offset) == (1.0, 0.0):
        return np.asarray(score)
    found: np.ndarray = expit(slope * logit(np.clip(np.asarray(score, np.float64), 1e-6, 1 - 1e-6)) + offset)
    return found


def answer(found_K6: np.ndarray, labels: Sequence[str], least: float, slope: float = 1.0, offset: float = 0.0) -> dict[str, Any]:
    """The boxes of this score or more, surest first, and how many."""
    told = [one for one in found_K6.tolist() if one[1] > 0 and one[1] >= least]
    sure = confidence(np.array([one[1] for one in told]), slope, offset).tolist()
    made = [
        {"label": labels[int(one[0])], "confidence": round(p, 4), "box": [round(side, 1) for side in one[2:]]} for one, p in zip(told, sure)
    ]
    return {"boxes": made, "count": len(made)}


# -- report -----------------------------------------------------------------------------------------------------------


def grade(counts: Mapping[str, np.ndarray], labels: Sequence[str], least: float, slope: float = 1.0, offset: float = 0.0) -> Graded:
    """Rows in words, and how far from right: 1 less the mean F1 over the ten overlaps, of answers of this score or more."""
    found_NK2, hit_NKI, true_NC = counts["found"], counts["hit"], counts["true"]
    told_NK = (found_NK2[:, :, 1] >= least) & (found_NK2[:, :, 1] > 0) & (hit_NKI[:, :, 0] >= 0)
    right_NI = ((hit_NKI == 1) & told_NK[:, :, None]).sum(1)
    both_N = told_NK.sum(1) + true_NC.sum(1)
    f1_NI = np.where(both_N[:, None] > 0, 2 * right_NI / np.maximum(both_N, 1)[:, None], 1.0)
    class_NK = found_NK2[:, :, 0].astype(np.int64)
    count_NK3 = np.zeros((len(found_NK2), len(labels), 3), np.int64)
    for kind in range(len(labels)):
        own_NK = told_NK & (class_NK == kind)
        count_NK3[:, kind] = np.stack([(own_NK & (hit_NKI[:, :, 0] == 1)).sum(1), own_NK.sum(1), true_NC[:, kind]], 1)
    rows, slots = np.nonzero(told_NK)
    plain_M = found_NK2[rows, slots, 1].astype(np.float64)
    sure_NK = confidence(found_NK2[:, :, 1], slope, offset)
    nothing_N = np.full(len(found_NK2), np.nan)
    names = [*labels, "of an unknown class"]
    truth = [", ".join(f"{shorten(names[i], 24)} × {n}" for i, n in enumerate(row) if n) or "nothing" for row in true_NC.tolist()]
    words = [_words(found_NK2[row], sure_NK[row], told_NK[row], labels) for row in range(len(found_NK2))]
    return Graded(
        truth, words, f1_NI[:, 0] == 1, 1 - f1_NI.mean(1), nothing_N, nothing_N, names=tuple(labels), counts_NK3=count_NK3, by_degree=True,
        pieces=Pieces(
            confidence(plain_M, slope, offset), plain_M, hit_NKI[rows, slots, 0] == 1, rows,
            "each box that is answered (right: overlap of one half)",
        ),
    )


def _words(found_K2: np.ndarray, sure_K: np.ndarray, told_K: np.ndarray, labels: Sequence[str]) -> str:
    told = zip(found_K2[told_K, 0], sure_K[told_K])
    return ", ".join(f"{shorten(labels[int(kind)], 24)} {sure:.2f}" for kind, sure in told) or "nothing"
