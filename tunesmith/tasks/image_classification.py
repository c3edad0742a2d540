"""Choose one label for an image.

Rows: `image` (a path, or the image's bytes) and `label`; a folder per label, a table with paths, Parquet with bytes, or a ZIP of
these. Scores: macro-F1 first; accuracy, precision, recall, AUROC, MCC, Brier, ECE, log loss. Beside it: majority class, colours and
edges with a linear model, and the frozen encoder with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, classes, columns, one_label, options, pixels
from ..parts.one_label import OneLabel
from ..task import Batch, Claim, Draw, Example, Light, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone


@final
@dataclass(frozen=True, kw_only=True)
class ImageClassification(Task):
    """One label of C."""

    modality: ClassVar[str] = "image"
    directions: ClassVar[Mapping[str, bool]] = classes.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    files: ClassVar[tuple[str, ...]] = ("image",)
    targets: ClassVar[tuple[str, ...]] = ("label",)
    target_kind: ClassVar[str] = "label"

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    label: str = "label"
    """Column with the label."""
    augment: Literal["auto", "none"] | tuple[pixels.Way, ...] = "auto"
    """How images are changed in each epoch; `auto`: crops, and mirrored where no label would change its meaning."""
    loss_kind: Literal["cross-entropy", "focal"] = "cross-entropy"
    """`focal` counts rows that are right already for less (arXiv 1708.02002)."""
    focal_gamma: float = 2.0
    """How much less, for `focal`."""
    smoothing: float = 0.0
    """Share of the target that is spread evenly over all labels."""
    positive: str = ""
    """For two labels: the one that is looked for; else guessed from the names and the counts."""
    cost_miss: float = 0.0
    """For two labels: what a miss costs, in false alarms; above 0 the threshold is fitted to it. 0: the likelier label."""
    labels: tuple[str, ...] = fitted(())
    sought: str = fitted("")
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    tokens: int = fitted(1)
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    threshold: float | None = fitted(None)

    def __post_init__(self) -> None:
        options.column("image", self.image)
        options.column("label", self.label)
        pixels.check_ways(self.augment, (*pixels.ALONE, *pixels.BLENDS))
        one_label.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """One column of few values beside images."""
        if columns.missing(profile, named, ("image", "label")):
            return None
        image = pixels.image_column(profile, named, ("label",))
        if image is None:
            return None
        found = one_label.target(profile, named, [image.value])
        if found is None:
            return None
        doubt = 0.25 if pixels.text_beside(profile, [image.value, found.choice.value]) else 0.0
        return Claim({"image": image, "label": found.choice}, found.sure(0.9) - doubt, f"{found.why}: one label for each image")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles. Images and labels are looked at elsewhere (`data.files`, the audit)."""
        return options.twice(self.columns((*self.inputs, *self.targets)))

    def fit(self, train: Table) -> Self:
        """Learn the labels, and which changes leave them as they are. Raises SpecError where `positive` or `cost_miss` do not suit."""
        known, _ = one_label.learn(self, train)
        ways, why = pixels.ways(self.augment, known["labels"])
        return self.settle(ways=ways, ways_why=why, **known)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle what an image costs, and the classes' weights."""
        weights = self._one.balanced(self.truth(train), balance)
        return self.settle(class_weights=weights, tokens=limit)

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training."""
        return classes.encode_column(rows.arrow(self.label), self.labels)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), and where the rows have labels the class and the row's weight (0: unknown label)."""
        drawn = draws or [None] * len(rows)
        examples = [{"pixel_values": pixels.encode(row[self.image], processor, self.ways, draw)} for row, draw in zip(rows, drawn)]
        if not rows or self.label not in rows[0]:
            return examples
        known = self._one.aims(classes.encode([row[self.label] for row in rows], self.labels))
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Classes and weights; the images are read when a batch needs them."""
        known = self._one.aims(self.truth(rows)) if self.label in rows.names else {}
        return Light(known, np.full(len(rows), self.tokens, np.int64))

    @property
    def augments(self) -> bool:
        """Whether images are changed in training."""
        return bool(self.ways)

    @property
    def mixes(self) -> bool:
        """Whether two images are blended."""
        return bool(set(self.ways) & set(pixels.BLENDS))

    def mix(self, one: Example, other: Example, draw: Draw) -> Example:
        """Two images as one that has both labels, by their shares."""
        image, share = pixels.blend(one, other, self.ways, draw)
        return {
            "pixel_values": image, "target": one["target"], "row_weight": share * one["row_weight"],
            "other_target": other["target"], "other_weight": (1 - share) * other["row_weight"],
        }

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked."""
        return batch.collate(examples, {})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the image's vector."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.labels), dropout)

    def weight(self, batch: Batch) -> float:
        """Rows, times their weights."""
        return sum(float(batch[name].sum()) for name in ("row_weight", "other_weight") if name in batch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy or focal loss; of a blend, for both labels by their shares."""
        logits_BC = model(batch)
        loss = self._one.loss(logits_BC, batch)
        return loss + self._one.loss(logits_BC, batch, "other_target", "other_weight") if "other_target" in batch else loss

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C)."""
        return {"logits": model(batch)}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Multinomial logistic regression."""
        return self._one.solve(features_ND, truth, strength, start)

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Temperature, and the threshold where misses and false alarms cost differently."""
        return self.settle(**self._one.calibrated(outputs, truth))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`label`, `confidence`, `probabilities`."""
        return self._one.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown labels count as wrong."""
        return self._one.score(outputs, truth)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Majority class; colours and edges with a linear model."""
        from ..parts import gradients

        class_N, count = self.truth(train), len(self.labels)
        found = {
            "majority": classes.prior_outputs(class_N, count, len(rows)),
            "colours, edges + linear": gradients.class_outputs(train.column(self.image), class_N, count, rows.column(self.image)),
        }
        return self._one.priced(found, len(rows))

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Reddish and bluish noise."""
        rng = np.random.default_rng(seed)
        shades = {"red": (200, 60, 60), "blue": (60, 60, 200)}
        names = rng.permutation(np.resize(["red", "blue"], n)).tolist()
        return [{"image": pixels.drawn(shades[name], rng), "label": name} for name in names]

    @property
    def _one(self) -> OneLabel:
        return OneLabel.of(self)


task = ImageClassification
