"""Predict several targets of a text at once: labels, numbers, any of several labels, tags of its words, on one shared encoder.

Rows: `text` (or tokens; and `text_pair` for pairs) and two or more targets, each of which some rows may lack; of several files
(`data.train: [a.csv, b.csv]`) each may have targets of its own, where all are named. Scores: the mean of the targets' headlines first (a
number's R2 counts from 0), then each target's own (`intent macro_f1`). Beside it: each target's baselines, the frozen encoder with linear
heads, and, where `singly` asks for it, a model of its own for each target.
"""
# Axes: N rows, M of them that have a target, B examples of a batch, T tokens, D features, K targets, C columns of a target.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding
from ..errors import SpecError, listing
from ..parts import batch, columns, jointly, options, several
from ..parts.several import WORDWISE, Kind
from ..registry import TASKS
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Row, Solution, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Source

HEADLINE = "mean_score"
PACE = 100.0
"""How many times faster a target's noise moves than other weights: the rates that suit an encoder would leave it where it began."""


@final
@dataclass(frozen=True, kw_only=True)
class MultiTask(Task):
    """K targets, each with a linear head, as the tasks that do one of them have."""

    inputs: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    targets: ClassVar[tuple[str, ...]] = ("target",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "predicts several targets of a text at once"
    partial: ClassVar[bool] = True
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-entities", "single-row-class"})

    text: str = "text"
    """Column with the text; for tags of words the tokens, as a list or with spaces between them."""
    text_pair: str = ""
    """Column with the second text of a pair."""
    target: str | tuple[str, ...] = ()
    """Columns of the targets, two or more: `--set options.target=intent,slots`."""
    kinds: Literal["auto"] | tuple[Kind, ...] = "auto"
    """What each target is: class, number, labels (any of several), tags (one for each word) or spans; `auto`: told from its cells."""
    weights: Literal["equal", "learned"] | tuple[float, ...] = "equal"
    """What each target's loss counts: all alike, numbers in the targets' order, or `learned` from how noisy each is (arXiv 1705.07115)."""
    sampling: float = 1.0
    """Temperature by which rows that have the same targets are drawn (arXiv 1907.05019): 1 as they are, higher the rare ones more often."""
    singly: bool = False
    """Train a model of its own for each target as well, on the same rows, and say whether sharing helped: takes as long again."""
    max_tokens: int | str = "auto"
    """Most tokens of a row that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    parts: tuple[Any, ...] = fitted(())
    scales: tuple[float, ...] = fitted(())
    pooling: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", tuple(_flat(self.target)))
        options.column("text", self.text)
        options.column("text_pair", self.text_pair, optional=True)
        options.number("sampling", self.sampling, low=1, high=1000)
        options.max_tokens(self.max_tokens)
        many = len(self.target)
        for name, given in (("kinds", self.kinds), ("weights", self.weights)):
            if isinstance(given, tuple) and many and len(given) != many:
                raise SpecError(
                    f"option {name}", expected=f"one for each of {listing(list(self.target))}", got=f"{len(given)}",
                    fix="name them in the targets' order", code="bad-value",
                )
        for weight in self.weights if isinstance(self.weights, tuple) else ():
            options.number("weights", weight, low=0, high=1e6)
        if self._wordwise and self.text_pair:
            raise SpecError(
                "option text_pair", expected="one text, as its words have tags", got=repr(self.text_pair), fix="leave it out",
                code="bad-value",
            )

    # -- what depends on the targets ----------------------------------------------------------------------------------

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """The mean of the headlines, then each target's scores."""
        return {HEADLINE: True} | {f"{name} {score}": up for name, kind in self._kinds() for score, up in _task_of(kind).directions.items()}

    @property
    def lists(self) -> bool:  # type: ignore[override]
        """Whether tokens may be given as a list."""
        return "tags" in self.kinds

    def headlines(self) -> Mapping[str, str]:
        """Each target's first score."""
        return {name: f"{name} {next(iter(_task_of(kind).directions))}" for name, kind in self._kinds()}

    def singles(self) -> Mapping[str, Task]:
        """The task of each target, if they are to be trained alone as well."""
        return {name: part for name, _, part in self._each()} if self.singly else {}

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Several targets that were named; asked for by name, the task looks for them itself."""
        chosen = _flat(named.get("target", ()))
        if columns.missing(profile, {**named, "target": chosen}, ("text", "text_pair", "target")) or len(chosen) == 1:
            return None
        known = {key: named[key] for key in ("text", "text_pair") if key in named}
        inputs = columns.text_columns(profile, {**known, "target": chosen})
        if inputs is None and "text" in profile.columns and not known:
            inputs = {"text": Choice[Any]("text", "named so")}
        if inputs is None:
            return None
        guessed = chosen or several.guess(profile, [choice.value for choice in inputs.values()])
        target = Choice[Any](guessed, "named by you" if chosen else f"columns {listing(guessed)} look like targets")
        if len(guessed) < 2:
            return None
        numbers = all(columns.nature(profile.columns[name], profile.rows) == "numbers" for name in chosen)
        sure = 0.0 if not chosen else 0.5 if numbers else 0.95
        return Claim(inputs | {"target": target}, sure, f"{listing(list(target.value))} are several targets of each text")

    def noticed(self, table: Table, profile: Profile) -> Mapping[str, Choice[Any]]:
        """The targets' kinds, from their cells."""
        if len(self.target) < 2:
            raise SpecError(
                "the targets of multi-task", expected="two columns or more", got=listing(list(self.target)) or "none",
                fix=f"name them: --set options.target=a,b; the columns are {listing(list(profile.columns), 12)}", code="no-target",
            )
        if self.kinds != "auto":
            return {}
        table.require([self.text, *self.target])
        found = [several.kind_of(table, profile, self.text, name) for name in self.target]
        return {"kinds": Choice[Any]([one.value for one in found], "; ".join(one.why for one in found))}

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, cells that a target's own task refuses, and how many rows lack a target."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        for name, kind, part in self._each() if not found else ():
            rows = table.take(several.having(table, name))
            found += [one for one in several.numeric(rows, name, kind) if one.code != several.CONSTANT]  # few held-out rows may be alike
            found += part.check(rows)
            if len(rows) < len(table):
                message = f"{len(table) - len(rows):,} of {len(table):,} rows lack {name!r}: they teach and judge the other targets"
                found.append(Finding("note", "target-missing", message, (), "nothing, if that is so"))
        return found

    def meet(self, source: Source) -> Self:
        """The task as the model makes one vector of a text."""
        return self.settle(pooling=source.pooling)

    def fit(self, train: Table) -> Self:
        """Each target's task, fitted on the rows that have it. Raises DataError where none has, or all say the same number."""
        made, scales = [], []
        for name, kind, part in self._each():
            rows = several.learned(train, name, kind)
            part = part.fit(rows)
            made.append(part)
            scales.append(1 / max(1.0, float(np.mean([one["words"] for one in part.truth(rows)]))) if kind in WORDWISE else 1.0)
        return self.settle(parts=tuple(made), scales=tuple(scales))

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens are read, and the classes' weights."""
        suited = [part.suit(train.take(several.having(train, name)), processor, limit, balance) for name, _, part in self._each()]
        widest = max(suited, key=lambda part: part.tokens_kept)
        parts = tuple(part.settle(tokens_kept=widest.tokens_kept) for part in suited)
        share = 0.0 if self._wordwise else widest.cut_share
        return self.settle(parts=parts, tokens_kept=widest.tokens_kept, tokens_why=widest.tokens_why, cut_share=share)

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: target -> what its own task makes of it, None where the row lacks it."""
        return several.truths({name: part for name, _, part in self._each()}, rows)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids as one of the targets' tasks makes them, and for target k `target_k` and `row_weight_k`, or `tags_k` of its words."""
        asked = [{name: row[name] for name in self.columns(self.inputs)} for row in rows]
        examples = self._reader.encode(asked, processor)
        if not rows or not rows[0].keys() >= set(self.target):
            return examples
        aims = [jointly.aims(part, name, kind, rows) for name, kind, part in self._each()]
        jointly.teach(examples, aims, [kind for _, kind in self._kinds()])
        return examples

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        kept = [{name: value for name, value in example.items() if name not in ("characters", "span")} for example in examples]
        return batch.collate(kept, batch.text_pads(pad) | {"words": -1} | {f"tags_{at}": -100 for at in range(len(self.parts))})

    def drawn(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray] | None:
        """Rows that have the same targets are a group."""
        if self.sampling == 1:
            return None
        return several.goals(jointly.known(encoded, [kind for _, kind in self._kinds()]), self.sampling)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """All linear heads side by side, on the text's vector or, where words have tags, on each token's."""
        from ..models.heads import Pooled

        noises = len(self.parts) if self.weights == "learned" else 0
        return Pooled(backbone, self._ends[-1], dropout, pooling="tokens" if self._wordwise else "", noises=noises)

    def weight(self, batch: Batch) -> float:
        """Targets that the rows have, times their weights."""
        return sum(weight * part.weight(own) for weight, part, own in zip(self._weights, self.parts, self._batches(batch)))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The targets' losses, weighted; learned: each over its noise, plus the noise's logarithm, so that none can be wished away."""
        noise_K: Any = getattr(model, "noise_K", None)
        total: Any = 0.0
        each = zip(self._each(), self._weights, self._said(model, batch), self._batches(batch))
        for at, ((_, kind, part), weight, said, own) in enumerate(each):
            value = weight * part.loss(said, own)
            if noise_K is not None:
                logarithm = PACE * noise_K[at]
                value = (0.5 if kind == "number" else 1.0) * value * (-logarithm).exp() + 0.5 * weight * part.weight(own) * logarithm
            total = total + value
        return total  # type: ignore[no-any-return]

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Each target's outputs, named after it."""
        found: dict[str, Any] = {}
        for (name, _, part), said in zip(self._each(), self._said(model, batch)):
            found |= several.named(part.outputs(said, batch), name)
        return found

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Words from their windows; of what is said of the whole text, the mean over its windows."""
        found: Outputs = {}
        for name, kind, part in self._each():
            own = several.own(outputs, name)
            wordwise = kind in WORDWISE
            made = part.gather(own, encoded) if wordwise else {k: several.mean_of_rows(v, encoded.row_N) for k, v in own.items()}
            found |= several.named(made, name)
        return found

    def units(self, encoded: Encoded, truth: Truth) -> tuple[np.ndarray, Truth]:
        """Features of the texts, and of the words that have a token; truth (M, K) as places in each target's own, -1 for none of it."""
        return jointly.units(encoded, truth, self._kinds(), self.pooling)

    def solve(
        self, features_ND: np.ndarray, truth: Truth, strength: float, start: Solution | None = None
    ) -> Solution:
        """Each target's own optimum on the rows that have it; truth as `units` gives it."""
        place_MK, made = truth[0], list[Solution]()
        for at, (part, ends) in enumerate(zip(self.parts, pairwise((0, *self._ends)))):
            own_M = np.flatnonzero(place_MK[:, at] >= 0)
            before = start and jointly.cut(start, *ends)
            made.append(part.solve(features_ND[own_M], truth[1 + at][place_MK[own_M, at]], strength, before))
        return jointly.stacked(made)

    def joined(self, solutions: Mapping[str, Solution]) -> Solution:
        """Each target's rows of its own solution."""
        return jointly.stacked([jointly.cut(solutions[name], *at) for name, at in zip(self.target, pairwise((0, *self._ends)))])

    # -- answers ------------------------------------------------------------------------------------------------------

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Each target's outputs in the smallest form, its truth beside them, and which rows have it."""
        return jointly.condense(self._each(), outputs, truth)

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """Each target's task, calibrated on the rows that have it."""
        made = []
        for name, kind, part in self._each():
            known_N, value_M = several.of_target(truth, name, kind)
            own = {key: value[known_N] for key, value in several.own(outputs, name).items()}
            made.append(part.calibrate(own, value_M) if known_N.any() else part)
        return self.settle(parts=tuple(made))

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """Target -> the answer as its own task gives it."""
        each = [part.answers(several.own(outputs, name)) for name, _, part in self._each()]
        return [dict(zip(self.target, row)) for row in zip(*each, strict=True)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """The mean of the headlines of the targets that some of these rows have, and all scores of each."""
        heads, found = jointly.scores(self._each(), self.condense(outputs, truth))
        return {HEADLINE: float(np.mean([max(0.0, head) for head in heads])) if heads else np.nan} | found

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores of targets that some rows lack."""
        count = {name: int(outputs[f"{name}: known"].sum()) for name in self.target if f"{name}: known" in outputs}
        return {f"{name} {score}": count[name] for name, _, part in self._each() if name in count for score in part.directions}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """Rows with all targets in words, the further off the more of them are wrong."""
        each = [jointly.graded(several.own(outputs, name), truth, name, kind, part) for name, kind, part in self._each()]
        return jointly.grade(self.target, each, len(truth))

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The targets' own baselines, the first of each together, then the second: where a target has fewer, its last."""
        each = []
        for name, kind, part in self._each():
            tables = train.take(several.having(train, name)), rows
            each.append(part.baselines(*(table if kind in WORDWISE else several.in_words(table, self.text) for table in tables)))
        return jointly.ladder(self.target, each)

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Short orders with what is wanted, how gladly, and a tag for each word; some rows lack one of these."""
        rng = np.random.default_rng(seed)
        rows = []
        for at in range(n):
            wish, thing, mark = rng.choice(["play", "buy"]), rng.choice(["jazz", "rock"]), rng.choice(["kindly", "now"])
            tone = {"kindly": 2.0, "now": -1.0}[str(mark)] + {"play": 0.5, "buy": 0.0}[str(wish)] + 0.05 * rng.standard_normal()
            text = f"please {wish} some{rng.integers(9)} {thing} {mark}"
            row: dict[str, Any] = {"text": text, "intent": str(wish), "tone": round(float(tone), 3)}
            rows.append(row | {"slots": f"O O O B-{'music' if thing == 'jazz' else 'noise'} O"} | ({"tone": ""} if at % 7 == 3 else {}))
        return rows

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The task that `as_json` wrote."""
        parts = tuple(_task_of(kind).from_json(part) for kind, part in zip(values["kinds"], values["parts"], strict=True))
        return super().from_json({**values, "parts": ()}).settle(parts=parts)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _kinds(self) -> list[tuple[str, str]]:
        return list(zip(self.target, self.kinds)) if self.kinds != "auto" else []

    def _each(self) -> Iterator[tuple[str, str, Any]]:
        """Target, kind and task of each, fitted once `fit` was."""
        made = self.parts or [self._part(name, kind) for name, kind in self._kinds()]
        return ((name, kind, part) for (name, kind), part in zip(self._kinds(), made))

    def _part(self, name: str, kind: str) -> Task:
        inputs = {"tokens" if kind == "tags" else "text": self.text} | ({} if kind in WORDWISE else {"text_pair": self.text_pair})
        made: Task = _task_of(kind)(**inputs, **{several.OPTION_OF[kind]: name}, max_tokens=self.max_tokens)
        return made

    @property
    def _wordwise(self) -> bool:
        return self.kinds != "auto" and any(kind in WORDWISE for kind in self.kinds)

    @property
    def _reader(self) -> Any:
        """The task that reads the texts for all."""
        return max(self._each(), key=lambda one: one[1] in WORDWISE)[2]

    @property
    def _ends(self) -> tuple[int, ...]:
        return tuple(np.cumsum([several.width(part, kind) for _, kind, part in self._each()]).tolist())

    @property
    def _weights(self) -> list[float]:
        return [a * b for a, b in zip(self.weights if isinstance(self.weights, tuple) else (1.0,) * len(self.parts), self.scales)]

    def _batches(self, batch: Batch) -> list[Batch]:
        """The batch as each target's task knows it."""
        return [
            {**batch, "tags": batch[f"tags_{at}"]} if kind in WORDWISE
            else {"target": batch[f"target_{at}"], "row_weight": batch[f"row_weight_{at}"]}
            for at, (_, kind) in enumerate(self._kinds())
        ]

    def _said(self, model: nn.Module, batch: Batch) -> list[Any]:
        """For each target something that answers any batch as its own model would answer this one."""
        from ..models.heads import pool

        whole, found = model(batch), []
        for (_, kind), (first, last) in zip(self._kinds(), pairwise((0, *self._ends))):
            own = whole[..., first:last]
            if self._wordwise and kind not in WORDWISE:  # heads are linear: pooled answers are answers to the pooled vector
                own = pool(own, batch["attention_mask"], self.pooling)
            found.append(lambda _, own=own: own)
        return found


def _flat(value: Any) -> list[str]:
    return [name.strip() for name in (value.split(",") if isinstance(value, str) else value) if name.strip()]


def _task_of(kind: str) -> Any:
    return TASKS.load(several.TASK_OF[kind])


task = MultiTask
