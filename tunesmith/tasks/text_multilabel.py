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

from ..errors import SpecError
from ..parts import any_labels, batch, columns, flags, options, tokens
from ..parts import augment as augmenting
from ..parts.any_labels import AnyLabels
from ..task import Batch, Claim, Draw, Example, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.finding import Finding
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
    """Ways in which training texts are changed anew in each epoch: swap, drop, synonym, back-translation. Rows that are judged
    stay as they are."""
    augment_rows: float | Literal["rare"] = 0.5
    """Share of the training rows that are changed in an epoch; `rare`: a row the more often, the rarer the rarest of its
    labels is."""
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
    rare_shares: tuple[float, ...] = fitted(())

    def __post_init__(self) -> None:
        options.column("text", self.text)
        options.column("text_pair", self.text_pair, optional=True)
        any_labels.check(self)
        options.max_tokens(self.max_tokens)
        augmenting.check(self)

    @property
    def _any(self) -> AnyLabels:
        return AnyLabels.of(self)

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
        return options.twice(self.columns((*self.inputs, *self.targets))) or self._any.unknown(table)

    def fit(self, train: Table) -> Self:
        """Learn the labels and how they are written. Raises SpecError or DataError where `label_names` cannot be used."""
        sets = augmenting.read_sets(self.synonyms) if self.synonyms else ()
        known = self.settle(names=_read_names(self.label_names), synonym_sets=sets)
        known = known.settle(**known._any.learned(train))
        if self.augment_rows != "rare":
            return known
        return known.settle(rare_shares=augmenting.rare_shares(known._any.known(known.truth(train)).sum(0).tolist()))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the labels' weights where they are set."""
        kept = tokens.settle(train, [self.text, self.text_pair], processor, self.max_tokens, limit)
        return self.settle(class_weights=self._any.balanced(train, balance), **kept)

    def truth(self, rows: Table) -> Truth:
        """(N, C) 0/1 flags; (N, C + 1) where tags are unknown to training: how many, in the last column."""
        return self._any.truth(rows)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, and where the rows have labels the flags (C,)."""
        pairs = self._texts(rows, self.text_pair, draws) if self.text_pair else None
        examples = tokens.encode(processor, self._texts(rows, self.text, draws), pairs, most=self.tokens_kept or tokens.limit(processor))
        if not rows or not rows[0].keys() >= set(self.columns(self.targets)):
            return examples
        return [example | aim for example, aim in zip(examples, self.aims(rows), strict=True)]

    def aims(self, rows: Sequence[Row]) -> list[Example]:
        """`target` (C,), flags, and `row_weight` of rows that have labels."""
        aims = self._any.aims_of(rows)
        return [{name: value[i] for name, value in aims.items()} for i in range(len(rows))]

    @property
    def augments(self) -> bool:
        """Whether training texts are changed."""
        return bool(self.augment)

    def _texts(self, rows: Sequence[Row], column: str, draws: Sequence[Draw] | None) -> list[Any]:
        shares = self._shares(self._any.aims_of(rows)["target"]) if draws else [0.0] * len(rows)
        return augmenting.changed(self, rows, column, shares, draws)

    def retelling(self, train: Table) -> augmenting.Retelling | None:
        """Texts of rows that are changed at all, for `back-translation`."""
        return augmenting.retelling(self, self.columns(self.inputs), train, lambda: self._shares(self.truth(train)))

    def _shares(self, flag_NC: np.ndarray) -> list[float]:
        if self.augment_rows != "rare":
            return [float(self.augment_rows)] * len(flag_NC)
        found: list[float] = (self._any.known(flag_NC) * np.asarray(self.rare_shares)).max(1, initial=0.0).tolist()
        return found

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
        """Label prior; TF-IDF with one logistic regression per label."""
        from ..parts import bags

        flags_NC = self._any.known(self.truth(train))
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


task = TextMultilabel
