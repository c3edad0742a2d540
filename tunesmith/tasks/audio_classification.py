"""Choose one label for a sound.

Rows: `audio` (a path, or the sound's bytes) and `label`; a folder per label, a table with paths, Parquet with bytes, or a ZIP of
these. WAV, FLAC, OGG, MP3, AIFF of any rate. Scores: macro-F1 first; accuracy, precision, recall, AUROC, MCC, Brier, ECE, log loss.
Beside it: majority class, mel-frequency cepstra with a linear model, and the frozen encoder with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, classes, columns, one_label, options, pixels, waves
from ..parts.frames import Frames
from ..parts.one_label import OneLabel
from ..spec import Choice
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
class AudioClassification(Task):
    """One label of C."""

    modality: ClassVar[str] = "audio"
    directions: ClassVar[Mapping[str, bool]] = classes.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("audio",)
    files: ClassVar[tuple[str, ...]] = ("audio",)
    targets: ClassVar[tuple[str, ...]] = ("label",)
    target_kind: ClassVar[str] = "label"
    suggests: ClassVar[Mapping[str, Choice[Any]]] = waves.SUGGESTS

    audio: str = "audio"
    """Column with the sounds: paths, counted from the file that names them, or their bytes."""
    label: str = "label"
    """Column with the label."""
    augment: Literal["auto", "none"] | tuple[waves.Way, ...] = "auto"
    """How sounds are changed in each epoch; `auto`: louder or softer, with noise, parts hidden. `speed` changes the pitch as well."""
    seconds: float | Literal["auto"] = "auto"
    """What is read of a sound; `auto`: enough for 99 % of the training rows, within what the model takes. In training any part of it."""
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
    frames: tuple[Any, ...] = fitted(())
    window: int = fitted(0)
    window_why: str = fitted("")
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    threshold: float | None = fitted(None)

    def __post_init__(self) -> None:
        options.column("audio", self.audio)
        options.column("label", self.label)
        waves.check_ways(self.augment)
        if self.seconds != "auto":
            options.number("seconds", self.seconds, low=0.02, high=600)
        one_label.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """One column of few values beside sounds."""
        if columns.missing(profile, named, ("audio", "label")):
            return None
        audio = waves.sound_column(profile, named, ("label",))
        if audio is None:
            return None
        found = one_label.target(profile, named, [audio.value])
        if found is None:
            return None
        doubt = 0.25 if pixels.text_beside(profile, [audio.value, found.choice.value]) else 0.0
        return Claim({"audio": audio, "label": found.choice}, found.sure(0.9) - doubt, f"{found.why}: one label for each sound")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles. Sounds and labels are looked at elsewhere (`data.files`, the audit)."""
        return options.twice(self.columns((*self.inputs, *self.targets)))

    def fit(self, train: Table) -> Self:
        """Learn the labels. Raises SpecError where `positive` or `cost_miss` do not suit."""
        known, _ = one_label.learn(self, train)
        why = "loudness, noise and hidden parts keep what labels mean; another speed might not"
        ways, why = waves.ways(self.augment, ("gain", "noise", "specaugment"), why)
        return self.settle(ways=ways, ways_why=why, **known)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how much of a sound is read, and the classes' weights."""
        weights = self._one.balanced(self.truth(train), balance)
        chosen = waves.window(train.column(self.audio), self.seconds, processor.frames.most_seconds)
        return self.settle(class_weights=weights, window=chosen.value, window_why=chosen.why, frames=processor.frames.plain())

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Sounds longer than what is read of them."""
        return waves.cut_finding(rows, self.audio, self.window)

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training."""
        return classes.encode_column(rows.arrow(self.label), self.labels)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """What the model reads, and where the rows have labels the class and the row's weight (0: unknown label)."""
        drawn = draws or [None] * len(rows)
        examples = [waves.encode(row[self.audio], processor, self.window, self.ways, draw) for row, draw in zip(rows, drawn)]
        if not rows or self.label not in rows[0]:
            return examples
        known = self._one.aims(classes.encode([row[self.label] for row in rows], self.labels))
        return [example | {name: value[i] for name, value in known.items()} for i, example in enumerate(examples)]

    def light(self, rows: Table) -> Light:
        """Classes and weights; the sounds are read when a batch needs them."""
        known = self._one.aims(self.truth(rows)) if self.label in rows.names else {}
        return waves.light(rows.column(self.audio), Frames.of(self.frames), self.window, known)

    @property
    def augments(self) -> bool:
        """Whether sounds are changed in training."""
        return bool(self.ways)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, waves.pads(Frames.of(self.frames)))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the sound's vector."""
        from ..models.heads import Pooled
        from ..models.sound import shorten_window

        shorten_window(backbone.module, self.window)
        return Pooled(backbone, len(self.labels), dropout)

    def weight(self, batch: Batch) -> float:
        """Rows, times their weights."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy or focal loss."""
        return self._one.loss(model(batch), batch)

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
        """Majority class; mel-frequency cepstra with a linear model."""
        from ..parts import cepstra

        class_N, count = self.truth(train), len(self.labels)
        found = {
            "majority": classes.prior_outputs(class_N, count, len(rows)),
            "MFCC + linear": cepstra.class_outputs(train.column(self.audio), class_N, count, rows.column(self.audio)),
        }
        return self._one.priced(found, len(rows))

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Low and high tones."""
        return [{"audio": sound, "label": name} for sound, name in waves.tones({"low": 300, "high": 1200}, n, seed)]

    @property
    def _one(self) -> OneLabel:
        return OneLabel.of(self)


task = AudioClassification
