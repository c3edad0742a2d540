"""Predict one or more numbers for an image: how many, how old, how far.

Rows: `image` (a path, or the image's bytes) and `target`, one column or several. Scores: R2 first; MSE, RMSE, MAE, Pearson, Spearman
(means over the targets). Answers are in the data's own units, with an interval. Beside it: the mean, colours and edges with ridge
regression, and the frozen encoder with ridge regression.
"""
# Axes: N rows, B rows of a batch, D features, C targets.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..errors import listing
from ..parts import batch, columns, linear, numbers, options, pixels
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Light, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone

WAYS = (*pixels.ALONE, "mixup")
"""Changes that a number can go with; what a pasted patch does to it is not known."""


@final
@dataclass(frozen=True, kw_only=True)
class ImageRegression(Task):
    """C numbers."""

    modality: ClassVar[str] = "image"
    directions: ClassVar[Mapping[str, bool]] = numbers.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    files: ClassVar[tuple[str, ...]] = ("image",)
    targets: ClassVar[tuple[str, ...]] = ("target",)
    target_kind: ClassVar[str] = "number"

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    target: str | tuple[str, ...] = "target"
    """Column with the number, or several columns."""
    augment: Literal["auto", "none"] | tuple[pixels.Way, ...] = "auto"
    """How images are changed in each epoch; `auto`: mirrored, nothing else: a crop would change what can be counted or measured."""
    loss_kind: Literal["mse", "mae", "huber"] = "mse"
    """Squared error, absolute error, or squared up to one standard deviation and straight beyond."""
    interval: float = 0.9
    """Share of new rows whose number the answers' interval holds (split conformal prediction); 0: no interval."""
    means: tuple[float, ...] = fitted(())
    deviations: tuple[float, ...] = fitted(())
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    tokens: int = fitted(1)
    half_widths: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("image", self.image)
        options.column("target", self.target, many=True)
        pixels.check_ways(self.augment, WAYS)
        options.one_of("loss_kind", self.loss_kind, ("mse", "mae", "huber"))
        options.number("interval", self.interval, low=0, high=0.999)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of many different numbers beside images."""
        if columns.missing(profile, named, ("image", "target")):
            return None
        image = pixels.image_column(profile, named, ("target",))
        if image is None:
            return None
        if named.get("target"):
            many = named["target"] if isinstance(named["target"], list | tuple) else [named["target"]]
            why = f"you named {listing([repr(name) for name in many])} as the target"
            return Claim({"image": image, "target": Choice(named["target"], "named by you")}, 0.9, f"{why}: a number for each image")
        found = columns.target_column(profile, [image.value], ("numbers",), columns.NUMBER_NAMES)
        if found is None:
            return None
        column, called = found
        why = f"column {column.name!r} holds {columns.describe(column)}"
        doubt = 0.25 if pixels.text_beside(profile, [image.value, column.name]) else 0.0
        chosen = {"image": image, "target": Choice[Any](column.name, why)}
        return Claim(chosen, (0.85 if called else 0.65) - doubt, f"{why}: a number for each image")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles. Images and numbers are looked at elsewhere (`data.files`, the audit)."""
        return options.twice(self.columns((*self.inputs, *self.targets)))

    def fit(self, train: Table) -> Self:
        """Learn the targets' means and standard deviations."""
        means, deviations = numbers.scale(self.truth(train))
        auto = ("flip",), "mirrors alone: a crop would change the number"
        ways, why = auto if self.augment == "auto" else pixels.ways(self.augment, ())
        return self.settle(means=means, deviations=deviations, ways=ways, ways_why=why)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle what an image costs. Numbers have no classes to balance."""
        return self.settle(tokens=limit)

    def truth(self, rows: Table) -> Truth:
        """(N, C) float64 in the data's units, NaN where a row lacks a target."""
        cells = [rows.column(name) for name in self.columns(self.targets)]
        return np.array([[numbers.number(cell) for cell in column] for column in cells], np.float64).T.reshape(len(rows), -1)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), and where the rows have targets these, standardised (C,)."""
        drawn = draws or [None] * len(rows)
        examples = [{"pixel_values": pixels.encode(row[self.image], processor, self.ways, draw)} for row, draw in zip(rows, drawn)]
        names = self.columns(self.targets)
        if not rows or not rows[0].keys() >= set(names):
            return examples
        known = self._known(np.array([[numbers.number(row[name]) for name in names] for row in rows], np.float64))
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Standardised targets; the images are read when a batch needs them."""
        known = self._known(self.truth(rows)) if set(self.columns(self.targets)) <= set(rows.names) else {}
        return Light(known, np.full(len(rows), self.tokens, np.int64))

    @property
    def augments(self) -> bool:
        """Whether images are changed in training."""
        return bool(self.ways)

    @property
    def mixes(self) -> bool:
        """Whether two images are blended."""
        return "mixup" in self.ways

    def mix(self, one: Example, other: Example, draw: Draw) -> Example:
        """Two images as one, with the number between theirs."""
        image, share = pixels.blend(one, other, self.ways, draw)
        target_C = share * one["target"] + (1 - share) * other["target"]
        whole = min(one["row_weight"], other["row_weight"])
        return {"pixel_values": image, "target": target_C, "row_weight": whole}

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked."""
        return batch.collate(examples, {})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the image's vector; it speaks in standard deviations."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.means), dropout)

    def weight(self, batch: Batch) -> float:
        """Rows with a target."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Squared, absolute or Huber loss of standardised targets."""
        return numbers.loss(model(batch), batch["target"], batch["row_weight"], kind=self.loss_kind)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Numbers (B, C) in the data's units."""
        import torch

        standard_BC = model(batch).to(torch.float32)
        return {"numbers": standard_BC * standard_BC.new_tensor(self.deviations) + standard_BC.new_tensor(self.means)}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, weight_N: np.ndarray | None, strength: float, start: Solution | None = None
    ) -> Solution:
        """Ridge regression on standardised targets, each over the rows that have it."""
        target_NC = self._standard(truth)
        weight_N = np.ones(len(truth)) if weight_N is None else weight_N
        each = [
            linear.ridge(features_ND, np.nan_to_num(target_N)[:, None], strength, weight_N=weight_N * ~np.isnan(target_N))
            for target_N in target_NC.T
        ]
        return Solution(np.concatenate([one.weight_CD for one in each]), np.concatenate([one.bias_C for one in each]))

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The width of the answers' intervals."""
        return self.settle(half_widths=numbers.half_widths(outputs, truth, self.interval) if self.interval else ())

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`value`, `low`, `high`; of several targets: each by name."""
        return numbers.answers(outputs, self.columns(self.targets), self.half_widths)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn and scipy define them, means over the targets."""
        return numbers.score(outputs, truth)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The mean; colours and edges with ridge regression."""
        from ..parts import gradients

        return {
            "mean": numbers.mean_outputs(self.means, len(rows)),
            "colours, edges + ridge": gradients.number_outputs(train.column(self.image), self.truth(train), rows.column(self.image)),
        }

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Grey noise, and how bright it is."""
        rng = np.random.default_rng(seed)
        shades = rng.integers(40, 216, n).tolist()
        noise = rng.normal(0, 0.1, n).tolist()
        return [{"image": pixels.drawn((s,) * 3, rng), "target": round(s / 10 + e, 2)} for s, e in zip(shades, noise)]

    def _known(self, target_NC: np.ndarray) -> dict[str, np.ndarray]:
        standard_NC = self._standard(target_NC)
        return {"target": standard_NC.astype(np.float32), "row_weight": (~np.isnan(standard_NC)).any(1).astype(np.float64)}

    def _standard(self, target_NC: np.ndarray) -> np.ndarray:
        return np.asarray((target_NC - np.array(self.means)) / np.array(self.deviations))


task = ImageRegression
