"""Answer a question with a stretch of a given text, or say that the text does not hold the answer.

Rows: `question`, `context` and `answers` (SQuAD 1 and 2 files are read as they are; a text, a list, offsets or none). Scores: F1 and
exact match by the official rules, SQuAD's or for Chinese CMRC's; accuracy on unanswerable questions; ECE. Long contexts are read in
overlapping windows. Beside it: the sentence that shares most words with the question, the nearest by TF-IDF, and the first.
"""
# Axes: N rows, B windows of a batch, T tokens, K spans, 2 start and end.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding
from ..errors import DataError, shorten
from ..parts import answers, batch, confidence, options, pointing, reading, sentences, tokens, windows
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Mark, Outputs, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

WINDOW = 384
"""Most tokens of a window where nobody asked otherwise: what readers are usually trained with (arXiv 1810.04805)."""
SHOWN = 3
"""Other spans that an answer names."""
NOTHING = "(no answer)"
NEVER = 1e4
"""Log-odds of a row without any span."""


@final
@dataclass(frozen=True, kw_only=True)
class ExtractiveQa(Task):
    """A span of the context, or nothing."""

    directions: ClassVar[Mapping[str, bool]] = {
        "f1": True, "exact_match": True, "answerable_f1": True, "no_answer_accuracy": True, "ece": False,
    }
    inputs: ClassVar[tuple[str, ...]] = ("question", "context")
    targets: ClassVar[tuple[str, ...]] = ("answer", "answer_start")
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "reads its answer out of a text"
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-answers"})
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {
        "strategy": Choice("layer-wise", "this head has no optimum to solve for; lower layers learn slower (arXiv 2006.05987)")
    }

    question: str = "question"
    """Column with the question."""
    context: str = "context"
    """Column with the text that may hold the answer."""
    answer: str = "answers"
    """Column with the answer, or with several that are all right; empty where the text does not hold one."""
    answer_start: str = ""
    """Column with the answer's first character in the context, counted from 0, where `answer` does not say it."""
    lost_answers: Literal["refuse", "skip"] = "refuse"
    """What to do with rows whose answer stands nowhere in the context: stop, or learn nothing from them, and list them."""
    max_answer: int | str = "auto"
    """Most characters of an answer; `auto`: what 99.5 % of the training answers need."""
    max_tokens: int | str = "auto"
    """Most tokens of a window, the question included; `auto`: enough for 99 % of the training rows, at most 384."""
    stride: int = 128
    """Tokens that neighbouring windows of a long context share, at most a quarter of a window."""
    rule: Literal["auto", "squad", "cmrc"] = "auto"
    """How answers are compared: `squad` by words, `cmrc` by Chinese characters."""
    rule_kept: str = fitted("squad")
    longest: int = fitted(200)
    worded: bool = fitted(False)
    silent: bool = fitted(False)
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    threshold: float | None = fitted(None)
    slope: float = fitted(1.0)
    offset: float = fitted(0.0)

    def __post_init__(self) -> None:
        for name in ("question", "context", "answer"):
            options.column(name, getattr(self, name))
        options.column("answer_start", self.answer_start, optional=True)
        options.one_of("lost_answers", self.lost_answers, ("refuse", "skip"))
        options.one_of("rule", self.rule, ("auto", "squad", "cmrc"))
        options.max_tokens(self.max_tokens)
        options.number("stride", self.stride, low=0, high=100_000)
        if self.max_answer != "auto":
            options.number("max_answer", self.max_answer, low=1)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a question, a text and an answer, where answers stand in the texts."""
        return reading.claim(profile, named)

    def check(self, table: Table) -> list[Finding]:
        """Answers that cannot be read, that stand nowhere in their context, whose offsets were mended; rows without one."""
        twice = options.twice(self.columns((*self.inputs, *self.targets)))
        return twice or reading.findings(table, self._cells(table), skip=self.lost_answers == "skip")

    def fit(self, train: Table) -> Self:
        """Learn how answers are compared, how long they are, and whether there are questions without one."""
        known = self._known(train)
        rule = answers.rule_for(train.column(self.context)[:500]) if self.rule == "auto" else self.rule
        silent = any(not row.texts for row in known)
        sizes = [end - start for row in known for start, end in row.spans]
        longest = int(np.ceil(np.percentile(sizes, 99.5))) if sizes else 1
        return self.settle(
            rule_kept=rule, silent=silent, threshold=0.0 if silent else None,
            longest=longest if self.max_answer == "auto" else int(self.max_answer),
            worded=all(any(map(str.isalnum, text)) for row in known for text in row.texts),
        )

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens a window has; `cut_share`: rows whose question has to be cut."""
        most = min(limit, tokens.limit(processor))
        part = train.take(tokens.sample_positions(len(train)))
        questions, contexts = ([tokens.as_text(cell) for cell in part.column(name)] for name in (self.question, self.context))
        length_N = windows.lengths(processor, questions, contexts)
        chosen = tokens.choose_limit(length_N, self.max_tokens, most if self.max_tokens != "auto" else min(WINDOW, most))
        cut = int((length_N > chosen.value).sum())
        why = f"{chosen.why}; {cut:,} of {len(length_N):,} rows are read in several windows" if cut else chosen.why
        share = float((windows.lengths(processor, questions) > chosen.value // 2).mean()) if len(questions) else 0.0
        return self.settle(tokens_kept=chosen.value, tokens_why=why, cut_share=share)

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: `answers`, all texts that are right, none where there is no answer; `spans`, where they stand."""
        return reading.objects([{"answers": list(row.texts), "spans": [list(span) for span in row.spans]} for row in self._known(rows)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Windows: token ids, the characters of each token, and where the rows have answers the tokens they begin and end with."""
        texts = [[tokens.as_text(row[name]) for row in rows] for name in (self.question, self.context)]
        most = self.tokens_kept or min(WINDOW, tokens.limit(processor))
        made = windows.cut(processor, texts[0], texts[1], most=most, stride=self.stride)
        start = self.answer_start or None
        known = None
        if rows and self.answer in rows[0]:
            known = [reading.known(row[self.context], row[self.answer], row.get(start) if start else None) for row in rows]
        return reading.examples(made, texts[1], known, segments=windows.reads_segments(processor))

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Answers longer than what neighbouring windows share, where no window holds them whole."""
        known = self._known(rows)
        long = reading.too_long(known, min(self.stride, self.tokens_kept // 4) // 2)
        made = self.encode(rows.take(long).rows(), processor)
        held = {one.get("row", at) for at, one in enumerate(made) if one["row_weight"]}
        lost = [row for at, row in enumerate(long) if at not in held and known[row].learnable]
        return reading.lost_to_windows(rows, lost, sum(bool(row.spans) for row in known), self.tokens_kept)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        kept = [{name: value for name, value in example.items() if name not in reading.OFFSETS} for example in examples]
        return batch.collate(kept, batch.text_pads(pad) | {"reach": 0, "starts": -1, "ends": -1})

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """Two logits of each token: an answer begins here, ends here."""
        from ..models.heads import Pooled

        return Pooled(backbone, 2, dropout, pooling="tokens")

    def weight(self, batch: Batch) -> float:
        """Windows of rows whose answer is known."""
        return float(batch["row_weight"].sum())

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy over the positions of a window; windows without the answer point at their first token."""
        return pointing.loss(model(batch), batch["reach"], batch["starts"], batch["ends"], batch["row_weight"])

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Start and end logits (T, 2) of each window's first token and of its context's."""
        reach_BT = batch["reach"].bool()
        return {"logits": [logits_T2[reach_T] for logits_T2, reach_T in zip(model(batch), reach_BT)]}

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """`logits` (T, 2) of all windows of a row, `places` (T, 3): window, first character and the one behind the last; `context`."""
        return reading.gather(outputs["logits"], encoded)

    # -- answers ------------------------------------------------------------------------------------------------------

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The odds from which there is an answer (only where training rows lack one), and how far a share of belief can be trusted."""
        if not len(truth):
            return self
        threshold = self._fit_threshold(outputs, truth) if self.silent else None
        settled = self.settle(threshold=threshold)
        decided = settled._decide(outputs)
        right_N = np.array([self._score(one.text, row)[1] for one, row in zip(decided, truth)])
        slope, offset = pointing.fit_confidence(np.array([one.share for one in decided]), right_N)
        return settled.settle(slope=slope, offset=offset)

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`answer` ("" where the text holds none), `start`, `end`, `confidence`, and a few `alternatives` of the same form."""
        texts = outputs["context"]
        return [reading.answer(one, str(text), self.slope, self.offset, SHOWN) for one, text in zip(self._decide(outputs), texts)]

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """(N,) F1, exact match, whether there is no answer, and how sure the model is."""
        decided = self._decide(outputs)
        scored = np.array([self._score(one.text, row) for one, row in zip(decided, truth)]).reshape(-1, 2)
        sure_N = pointing.confidence(np.array([one.share for one in decided]), self.slope, self.offset)
        none_N = np.array([not row["answers"] for row in truth], bool)
        return {"f1": scored[:, 0], "exact": scored[:, 1], "none": none_N, "sure": sure_N}

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Official F1 and exact match, against the best of several answers."""
        rows = outputs if "f1" in outputs else self.condense(outputs, truth)
        none_N = rows["none"]
        return {
            "f1": _mean(rows["f1"]), "exact_match": _mean(rows["exact"]), "answerable_f1": _mean(rows["f1"][~none_N]),
            "no_answer_accuracy": _mean(rows["exact"][none_N]), "ece": confidence.reliability(rows["sure"], rows["exact"]).ece,
        }

    def grade(self, outputs: Outputs, truth: Truth) -> Graded:
        """True and found answers as the report shows them, marked in the context; confident misses are the worst."""
        decided, rows = self._decide(outputs), self.condense(outputs, truth)
        share_N = np.array([one.share for one in decided])
        return Graded(
            [" | ".join(row["answers"]) or NOTHING for row in truth], [one.text or NOTHING for one in decided], rows["exact"] > 0,
            1 - rows["f1"] + rows["sure"] * (1 - rows["exact"]), rows["sure"], share_N,
            [self._marks(one, row) for one, row in zip(decided, truth)],
        )

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """Sentences chosen by words alone; where training rows lack answers, also never answering."""
        questions, contexts = self._texts(rows)
        characters = self.rule_kept == "cmrc"
        found = {
            "first sentence": sentences.first(contexts),
            "sentence that shares most words": sentences.most_shared(questions, contexts, characters),
            "nearest sentence by TF-IDF": sentences.most_similar(self._texts(train)[1], questions, contexts, characters),
        }
        if self.silent:
            found["never an answer"] = [(None, 0.0)] * len(contexts)
        return {name: reading.guessed(contexts, guesses) for name, guesses in found.items()}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """What was the film, the book...? The word behind it; sometimes the text does not say."""
        rng = np.random.default_rng(seed)
        things, words = ["film", "book", "meal", "room", "service"], ["good", "bad", "nice", "dull", "warm", "cold", "great", "poor"]
        return [_toy(rng.permutation(things).tolist(), rng.permutation(words).tolist(), row % 6 == 5) for row in range(n)]

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _texts(self, rows: Table) -> tuple[list[str], list[str]]:
        question, context = ([tokens.as_text(cell) for cell in rows.column(name)] for name in (self.question, self.context))
        return question, context

    def _cells(self, rows: Table) -> list[tuple[Any, Any, Any]]:
        starts = rows.column(self.answer_start) if self.answer_start else [None] * len(rows)
        return list(zip(rows.column(self.context), rows.column(self.answer), starts))

    def _known(self, rows: Table) -> list[reading.Known]:
        return [self._read(rows, at, cells) for at, cells in enumerate(self._cells(rows))]

    def _read(self, rows: Table, at: int, cells: tuple[Any, Any, Any]) -> reading.Known:
        try:
            return reading.known(*cells)
        except ValueError as error:
            raise DataError(
                f"{rows.place(at)}, column {self.answer!r}", expected="an answer as a text, or a list of such", got=shorten(str(error)),
                fix="mend the cell", code="bad-answer",
            ) from None

    def _decide(self, outputs: Outputs) -> list[reading.Decided]:
        return reading.decide(outputs, self.longest, self.threshold, self.worded)

    def _fit_threshold(self, outputs: Outputs, truth: Truth) -> float:
        spoken = reading.decide(outputs, self.longest, None, self.worded)
        value_N, silent_N = (np.array([self._score(t, row)[0] for t, row in zip(texts, truth)]) for texts in (
            [one.text for one in spoken], [""] * len(truth)))
        odds_N = np.array([max(one.odds, -NEVER) for one in spoken])
        return pointing.fit_threshold(odds_N, value_N, silent_N)

    def _score(self, text: str, row: Mapping[str, Any]) -> tuple[float, float]:
        return answers.score(text, row["answers"], "cmrc" if self.rule_kept == "cmrc" else "squad")

    def _marks(self, one: reading.Decided, row: Mapping[str, Any]) -> list[Mark]:
        found = [Mark(self.context, one.start, one.end, "answer")] if one.start >= 0 else []
        return [Mark(self.context, start, end, "truth") for start, end in row["spans"]] + found


def _mean(value_N: np.ndarray) -> float:
    return float(value_N.mean()) if len(value_N) else float("nan")


def _toy(things: list[str], words: list[str], silent: bool) -> dict[str, Any]:
    context = " and ".join(f"the {thing} was {word}" for thing, word in zip(things[:3], words))
    answer = {"text": words[1], "answer_start": context.index(f" {words[1]}") + 1}
    return {"question": f"the {things[3 if silent else 1]}", "context": context, "answers": [] if silent else [answer]}


task = ExtractiveQa
