"""Predict one or more numbers for an image: how many, how old, how far.

Rows: `image` (a path, or the image's bytes) and `target`, one column or several. Scores: R2 first; MSE, RMSE, MAE, Pearson, Spearman
(means over the targets). Answers are in the data's own units, with an interval. Beside it: the mean, colours and edges with ridge
regression, and the frozen encoder with ridge regression.
"""
# Axes: N rows, B rows of a batch, D features, C targets.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..errors import listing
from ..parts import batch, columns, numbers, options, pixels, standard
from ..parts.standard import Standard
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
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {
        "train.dropout": Choice(0.0, "a number hangs on small differences of large vectors: what is dropped moves it more than they do"),
        "train.lr": Choice(5e-5, "images of one kind differ little, and every weight moves the number: larger steps undo each other"),
    }

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    target: str | tuple[str, ...] = "target"
    """Column with the number, or several columns."""
    augment: Literal["auto", "none"] | tuple[pixels.Way, ...] = "auto"
    """How images are changed in each epoch; `auto`: mirrored, nothing else: a crop would change what can be counted or measured. The
    model is always shown whole images, brought to its size, where its own processor would cut the middle out."""
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
    whole: bool = fitted(False)
    deep: bool = fitted(False)

    def __post_init__(self) -> None:
        options.column("image", self.image)
        standard.check(self)
        pixels.check_ways(self.augment, WAYS)

    @property
    def _numbers(self) -> Standard:
        return Standard.of(self)

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
        """Learn the targets' means and standard deviations. In runs of earlier versions images are seen neither whole nor at all depths."""
        auto = ("flip",), "mirrors alone: a crop would change the number"
        ways, why = auto if self.augment == "auto" else pixels.ways(self.augment, ())
        return self.settle(**self._numbers.learned(train), ways=ways, ways_why=why, whole=True, deep=True)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle what an image costs. Numbers have no classes to balance."""
        return self.settle(tokens=limit)

    def truth(self, rows: Table) -> Truth:
        """(N, C) float64 in the data's units, NaN where a row lacks a target."""
        return self._numbers.truth(rows)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), and where the rows have targets these, standardised (C,)."""
        drawn = draws or [None] * len(rows)
        seen = [pixels.encode(row[self.image], processor, self.ways, draw, whole=self.whole) for row, draw in zip(rows, drawn)]
        examples = [{"pixel_values": one} for one in seen]
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        known = self._numbers.aims_of(rows)
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Standardised targets; the images are read when a batch needs them."""
        known = self._numbers.aims(self.truth(rows)) if set(self.columns(self.targets)) <= set(rows.names) else {}
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
        """A linear head on the image's vector and on what layers below say of it; it speaks in standard deviations."""
        from ..models.heads import DEPTHS, Pooled

        return Pooled(backbone, len(self.means), dropout, pooling=DEPTHS if self.deep else "")

    def weight(self, batch: Batch) -> float:
        """Rows with a target."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Squared, absolute or Huber loss of standardised targets."""
        return self._numbers.loss(model(batch), batch)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Numbers (B, C) in the data's units."""
        return self._numbers.outputs(model(batch))

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Ridge regression on standardised targets, each over the rows that have it."""
        return self._numbers.solve(features_ND, truth, strength)

    def left_out(self, features_ND: np.ndarray, truth: Truth, strengths: Sequence[float]) -> Iterator[Outputs]:
        """Each row by ridge regression on all the others."""
        return self._numbers.left_out(features_ND, truth, strengths)

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The width of the answers' intervals."""
        return self.settle(**self._numbers.calibrated(outputs, truth))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`value`, `low`, `high`; of several targets: each by name."""
        return self._numbers.answers(outputs)

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


task = ImageRegression
