"""How like real pictures made ones are: a fixed description of pictures, and KID, FID, agreement and copies by it.

The description is of no trained network (it is not Inception): 24 numbers of the layout (lowest cosine frequencies: 4 x 4 of brightness,
2 x 2 of each of two colour differences) and 40 of the texture (mean responses of 20 fixed random filters of 5 x 5 at two scales), all of
the picture at 32 x 32, standardised over training pictures and held within three deviations, so that no odd picture rules a score.
Where an image encoder is given, its vectors stand instead.

Axes: N pictures, D numbers of each, M pictures remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np

from . import pictures

SIDE = 32
WIDTH = 64
"""Numbers of a description; wider vectors of an encoder are projected to so many, at random and the same each time."""
FILTERS = 20
HELD = 3.0
NAMED = "a fixed description of pictures (24 numbers of layout, 40 of texture, no trained network, not Inception)"
THUMB = 16
"""Pixels a side at which copies are looked for."""
COPY_SHARE = 0.05
"""Share of training pictures that are as near to another as what counts as a copy."""
MOST_KNOWN = 20_000
"""Training pictures among which copies are looked for."""


# -- descriptions -----------------------------------------------------------------------------------------------------


def describe(picture_HW3: np.ndarray) -> np.ndarray:
    """(64,) of a picture."""
    fine = pictures.small(picture_HW3, SIDE)
    coarse = pictures.small(picture_HW3, SIDE // 2)
    light = fine @ np.array([0.299, 0.587, 0.114])
    layout = [_cosines(light, 4), _cosines(fine[..., 0] - light, 2), _cosines(fine[..., 2] - light, 2)]
    return np.concatenate([*layout, _texture(fine), _texture(coarse)])


def _cosines(plane_HW: np.ndarray, count: int) -> np.ndarray:
    basis = _basis(len(plane_HW), count)
    return np.asarray((basis @ plane_HW @ basis.T).ravel())


@cache
def _basis(length: int, count: int) -> np.ndarray:
    at = (np.arange(length) + 0.5) / length
    return np.cos(np.pi * np.arange(count)[:, None] * at) / np.sqrt(length)


@cache
def _filters() -> np.ndarray:
    drawn = np.random.default_rng(20).normal(size=(75, FILTERS))
    drawn -= drawn.mean(0)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0))


def _texture(plane_HW3: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(plane_HW3, (5, 5), axis=(0, 1)).reshape(-1, 75)
    return np.asarray(np.abs(windows @ _filters()).mean(0))


def projected(vectors_ND: np.ndarray) -> np.ndarray:
    """Vectors of an encoder in at most 64 numbers: a fixed random rotation, of which the first are kept."""
    width = vectors_ND.shape[1]
    if width <= WIDTH:
        return vectors_ND
    turned, _ = np.linalg.qr(np.random.default_rng(64).normal(size=(width, WIDTH)))
    return np.asarray(vectors_ND @ turned)


def scale(vectors_ND: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and standard deviations, rounded as JSON keeps them."""
    deviation_D = np.maximum(vectors_ND.std(0), 1e-3 * max(1e-6, float(vectors_ND.std())))
    return tuple(np.round(vectors_ND.mean(0), 6).tolist()), tuple(np.maximum(np.round(deviation_D, 6), 1e-6).tolist())


def held(standard_ND: np.ndarray) -> np.ndarray:
    """Standardised numbers drawn in smoothly, to within three deviations."""
    return np.asarray(HELD * np.tanh(standard_ND / HELD))


# -- scores -----------------------------------------------------------------------------------------------------------


def kid(made_ND: np.ndarray, real_ND: np.ndarray, row_N: np.ndarray) -> float:
    """Kernel inception distance's unbiased estimate (arXiv 1801.01401) on these descriptions; about 0 for pictures of the same kind.

    `row_N`: the row of each: in a resample the same row may stand twice, and is no evidence of likeness to itself.
    """
    if len(np.unique(row_N)) < 2:
        return float("nan")
    apart_NN = row_N[:, None] != row_N[None, :]
    within = sum(float(_kernel(one, one)[apart_NN].mean()) for one in (made_ND, real_ND))
    return within - 2 * float(_kernel(made_ND, real_ND).mean())


