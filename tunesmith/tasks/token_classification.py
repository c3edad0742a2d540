"""Find the words that are something: names, slots, parts of speech. A tag for each word, and spans made of them.

Rows: `tokens` and `tags` (lists, lists as JSON, or texts between spaces; CoNLL files are read so; BIO, IOB1, BMES, BIOES, BILOU, IO or
plain tags), or `text` and `spans` ({"start", "end", "label"} in characters). Long rows are read in overlapping windows. Scores:
strict entity F1 first, as seqeval's strict mode; precision, recall, mean F1 of the types, partial matches, token accuracy. Beside it:
each word's usual tag, the training rows' entities found again, and the frozen encoder with a linear head.
"""
# Axes: N rows, B windows of a batch, T tokens, W words of a row, D features, C labels of a word.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np

from ..data.arrays import objects
from ..data.finding import Finding, count
from ..data.table import Table
from ..errors import DataError, SpecError
from ..parts import (
    alignment,
    augment,
    batch,
    classes,
    columns,
    entities,
    gazetteer,
    linear,
    marked,
    options,
    retagging,
    sequences,
    tags,
    tokens,
    windows,
    words,
)
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..inference import Encoded
    from ..models.source import Backbone

PADS = {"words": -1, "tags": -100}


@final
@dataclass(frozen=True, kw_only=True)
class TokenClassification(Task):
    """A label for each word, spans of words as the answer."""

    directions: ClassVar[Mapping[str, bool]] = entities.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "tokens")
    targets: ClassVar[tuple[str, ...]] = ("tags", "spans")
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "says which words of a text are something"
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-entities", "single-row-class"})

    tokens: str = "tokens"
    """Column with the tokens: a list, a list as JSON, or a text with spaces between them."""
    tags: str = "tags"
    """Column with a tag for each token."""
    text: str = ""
    """Column with the text, where the data have spans instead of tags."""
    spans: str = ""
    """Column with the spans: start, end (the one behind the last) and label, of characters of `text` or of `tokens`."""
    scheme: str = "auto"
    """How tags are written: BIO, IOB1, BIOES, BMES, BILOU, IO or plain; `auto`: told from the training rows."""
    tag_names: tuple[str, ...] = ()
    """Names of the tags where the data hold their numbers, in order."""
    broken: str = "refuse"
    """What to do about tags that break their scheme: `refuse` them, or `mend`: an inside that follows nothing begins a span."""
    smoothing: float = 0.0
    """Share of the target that is spread evenly over all labels."""
    crf: bool = False
    """Learn which label follows which, and judge a row's labels as one sequence (a linear-chain CRF); slower."""
    max_tokens: int | str = "auto"
    """Most tokens of a window; `auto`: enough for 99 % of the training rows, within the model's limit. Longer rows have several."""
    augment: tuple[retagging.Way, ...] = ()
    """Ways in which training rows are changed anew in each epoch, tags with their words: `mention` puts another entity of its type in an
    entity's place (arXiv 2010.11683), `swap` and `synonym` and `drop` leave entities whole. Rows that are judged stay as they are."""
    augment_rows: float = 0.5
    """Share of the training rows that are changed in an epoch."""
    augment_words: float = 0.1
    """Share of a row's words (`mention`: of its entities) that are changed, at least one."""
    synonyms: str = ""
    """File for `synonym`: on each line words that may stand for each other, with commas between."""
    types: tuple[str, ...] = fitted(())
    written: str = fitted("")
    spaced: bool = fitted(False)
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)
    strange: tuple[str, ...] = fitted(())
    synonym_sets: tuple[tuple[str, ...], ...] = fitted(())
    mentions: tuple[retagging.Mentions, ...] = fitted(())

    def __post_init__(self) -> None:
        for role in ("tokens", "tags", "text", "spans"):
            options.column(role, getattr(self, role), optional=True)
        options.one_of("scheme", self.scheme, ("auto", *tags.SCHEMES))
        options.one_of("broken", self.broken, ("refuse", "mend"))
        options.number("smoothing", self.smoothing, low=0, high=0.9)
        if self.crf and self.smoothing:
            raise SpecError("option smoothing", expected="none beside crf", got=str(self.smoothing), fix="leave one out", code="bad-value")
        augment.check_words(self)
        options.max_tokens(self.max_tokens)
        if self.max_tokens != "auto" and int(self.max_tokens) < 16:
            raise SpecError("option max_tokens", expected="16 or more", got=str(self.max_tokens), fix="try 128", code="bad-value")
        if self.text and not self.spans:  # tags of a text are tags of the words between its spaces
            object.__setattr__(self, "tokens", self.text)
            object.__setattr__(self, "text", "")
        object.__setattr__(self, "tokens", "" if self.text else self.tokens)
        object.__setattr__(self, "tags", "" if self.spans else self.tags)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A list of tags beside a list of tokens, or a list of spans beside a text."""
        if columns.missing(profile, named, ("tokens", "tags", "text", "spans")):
            return None
        found = marked.guess(profile, named)
        return None if found is None else Claim(found[0], found[1], f"{found[2]}: what each word is")

    def check(self, table: Table) -> list[Finding]:
        """Rows that cannot be used: more or fewer tags than tokens, tags that break their scheme, spans out of their text or over one
        another; and odd ones: spans that end inside a word, types seen once."""
        found = options.twice(self.columns((*self.inputs, *self.targets))) or self._numbered(table)
        if found:
            return found
        wrong: dict[str, tuple[marked.Misfit, list[int]]] = {}
        inside, hollow, seen = list[int](), list[int](), dict[str, list[int]]()
        scheme = self._scheme(table)
        for row, cells in enumerate(self._cells(table)):
            try:
                said, spans, whole = self._read(cells, scheme)
            except marked.Misfit as misfit:
                wrong.setdefault(misfit.code, (misfit, []))[1].append(row)
                continue
            inside += [] if whole else [row]
            hollow += [] if all(map(str.strip, said.strings())) else [row]
            for _, _, kind in spans:
                seen.setdefault(kind, []).append(row)
        return [*marked.refusals(table, wrong), *marked.oddities(table, inside, hollow, seen, not wrong)]

    def fit(self, train: Table) -> Self:
        """Learn the types and the scheme. Raises DataError for a row that cannot be used."""
        scheme = self._scheme(train)
        spaced = bool(self.tokens) and not all(map(marked.listed, train.column(self.tokens)[:100]))
        made = self.settle(written=scheme, spaced=spaced, synonym_sets=augment.read_sets(self.synonyms) if self.synonyms else ())
        read = made._rows(train)
        types = tuple(sorted({kind for _, spans in read for _, _, kind in spans}))
        made = made.settle(types=types, mentions=retagging.gathered(read, types) if "mention" in self.augment else ())
        retagging.check(made)
        return made

    def at_rest(self) -> Self:
        """Without the training rows' entities, which only `mention` needs."""
        return self.settle(mentions=())

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens a window has, and the labels' weights."""
        weights: tuple[float, ...] = ()
        if balance == "weights":
            label_M = np.concatenate([self._labels(row["spans"], row["words"]) for row in self.truth(train)])
            weights = classes.balanced_weights(classes.counts(label_M, self._count))
        part = train.take(tokens.sample_positions(len(train)))
        lengths_N = windows.lengths(processor, [self._words(row).pieces() for row in part.rows()])
        chosen = tokens.choose_limit(lengths_N, self.max_tokens, min(limit, tokens.limit(processor)))
        longer, _ = tokens.cut(lengths_N, chosen.value)
        why = f"{chosen.why}; {count(longer)} are read in overlapping windows" if longer else chosen.why
        return self.settle(class_weights=weights, tokens_kept=chosen.value, tokens_why=why)

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: `words`, how many, and `spans` [first word, the one behind the last, type]. Raises DataError for a row that
        cannot be used."""
        return objects([{"words": len(said), "spans": [list(span) for span in spans]} for said, spans in self._rows(rows)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Windows of token ids; `words`: of which word a token is the first, in the window where it has most context; `tags`: that
        word's label, where the rows have tags; the row's `characters` and the `span` of each word, in its first window."""
        most = self.tokens_kept or tokens.limit(processor)
        if draws is not None:
            encode = lambda read: alignment.examples(processor, [said for said, _ in read], self._known(read), most)  # noqa: E731
            return retagging.examples(self, rows, [self._read(row, self.written)[:2] for row in rows], draws, encode)
        said = [self._asked(row, at) for at, row in enumerate(rows, 1)]
        labels = self.aims(rows) if rows and self._target in rows[0] else None
        return alignment.examples(processor, said, labels, most) if rows else []

    @property
    def augments(self) -> bool:
        """Whether training rows are changed."""
        return bool(self.augment)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        kept = [{name: value for name, value in example.items() if name not in ("characters", "span")} for example in examples]
        return batch.collate(kept, batch.text_pads(pad) | PADS)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on each token's vector."""
        from ..models.heads import Pooled

        return Pooled(backbone, self._count, dropout, pooling="tokens", chained=self.crf)

    @property
    def balances(self) -> tuple[str, ...]:
        """Words are weighed one by one, sequences are not."""
        return () if self.crf else super().balances

    def weight(self, batch: Batch) -> float:
        """Words with a label, times their labels' weights."""
        known = batch["tags"] >= 0
        if not self.class_weights:
            return float(known.sum())
        return float(batch["tags"].new_tensor(self.class_weights, dtype=batch["tags"].float().dtype)[batch["tags"][known]].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the words' labels, on the first token of each; with `crf` of each window's whole sequence of them."""
        from torch.nn import functional

        logits_BTC = model(batch).float()
        if self.crf:
            return sequences.loss(logits_BTC, batch["tags"], sequences.moves_of(model, logits_BTC))
        weight_C = logits_BTC.new_tensor(self.class_weights) if self.class_weights else None
        return functional.cross_entropy(
            logits_BTC.flatten(0, 1), batch["tags"].flatten(), weight_C, ignore_index=-100, reduction="sum", label_smoothing=self.smoothing
        )

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Logits (W, C) of the words of each window; with `crf` the logarithms of their labels' probabilities over all sequences."""
        logits_BTC, own_BT = model(batch), batch["words"] >= 0
        if self.crf:
            return {"logits": sequences.log_probabilities(logits_BTC, own_BT, sequences.moves_of(model, logits_BTC))}
        return {"logits": [logits_TC[own_T] for logits_TC, own_T in zip(logits_BTC, own_BT)]}

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Each row's logits (W, C), its text, and its words' places in it."""
        return entities.gathered(outputs, encoded.arrays, encoded.row_N, self._count, self._plain)

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Multinomial logistic regression on the words' vectors."""
        weight_N = classes.row_weights(truth, self.class_weights)
        return linear.multinomial(features_ND, truth, self._count, strength, weight_N=weight_N, start=start)

    # -- answers ------------------------------------------------------------------------------------------------------

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Counts of each row, of which all scores are made."""
        return entities.condense(outputs, truth, self.types, self._plain, self.strange)

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one, under the same types in each part: those that training never saw are looked for before."""
        seen = {kind for _, part in rows.pieces() for row in self.truth(part) for _, _, kind in row["spans"]}
        return self.settle(strange=tuple(sorted(seen - set(self.types))))

    def unlearned(self, rows: Table) -> list[Finding]:
        """Types that training never saw."""
        return marked.unlearned(rows, ([kind for *_, kind in row["spans"]] for row in self.truth(rows)), self.types, "types")

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The temperature at which the entities' probabilities are most honest."""
        if not len(truth):
            return self
        return self.settle(temperature=entities.fit_temperature(outputs, truth, self.types, self._plain))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`entities`: text, type, start, end (characters of the row's text) and confidence; of tokens also their `text` and `tags`."""
        found = entities.answers(outputs, self.types, self.temperature, self._plain)
        if self.text:
            return found
        written = entities.written(outputs, self.types, self._plain, self.written)
        return [answer | {"text": text, "tags": own} for answer, text, own in zip(found, outputs["text"], written)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Strict scores as seqeval's, and the two beside them."""
        return entities.score(self.condense(outputs, truth))

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows with their true and found entities marked, counts of each type, and the entities' confidences."""
        from ..parts import grading

        return grading.grade(outputs, truth, self.types, self._plain, self.temperature, self.text or self.tokens)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Each word's usual tag; the entities of the training rows found again (none where every word has a tag)."""
        return gazetteer.baselines(self._rows(train), [self._words(row).strings() for row in rows.rows()], self.types, self._plain)

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Short sentences with meals and colours in them."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            first, second = rng.choice(["meal", "film", "book"]), rng.choice(["red", "blue", "warm plot"])
            said, tagged = ["the", str(first), "was", "very"], ["O", "B-thing", "O", "O"]
            parts = str(second).split()
            rows.append({"tokens": said + parts, "tags": tagged + ["B-kind", "I-kind"][: len(parts)]})
        return rows

    # -- rows ---------------------------------------------------------------------------------------------------------

    @property
    def lists(self) -> bool:  # type: ignore[override]
        """Whether tokens may be given as a list."""
        return bool(self.tokens)

    @property
    def _target(self) -> str:
        return self.spans or self.tags

    @property
    def _plain(self) -> bool:
        return self.written == "plain"

    @property
    def _count(self) -> int:
        return len(entities.labels(self.types, self._plain))

    def head_size(self) -> int:
        """Tags, with those that begin and go on."""
        return self._count

    def _scheme(self, table: Table) -> str:
        if self.spans or self.scheme != "auto":
            return "BIO" if self.spans else self.scheme
        cells = [marked.items(cell) or [] for cell in table.column(self.tags)]
        try:
            return tags.recognise([marked.row_tags(cell, self.tag_names) for cell in cells])
        except marked.Misfit:
            return "BIO"

    def _numbered(self, table: Table) -> list[Finding]:
        return marked.numbered(table, self.tags) if self.tags and not self.tag_names and self.scheme == "auto" else []

    def _cells(self, table: Table) -> Iterator[Row]:
        names = self.columns((*self.inputs, *self.targets))
        return (dict(zip(names, row)) for row in zip(*(table.column(name) for name in names)))

    def _rows(self, table: Table) -> list[tuple[words.Words, list[tags.Span]]]:
        found = []
        for row, cells in enumerate(self._cells(table)):
            try:
                found.append(self._read(cells, self.written)[:2])
            except marked.Misfit as misfit:
                where = f"{table.place(row)}, column {self._target!r}"
                raise DataError(where, expected=misfit.expected, got=misfit.got, fix=misfit.fix, code=misfit.code) from None
        return found

    def _read(self, cells: Row, scheme: str) -> tuple[words.Words, list[tags.Span], bool]:
        """A row's words and spans, and whether all spans end where words do. Raises Misfit."""
        said = self._words(cells, tagged=bool(self.tags))
        if self.tags:
            own = marked.row_tags(cells[self.tags], self.tag_names)
            return said, marked.of_tags(len(said), own, scheme, self.broken == "refuse"), True
        found = marked.mentions(cells[self.spans])
        if self.text:
            return said, *marked.of_mentions(said, found)
        return said, marked.of_token_spans(said, found), True

    def _words(self, row: Row, tagged: bool = False) -> words.Words:
        if self.text:
            return words.of_text(tokens.as_text(row[self.text]))
        cell = row[self.tokens]
        if marked.listed(cell):
            return words.of_tokens(marked.tokens(cell) if cell is not None else [])
        return words.of_spaced(cell) if tagged or self.spaced else words.of_text(cell, fine=False)

    def _asked(self, row: Row, number: int) -> words.Words:
        try:
            return self._words(row)
        except marked.Misfit as misfit:
            where = f"row {number}, column {self.tokens!r}"
            raise DataError(where, expected=misfit.expected, got=misfit.got, fix=misfit.fix, code=misfit.code) from None

    def _labels(self, spans: Sequence[Sequence[Any]], size: int) -> np.ndarray:
        return entities.encode(spans, size, self.types, self._plain)

    def aims(self, rows: Sequence[Row]) -> list[np.ndarray]:
        """(W,) labels of the words of rows that have tags or spans."""
        return self._known([self._read(row, self.written)[:2] for row in rows])

    def _known(self, read: Sequence[retagging.Read]) -> list[np.ndarray]:
        return [self._labels(spans, len(said)) for said, spans in read]


task = TokenClassification
