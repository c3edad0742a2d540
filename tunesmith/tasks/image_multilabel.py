"""Choose any of several labels for an image: none, one or many.

Rows: `image` (a path, or the image's bytes) and `labels`, a list, a list as JSON, labels between separators (`cat|outdoor`), or several
columns of 0 and 1. Scores: micro-F1 first; macro-F1, mean average precision, AUROC, subset accuracy, Brier, ECE. Each label gets a
threshold of its own. Beside it: label prior, colours and edges with one-vs-rest logistic regression, and the frozen encoder with a
linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import any_labels, batch, columns, flags, options, pixels
from ..parts.any_labels import AnyLabels
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
class ImageMultilabel(Task):
    """Any of C labels."""

    modality: ClassVar[str] = "image"
    directions: ClassVar[Mapping[str, bool]] = flags.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    files: ClassVar[tuple[str, ...]] = ("image",)
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    target_kind: ClassVar[str] = "labels"

    image: str = "image"
    """Column with the images: paths, counted from the file that names them, or their bytes."""
    labels: str | tuple[str, ...] = "labels"
    """Column with the labels, or several columns of 0 and 1 (or true and false), one per label."""
    augment: Literal["auto", "none"] | tuple[pixels.Way, ...] = "auto"
    """How images are changed in each epoch; `auto`: mirrored where labels allow (a crop may lose what a label names)."""
    loss_kind: Literal["bce", "asymmetric"] = "bce"
    """`asymmetric` counts labels that are plainly absent for less (arXiv 2009.14119)."""
    asymmetry: float = 4.0
    """How much less, for `asymmetric`."""
    vocabulary: tuple[str, ...] = fitted(())
    separator: str = fitted("")
    ways: tuple[str, ...] = fitted(())
    ways_why: str = fitted("")
    tokens: int = fitted(1)
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    thresholds: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("image", self.image)
        any_labels.check(self)
        pixels.check_ways(self.augment, pixels.ALONE)

    @property
    def _any(self) -> AnyLabels:
        return AnyLabels.of(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of lists beside images, or at least three columns of 0 and 1."""
        if columns.missing(profile, named, ("image", "labels")):
            return None
        image = pixels.image_column(profile, named, ("labels",))
        found = columns.tag_columns(profile, named, [image.value]) if image else None
        if image is None or found is None:
            return None
        chosen, sure = found
        doubt = 0.25 if pixels.text_beside(profile, [image.value]) else 0.0
        return Claim({"image": image, "labels": chosen}, sure - doubt + 0.02, f"{chosen.why}: any of several labels for each image")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles; tags that training never saw. Images are looked at elsewhere (`data.files`)."""
        return options.twice(self.columns((*self.inputs, *self.targets))) or self._any.unknown(table)

    def fit(self, train: Table) -> Self:
        """Learn the labels, how they are written, and which changes leave them as they are."""
        learned = self._any.learned(train)
        ways, why = pixels.ways(self.augment, learned["vocabulary"])
        if self.augment == "auto":
            ways = tuple(way for way in ways if way != "crop")
        return self.settle(**learned, ways=ways, ways_why=why)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle what an image costs, and the labels' weights where they are set."""
        return self.settle(class_weights=self._any.balanced(train, balance), tokens=limit)

    def truth(self, rows: Table) -> Truth:
        """(N, C) 0/1 flags; (N, C + 1) where tags are unknown to training: how many, in the last column."""
        return self._any.truth(rows)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), and where the rows have labels the flags (C,)."""
        drawn = draws or [None] * len(rows)
        examples = [{"pixel_values": pixels.encode(row[self.image], processor, self.ways, draw)} for row, draw in zip(rows, drawn)]
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        known = self._any.aims_of(rows)
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Flags; the images are read when a batch needs them."""
        known = self._any.aims(self.truth(rows)) if set(self.columns(self.targets)) <= set(rows.names) else {}
        return Light(known, np.full(len(rows), self.tokens, np.int64))

    @property
    def augments(self) -> bool:
        """Whether images are changed in training."""
        return bool(self.ways)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Stacked."""
        return batch.collate(examples, {})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the image's vector."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.vocabulary), dropout)

    def weight(self, batch: Batch) -> float:
        """Rows."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Binary cross-entropy, mean over the labels, or its asymmetric kin."""
        return self._any.loss(model(batch), batch)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C)."""
        return {"logits": model(batch)}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """One logistic regression per label."""
        return self._any.solve(features_ND, truth, strength, start)

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Temperature, then each label's threshold."""
        return self.settle(**self._any.calibrated(outputs, truth))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`labels`, `confidence`, `probabilities`."""
        return self._any.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown tags count as missed."""
        return self._any.score(outputs, truth)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Label prior; colours and edges with one logistic regression per label."""
        from ..parts import gradients

        flags_NC = self._any.known(self.truth(train))
        return {
            "label prior": flags.prior_outputs(flags_NC, len(rows)),
            "colours, edges + linear": gradients.flag_outputs(train.column(self.image), flags_NC, rows.column(self.image)),
        }

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Noise in which up to three colours shine, labelled with them."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            on = rng.random(3) < 0.4
            names = [name for name, lit in zip(("red", "green", "blue"), on) if lit]
            rows.append({"image": pixels.drawn([60 + 140 * bool(lit) for lit in on], rng), "labels": names})
        return rows


task = ImageMultilabel
