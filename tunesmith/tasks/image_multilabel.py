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

from ..data.finding import Finding, places
from ..errors import listing
from ..parts import batch, columns, flags, linear, options, pixels
from ..task import Batch, Claim, Draw, Example, Light, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

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
        options.column("labels", self.labels, many=True)
        pixels.check_ways(self.augment, pixels.ALONE)
        options.one_of("loss_kind", self.loss_kind, ("bce", "asymmetric"))
        options.number("asymmetry", self.asymmetry, low=0, high=10)

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
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        if found or not self.vocabulary:
            return found
        known, rows = set(self.vocabulary), self._tags(table)
        bad = [i for i, row in enumerate(rows) if not known.issuperset(row)]
        if not bad:
            return []
        new = sorted({tag for i in bad for tag in rows[i]} - known)
        message = f"expected labels that the training rows have, got {listing([repr(tag) for tag in new])} in {len(bad):,} rows"
        return [Finding("error", "unknown-label", message, places(table, bad), "add training rows for it, or take it out of these rows")]

    def fit(self, train: Table) -> Self:
        """Learn the labels, how they are written, and which changes leave them as they are."""
        separator = flags.find_separator(train.column(self.labels)) if isinstance(self.labels, str) else ""
        known = self.settle(separator=separator)
        names = flags.vocabulary(known._tags(train)) if isinstance(self.labels, str) else self.labels
        ways, why = pixels.ways(self.augment, names)
        if self.augment == "auto":
            ways = tuple(way for way in ways if way != "crop")
        return known.settle(vocabulary=names, ways=ways, ways_why=why)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle what an image costs, and the labels' weights where they are set."""
        weights: tuple[float, ...] = ()
        if balance == "weights":
            weights = flags.balanced_weights(flags.known(self.truth(train), len(self.vocabulary)).sum(0), len(train))
        return self.settle(class_weights=weights, tokens=limit)

    def truth(self, rows: Table) -> Truth:
        """(N, C) 0/1 flags; (N, C + 1) where tags are unknown to training: how many, in the last column."""
        return flags.encode(self._tags(rows), self.vocabulary)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """`pixel_values` (channel, height, width), and where the rows have labels the flags (C,)."""
        drawn = draws or [None] * len(rows)
        examples = [{"pixel_values": pixels.encode(row[self.image], processor, self.ways, draw)} for row, draw in zip(rows, drawn)]
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        known = self._known(flags.encode([self._row_tags(row) for row in rows], self.vocabulary))
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Flags; the images are read when a batch needs them."""
        known = self._known(self.truth(rows)) if set(self.columns(self.targets)) <= set(rows.names) else {}
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
        return flags.loss(
            model(batch), batch["target"], batch["row_weight"], kind=self.loss_kind, weight_C=self.class_weights, gamma=self.asymmetry
        )

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C)."""
        return {"logits": model(batch)}

    def solve(
        self, features_ND: np.ndarray, truth: Truth, weight_N: np.ndarray | None, strength: float, start: Solution | None = None
    ) -> Solution:
        """One logistic regression per label."""
        known = flags.known(truth, len(self.vocabulary))
        return linear.independent(features_ND, known, strength, weight_N=weight_N, start=start)

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Temperature, then each label's threshold."""
        if not len(truth):
            return self
        temperature = flags.fit_temperature(outputs, truth)
        return self.settle(
            temperature=temperature, thresholds=flags.fit_thresholds(flags.probabilities(outputs, temperature), truth)
        )

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`labels`, `confidence`, `probabilities`."""
        threshold_C = np.asarray(self.thresholds or [0.5] * len(self.vocabulary))
        return flags.answers(flags.probabilities(outputs, self.temperature), threshold_C, self.vocabulary)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown tags count as missed."""
        return flags.score(outputs, truth, temperature=self.temperature, thresholds=self.thresholds)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Label prior; colours and edges with one logistic regression per label."""
        from ..parts import gradients

        flags_NC = flags.known(self.truth(train), len(self.vocabulary))
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

    # -- cells --------------------------------------------------------------------------------------------------------

    def _tags(self, rows: Table) -> list[list[str]]:
        if isinstance(self.labels, str):
            return [self._cell_tags(cell) for cell in rows.column(self.labels)]
        cells = zip(*(rows.column(name) for name in self.labels))
        return [[name for name, cell in zip(self.labels, row) if flags.is_on(cell)] for row in cells]

    def _row_tags(self, row: Row) -> list[str]:
        if isinstance(self.labels, str):
            return self._cell_tags(row[self.labels])
        return [name for name in self.labels if flags.is_on(row[name])]

    def _cell_tags(self, cell: Any) -> list[str]:
        return flags.tags(cell, self.separator)

    def _known(self, flags_NC: np.ndarray) -> dict[str, np.ndarray]:
        known_NC = flags.known(flags_NC, len(self.vocabulary)).astype(np.float32)
        return {"target": known_NC, "row_weight": np.ones(len(known_NC))}


task = ImageMultilabel
