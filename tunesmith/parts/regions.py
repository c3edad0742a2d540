"""Pixels as a model answers them: an image fitted into its frame, answers on a grid brought back to the image's own size, and scores.

An image is scaled until it fits the frame, its sides in proportion, and stands in the upper left corner; the rest is padding that counts
for nothing. Scores are made at each image's own size, from counts of each class in each row.

Axes: N rows, B rows of a batch, H height, W width, C classes, G cells of the grid a side, K the classes and what training never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import shorten
from ..task import Graded
from .masks import UNKNOWN, VOID, unpacked

if TYPE_CHECKING:
    import torch

DIRECTIONS: Mapping[str, bool] = {"miou": True, "dice": True, "pixel_accuracy": True, "class_accuracy": True}
STRIDE = 8
"""Pixels of the frame, a side, for which there is one answer; between answers it is interpolated."""
FINER = 2
"""Targets a side for each answer: thin things are not lost in training."""
BAND = 1 << 24
"""Numbers computed at a time when answers are brought to an image's size."""
Answered = Callable[[Mapping[str, np.ndarray], int, Sequence[int]], np.ndarray]
TOLD = 4
"""Classes of a row that the report names."""


@dataclass(frozen=True)
class Frame:
    """The model's own input size, and its grid of answers."""

    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int]:
        """Answers down and across."""
        return -(-self.height // STRIDE), -(-self.width // STRIDE)

    def fitted(self, size: Sequence[int]) -> tuple[int, int]:
        """Height and width of an image of this size in the frame."""
        scale = min(self.height / size[0], self.width / size[1])
        return min(self.height, max(1, round(size[0] * scale))), min(self.width, max(1, round(size[1] * scale)))

    def sampled(self, class_HW: np.ndarray, finer: int, inside: tuple[int, int] | None = None) -> np.ndarray:
        """(finer G, finer G) uint8: what stands in the middle of each cell; VOID in the padding. `inside`: height and width that the
        image has in the frame, if it is not as large as fits."""
        inside = inside or self.fitted(class_HW.shape)
        sides = (self.height, self.width)
        rows, columns = (
            _middles(full, count * finer, inner, own) for full, count, inner, own in zip(sides, self.grid, inside, class_HW.shape)
        )
        found = np.full((len(rows), len(columns)), VOID, np.uint8)
        found[np.ix_(rows >= 0, columns >= 0)] = class_HW[np.ix_(rows[rows >= 0], columns[columns >= 0])]
        return found

    def classes(
        self, logits_CGG: np.ndarray, size: Sequence[int], own: Sequence[int] | None = None, inside: tuple[int, int] | None = None
    ) -> np.ndarray:
        """(H, W) uint8: the likeliest class of each pixel of an image of this size (`own`: the size it is shown at, if another; `inside`:
        that in the frame, likewise)."""
        inside, shown = inside or self.fitted(size), own or size
        down_HG, across_WG = (
            _weights(full, count, inner, out)
            for full, count, inner, out in zip((self.height, self.width), self.grid, inside, shown)
        )
        wide_CGW = logits_CGG.astype(np.float32) @ across_WG.T
        found = np.empty(tuple(shown), np.uint8)
        step = max(1, BAND // max(1, len(logits_CGG) * shown[1]))
        for start in range(0, shown[0], step):
            found[start : start + step] = (down_HG[start : start + step] @ wide_CGW).argmax(0)
        return found


def _middles(full: int, cells: int, inner: int, own: int) -> np.ndarray:
    """The image's pixel in the middle of each cell; -1 beyond the image."""
    middle = (np.arange(cells) + 0.5) * full / cells
    return np.where(middle < inner, np.minimum((middle * own / inner).astype(np.int64), own - 1), -1)


def _weights(full: int, cells: int, inner: int, out: int) -> np.ndarray:
    """(out, cells) float32: each pixel's shares of the two nearest answers."""
    inside = inner * cells / full
    at = np.clip((np.arange(out) + 0.5) * inside / out - 0.5, 0, max(0.0, min(inside, cells) - 1))
    low = np.minimum(at.astype(np.int64), cells - 1)
    share = np.zeros((out, cells), np.float32)
    share[np.arange(out), low] = 1 - (at - low)
    share[np.arange(out), np.minimum(low + 1, cells - 1)] += at - low
    return share


# -- loss -------------------------------------------------------------------------------------------------------------


def loss(logits_BCGG: torch.Tensor, target_BHW: torch.Tensor, weights: Sequence[float], dice: float) -> torch.Tensor:
    """SUM over labelled targets of the cross-entropy, plus of each row `dice` x (1 - its mean Dice) x its targets' weight
    (soft Dice: arXiv 1606.04797). Rows do not meet, so that sums of parts add up."""
    import torch
    from torch.nn import functional

    logits = functional.interpolate(logits_BCGG.float(), target_BHW.shape[-2:], mode="bilinear", align_corners=False)
    known_BHW = target_BHW < logits.shape[1]
    target = torch.where(known_BHW, target_BHW, -100)
    weight_C = logits.new_tensor(weights) if weights else None
    total = functional.cross_entropy(logits, target, weight_C, ignore_index=-100, reduction="sum")
    if not dice:
        return total
    probability = logits.softmax(1) * known_BHW[:, None]
    hot = functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known_BHW[:, None]
    both_BC, all_BC = (probability * hot).sum((2, 3)), probability.sum((2, 3)) + hot.sum((2, 3))
    there_BC = hot.sum((2, 3)) > 0
    score_B = (there_BC * (2 * both_BC + 1) / (all_BC + 1)).sum(1) / there_BC.sum(1).clamp(min=1)
    return total + dice * ((1 - score_B) * target_weights(target_BHW, weights, logits.shape[1])).sum()


def target_weights(target_BHW: torch.Tensor, weights: Sequence[float], classes: int) -> torch.Tensor:
    """(B,) weights of the labelled targets of each row."""
    import torch

    known = target_BHW < classes
    if not weights:
        return known.sum((1, 2)).float()
    table = torch.tensor([*weights, 0.0], dtype=torch.float32, device=target_BHW.device)
    return table[target_BHW.clamp(max=classes)].sum((1, 2))


# -- scores -----------------------------------------------------------------------------------------------------------


def count(answer_HW: np.ndarray, truth_HW: np.ndarray, classes: int) -> np.ndarray:
    """(K, 3) int64: pixels right, answered and true of each class; in the last line the true ones of no known class."""
    labelled = truth_HW != VOID
    answer, truth = answer_HW[labelled], truth_HW[labelled]
    made = np.zeros((classes + 1, 3), np.int64)
    made[:classes, 0] = np.bincount(truth[answer == truth], minlength=classes)[:classes]
    made[:classes, 1] = np.bincount(answer, minlength=classes)[:classes]
    made[:classes, 2] = np.bincount(truth, minlength=classes)[:classes]
    made[classes, 2] = (truth == UNKNOWN).sum()
    return made


def condense(outputs: Mapping[str, np.ndarray], truth: np.ndarray, answered: Answered, classes: int) -> dict[str, np.ndarray]:
    """Counts (N, K, 3) of each row at its own size. `answered`: the classes of a row, of the size asked for."""
    if "counts" in outputs:
        return dict(outputs)
    made = np.zeros((len(truth), classes + 1, 3), np.int64)
    for row, address in enumerate(truth):
        true_HW = unpacked(address)
        made[row] = count(answered(outputs, row, true_HW.shape), true_HW, classes)
    return {"counts": made}


def grid_of(outputs: Mapping[str, np.ndarray], row: int, frame: Frame, classes: int) -> np.ndarray:
    """(C, G, G) logits of a row, however flat they were kept."""
    found: np.ndarray = np.asarray(outputs["logits"][row]).reshape(classes, *frame.grid)
    return found


def score(counts_NK3: np.ndarray) -> dict[str, float]:
    """Means over the classes that are there (true or answered), from the sums over all rows; pixel accuracy over labelled pixels."""
    hit_C, answered_C, true_C = counts_NK3.sum(0)[:-1].T.astype(np.float64)
    total = float(counts_NK3[:, :, 2].sum())
    there, true = answered_C + true_C > 0, true_C > 0
    if not there.any() or not total:
        return dict.fromkeys(DIRECTIONS, float("nan"))
    hit, both = hit_C[there], (answered_C + true_C)[there]
    return {
        "miou": float((hit / (both - hit)).mean()), "dice": float((2 * hit / both).mean()), "pixel_accuracy": float(hit_C.sum() / total),
        "class_accuracy": float((hit_C[true] / true_C[true]).mean()) if true.any() else float("nan"),
    }


def grade(counts_NK3: np.ndarray, labels: Sequence[str]) -> Graded:
    """Rows as the report shows them: what covers most of each, in truth and in the answer, and how far apart they are."""
    hit_NC, answered_NC, true_NC = np.moveaxis(counts_NK3[:, :-1].astype(np.float64), 2, 0)
    both_NC = answered_NC + true_NC
    iou_NC = np.divide(hit_NC, both_NC - hit_NC, out=np.zeros_like(hit_NC), where=both_NC > 0)
    mean_N = iou_NC.sum(1) / np.maximum((both_NC > 0).sum(1), 1)
    nothing_N = np.full(len(counts_NK3), np.nan)
    return Graded(
        [covers(row, labels) for row in true_NC], [covers(row, labels) for row in answered_NC], mean_N >= 0.5, 1 - mean_N, nothing_N,
        nothing_N, names=tuple(labels), counts_NK3=counts_NK3[:, :-1], by_degree=True,
    )


def covers(pixels_C: np.ndarray, labels: Sequence[str]) -> str:
    """What covers most of an image, in words."""
    total, order = max(1.0, float(pixels_C.sum())), np.argsort(-pixels_C, kind="stable")[:TOLD]
    return ", ".join(f"{shorten(labels[i], 24)} {pixels_C[i] / total:.0%}" for i in order if pixels_C[i]) or "nothing labelled"


def prior(target_NHW: np.ndarray, classes: int, finer: int = FINER) -> np.ndarray:
    """(C, G, G) float32: how likely each class is at each place of the frame, as logits, smoothed by how likely it is anywhere."""
    rows, height, width = target_NHW.shape
    cells = target_NHW.reshape(rows, height // finer, finer, width // finer, finer)
    counts = np.stack([(cells == one).sum((0, 2, 4)) for one in range(classes)]).astype(np.float64)
    anywhere = counts.sum((1, 2), keepdims=True) + 1
    return np.log(counts + anywhere / anywhere.sum()).astype(np.float32)


def overlay(cell: Any, class_HW: np.ndarray, side: int) -> str:
    """An image with a mask laid over it, as a small `data:` address; nothing where the image cannot be read."""
    import base64
    import io

    from PIL import Image

    from ..data import images
    from .masks import colours

    try:
        image = images.rgb(cell)
    except Exception:  # a file that has gone since: the report needs no picture
        return ""
    image.thumbnail((side, side))
    shown = Image.fromarray(class_HW).resize(image.size, 0)
    mixed = 0.45 * np.asarray(image, np.float32) + 0.55 * colours()[np.asarray(shown)]
    made = io.BytesIO()
    Image.fromarray(mixed.astype(np.uint8)).save(made, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"
