"""Give texts vectors in which what belongs together is near: sentence similarity, retrieval.

Rows: `anchor` and `positive` (a question and its text), and `negative` where there is one; or `text`, `text_pair` and a `score` of how like
they are; or `text` and `label`, where texts of one label belong together. A row without an anchor only adds its text to what is searched.
Scores: nDCG@10, recall@1 and @10, MRR among all texts of the judged rows; of scored pairs Spearman's and Pearson's correlation of their
cosines. Beside it: TF-IDF cosines, and the model untuned. The saved folder is one that sentence-transformers loads.
"""
# Axes: N rows, B rows of a batch, K texts of a row, D features.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding, count, have, places
from ..errors import SpecError
from ..parts import belonging, classes, columns, contrast, numbers, options, retrieval, tokens
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

LOSSES = ("auto", "infonce", "triplet", "cosent", "cosine")


@final
@dataclass(frozen=True, kw_only=True)
class Embedding(Task):
    """A vector of length 1 for each text."""

    inputs: ClassVar[tuple[str, ...]] = ("anchor", "positive", "negative", "text", "text_pair")
    targets: ClassVar[tuple[str, ...]] = ("similarity", "label")
    does: ClassVar[str] = "gives texts vectors in which what belongs together is near"
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-pairs"})
    alone: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {
        "strategy": Choice("full", "there is no new head that would have to be learned first"),
        "train.batch": Choice(64, "each row's negatives are the other rows' texts: more of them teach more (arXiv 2101.06983)"),
        "train.epochs": Choice(2.0, "the model has good vectors already: few epochs move them"),
        "train.lr": Choice(2e-5, "good vectors are moved a little: ten times this made them worse (cranfield)"),
    }
    exempt: ClassVar[Mapping[str, str]] = {"sums add up": "a row's loss depends on the rows beside it: see `training/joint.py`"}

    anchor: str = ""
    """Column with the text that is looked up: a question."""
    positive: str = ""
    """Column with the text that belongs to it."""
    negative: str = ""
    """Column with a text that does not."""
    text: str = ""
    """Column with the text, for rows with a label or a score."""
    text_pair: str = ""
    """Column with the second text of a scored pair."""
    similarity: str = ""
    """Column with the score of a scored pair: the higher, the nearer."""
    label: str = ""
    """Column with the label: texts of one label belong together."""
    loss_kind: Literal["auto", "infonce", "triplet", "cosent", "cosine"] = "auto"
    """`infonce` or `triplet` for texts that belong together, `cosent` (order) or `cosine` (distance) for scores; `auto`: the first
    of each."""
    temperature: float = 0.05
    """Of `infonce`: what cosines are divided by."""
    margin: float = 0.2
    """Of `triplet`: by how much of a cosine the positive is to be nearer."""
    mined: int = 0
    """Hard negatives for each row: texts of other rows that the untuned model takes for near, none that may be right. 0: those of the
    batch alone."""
    max_tokens: int | str = "auto"
    """Most tokens of a text that are read; `auto`: enough for 99 % of the training texts, within the model's limit."""
    labels: tuple[str, ...] = fitted(())
    low: float = fitted(0.0)
    high: float = fitted(1.0)
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)

    def __post_init__(self) -> None:
        for role in (*self.inputs, *self.targets):
            options.column(role, getattr(self, role), optional=True)
        if not self.text:
            object.__setattr__(self, "anchor", self.anchor or "anchor")
            object.__setattr__(self, "positive", self.positive or "positive")
        elif not self.label:
            object.__setattr__(self, "text_pair", self.text_pair or "text_pair")
            object.__setattr__(self, "similarity", self.similarity or "score")
        options.one_of("loss_kind", self.loss_kind, LOSSES)
        options.number("temperature", self.temperature, low=1e-3, high=10)
        options.number("margin", self.margin, low=0, high=2)
        options.number("mined", self.mined, low=0, high=20)
        options.max_tokens(self.max_tokens)
        self._refuse_mixed()

    def _refuse_mixed(self) -> None:
        """Raises SpecError where options speak of different kinds of rows."""
        wrong = ""
        if self.text and (self.anchor or self.positive or self.negative):
            wrong = "`text` beside `anchor`, `positive` or `negative`"
        elif self.label and (self.similarity or self.text_pair):
            wrong = "`label` beside `similarity` or `text_pair`"
        elif (self.label or self.similarity or self.text_pair) and not self.text:
            wrong = "`label`, `similarity` or `text_pair` without `text`"
        elif self.loss_kind != "auto" and (self.loss_kind in ("cosent", "cosine")) != self.scored:
            wrong = f"loss_kind {self.loss_kind!r} for {'scored pairs' if self.scored else 'texts that belong together'}"
        elif self.mined and self.scored:
            wrong = "`mined` for scored pairs"
        if wrong:
            fix = "name anchor and positive (and negative), or text, text_pair and similarity, or text and label"
            raise SpecError("options of embedding", expected="one kind of rows", got=wrong, fix=fix, code="bad-value")

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns that are called anchor and positive. A text with a label, or a pair with a score, is left to other tasks unless this
        one is named."""
        if columns.missing(profile, named, (*cls.inputs, *cls.targets)):
            return None
        return belonging.claim(profile, named)

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles; lists where a text is wanted; rows that teach nothing."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        return found or [*self._no_texts(table), *self._idle(table)]

    def _no_texts(self, table: Table) -> Iterator[Finding]:
        for name in self.columns(self.inputs):
            rows = [at for at, cell in enumerate(table.column(name)) if isinstance(cell, list | dict)]
            if rows:
                message = f"expected a text in each cell of {name!r}, got a list in {count(len(rows))}"
                yield Finding("error", "not-a-text", message, places(table, rows), "write a row for each text")

    def _idle(self, table: Table) -> Iterator[Finding]:
        if self.label or not self.positive:
            return
        rows = table.column(self.anchor), table.column(self.positive)
        same = [at for at, (one, other) in enumerate(zip(*rows)) if contrast.key(one) and contrast.key(one) == contrast.key(other)]
        if same:
            message = f"{have(len(same))} the same text as anchor and as positive: they teach nothing"
            yield Finding("warning", "same-texts", message, places(table, same), "take them out")
        if len(table) and not any(contrast.key(one) and contrast.key(other) for one, other in zip(*rows)):
            message = f"expected anchors with positives, got none in {count(len(table))}"
            yield Finding("error", "no-pairs", message, (), "check the columns")

    def fit(self, train: Table) -> Self:
        """Learn the labels, or the scores' range."""
        if self.label:
            return self.settle(labels=tuple(classes.tally(train.arrow(self.label))))
        if not self.scored:
            return self
        target_N = self.truth(train)
        return self.settle(low=float(np.nanmin(target_N)), high=float(np.nanmax(target_N)))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens of a text are read."""
        part = train.take(tokens.sample_positions(len(train)))
        texts = [text for name in self._texts for text in part.column(name)]
        lengths_N = tokens.lengths(processor, texts)
        chosen = tokens.choose_limit(lengths_N, self.max_tokens, min(limit, tokens.limit(processor)))
        longer, share = tokens.cut(lengths_N, chosen.value)
        why = f"{chosen.why}; {longer:,} of {len(lengths_N):,} texts lose their end" if longer else chosen.why
        return self.settle(tokens_kept=chosen.value, tokens_why=why.replace("training row", "training text"), cut_share=share)

    def truth(self, rows: Table) -> Truth:
        """(N,) scores; else (N, K) keys of the row's texts, 0 where there is none; of labelled texts (N, 2) key and label."""
        if self.scored:
            return np.array([numbers.number(cell) for cell in rows.column(self.similarity)])
        keys = [[contrast.key(cell) for cell in rows.column(name)] for name in self._texts]
        group = [classes.encode_column(rows.arrow(self.label), self.labels).tolist()] if self.label else []
        return np.array([*keys, *group], np.int64).reshape(len(keys) + len(group), -1).T

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """The row's texts, those that it has: token ids end to end, `sizes` (K,), `key` (K,); and its `target` or `group`."""
        if not rows:
            return []
        names = [name for name in self._texts if name in rows[0]]
        most = self.tokens_kept or tokens.limit(processor)
        texts = [tokens.encode(processor, [row[name] for row in rows], most=most) for name in names]
        keys = [[contrast.key(row[name]) for name in names] for row in rows]
        whole = [[own[0] or 1, *own[1:]] for own in keys] if len(names) == 1 else keys  # a question may be an empty text
        examples = [contrast.example(list(row), own) for row, own in zip(zip(*texts), whole, strict=True)]
        return [example | more for example, more in zip(examples, self._wanted(rows, keys), strict=True)]

    def _wanted(self, rows: Sequence[Row], keys: Sequence[Sequence[int]]) -> list[Example]:
        there = [float(len(own) == 1 or all(own[:2])) for own in keys]
        if self.similarity and self.similarity in rows[0]:
            target = [numbers.number(row[self.similarity]) for row in rows]
            return [{"target": float(np.nan_to_num(t)), "row_weight": float(np.isfinite(t))} for t in target]
        if self.label and self.label in rows[0]:
            group_N = classes.encode([row[self.label] for row in rows], self.labels)
            return [{"group": int(group), "row_weight": w} for group, w in zip(group_N, there)]
        return [{"row_weight": w} for w in there]

    def learned(self, encoded: Encoded) -> Encoded:
        """Rows with a pair; each is told all texts that are right for its anchor. Of labelled texts each gets another of its label."""
        if self.scored:
            return encoded
        weight_N = np.asarray(encoded.arrays["row_weight"])
        if self.label:
            return self._partnered(encoded)
        kept = encoded.take(np.flatnonzero(weight_N > 0))
        key_N2 = np.array([kept.arrays["key"][row][:2] for row in range(len(kept))], np.int64).reshape(-1, 2)
        return kept.with_rows(known=contrast.known(key_N2))

    def _partnered(self, encoded: Encoded) -> Encoded:
        group_N = np.asarray(encoded.arrays["group"])
        other_N = contrast.partners(group_N, np.array([encoded.arrays["key"][row][0] for row in range(len(encoded))]))
        rows = np.flatnonzero((other_N >= 0) & (group_N >= 0))
        return contrast.joined(encoded.take(rows), encoded, other_N[rows][:, None])

    @property
    def mines(self) -> bool:
        """Whether hard negatives are looked for."""
        return bool(self.mined)

    def mine(self, encoded: Encoded, outputs: Outputs) -> Encoded:
        """The training rows with hard negatives, found by what the untuned model says of them."""
        rows = range(len(encoded))
        key_NK = np.array([encoded.arrays["key"][row][:2] for row in rows], np.int64)
        if self.label:
            group_N = np.asarray(encoded.arrays["group"])
            right = [key_NK[group_N == group, 1] for group in group_N]
        else:
            right = [np.asarray(encoded.arrays["known"][row]) for row in rows]
        found_NC = contrast.mined(np.asarray(outputs["vectors"]), key_NK, right, int(self.mined))
        return contrast.joined(encoded, encoded, found_NC, text=contrast.POSITIVE)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest text."""
        return contrast.collate(examples, pad)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The backbone, pooled as its folder says."""
        from ..models.embedder import Embedder

        return Embedder(backbone, dropout)

    def weight(self, batch: Batch) -> float:
        """Rows that teach."""
        return float(batch["row_weight"].sum())

    @property
    def joint(self) -> bool:
        """All losses but the distance of cosines compare rows."""
        return self._loss_kind != "cosine"

    def represent(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, K, D) vectors of the rows' texts."""
        return contrast.represent(model, batch)

    def joint_loss(self, vectors_BKD: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B,) losses of the rows."""
        if self._loss_kind == "infonce":
            return contrast.infonce(vectors_BKD, batch, self.temperature)
        if self._loss_kind == "triplet":
            return contrast.triplet(vectors_BKD, batch, self.margin)
        if self._loss_kind == "cosent":
            return contrast.cosent(vectors_BKD, batch)
        return contrast.cosine(vectors_BKD, batch, self.low, self.high)

    def lengths(self, encoded: Encoded) -> np.ndarray:
        """Anchors by themselves, and so the others."""
        return np.stack([encoded.arrays["sizes"][row] for row in range(len(encoded))])

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The joint loss of these rows; where the whole batch's was made before (`pull`), a sum with its value and its gradient."""
        vectors_BKD = self.represent(model, batch)
        if "pull" not in batch:
            return self.joint_loss(vectors_BKD, batch).sum()
        pulled = (vectors_BKD.float() * batch["pull"]).sum()
        return pulled - pulled.detach() + batch["own_loss"].sum()

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Vectors (B, K, D) of the texts that the rows have."""
        return {"vectors": self.represent(model, batch)}

    # -- answers ------------------------------------------------------------------------------------------------------

    @property
    def did(self) -> bool:
        """The model has vectors before it is tuned."""
        return True

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """Scores of the kind of rows at hand."""
        return retrieval.SCORED if self.scored else retrieval.RANKED

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Of each row its cosine, or what came of its search among all texts of these rows."""
        return retrieval.condense_pairs(outputs) if self.scored else retrieval.condense(outputs, truth, bool(self.label))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`similarity` of pairs; of texts alone their `vector`."""
        if outputs["vectors"].shape[1] > 1:
            return [{"similarity": round(float(value), 6)} for value in retrieval.cosines(outputs)]
        return [{"vector": vector} for vector in retrieval.vectors(outputs)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """All scores."""
        found = self.condense(outputs, truth)
        return retrieval.score_pairs(found, truth) if self.scored else retrieval.score_ranks(found)

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows with the place at which what belongs to them was found; pairs with their cosine."""
        found = self.condense(outputs, truth)
        return retrieval.grade_pairs(found, truth) if self.scored else retrieval.grade_ranks(found)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Cosines of TF-IDF vectors."""
        own, other = (list(zip(*(table.column(name) for name in self._texts))) for table in (train, rows))
        return {"TF-IDF cosine": retrieval.bags(own, other)}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Opposites and kin of a few things."""
        rng = np.random.default_rng(seed)
        kin = dict(zip("film book meal room cold good bad one".split(), "plot read ate service warm fine awful two".split()))
        rows = []
        for row in range(n):
            thing = list(kin)[row % len(kin)]
            first, second = rng.choice(["the", "a", "we saw", "they loved", "never"], 2)
            rows.append({"anchor": f"{first} {thing} {second} {row % 5}", "positive": f"{second} {kin[thing]} again {first} {row % 7}"})
        return rows

    # -- kinds of rows ------------------------------------------------------------------------------------------------

    @property
    def scored(self) -> bool:
        """Whether rows are scored pairs."""
        return bool(self.similarity)

    @property
    def target_kind(self) -> str:  # type: ignore[override]
        """Numbers, labels, or nothing that audits know."""
        return "number" if self.scored else "label" if self.label else "other"

    @property
    def _texts(self) -> list[str]:
        names = (self.text, self.text_pair) if self.text else (self.anchor, self.positive, self.negative)
        return [name for name in names if name]

    @property
    def _loss_kind(self) -> str:
        return self.loss_kind if self.loss_kind != "auto" else "cosent" if self.scored else "infonce"

    @property
    def grouped(self) -> str:  # type: ignore[override]
        """Rows of one anchor stay on one side of the split."""
        return self.anchor


task = Embedding
