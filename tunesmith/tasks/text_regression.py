"""Predict one or more numbers for a text, or for a pair of texts.

Rows: `text` (and `text_pair` for pairs) and `target`, one column or several. Scores: R2 first; MSE, RMSE, MAE, Pearson, Spearman (means
over the targets). Answers are in the data's own units, with an interval. Beside it: the mean, TF-IDF with ridge regression (pairs:
what they share with boosted trees), and the frozen encoder with ridge regression.
"""
# Axes: N rows, B rows of a batch, D features, C targets.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..errors import listing
from ..parts import augment as augmenting
from ..parts import batch, columns, numbers, options, standard, tokens
from ..parts.standard import Standard
from ..spec import Choice
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
class TextRegression(Task):
    """C numbers."""

    directions: ClassVar[Mapping[str, bool]] = numbers.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    targets: ClassVar[tuple[str, ...]] = ("target",)
    target_kind: ClassVar[str] = "number"

    text: str = "text"
    """Column with the text."""
    text_pair: str = ""
    """Column with the second text of a pair."""
    target: str | tuple[str, ...] = "target"
    """Column with the number, or several columns."""
    loss_kind: Literal["mse", "mae", "huber"] = "mse"
    """Squared error, absolute error, or squared up to one standard deviation and straight beyond."""
    max_tokens: int | str = "auto"
    """Most tokens of a row that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    interval: float = 0.9
    """Share of new rows whose number the answers' interval holds (split conformal prediction); 0: no interval."""
    augment: tuple[augmenting.Way, ...] = ()
    """Ways in which training texts are changed anew in each epoch: swap, drop, synonym, back-translation. Rows that are judged
    stay as they are."""
    augment_rows: float = 0.5
    """Share of the training rows that are changed in an epoch."""
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
    means: tuple[float, ...] = fitted(())
    deviations: tuple[float, ...] = fitted(())
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    half_widths: tuple[float, ...] = fitted(())
    synonym_sets: tuple[tuple[str, ...], ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("text", self.text)
        options.column("text_pair", self.text_pair, optional=True)
        standard.check(self)
        options.max_tokens(self.max_tokens)
        augmenting.check(self)

    @property
    def _numbers(self) -> Standard:
        return Standard.of(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of many different numbers beside a text."""
        if columns.missing(profile, named, ("text", "text_pair", "target")):
            return None
        inputs = columns.text_columns(profile, {"target": "", **named})
        if inputs is None:
            return None
        if named.get("target"):
            chosen, sure = Choice[Any](named["target"], "named by you"), 0.9
            many = named["target"] if isinstance(named["target"], list | tuple) else [named["target"]]
            why = f"you named {listing([repr(name) for name in many])} as the target"
        else:
            taken = [choice.value for choice in inputs.values()]
            found = columns.target_column(profile, taken, ("numbers",), columns.NUMBER_NAMES)
            if found is None:
                return None
            column, called = found
            why = f"column {column.name!r} holds {columns.describe(column)}"
            chosen, sure = Choice[Any](column.name, why), 0.75 if called else 0.5
        return Claim(inputs | {"target": chosen}, sure, f"{why}: a number for each text")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles. Numbers are looked at by the audit."""
        return options.twice(self.columns((*self.inputs, *self.targets)))

    def fit(self, train: Table) -> Self:
        """Learn the targets' means and standard deviations."""
        sets = augmenting.read_sets(self.synonyms) if self.synonyms else ()
        return self.settle(**self._numbers.learned(train), synonym_sets=sets)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read. Numbers have no classes to balance."""
        return self.settle(**tokens.settle(train, [self.text, self.text_pair], processor, self.max_tokens, limit))

    def truth(self, rows: Table) -> Truth:
        """(N, C) float64 in the data's units, NaN where a row lacks a target."""
        return self._numbers.truth(rows)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, and where the rows have targets these, standardised (C,)."""
        pairs = self._texts(rows, self.text_pair, draws) if self.text_pair else None
        examples = tokens.encode(processor, self._texts(rows, self.text, draws), pairs, most=self.tokens_kept or tokens.limit(processor))
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        return [example | aim for example, aim in zip(examples, self.aims(rows), strict=True)]

    def aims(self, rows: Sequence[Row]) -> list[Example]:
        """`target` (C,), standardised, and `row_weight` of rows that have targets."""
        aims = self._numbers.aims_of(rows)
        return [{name: value[i] for name, value in aims.items()} for i in range(len(rows))]

    @property
    def augments(self) -> bool:
        """Whether training texts are changed."""
        return bool(self.augment)

    def _texts(self, rows: Sequence[Row], column: str, draws: Sequence[Draw] | None) -> list[Any]:
        return augmenting.changed(self, rows, column, [self.augment_rows] * len(rows), draws)

    def retelling(self, train: Table) -> augmenting.Retelling | None:
        """The texts, for `back-translation`."""
        return augmenting.retelling(self, self.columns(self.inputs), train, lambda: [self.augment_rows] * len(train))

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the text's vector; it speaks in standard deviations."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.means), dropout)

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
        """Ridge regression on standardised targets."""
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
        """The mean; TF-IDF with ridge regression; of pairs also boosted trees on what the texts share."""
        from ..parts import bags

        target_NC = self.truth(train)
        own, other = bags.texts(train, self.text, self.text_pair), bags.texts(rows, self.text, self.text_pair)
        found = {
            "mean": numbers.mean_outputs(self.means, len(rows)),
            "TF-IDF + ridge": bags.number_outputs(own, target_NC, other),
        }
        if self.text_pair:
            found["overlap + trees"] = bags.overlap_number_outputs(own, target_NC, other)
        return found

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Short reviews with a mark that their words add up to, and a little noise."""
        rng = np.random.default_rng(seed)
        marks = {"great": 2.0, "good": 1.0, "fine": 0.3, "poor": -1.0, "awful": -2.0}
        rows = []
        for _ in range(n):
            first, second = rng.choice(list(marks), 2)
            mark = 5 + marks[first] + marks[second] + 0.1 * rng.standard_normal()
            rows.append({"text": f"the film was {first} and the meal was {second}", "target": round(float(mark), 2)})
        return rows


task = TextRegression
