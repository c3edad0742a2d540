"""Choose one label for a text, or for a pair of texts.

Rows: `text` (and `text_pair` for pairs) and `label`. Scores: macro-F1 first; accuracy, precision, recall, AUROC, MCC, Brier, ECE,
log loss. Beside it: majority class, TF-IDF with a linear model (pairs: what they share with boosted trees), and the frozen encoder
with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..parts import augment as augmenting
from ..parts import batch, classes, columns, one_label, options, tokens
from ..parts.one_label import OneLabel
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
    smoothing: float = 0.1
    """Share of the target that is spread evenly over all labels (arXiv 1512.00567): rows that a solved head has right already go on
    teaching, and confidence stays within reason."""
    max_tokens: int | str = "auto"
    """Most tokens of a row that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    positive: str = ""
    """For two labels: the one that is looked for; else guessed from the names and the counts."""
    cost_miss: float = 0.0
    """For two labels: what a miss costs, in false alarms; above 0 the threshold is fitted to it. 0: the likelier label."""
    augment: tuple[augmenting.Way, ...] = ()
    """Ways in which training texts are changed anew in each epoch: swap, drop, synonym, back-translation. Rows that are judged
    stay as they are."""
    augment_rows: float | Literal["rare"] = 0.5
    """Share of the training rows that are changed in an epoch; `rare`: the more of a class, the rarer it is."""
    augment_words: float = 0.1
    """Share of a text's words that are changed."""
    synonyms: str = ""
    """File for `synonym`: on each line words that may stand for each other, with commas between."""
    back_translation: tuple[str, ...] = ()
    """For `back-translation`: two encoder-decoders, or runs of `translation`: from the texts' language to another, and back."""
    back_translation_languages: tuple[str, ...] = ()
    """Codes of the texts' language and of the one between, for models of many languages (`[eng_Latn, deu_Latn]`) and T5."""
    back_translation_forms: int = 1
    """Forms of each text, of which an epoch takes one. 1: the likeliest; more are drawn at random (arXiv 1904.12848)."""
    labels: tuple[str, ...] = fitted(())
    sought: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    threshold: float | None = fitted(None)
    synonym_sets: tuple[tuple[str, ...], ...] = fitted(())
    rare_shares: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("text", self.text)
        options.column("text_pair", self.text_pair, optional=True)
        options.column("label", self.label)
        one_label.check(self)
        options.max_tokens(self.max_tokens)
        augmenting.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """One column of few values beside a text."""
        if columns.missing(profile, named, ("text", "text_pair", "label")):
            return None
        inputs = columns.text_columns(profile, {"label": "", **named})
        if inputs is None:
            return None
        found = one_label.target(profile, named, [choice.value for choice in inputs.values()])
        if found is None:
            return None
        return Claim(inputs | {"label": found.choice}, found.sure(0.8), f"{found.why}: one label for each text")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles. Labels are looked at by the audit."""
        return options.twice(self.columns((*self.inputs, *self.targets)))

    def fit(self, train: Table) -> Self:
        """Learn the labels. Raises SpecError where `positive` or `cost_miss` do not suit them."""
        known, count_C = one_label.learn(self, train)
        return self.settle(
            synonym_sets=augmenting.read_sets(self.synonyms) if self.synonyms else (),
            rare_shares=augmenting.rare_shares(count_C.tolist()),
            **known,
        )

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the classes' weights."""
        weights = self._one.balanced(self.truth(train), balance)
        kept = tokens.settle(train, [self.text, self.text_pair], processor, self.max_tokens, limit)
        return self.settle(class_weights=weights, **kept)

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training."""
        return classes.encode_column(rows.arrow(self.label), self.labels)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, and where the rows have labels the class and the row's weight (0 for an unknown label)."""
        pairs = self._texts(rows, self.text_pair, draws) if self.text_pair else None
        examples = tokens.encode(processor, self._texts(rows, self.text, draws), pairs, most=self.tokens_kept or tokens.limit(processor))
        if not rows or self.label not in rows[0]:
            return examples
        return [example | aim for example, aim in zip(examples, self.aims(rows), strict=True)]

    def aims(self, rows: Sequence[Row]) -> list[Example]:
        """`target` and `row_weight` of rows that have labels."""
        class_N = classes.encode([row[self.label] for row in rows], self.labels)
        aims = self._one.aims(class_N)
        return [{name: value[i].item() for name, value in aims.items()} for i in range(len(rows))]

    @property
    def augments(self) -> bool:
        """Whether training texts are changed."""
        return bool(self.augment)

    def _texts(self, rows: Sequence[Row], column: str, draws: Sequence[Draw] | None) -> list[Any]:
        return augmenting.changed(self, rows, column, self._shares(rows), draws)

    def retelling(self, train: Table) -> augmenting.Retelling | None:
        """Texts of rows that are changed at all, for `back-translation`."""
        shares = lambda: self._shares([{self.label: label} for label in train.column(self.label)])  # noqa: E731
        return augmenting.retelling(self, self.columns(self.inputs), train, shares)

    def _shares(self, rows: Sequence[Row]) -> list[float]:
        if self.augment_rows != "rare":
            return [float(self.augment_rows)] * len(rows)
        return [self.rare_shares[c] if c >= 0 else 0.0 for c in classes.encode([row.get(self.label) for row in rows], self.labels)]

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the text's vector."""
        from ..models.heads import Pooled

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
        """Majority class; TF-IDF with a linear model; of pairs also boosted trees on what the texts share."""
        from ..parts import bags

        class_N, count = self.truth(train), len(self.labels)
        own, other = bags.texts(train, self.text, self.text_pair), bags.texts(rows, self.text, self.text_pair)
        found = {
            "majority": classes.prior_outputs(class_N, count, len(rows)),
            "TF-IDF + linear": bags.class_outputs(own, class_N, count, other),
        }
        if self.text_pair:
            found["overlap + trees"] = bags.overlap_class_outputs(own, class_N, count, other)
        return self._one.priced(found, len(rows))

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Short reviews, good and bad."""
        rng = np.random.default_rng(seed)
        words = {"good": ["good", "fine", "great", "loved"], "bad": ["bad", "awful", "dull", "hated"]}
        things = ["the film", "a book", "the meal", "the room", "the service"]
        return [
            {"text": f"{rng.choice(things)} was {rng.choice(words[name])} and {rng.choice(things)} too", "label": name}
            for name in rng.permutation(np.resize(["good", "bad"], n)).tolist()
        ]

    @property
    def _one(self) -> OneLabel:
        return OneLabel.of(self)


task = TextClassification
