"""Linear models solved to their optimum: multinomial and one-vs-rest logistic regression, ridge.

Axes: N rows of a set, B rows of a block, D features (E: and a constant one for the bias), C classes or targets.

`strength` is λ in  mean loss + λ/2 · |W|²  over standardised features whose rows have mean square length 1; the bias is free. The weights
that come back apply to the features as they came. (scikit-learn's C is 1 / (N λ).)

L-BFGS runs in coordinates where the curvature at the start is the identity: some tens of passes where plain L-BFGS needs
hundreds. On mean vectors of MiniLM (banking77), standardising each feature and scaling all alike came out the same; it is
standardised for the encoders that have a few very large features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..task import Solution
from .descent import minimise

if TYPE_CHECKING:
    import torch

BLOCK = 16_384
"""Rows computed at a time."""
HELD = 2**27
"""Standardised numbers kept in memory; beyond it they are made anew, block by block, in every pass."""
EXACT = 2**25
"""Up to this many multiplications a pass, everything is float64; beyond it products are float32 and sums float64."""
PASSES = 1000
"""Most passes over the rows."""

Loss = Callable[["torch.Tensor", slice], tuple[float, "torch.Tensor"]]
"""Scores of a block of rows -> its weighted loss, and the loss's gradient by the scores."""


def multinomial(
    features_ND: Any, class_N: np.ndarray, classes: int, strength: float, *, weight_N: np.ndarray | None = None,
    start: Solution | None = None, passes: int = PASSES,
) -> Solution:
    """Softmax regression at its optimum. Features dense or scipy-sparse (these are taken as they are, not standardised).

    Rows of class -1 are left out. `start`: a solution nearby, say that of the last strength. Deterministic.
    """
    import torch

    known_N = class_N >= 0
    class_t, weights = torch.from_numpy(np.where(known_N, class_N, 0)), known_N * _weights(weight_N, len(class_N))
    weight_t = torch.from_numpy(weights)

    def loss(scores_BC: torch.Tensor, rows: slice) -> tuple[float, torch.Tensor]:
        target_B1, weight_B = class_t[rows, None], weight_t[rows]
        total_B1 = scores_BC.logsumexp(1, keepdim=True)
        value = float(weight_B @ (total_B1 - scores_BC.gather(1, target_B1))[:, 0].double())
        slope_BC = (scores_BC - total_B1).exp_()
        slope_BC.scatter_add_(1, target_B1, torch.full_like(total_B1, -1.0))
        return value, slope_BC * weight_B[:, None].to(slope_BC.dtype)

    problem = _Problem(_Rows.of(features_ND, weights, classes), loss, weights, classes, strength, passes)
    return problem.solve(start, lambda scores_BC: _spread(scores_BC.softmax(1)))


def independent(
    features_ND: Any, flags_NC: np.ndarray, strength: float, *, weight_N: np.ndarray | None = None,
    start: Solution | None = None, passes: int = PASSES,
) -> Solution:
    """One logistic regression per flag (one-vs-rest), all at once, at their optimum."""
    import torch
    from torch.nn import functional

    weights = _weights(weight_N, len(flags_NC))
    flags_t, weight_t = torch.from_numpy(flags_NC.astype(np.float32)), torch.from_numpy(weights)

    def loss(scores_BC: torch.Tensor, rows: slice) -> tuple[float, torch.Tensor]:
        flags_BC, weight_B = flags_t[rows].to(scores_BC.dtype), weight_t[rows]
        value = functional.binary_cross_entropy_with_logits(scores_BC, flags_BC, reduction="none").double().sum(1)
        return float(weight_B @ value), (scores_BC.sigmoid() - flags_BC) * weight_B[:, None].to(scores_BC.dtype)

    outputs = flags_NC.shape[1]
    problem = _Problem(_Rows.of(features_ND, weights, outputs), loss, weights, outputs, strength, passes)
    return problem.solve(start, lambda scores_BC: _spread(scores_BC.sigmoid()))


