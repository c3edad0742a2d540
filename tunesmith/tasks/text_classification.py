"""Choose one label for a text, or for a pair of texts.

Rows: `text` (and `text_pair` for pairs) and `label`. Scores: macro-F1 first; accuracy, precision, recall, AUROC, MCC, Brier, ECE,
log loss. Beside it: majority class, TF-IDF with a linear model, the frozen encoder with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import batch, classes, linear, roles, tokens
from ..task import Batch, Claim, Draw, Example, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone


@final
@dataclass(frozen=True, kw_only=True)
class TextClassification(Task):
    """One label of C."""

    directions: ClassVar[Mapping[str, bool]] = classes.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    targets: ClassVar[tuple[str, ...]] = ("label",)
    target_kind: ClassVar[str] = "label"

    text: str = "text"
    """Column with the text."""
    text_pair: str = ""
    """Column with the second text of a pair."""
    label: str = "label"
    """Column with the label."""
    loss_kind: Literal["cross-entropy", "focal"] = "cross-entropy"
    """`focal` counts rows that are right already for less (arXiv 1708.02002)."""
    focal_gamma: float = 2.0
    """How much less, for `focal`."""
    smoothing: float = 0.0
    """Share of the target spread evenly over all labels."""
    max_tokens: int | str = "auto"
    """Most tokens of a row that are read; `auto`: nearly all of the training rows' tokens, within the model's limit."""
    positive: str = ""
    """For two labels: the one that is looked for; else guessed from the names and the counts."""
    cost_miss: float = 0.0
    """For two labels: what a miss costs, in false alarms; above 0 the threshold is fitted to it. 0: the likelier label."""
    labels: tuple[str, ...] = fitted(())
    sought: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    threshold: float | None = fitted(None)

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """One column of few values beside a text."""
        label = None if "label" in named else roles.label(profile, named.values())
        if label is None and "label" not in named:
            return None
        column = named.get("label") or label.value  # type: ignore[union-attr]
        inputs = roles.inputs(profile, named, [column])
        if inputs is None:
            return None
        found = inputs | ({} if label is None else {"label": label})
        facts = profile.columns.get(column)
        measured = facts is not None and roles.is_measure(facts)
        return Claim(found, 0.4 if measured else 0.8, f"column {column!r} has {facts.distinct if facts else 'some'} different labels")

    def check(self, table: Table) -> list[Finding]:
        """Nothing beyond what the audit of labels finds."""
        return []

    def fit(self, train: Table) -> Self:
        """Learn the labels."""
        labels = classes.vocabulary(train.column(self.label))
        counts = classes.counts(classes.encode(train.column(self.label), labels), len(labels))
        return self.settle(labels=labels, sought=classes.positive(labels, counts, self.positive))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the classes' weights."""
        kept = tokens.choose(train, [c for c in (self.text, self.text_pair) if c], processor, self.max_tokens, limit)
        counts = classes.counts(self.truth(train), len(self.labels))
        weights = classes.balanced_weights(counts) if balance == "weights" else ()
        return self.settle(tokens_kept=kept.value, tokens_why=kept.why, class_weights=weights)

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training."""
        return classes.encode(rows.column(self.label), self.labels)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, the class and the row's weight."""
        pairs = [row[self.text_pair] for row in rows] if self.text_pair else None
        examples = tokens.encode(processor, [row[self.text] for row in rows], pairs, most=self.tokens_kept)
        class_N = classes.encode([row.get(self.label) for row in rows], self.labels)
        weights = self.class_weights or (1.0,) * len(self.labels)
        return [e | {"target": int(c), "row_weight": weights[c] if c >= 0 else 0.0} for e, c in zip(examples, class_N, strict=True)]

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the text's vector."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.labels), dropout)

    def weight(self, batch: Batch) -> float:
        """Rows, times their weights."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy or focal loss."""
        gamma = self.focal_gamma if self.loss_kind == "focal" else 0.0
        return classes.loss(model(batch), batch["target"], batch["row_weight"], smoothing=self.smoothing, gamma=gamma)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C)."""
        return {"logits": model(batch)}

    def solve(self, features_ND: np.ndarray, truth: Truth, weight_N: np.ndarray | None, strength: float) -> Solution:
        """Multinomial logistic regression."""
        if weight_N is None and self.class_weights:
            weight_N = np.asarray(self.class_weights)[truth] * (truth >= 0)
        return linear.multinomial(features_ND, truth, len(self.labels), strength, weight_N=weight_N)

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Temperature, and the threshold where misses and false alarms cost differently."""
        warm = self.settle(temperature=classes.fit_temperature(outputs, truth))
        if not self.cost_miss or len(self.labels) != 2:
            return warm
        probability_N = classes.probabilities(outputs, warm.temperature)[:, self._sought]
        return warm.settle(threshold=classes.fit_threshold(probability_N, truth == self._sought, self.cost_miss))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`label`, `confidence`, `probabilities`."""
        probability_NC = classes.probabilities(outputs, self.temperature)
        return classes.answers(probability_NC, classes.decide(probability_NC, self._sought, self.threshold), self.labels)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as scikit-learn defines them; unknown labels count as wrong."""
        return classes.score(outputs, truth, temperature=self.temperature, positive_class=self._sought, threshold=self.threshold)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Majority class; TF-IDF with logistic regression."""
        from ..parts import bags

        truth, columns = self.truth(train), [c for c in (self.text, self.text_pair) if c]
        found = {"majority": classes.prior_outputs(truth, len(self.labels), len(rows))}
        return found | {"tf-idf": bags.classes(train, rows, columns, truth, len(self.labels))}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Short reviews, good and bad."""
        rng = np.random.default_rng(seed)
        words = {"good": ["good", "fine", "great", "loved"], "bad": ["bad", "awful", "dull", "hated"]}
        fill = ["the film", "a book", "this meal", "the room", "it all"]
        return [
            {"text": f"{rng.choice(fill)} was {rng.choice(words[name])}, {rng.choice(fill)} too", "label": name}
            for name in rng.permutation(np.resize(["good", "bad"], n)).tolist()
        ]

    @property
    def _sought(self) -> int:
        return self.labels.index(self.sought) if self.sought in self.labels else min(1, len(self.labels) - 1)


task = TextClassification
