"""Say how two marked spans of a text are related; or which of all the entities of a text are, and how.

Rows: `text` with `<e1>...</e1>` and `<e2>...</e2>` in it (SemEval-2010 task 8's files are read so), or `text` with the columns `head` and
`tail` (offsets, or the words themselves), and `relation`; or `text` with `entities` and the `relations` between them, where every
ordered pair is asked. Scores: macro-F1 as SemEval-2010 task 8 has it (directed, without `Other`), micro-F1, precision, recall,
accuracy. Beside it: the commonest label, the words between the spans with a linear model, and the frozen encoder with a linear head.
"""
# Axes: N rows, B examples of a batch, T tokens, P pairs of a row, D features, C labels.

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.arrays import objects
from ..data.finding import Finding, count, have, places
from ..errors import DataError
from ..parts import batch, classes, columns, linear, options, pairing, related, relating, tokens
from ..parts.marked import Misfit, refusals, unlearned
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

NONE = "(none)"
"""The label of a pair that no relation of the row names."""
OWN = ("characters", "pair")
"""What travels with examples and is not the model's business."""


@final
@dataclass(frozen=True, kw_only=True)
class RelationExtraction(Task):
    """One directed relation of C for a pair of spans."""

    directions: ClassVar[Mapping[str, bool]] = related.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "head", "tail", "entities")
    targets: ClassVar[tuple[str, ...]] = ("relation", "relations")
    does: ClassVar[str] = "says how two marked spans of a text are related"
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-relations"})

    text: str = "text"
    """Column with the text; with `<e1>` and `<e2>` around the two spans, where no other column says where they are."""
    head: str = ""
    """Column with the first span: [start, end] in characters, or its words."""
    tail: str = ""
    """Column with the second span."""
    relation: str = "relation"
    """Column with the relation; `Name(e1,e2)` and `Name(e2,e1)` are one relation in two directions."""
    entities: str = ""
    """Column with all entities of the text, where it has many: {"start", "end", "label"}, and "id" where relations name it."""
    relations: str = ""
    """Column with the relations between them: {"head", "tail", "type"}; heads and tails by place (from 0) or id."""
    negative: str = "auto"
    """The label that means no relation; `auto`: told by its name (Other, no_relation, NA...)."""
    negatives: float = 5.0
    """Of a text's pairs without a relation, so many are learned from for each pair with one, drawn at random; all are judged. 0: all."""
    pairs: Literal["seen", "all"] = "seen"
    """Which pairs of entities are asked: those whose types stand in some relation of the training rows, or all."""
    smoothing: float = 0.0
    """Share of the target that is spread evenly over all labels."""
    max_tokens: int | str = "auto"
    """Most tokens of a pair's text; `auto`: enough for 99 % of the training rows. Of longer ones those near the two spans are read."""
    labels: tuple[str, ...] = fitted(())
    none: str = fitted("")
    type_pairs: tuple[tuple[str, str], ...] = fitted(())
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    class_weights: tuple[float, ...] = fitted(())
    temperature: float = fitted(1.0)

    def __post_init__(self) -> None:
        options.column("text", self.text)
        for role in ("head", "tail", "relation", "entities", "relations"):
            options.column(role, getattr(self, role), optional=True)
        options.one_of("pairs", self.pairs, ("seen", "all"))
        options.number("negatives", self.negatives, low=0)
        options.number("smoothing", self.smoothing, low=0, high=0.9)
        options.max_tokens(self.max_tokens)
        if self.entities:
            object.__setattr__(self, "relations", self.relations or "relations")
            object.__setattr__(self, "relation", "")

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Texts with two markers in them, columns that name two spans, or lists of entities with the relations between them."""
        if columns.missing(profile, named, ("text", "head", "tail", "relation", "entities", "relations")):
            return None
        found = relating.guess(profile, named)
        return None if found is None else Claim(found[0], found[1], f"{found[2]}: how these are related")

    def check(self, table: Table) -> list[Finding]:
        """Rows whose markers, spans or relations cannot be read; pairs with two relations; rows without a pair."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        if found:
            return found
        wrong: dict[str, tuple[Misfit, list[int]]] = {}
        double, related_rows = list[int](), 0
        for row, cells in enumerate(table.rows()):
            try:
                said = self._said(cells)
            except Misfit as misfit:
                wrong.setdefault(misfit.code, (misfit, []))[1].append(row)
                continue
            related_rows += bool(said.links)
            if len({(link.head, link.tail) for link in said.links}) < len({(link.head, link.tail, link.type) for link in said.links}):
                double.append(row)
        return [*refusals(table, wrong), *self._oddities(table, double, related_rows, not wrong)]

    def fit(self, train: Table) -> Self:
        """Learn the labels, which of them means none, and which types of entities stand in relations. Raises DataError."""
        if not self.many:
            labels = relating.closed(tuple(classes.tally(train.arrow(self.relation))))
            none = relating.negative_of(labels) if self.negative == "auto" else self.negative
            self.read(train)
            return self.settle(labels=labels, none=none if none in labels else "")
        rows = self.read(train)
        types = {(said.spans[link.head].type, said.spans[link.tail].type) for said in rows for link in said.links}
        names = sorted({link.type for said in rows for link in said.links} - {NONE})
        return self.settle(labels=(NONE, *names), none=NONE, type_pairs=tuple(sorted(types)))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read around a pair, and the labels' weights."""
        rows = self.read(train)
        asked = [pairing.Asked(said.text, said.spans[a], said.spans[b]) for said in rows for a, b in self._pairs(said)]
        weights: tuple[float, ...] = ()
        if balance == "weights":
            label_N = self.truth(train) if not self.many else np.concatenate([self._targets(said) for said in rows])
            weights = classes.balanced_weights(classes.counts(label_N, len(self.labels)))
        return self.settle(class_weights=weights, **pairing.settle(processor, asked, self.max_tokens, limit))

    def truth(self, rows: Table) -> Truth:
        """(N,) class ids, -1 for a label unknown to training; of many pairs (N,) objects with `links` [head, tail, type]."""
        if not self.many:
            return classes.encode_column(rows.arrow(self.relation), self.labels)
        return objects([_true(said) for said in self.read(rows)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """An example for each pair: token ids, `spans` (T,) which tokens are of the head and the tail, and where the rows say it the
        label. Of many pairs `pair`, the places of its spans; and in a row's first example all that it says."""
        said = [self._asked(row, at) for at, row in enumerate(rows, 1)]
        pairs = [self._pairs(one) for one in said]
        asked = [_one(one, *pair) for one, own in zip(said, pairs) for pair in own or [(0, 0)]]
        examples = pairing.encode(processor, asked, self.tokens_kept or tokens.limit(processor))
        if self.many:
            return self._with_pairs(examples, said, pairs, bool(rows) and self.relations in rows[0])
        if not rows or self.relation not in rows[0]:
            return examples
        class_N = classes.encode([row[self.relation] for row in rows], self.labels)
        return [example | self._target(int(label)) for example, label in zip(examples, class_N, strict=True)]

    def learned(self, encoded: Encoded) -> Encoded:
        """All pairs with a relation, and for each so many of those without as `negatives` says."""
        if not self.many or not self.negatives:
            return encoded
        target_N = np.asarray(encoded.arrays["target"])
        chance = self.negatives * (target_N > 0).sum() / max((target_N == 0).sum(), 1)
        drawn_N = np.random.default_rng(len(target_N)).random(len(target_N)) < chance
        return encoded.take(np.flatnonzero((target_N > 0) | ((target_N == 0) & drawn_N)))

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        kept = [{name: value for name, value in example.items() if name not in OWN} for example in examples]
        return batch.collate(kept, batch.text_pads(pad) | {"spans": 0})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """A linear head on the text's vector, the head's and the tail's."""
        from ..models.heads import Pooled

        return Pooled(backbone, len(self.labels), dropout, pooling="spans")

    def weight(self, batch: Batch) -> float:
        """Pairs, times their weights."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the pairs' labels."""
        return classes.loss(model(batch), batch["target"], batch["row_weight"], smoothing=self.smoothing)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Logits (B, C)."""
        return {"logits": model(batch)}

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Of many pairs: logits (P, C) of each row, and `said`: its text, spans and pairs, as JSON."""
        if not self.many:
            return outputs
        _, first_N = np.unique(encoded.row_N, return_index=True)
        letters = [encoded.arrays["characters"][first] for first in first_N]
        texts = [letter.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass") for letter in letters]
        return related.said([outputs["logits"][encoded.row_N == encoded.row_N[first]] for first in first_N], texts)

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Multinomial logistic regression on the pairs' vectors."""
        weight_N = classes.row_weights(truth, self.class_weights)
        return linear.multinomial(features_ND, truth, len(self.labels), strength, weight_N=weight_N, start=start)

    # -- answers ------------------------------------------------------------------------------------------------------

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Counts of each row, of which all scores are made."""
        return related.condense(outputs, truth, self.labels, self.none)

    def unlearned(self, rows: Table) -> list[Finding]:
        """Of many pairs: relations that training never saw."""
        kinds = [[link.type for link in said.links] for said in self.read(rows)] if self.many else []
        return unlearned(rows, kinds, self.labels, "relations")

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The temperature at which the probabilities are most honest."""
        if not len(truth):
            return self
        if self.many:
            logits_MC, truth, _ = related.stacked(outputs, truth, self.labels)
            outputs = {"logits": logits_MC}
        return self.settle(temperature=classes.fit_temperature(outputs, truth)) if len(truth) else self

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`relation`, `confidence`, `probabilities`; of many pairs `relations`: head, relation, tail, confidence and where they stand."""
        if self.many:
            return related.answers(outputs, self.labels, self.temperature)
        probability_NC = classes.probabilities(outputs, self.temperature)
        found = classes.answers(probability_NC, probability_NC.argmax(1), self.labels)
        return [{"relation": answer.pop("label")} | answer for answer in found]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Scores as SemEval-2010 task 8's official scorer has them; over all pairs that were asked."""
        return related.score(self.condense(outputs, truth))

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows of many pairs with their true and found relations."""
        return related.grade(outputs, truth, self.labels, self.none, self.temperature, self.text) if self.many else None

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The commonest label; the words between the spans with a linear model."""
        from ..parts import bags

        own, other = self.read(train), self.read(rows)
        label_N = np.concatenate([self._targets(said) for said in own]) if self.many else self.truth(train)
        before, after = (self._bags(said) for said in (own, other))
        made = {
            "majority": classes.prior_outputs(label_N, len(self.labels), len(after[0])),
            "words between + linear": bags.class_outputs(before, label_N, len(self.labels), after),
        }
        return {name: self._regrouped(outputs, other) for name, outputs in made.items()} if self.many else made

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Which of two things made the other so."""
        rng = np.random.default_rng(seed)
        rows = []
        for row in range(n):
            one, other = rng.permutation(["film", "book", "meal", "room", "service", "plot"])[:2]
            said, relation = [("made", "Cause(e1,e2)"), ("was made of", "Cause(e2,e1)"), ("and", "Other")][row % 3]
            rows.append({"text": f"the <e1>{one}</e1> {said} the <e2>{other}</e2> again", "relation": relation})
        return rows

    # -- rows ---------------------------------------------------------------------------------------------------------

    @property
    def many(self) -> bool:
        """Whether a row holds many pairs."""
        return bool(self.entities)

    @property
    def target_kind(self) -> str:  # type: ignore[override]
        """A label for each row, or lists of relations."""
        return "other" if self.many else "label"

    @property
    def lists(self) -> bool:  # type: ignore[override]
        """Whether spans may be given as lists."""
        return self.many or bool(self.head)

    def _said(self, row: Row) -> relating.Said:
        if self.many:
            return relating.of_lists(row[self.text], row[self.entities], row.get(self.relations))
        if self.head or self.tail:
            return relating.of_columns(row[self.text], row[self.head], row[self.tail], (self.head, self.tail))
        return relating.of_markers(row[self.text])

    def read(self, table: Table) -> list[relating.Said]:
        """The rows as texts with spans and relations. Raises DataError with the row that cannot be read so."""
        return [self._placed(row, table.place(at)) for at, row in enumerate(table.rows())]

    def _asked(self, row: Row, number: int) -> relating.Said:
        return self._placed(row, f"row {number}")

    def _placed(self, row: Row, place: str) -> relating.Said:
        try:
            return self._said(row)
        except Misfit as misfit:
            raise DataError(place, expected=misfit.expected, got=misfit.got, fix=misfit.fix, code=misfit.code) from None

    def _pairs(self, said: relating.Said) -> list[tuple[int, int]]:
        if not self.many:
            return [(0, 1)]
        return pairing.candidates(said, self.type_pairs if self.pairs == "seen" else None)

    def _targets(self, said: relating.Said) -> np.ndarray:
        return related.targets(self._pairs(said), _true(said), self.labels)

    def _target(self, label: int) -> Example:
        return {"target": label, "row_weight": float(classes.row_weights(np.array([label]), self.class_weights)[0])}

    def _with_pairs(
        self, examples: list[Example], said: Sequence[relating.Said], pairs: Sequence[list[tuple[int, int]]], known: bool
    ) -> list[Example]:
        found, rest = list[Example](), iter(examples)
        for row, (one, own) in enumerate(zip(said, pairs)):
            label_P = self._targets(one) if own else np.array([-1])
            for at, (pair, label) in enumerate(zip(own or [(-1, -1)], label_P.tolist())):
                example = next(rest) | {"pair": np.array(pair, np.int32), "characters": _letters(one, own) if at == 0 else _letters()}
                found.append(example | (self._target(label) if known else {}) | {"row": row})
        return found

    def _bags(self, rows: Sequence[relating.Said]) -> tuple[list[str], list[str]]:
        """The words between the two spans of each pair, and those of the spans."""
        pairs = [(said, said.spans[a], said.spans[b]) for said in rows for a, b in self._pairs(said)]
        return [_between(*pair) for pair in pairs], [f"{s.text[a.start : a.end]} | {s.text[b.start : b.end]}" for s, a, b in pairs]

    def _regrouped(self, outputs: Outputs, rows: Sequence[relating.Said]) -> Outputs:
        ends = np.cumsum([len(self._pairs(said)) for said in rows])[:-1]
        logits = [part if len(part) else np.zeros((1, len(self.labels))) for part in np.split(outputs["logits"], ends)]
        return related.said(logits, [_story(said, self._pairs(said)) for said in rows])

    def _oddities(self, table: Table, double: list[int], related_rows: int, sound: bool) -> Iterator[Finding]:
        if self.many and sound and len(table) and not related_rows:
            fix = "check the relations: there is nothing to learn"
            yield Finding("error", "no-relations", f"expected some relations, got none in {count(len(table))}", (), fix)
        if double:
            message = f"{have(len(double))} two relations between the same two entities; the first of them is learned"
            yield Finding("warning", "two-relations", message, places(table, double), "keep one, if they mean the same")


def _one(said: relating.Said, head: int, tail: int) -> pairing.Asked:
    nothing = relating.Span(0, 0)
    spans = said.spans if head != tail else (nothing,)
    return pairing.Asked(said.text, spans[head], spans[tail])


def _true(said: relating.Said) -> dict[str, Any]:
    return {"links": [[link.head, link.tail, link.type] for link in said.links]}


def _between(said: relating.Said, head: relating.Span, tail: relating.Span) -> str:
    """The words between two spans, and which of them comes first."""
    first, last = sorted((head, tail), key=lambda span: (span.start, span.end))
    return f"{'headfirst' if first is head else 'tailfirst'} {said.text[first.end : last.start]}"


def _story(said: relating.Said, pairs: Sequence[tuple[int, int]]) -> str:
    spans = [[span.start, span.end, span.type] for span in said.spans]
    return json.dumps({"text": said.text, "spans": spans, "pairs": [list(pair) for pair in pairs]}, ensure_ascii=False)


def _letters(said: relating.Said | None = None, pairs: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    text = "" if said is None else _story(said, pairs)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


task = RelationExtraction