def ridge(features_ND: np.ndarray, target_NC: np.ndarray, strength: float, *, weight_N: np.ndarray | None = None) -> Solution:
    """Least squares with L2 in closed form, for several targets at once: mean squared error / 2 + strength / 2 · |W|²."""
    import torch

    weights = _weights(weight_N, len(target_NC))
    rows, total = _Rows.of(features_ND, weights, 10**9), float(weights.sum())
    center_C = weights @ target_NC / total
    gram_DD, moment_DC = 0.0, 0.0
    for part in rows.slices():
        block_BD, weight_B1 = rows.block(part), torch.from_numpy(weights[part, None])
        weighted_DB = (block_BD * weight_B1).T
        gram_DD = gram_DD + weighted_DB @ block_BD
        moment_DC = moment_DC + weighted_DB @ torch.from_numpy(target_NC[part] - center_C)
    system_DD = np.asarray(gram_DD) / total + (strength + 1e-12) * np.eye(features_ND.shape[1])
    return rows.fold(np.linalg.solve(system_DD, np.asarray(moment_DC) / total).T, center_C)


def left_out(features_ND: np.ndarray, target_NC: np.ndarray, strengths: Iterable[float]) -> Iterator[np.ndarray]:
    """For each strength (N, C): what `ridge` says of each row when it learns from all the others. No model is fitted anew: exact, but that
    scales and the weight of the penalty stay those of all rows."""
    count, mean_C = len(target_NC), target_NC.mean(0)
    axes_NK, length_K = _axes(_Rows.of(features_ND, np.ones(count), 10**9).block(slice(0, count)).numpy())
    apart_NC = target_NC - mean_C
    along_KC = axes_NK.T @ apart_NC
    for strength in strengths:
        kept_K = length_K / (length_K + count * (strength + 1e-12))
        error_NC = apart_NC - axes_NK @ (kept_K[:, None] * along_KC)
        own_N1 = 1 / count + np.square(axes_NK) @ kept_K[:, None]  # how far a row's own target moves what is said of it
        yield target_NC - error_NC / np.maximum(1 - own_N1, 1e-9)


