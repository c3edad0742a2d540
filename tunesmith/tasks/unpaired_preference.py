"""Learn from single replies that somebody called good or bad (thumbs up, thumbs down), without pairs.

Rows: `prompt` (a text or messages), `completion` (a text or messages) and `label` (true or false, 1 or 0, good or bad), as trl has them;
without a prompt, whole conversations whose last reply is judged; `tools`, where replies may call them. Losses: kto and apo. Scores: how
often a good reply has a higher reward than a bad one (`reward_auroc`; the reward is how much likelier the reply became), how far apart
their means are, the first score of likelihoods per token, the perplexity of good replies. Beside it: the untuned model, and that the
longer reply is the better one.
"""
# Axes: N rows, B rows of a batch, K conversations of a row, T tokens.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np

from ..data.finding import Finding, count, places
from ..errors import DataError, listing
from ..parts import chat, columns, options, replying, tokens, tools, unpaired, writing
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

LR = Choice(5e-5, "judged replies are learned in small steps, larger ones unlearn how to write (trl: 1e-6 for all weights)")
FEW = 10
"""Rows of a kind below which what is learned, and what is measured of it, is hardly more than chance."""
COLUMNS = ("prompt", "completion", "label", "tools")


@final
@dataclass(frozen=True, kw_only=True)
class UnpairedPreference(Task):
    """Good above bad, without pairs."""

    exempt: ClassVar[Mapping[str, str]] = {"sums add up": "a row is measured from the drift of its whole batch: see `training/joint.py`"}
    directions: ClassVar[Mapping[str, bool]] = unpaired.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("prompt", "tools")
    alone: ClassVar[bool] = True
    targets: ClassVar[tuple[str, ...]] = ("completion", "label")
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "replies as those who judged replies prefer it"
    spread: ClassVar[str] = "label"
    writes: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {**writing.SUGGESTS, "train.lr": LR}
    mines: ClassVar[bool] = True

    prompt: str = "prompt"
    """Column with what is asked: a text or messages. A table without it has whole conversations in the other."""
    completion: str = "completion"
    """Column with the reply that is judged: a text or messages."""
    label: str = "label"
    """Column that says whether the reply is good: true or false, 1 or 0, yes or no, good or bad, up or down."""
    tools: str = ""
    """Column with the tools that the assistant may call: a list of descriptions of functions, or JSON of one."""
    loss_kind: str = "kto"
    """kto (arXiv 2402.01306), or apo (APO-zero, 2408.06266): no drift is measured, which takes half the time."""
    beta: float = unpaired.BETA
    """How strongly replies are compared with what the model was before."""
    desirable_weight: float | str = "auto"
    """Weight of good rows; `auto`: such that good and bad rows count alike."""
    undesirable_weight: float | str = "auto"
    """Weight of bad rows; `auto`: such that good and bad rows count alike."""
    max_tokens: int | str = "auto"
    """Most tokens of a prompt with a reply; `auto`: enough for 99 % of the training rows, within the model's limit."""
    max_new_tokens: int = 128
    """Most tokens of a reply that is written to a prompt."""
    temperature: float = 0.0
    """0: always the likeliest token; above: drawn at this temperature, the same for the same prompt and seed."""
    top_p: float = 1.0
    """Drawn among the fewest tokens that have this share of the probability (arXiv 1904.09751)."""
    stop: tuple[str, ...] = ()
    """Texts before which a reply ends."""
    seed: int = 0
    """Of the draws."""
    judged_replies: int = fitted(0)
    weights: tuple[float, float] = fitted((1.0, 1.0))
    weights_why: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    limit: int = fitted(0)
    ends: tuple[int, ...] = fitted(())
    purpose: str = fitted("training")

    def __post_init__(self) -> None:
        for name in COLUMNS:
            options.column(name, getattr(self, name), optional=name == "tools")
        options.one_of("loss_kind", self.loss_kind, unpaired.LOSSES)
        options.number("beta", self.beta, low=1e-6, high=100)
        for name in ("desirable_weight", "undesirable_weight"):
            if getattr(self, name) != "auto":
                options.number(name, getattr(self, name), low=1e-6, high=1e6)
        options.max_tokens(self.max_tokens)
        writing.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a prompt, its completion and a label of two values that say good and bad."""
        if columns.missing(profile, named, COLUMNS):
            return None
        found = {role: named.get(role) or next((n for n in profile.columns if columns.same_name(n, role)), "") for role in COLUMNS[:3]}
        if not found["completion"] or not found["label"] or not _both(profile, found["label"]):
            return None
        if not found["prompt"] and not all(replying.ended(cell)[0] for cell in profile.columns[found["completion"]].examples):
            return None  # neither a prompt nor whole conversations
        if not all(profile.columns[found[r]].kind in ("text", "list", "category") for r in ("prompt", "completion") if found[r]):
            return None
        named_like = listing([name for name in found.values() if name], 3)
        found["prompt"] = found["prompt"] or "prompt"
        why = f"columns {named_like} are named like replies judged good or bad"
        return Claim({r: Choice(n, why) for r, n in found.items()} | columns.called(profile, named, "tools"), 0.96, why)

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """A table of whole conversations gets a prompt: what stands before the last reply."""
        if self.prompt in table.names or self.completion not in table.names:
            return table
        prompt, said = zip(*(replying.ended(cell) for cell in table.column(self.completion)), strict=True)
        ledger.note(f"column {self.prompt!r}: what stands in {self.completion!r} before the last reply")
        return table.with_column(self.prompt, [one or "" for one in prompt]).with_column(self.completion, list(said))

    def check(self, table: Table) -> list[Finding]:
        """Rows without a prompt, a reply or a judgement, each with its rows; one kind of judgement alone."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        found += replying.findings(table, [self._wrong(row) for row in table.rows()])
        good, bad = self._counts(table)
        if min(good, bad) < FEW <= max(good, bad):
            rare, few = ("good", good) if good < bad else ("bad", bad)
            rows = [at for at, cell in enumerate(table.column(self.label)) if unpaired.judged(cell) is (rare == "good")]
            message = f"{count(few)} of {len(table):,} with a {rare} reply: what is told apart there may be chance"
            found.append(Finding("warning", "few-of-a-kind", message, places(table, rows), f"add more {rare} ones"))
        return found

    def _wrong(self, row: Row) -> tuple[str, str]:
        unread = tools.read(row.get(self.tools))[1]
        known = unpaired.judged(row[self.label]) is not None
        judgement = ("", "") if known else ("bad-label", "none" if row[self.label] is None else repr(row[self.label]))
        found = replying.wrong_prompt(row[self.prompt]), replying.replied(row[self.completion])[1:], judgement
        return next((one for one in (*found, ("bad-tools", unread)) if one[0] and one[1]), ("", ""))

    def _counts(self, table: Table) -> tuple[int, int]:
        judged = [unpaired.judged(cell) for cell in table.column(self.label)]
        return judged.count(True), judged.count(False)

    def fit(self, train: Table) -> Self:
        """What good and bad rows count. Raises DataError where one kind of the two has no row."""
        counts = self._counts(train)
        if not min(counts):
            raise DataError(
                f"column {self.label!r}", expected="good and bad replies among the training rows",
                got=f"{'bad' if counts[1] else 'good'} ones alone", code="one-kind",
                fix="add the others, or learn the good ones as they stand: --task dialogue or text-generation",
            )  # fmt: skip
        good, bad, why = unpaired.weights(*counts, self.desirable_weight, self.undesirable_weight)
        return self.settle(weights=(good, bad), weights_why=why)

    def decided(self) -> Mapping[str, Choice[Any]]:
        """The weights of both kinds of rows."""
        names = ("desirable_weight", "undesirable_weight")
        return {f"options.{n}": Choice[Any](round(w, 6), self.weights_why) for n, w in zip(names, self.weights, strict=True)}

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How many tokens are read, and which token ends a reply. Raises DataError where replies lie beyond what the model reads."""
        part = train.take(tokens.sample_positions(len(train)))
        made = [self._whole(row, processor, part.place(at)) for at, row in enumerate(part.rows())]
        return self.settle(**writing.fitted(part, made, self.max_tokens, processor, limit), ends=(chat.end_of_turn(processor),))

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Rows that cannot be read, rows that the model's chat template refuses, and what it leaves out of them; replies that are cut."""
        wrong = replying.findings(rows, [self._wrong(row) for row in rows.rows()])
        talks = ([([*asked, *said], self._given(row))] for row in rows.rows() for asked, said in [self._talk(row)])
        return wrong or replying.lost(rows, talks, lambda row, place: self._whole(row, processor, place), self, processor)

    def _whole(self, row: Row, processor: Any, place: str) -> list[Example]:
        return [replying.whole(processor, *self._talk(row), place, self._given(row))]

    def _talk(self, row: Row) -> tuple[replying.Messages, replying.Messages]:
        return chat.read(row[self.prompt])[0], replying.replied(row[self.completion])[0]

    def _given(self, row: Row) -> list[dict[str, Any]]:
        return replying.tools_of(row.get(self.tools), f"column {self.tools!r}")

    def truth(self, rows: Table) -> Truth:
        """(N,) lists of a reply and whether it is good."""
        found = np.empty(len(rows), object)
        for at, row in enumerate(rows.rows()):
            found[at] = [replying.reply(row[self.completion]), bool(unpaired.judged(row[self.label]))]
        return found

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """The prompt with its reply, 1 in `learn` for the reply and its end; whether it is `good`. To answer: the prompt alone."""
        chat.dress(processor)
        if self.purpose == "answering":
            room = writing.room(self.limit or tokens.limit(processor), self.max_new_tokens)
            return [replying.question(processor, row[self.prompt], self._given(row), room) for row in rows]
        most = self.tokens_kept or tokens.limit(processor)
        made = [replying.side(processor, *self._talk(row), most, self._given(row)) for row in rows]
        return [unpaired.single(one, bool(unpaired.judged(row[self.label]))) for one, row in zip(made, rows, strict=True)]

    def learned(self, encoded: Encoded) -> Encoded:
        """The training rows, each with another row's reply to its prompt, by which the drift is measured."""
        return unpaired.mismatched(encoded, self.tokens_kept or 10**9) if self.joint else encoded

    def mine(self, encoded: Encoded, outputs: Outputs) -> Encoded:
        """The training rows with what the untouched model says of them."""
        return replying.mined(encoded, outputs)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Conversations side by side; questions padded to the longest."""
        return replying.collate(examples, pad)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The decoder with its own head."""
        from ..models.language import Language

        made = Language(backbone, dropout, self.ends)
        made.cuttable = False  # rows are several conversations: there is no one hidden state of a row to keep
        return made

    def weight(self, batch: Batch) -> float:
        """Rows: weights of kinds do not change what a step is divided by, as in trl."""
        return float(len(batch["input_ids"]))

    @property
    def joint(self) -> bool:  # type: ignore[override]
        """Whether rows are measured from the drift of their whole batch."""
        return self.loss_kind == "kto"

    def represent(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, K, 1) log-likelihoods."""
        return unpaired.represent(model, batch)

    def joint_loss(self, logp_BK1: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B,) losses of the rows."""
        return unpaired.losses(self.loss_kind, logp_BK1[..., 0], batch["reference"], batch["good"], self.beta, self.weights)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The joint loss of these rows; where the whole batch's was made before (`pull`), a sum with its value and its gradient."""
        if "pull" not in batch:
            return self.joint_loss(self.represent(model, batch), batch).sum()
        pulled = (unpaired.likelihood(model, batch, 0) * batch["pull"][:, 0, 0]).sum()
        return pulled - pulled.detach() + batch["own_loss"].sum()

    def set_for(self, purpose: Purpose) -> Self:
        """Only an answer is written out."""
        return self.settle(purpose=purpose)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Likelihoods of the replies, now and before; to answer, a reply."""
        if self.purpose == "answering":
            return writing.outputs(model, batch, self, ends=self.ends)
        return unpaired.outputs(model, batch)

    def stream(self, model: nn.Module, batch: Batch) -> Iterator[Outputs]:
        """The reply as it grows."""
        return writing.stream(model, batch, self, ends=self.ends)

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Rewards and likelihoods of each row, in one form for all models."""
        return unpaired.condense(outputs, truth)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text` and `stopped` of a reply; of a judged one its `reward`."""
        if "reply" not in outputs:
            return unpaired.answers(outputs)
        return replying.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Over all rows."""
        return unpaired.score(outputs, truth)

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """What a reward is."""
        return {
            "reward_auroc": "of any good and any bad reply, the good one's reward is higher (ties half); reward: how much likelier than by "
            "the untouched model; without an adapter to switch off, log-likelihood per token"
        }

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, those furthest on the wrong side first."""
        return unpaired.grade(outputs, truth)

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """A good row's reply, as the model's template writes it."""
        row = next((row for row in rows if unpaired.judged(row[self.label])), rows[0])
        return replying.marked(processor, *self._talk(row), self.tokens_kept or tokens.limit(processor), self._given(row))

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The longer, the better."""
        return {"longer reply": unpaired.longer(self.truth(rows))}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Questions whose good answers repeat a word of theirs."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            thing, mark = rng.choice(["film", "book", "meal", "room"]), rng.choice(["good", "bad", "warm", "cold"])
            good = bool(rng.random() < 0.6)
            said = f"yes it was {mark}" if good else f"no {rng.choice(['never', 'we hated it'])}"
            rows.append({"prompt": f"was the {thing} {mark} {rng.integers(1, 100)}", "completion": said, "label": good})
        return rows


def _both(profile: Profile, name: str) -> bool:
    """Whether a column has two values, one that says good and one that says bad."""
    column = profile.columns[name]
    known = {unpaired.judged(value) for value in column.examples}
    return column.kind == "boolean" or (column.distinct == 2 and known == {True, False})


task = UnpairedPreference