def _kernel(one_ND: np.ndarray, other_ND: np.ndarray) -> np.ndarray:
    return np.asarray((one_ND @ other_ND.T / one_ND.shape[1] + 1) ** 3)


def fid(made_ND: np.ndarray, real_ND: np.ndarray) -> float:
    """Fréchet distance of two normal distributions (arXiv 1706.08500) on these descriptions; larger for few pictures."""
    if len(made_ND) < 2:
        return float("nan")
    first, second = (np.cov(one.T) for one in (made_ND, real_ND))
    values, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(values.clip(0))) @ axes.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    apart = ((made_ND.mean(0) - real_ND.mean(0)) ** 2).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * shared)


def matched(made_ND: np.ndarray, real_ND: np.ndarray) -> np.ndarray:
    """(N,) of each made picture, the share of other rows' pictures that are farther from it than its own row's; half is chance."""
    gap_NN = distances(made_ND, real_ND)
    own_N = np.diag(gap_NN)
    farther_NN = (gap_NN > own_N[:, None]) + 0.5 * (gap_NN == own_N[:, None])
    np.fill_diagonal(farther_NN, 0.0)
    return np.asarray(farther_NN.sum(1) / max(1, len(own_N) - 1))


def distances(one_ND: np.ndarray, other_MD: np.ndarray) -> np.ndarray:
    """(N, M) root mean squared differences."""
    squared = (one_ND**2).sum(1)[:, None] + (other_MD**2).sum(1) - 2 * one_ND @ other_MD.T
    return np.asarray(np.sqrt(squared.clip(0) / one_ND.shape[1]))


# -- copies -----------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, eq=False)
class Known:
    """Training pictures at hand while a verdict is made: what may have been copied."""

    thumbs_MD: np.ndarray
    cells: Sequence[Any]
    near: float
    """Distance below which a picture counts as a copy: one training picture in twenty has another as near."""

    @classmethod
    def of(cls, cells: Sequence[Any], side: int) -> Known:
        """The pictures of these cells; of very many an even part."""
        chosen = [cells[int(at)] for at in np.linspace(0, len(cells) - 1, min(len(cells), MOST_KNOWN)).round()] if len(cells) else []
        thumbs_MD = np.stack([thumb(pictures.square(cell, side)) for cell in chosen])
        return cls(thumbs_MD, chosen, _near(thumbs_MD))

    def nearest(self, made: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) distance to the nearest training picture, and (N,) which it is."""
        gap_NM = distances(np.stack([thumb(one) for one in made]), self.thumbs_MD)
        return gap_NM.min(1), gap_NM.argmin(1)


def thumb(picture_HW3: np.ndarray) -> np.ndarray:
    """(D,) of a picture: its pixels, few."""
    return pictures.small(picture_HW3, THUMB).ravel()


def _near(thumbs_MD: np.ndarray) -> float:
    few_KD = thumbs_MD[:: max(1, len(thumbs_MD) // 1000)]
    gap_KM = distances(few_KD, thumbs_MD)
    gap_KM[np.arange(len(few_KD)), np.arange(0, len(thumbs_MD), max(1, len(thumbs_MD) // 1000))] = np.inf
    return float(np.quantile(gap_KM.min(1), COPY_SHARE)) if len(thumbs_MD) > 1 else 0.0


# -- outputs ----------------------------------------------------------------------------------------------------------


def score(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """All scores of condensed outputs: `loss`, `seen` and `real` (N, D), `row`, `right`, `copied`; rows without a picture are NaN."""
    there_N = np.isfinite(found["seen"][:, 0])
    made_ND, real_ND, row_N = (found[name][there_N] for name in ("seen", "real", "row"))
    enough = len(made_ND) > 1
    return {
        "kid": kid(made_ND, real_ND, row_N) if enough else float("nan"), "fid": fid(made_ND, real_ND) if enough else float("nan"),
        "denoising_loss": _mean(found["loss"]), "agreement": _mean(found["right"]), "copies": _mean(found["copied"]),
    }


def _mean(values_N: np.ndarray) -> float:
    known_N = values_N[np.isfinite(values_N)]
    return float(known_N.mean()) if len(known_N) else float("nan")