def _axes(row_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal axes of the rows (N, K) and their squared lengths (K,), those of no length left out."""
    wide = row_ND.shape[0] <= row_ND.shape[1]
    length_K, found = np.linalg.eigh(row_ND @ row_ND.T if wide else row_ND.T @ row_ND)
    long = length_K > 1e-12 * max(float(length_K.max(initial=0.0)), 1e-300)
    length_K, found = length_K[long], found[:, long]
    return found if wide else row_ND @ found / np.sqrt(length_K), length_K


def scores(features_ND: Any, solution: Solution) -> np.ndarray:
    """(N, C) features @ weight.T + bias."""
    return np.asarray(features_ND @ solution.weight_CD.T + solution.bias_C)


@final
@dataclass(frozen=True)
class _Rows:
    """Features as the solver sees them, (x - mean) / scale, in blocks. Sparse ones are neither moved nor scaled."""

    features_ND: Any
    mean_D: np.ndarray
    scale_D: np.ndarray
    dtype: Any
    held: Any = None

    @classmethod
    def of(cls, features_ND: Any, weight_N: np.ndarray, outputs: int) -> _Rows:
        import torch

        rows, size = features_ND.shape
        if not isinstance(features_ND, np.ndarray):
            return cls(features_ND.tocsr(), np.zeros(size), np.ones(size), torch.float64)
        mean_D, spread_D = _moments(features_ND, weight_N)
        # No more than float32's rounding, of the feature itself or beside the widest one (MiniLM has features of 1e-32).
        flat = spread_D <= np.maximum(1e-6 * np.abs(mean_D), 1e-7 * spread_D.max(initial=0.0))
        scale_D = np.where(flat, 1.0, spread_D) * np.sqrt(max((~flat).sum(), 1))
        small = outputs == 10**9 or rows * size * outputs <= EXACT
        made = cls(features_ND, mean_D, scale_D, torch.float64 if small else torch.float32)
        return cls(features_ND, mean_D, scale_D, made.dtype, made._together()) if rows * size <= HELD else made

    def slices(self) -> Iterator[slice]:
        """The blocks."""
        rows = self.features_ND.shape[0]
        return (slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK))

    def block(self, rows: slice) -> Any:
        """(B, D) tensor, or sparse matrix."""
        import torch

        if self.held is not None:
            return self.held[rows]
        if not isinstance(self.features_ND, np.ndarray):
            return self.features_ND[rows]
        block_BD = self.features_ND[rows].astype(np.float64)
        block_BD -= self.mean_D
        block_BD /= self.scale_D
        return torch.from_numpy(block_BD).to(self.dtype)

    def _together(self) -> torch.Tensor:
        """(N, D): all blocks, one of which is in float64 at a time."""
        import torch

        found_ND = torch.empty(self.features_ND.shape, dtype=self.dtype)
        for part in self.slices():
            found_ND[part] = self.block(part)
        return found_ND

    def fold(self, weight_CD: np.ndarray, bias_C: np.ndarray) -> Solution:
        """The same function, of the features as they came."""
        weight_CD = weight_CD / self.scale_D
        return Solution(weight_CD, bias_C - weight_CD @ self.mean_D)

    def unfold(self, solution: Solution) -> np.ndarray:
        """(C, E) weights and bias as the solver sees them."""
        bias_C = solution.bias_C + solution.weight_CD @ self.mean_D
        return np.concatenate([solution.weight_CD * self.scale_D, bias_C[:, None]], 1)


@final
@dataclass(frozen=True)
class _Problem:
    rows: _Rows
    loss: Loss
    weight_N: np.ndarray
    outputs: int
    strength: float
    passes: int

    def solve(self, start: Solution | None, curvature: Callable[[torch.Tensor], torch.Tensor]) -> Solution:
        """The optimum. `curvature`: scores of a block -> (B,) the loss's mean second derivative by a score."""
        import torch

        size = self.rows.features_ND.shape[1] + 1
        weight_CE = torch.zeros(self.outputs, size, dtype=torch.float64)
        if start:
            weight_CE = torch.from_numpy(self.rows.unfold(start))
        shape = _Shape.of(self, weight_CE, curvature)

        def objective(flat: torch.Tensor) -> tuple[float, torch.Tensor]:
            value, slope_CE = self.value(shape.decode(flat.view(self.outputs, size)))
            return value, shape.pull(slope_CE).reshape(-1)

        exact = self.rows.dtype == torch.float64 and isinstance(self.rows.features_ND, np.ndarray)
        slope, gain = (1e-8, 1e-15) if exact else (1e-5, 1e-9)
        flat = minimise(objective, shape.encode(weight_CE).reshape(-1), slope=slope, gain=gain, passes=self.passes)
        best_CE = shape.decode(flat.view(self.outputs, size)).numpy()
        return self.rows.fold(best_CE[:, :-1], best_CE[:, -1])

    def value(self, weight_CE: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Mean loss plus penalty, and its gradient."""
        value, total = 0.0, float(self.weight_N.sum())
        slope_CE = weight_CE.new_zeros(weight_CE.shape)
        for part in self.rows.slices():
            block_BD = self.rows.block(part)
            more, slope_BC = self.loss(_scores(block_BD, weight_CE), part)
            value += more
            slope_CE[:, :-1] += _transposed_product(slope_BC, block_BD)
            slope_CE[:, -1] += slope_BC.sum(0)
        weight_CD = weight_CE[:, :-1]
        slope_CE /= total
        slope_CE[:, :-1] += self.strength * weight_CD
        return value / total + self.strength / 2 * float(weight_CD.square().sum()), slope_CE


@final
@dataclass(frozen=True)
class _Shape:
    """Coordinates in which the curvature at the start is 1: coded = W L, with L Lᵀ = mean curvature + λ. None: as they are."""

    lower_EE: torch.Tensor | None

    @classmethod
    def of(cls, problem: _Problem, weight_CE: torch.Tensor, curvature: Callable[[torch.Tensor], torch.Tensor]) -> _Shape:
        import torch

        rows, size = problem.rows, weight_CE.shape[1]
        if not isinstance(rows.features_ND, np.ndarray):
            return cls(None)
        gram_EE = weight_CE.new_zeros(size, size)
        for part in rows.slices():
            block_BD, weight_B = rows.block(part), torch.from_numpy(problem.weight_N[part])
            # Rows that are settled by now still count a little: they may not stay so.
            bent_B = (curvature(_scores(block_BD, weight_CE)) + 1e-3) * weight_B
            block_BE = torch.cat([block_BD, torch.ones_like(block_BD[:, :1])], 1)
            gram_EE += (block_BE * bent_B[:, None].to(block_BE.dtype)).T @ block_BE
        gram_EE /= float(problem.weight_N.sum())
        ridge_E = torch.full((size,), problem.strength, dtype=torch.float64)
        ridge_E[-1] = 0.0
        return cls(torch.linalg.cholesky(gram_EE + torch.diag(ridge_E + 1e-7 * gram_EE.trace() / size + 1e-12)))

    def encode(self, weight_CE: torch.Tensor) -> torch.Tensor:
        return weight_CE if self.lower_EE is None else weight_CE @ self.lower_EE

    def decode(self, coded_CE: torch.Tensor) -> torch.Tensor:
        import torch

        return coded_CE if self.lower_EE is None else torch.linalg.solve_triangular(self.lower_EE, coded_CE, upper=False, left=False)

    def pull(self, slope_CE: torch.Tensor) -> torch.Tensor:
        """The gradient by the coded weights."""
        import torch

        return slope_CE if self.lower_EE is None else torch.linalg.solve_triangular(self.lower_EE.T, slope_CE, upper=True, left=False)


def _scores(block_BD: Any, weight_CE: torch.Tensor) -> torch.Tensor:
    """(B, C) in the block's precision; of a sparse block in float64."""
    import torch

    if isinstance(block_BD, torch.Tensor):
        weight_CE = weight_CE.to(block_BD.dtype)
        return torch.addmm(weight_CE[:, -1], block_BD, weight_CE[:, :-1].T)
    return torch.from_numpy(np.asarray(block_BD @ weight_CE[:, :-1].T.numpy())) + weight_CE[:, -1]


def _weights(weight_N: np.ndarray | None, rows: int) -> np.ndarray:
    return np.ones(rows) if weight_N is None else np.asarray(weight_N, np.float64)


def _spread(probability_BC: torch.Tensor) -> torch.Tensor:
    return (probability_BC * (1 - probability_BC)).mean(1).double()


def _transposed_product(slope_BC: torch.Tensor, block_BD: Any) -> torch.Tensor:
    import torch

    if isinstance(block_BD, torch.Tensor):
        return (slope_BC.T @ block_BD).double()
    return torch.from_numpy(np.ascontiguousarray((block_BD.T @ slope_BC.numpy()).T))


def _moments(features_ND: np.ndarray, weight_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) weighted mean and standard deviation, in two passes."""
    total, parts = weight_N.sum(), range(0, len(features_ND), BLOCK)
    mean_D = sum(weight_N[i : i + BLOCK] @ features_ND[i : i + BLOCK].astype(np.float64) for i in parts) / total
    square_D = sum(weight_N[i : i + BLOCK] @ (features_ND[i : i + BLOCK] - mean_D) ** 2 for i in parts) / total
    return mean_D, np.sqrt(square_D)
