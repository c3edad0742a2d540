"""Pictures that were made, as they are judged: what stands beside them, their scores' meaning, and how the report shows them.

Axes: N rows, K noise levels, D numbers of a description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Graded, Outputs, Truth
from . import likeness, pictures
from .making import DESCRIBED, LEVELS

if TYPE_CHECKING:
    from ..data.table import Table

ORACLE = "training pictures drawn again"


def directions(conditional: bool) -> Mapping[str, bool]:
    """Score -> whether higher is better."""
    agreed = {"agreement": True} if conditional else {}
    return {"kid": False, "fid": False, "denoising_loss": False, **agreed, "copies": False}


def how_scored(describer: str, what: str, guidance: float, steps: int) -> dict[str, str]:
    """What each score says."""
    by = f"vectors of {describer}, turned to {likeness.WIDTH} numbers" if describer else likeness.NAMED
    agreement = {
        "label": "share of pictures that a linear classifier, fitted on the descriptions of real training pictures, takes for their label",
        "caption": "how often a picture is more like its own row's than like another row's (0.5: chance)",
    }
    return {
        "kid": f"unbiased kernel distance (polynomial, degree 3) to the rows' own pictures, 0: of the same kind; by {by}; "
        f"{steps} steps, guidance {guidance:g}",
        "fid": f"Fréchet distance to the rows' own pictures by the same descriptions; it falls with the number of pictures, so compare it "
        f"within this report only; its interval is rough, since resamples raise it; {ORACLE} show what is possible",
        "denoising_loss": f"squared error of the noise that is predicted, in units of its variance (1: nothing is known), at {LEVELS} "
        "noise levels of each row that are the same each time",
        "agreement": agreement[what],
        "copies": f"share of pictures as near to a training picture (at {likeness.THUMB} x {likeness.THUMB} pixels) as only one training "
        "picture in twenty is to another",
    }


def grade(found: Outputs, truth: Truth, labels: Sequence[str]) -> Graded:
    """Rows by the distance of what was made to the nearest real picture among the test rows, as a share of the farthest."""
    there_N = np.isfinite(found["seen"][:, 0])
    far_N = np.zeros(len(truth))
    if there_N.any():
        far_N[there_N] = likeness.distances(found["seen"][there_N], found["real"]).min(1)
        far_N /= max(1e-9, float(far_N.max()))
    names = [labels[int(at)] if 0 <= at < len(labels) else "a picture like the others" for at in truth[:, -1]]
    said = [
        "a copy, or nearly" if copied == 1 else "a picture of its own" if made else "none was made"
        for copied, made in zip(found["copied"], there_N)
    ]
    unsure_N = np.full(len(truth), np.nan)
    return Graded(names, said, ~(found["copied"] == 1), far_N, unsure_N, unsure_N, by_degree=True)


def pictured(outputs: Outputs, known: Any) -> list[dict[str, str]]:
    """Of each row what was made, and the nearest training picture."""
    found = []
    for one in outputs["picture"]:
        made = pictures.opened(one) if one else None
        shown = {} if made is None else {"made": pictures.address(made, pictures.SHOWN)}
        if made is not None and known is not None:
            cell = known.cells[int(known.nearest([made])[1][0])]
            shown["nearest training picture"] = pictures.address(pictures.square(cell, made.shape[0]), pictures.SHOWN)
        found.append(shown)
    return found


def condense(task: Any, outputs: Outputs, truth: Truth) -> Outputs:
    """What `likeness.score` reads of each row; NaN where no picture was made."""
    rows, width = len(truth), truth.shape[1] - 1
    there = [row for row in range(rows) if outputs["picture"][row]]
    seen_ND, right_N, copied_N = np.full((rows, width), np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    if there:
        made = [pictures.opened(outputs["picture"][row]) for row in there]
        seen_ND[there] = task.seen(made)
        right_N[there] = _agreed(task, seen_ND[there], truth[there])
        if task.known is not None:
            copied_N[there] = task.known.nearest(made)[0] < task.known.near
    loss_N = np.asarray(outputs["loss"], np.float64).reshape(rows, -1).mean(1)
    return {"loss": loss_N, "seen": seen_ND, "real": truth[:, :width], "row": np.arange(rows), "right": right_N, "copied": copied_N}


def _agreed(task: Any, seen_ND: np.ndarray, truth: Truth) -> np.ndarray:
    if task.caption:
        return likeness.matched(seen_ND, truth[:, :-1])
    if not task.probe_bias:
        return np.full(len(seen_ND), np.nan)
    taken_N = (seen_ND @ np.array(task.probe_weight).T + np.array(task.probe_bias)).argmax(1)
    return np.where(truth[:, -1] < 0, np.nan, taken_N == truth[:, -1])


def baselines(train: Table, rows: Table, image: str, label: str, side: int) -> dict[str, Outputs]:
    """Name -> `loss` and `picture` of each row."""
    rng, cells = np.random.default_rng(0), train.column(image)
    few = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), DESCRIBED)).astype(int))
    squares = [pictures.square(cells[at], side) for at in few.tolist()]
    stack = np.stack(squares).astype(np.float32)
    mean, spread_ = stack.mean(0), stack.std(0)
    noise = lambda: rng.normal(127.5, 63.75, stack.shape[1:])  # noqa: E731
    like = lambda: rng.normal(mean, spread_)  # noqa: E731
    ways = {"random noise": noise, "each pixel by itself": like}
    pixelwise = {name: [_bytes(draw()) for _ in range(len(rows))] for name, draw in ways.items()}
    drawn = [pictures.square(cells[at], side) for at in _again(train, rows, label, rng)]
    unknown = {"random noise": 1.0}
    return {
        name: {"loss": np.full((len(rows), LEVELS), unknown.get(name, np.nan)), "picture": _addresses(made)}
        for name, made in (pixelwise | {ORACLE: drawn}).items()
    }


def _again(train: Table, rows: Table, label: str, rng: np.random.Generator) -> list[int]:
    """A training row for each row, of its label where there is one."""
    if not label:
        return rng.integers(0, len(train), len(rows)).tolist()
    by: dict[str, list[int]] = {}
    for at, cell in enumerate(train.column(label)):
        by.setdefault(str(cell), []).append(at)
    every = range(len(train))
    return [int(rng.choice(by.get(str(cell), every))) for cell in rows.column(label)]


def _bytes(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def _addresses(made: Sequence[np.ndarray]) -> np.ndarray:
    found = np.empty(len(made), object)
    for at, one in enumerate(made):
        found[at] = pictures.address(one)
    return found
