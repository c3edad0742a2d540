"""Choose any of several labels for a text: none, one or many.

Rows: `text` and `labels`, a list, a list as JSON, labels between separators (`fear|joy`), or several columns of 0 and 1. Scores:
micro-F1 first; macro-F1, mean average precision, AUROC, subset accuracy, Brier, ECE. Each label gets a threshold of its own.
Beside it: label prior, TF-IDF with one-vs-rest logistic regression, and the frozen encoder with a linear head.
"""
# Axes: N rows, B rows of a batch, D features, C labels.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding, places
from ..errors import DataError, SpecError, listing
from ..parts import augment as augmenting
from ..parts import batch, columns, flags, linear, options, tokens
from ..task import Batch, Claim, Draw, Example, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..models.source import Backbone

MOST_NAMES_BYTES = 1_000_000


@final
@dataclass(frozen=True, kw_only=True)
class TextMultilabel(Task):
    """Any of C labels."""

    directions: ClassVar[Mapping[str, bool]] = flags.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    target_kind: ClassVar[str] = "labels"

    text: str = "text"
    """Column with the text."""
    text_pair: str = ""
    """Column with the second text of a pair."""
    labels: str | tuple[str, ...] = "labels"
    """Column with the labels, or several columns of 0 and 1 (or true and false), one per label."""
    label_names: str | tuple[str, ...] = ()
    """Names of labels that are numbers in the data: a list, or a text file with one name per line; number 0 is the first."""
    loss_kind: Literal["bce", "asymmetric"] = "bce"
    """`asymmetric` counts labels that are plainly absent for less (arXiv 2009.14119)."""
    asymmetry: float = 4.0
    """How much less, for `asymmetric`."""
    max_tokens: int | str = "auto"
    """Most tokens of a row that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    augment: tuple[augmenting.Way, ...] = ()
    """Ways in which training texts are changed anew in each epoch: swap, drop, synonym. Rows that are judged stay as they are."""
    augment_rows: float = 0.5
    """Share of the training rows that are changed in an epoch."""
    augment_words: float = 0.1
    """Share of a text's words that are changed."""
    synonyms: str = ""
    """File for `synonym`: on each line words that may stand for each other, with commas between."""
    vocabulary: tuple[str, ...] = fitted(())
    names: tuple[str, ...] = fitted(())
    separator: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    thresholds: tuple[float, ...] = fitted(())
    synonym_sets: tuple[tuple[str, ...], ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("text", self.text)
        options.column("text_pair", self.text_pair, optional=True)
        options.column("labels", self.labels, many=True)
        options.one_of("loss_kind", self.loss_kind, ("bce", "asymmetric"))
        options.number("asymmetry", self.asymmetry, low=0, high=10)
        options.max_tokens(self.max_tokens)
        options.number("augment_rows", self.augment_rows, low=0, high=1)
        options.number("augment_words", self.augment_words, low=0, high=0.9)
        augmenting.check(self.augment, self.synonyms)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of lists beside a text, or at least three columns of 0 and 1."""
        if columns.missing(profile, named, ("text", "text_pair", "labels")):
            return None
        taken = [named[k] for k in ("text", "text_pair") if named.get(k)]
        found = columns.tag_columns(profile, named, taken)
        if found is None:
            return None
        chosen, sure = found
        inputs = columns.text_columns(profile, {**named, "labels": chosen.value})
        if inputs is None:
            return None
        return Claim(inputs | {"labels": chosen}, sure, f"{chosen.why}: any of several labels for each text")

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles; tags that training never saw; numbers beyond the named labels."""
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
        """Learn the labels and how they are written. Raises SpecError or DataError where `label_names` cannot be used."""
        separator = flags.find_separator(train.column(self.labels)) if isinstance(self.labels, str) else ""
        known = self.settle(separator=separator, names=_read_names(self.label_names))
        sets = augmenting.read_sets(self.synonyms) if self.synonyms else ()
        known = known.settle(synonym_sets=sets)
        return known.settle(vocabulary=flags.vocabulary(known._tags(train)) if isinstance(self.labels, str) else self.labels)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the labels' weights where they are set."""
        weights: tuple[float, ...] = ()
        if balance == "weights":
            weights = flags.balanced_weights(flags.known(self.truth(train), len(self.vocabulary)).sum(0), len(train))
        kept = tokens.settle(train, [self.text, self.text_pair], processor, self.max_tokens, limit)
        return self.settle(class_weights=weights, **kept)

    def truth(self, rows: Table) -> Truth:
        """(N, C) 0/1 flags; (N, C + 1) where tags are unknown to training: how many, in the last column."""
        return flags.encode(self._tags(rows), self.vocabulary)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, and where the rows have labels the flags (C,)."""
        pairs = self._texts(rows, self.text_pair, draws) if self.text_pair else None
        examples = tokens.encode(processor, self._texts(rows, self.text, draws), pairs, most=self.tokens_kept or tokens.limit(processor))
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        return [example | aim for example, aim in zip(examples, self.aims(rows), strict=True)]

    def aims(self, rows: Sequence[Row]) -> list[Example]:
        """`target` (C,), flags, and `row_weight` of rows that have labels."""
        flags_NC = flags.known(flags.encode([self._row_tags(row) for row in rows], self.vocabulary), len(self.vocabulary))
        return [{"target": flags_C, "row_weight": 1.0} for flags_C in flags_NC.astype(np.float32)]

    @property
    def augments(self) -> bool:
        """Whether training texts are changed."""
        return bool(self.augment)

    def _texts(self, rows: Sequence[Row], column: str, draws: Sequence[Draw] | None) -> list[Any]:
        change = augmenting.Change(self.augment, self.augment_words, augmenting.by_word(self.synonym_sets)) if draws else None
        return augmenting.texts(change, [row[column] for row in rows], [float(self.augment_rows)] * len(rows), draws)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, batch.text_pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the text's vector."""
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
        """Label prior; TF-IDF with one logistic regression per label."""
        from ..parts import bags

        flags_NC = flags.known(self.truth(train), len(self.vocabulary))
        own, other = bags.texts(train, self.text, self.text_pair), bags.texts(rows, self.text, self.text_pair)
        return {
            "label prior": flags.prior_outputs(flags_NC, len(rows)),
            "TF-IDF + linear": bags.flag_outputs(own, flags_NC, other),
        }

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Sentences about up to three things, labelled with them."""
        rng = np.random.default_rng(seed)
        things = ("film", "book", "meal")
        rows = []
        for _ in range(n):
            chosen = [thing for thing in things if rng.random() < 0.4]
            said = [f"the {thing} was {rng.choice(['good', 'nice', 'dull', 'cold'])}" for thing in chosen]
            rows.append({"text": " and ".join(said) or f"it was {rng.choice(['good', 'dull'])}", "labels": chosen})
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
        found = flags.tags(cell, self.separator)
        return [_named(tag, self.names, self.labels) for tag in found] if self.names else found


def _read_names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves, or those in a file."""
    if not isinstance(given, str) or not given:
        return tuple(str(name) for name in given)
    path = Path(given)
    if not path.is_file() or path.stat().st_size > MOST_NAMES_BYTES:
        raise SpecError(
            "option label_names", expected="a list of names, or a text file with one per line", got=repr(given),
            fix="check the path", code="no-such-file",
        )
    return tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())


def _named(tag: str, names: Sequence[str], column: str | tuple[str, ...]) -> str:
    if tag in names:
        return tag
    if tag.isdecimal() and int(tag) < len(names):
        return names[int(tag)]
    raise DataError(
        f"column {column!r}", expected=f"label numbers from 0 to {len(names) - 1} (`label_names` has {len(names):,})", got=repr(tag),
        fix="mend the cell or the list of names", code="unknown-label",
    )


task = TextMultilabel
