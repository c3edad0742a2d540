"""Learn which of two replies is the better one, from pairs that people or a judge have chosen between.

Rows: `prompt` (a text or messages), `chosen` and `rejected` (texts, or messages that end in the reply); without a prompt, two conversations
that begin alike; `tools`, where replies may call them. Losses: dpo, ipo, hinge, and without a reference orpo and simpo. Scores: how often
the chosen reply has the higher reward (how much likelier it became; without a reference its likelihood per token), the mean margin, how
often it is the likelier one per token (`win_rate`), the perplexity of chosen replies. Beside it: the untuned model, and that the longer
reply wins.
"""
# Axes: N rows, B rows of a batch, 2 replies of a pair, T tokens.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np

from ..data.finding import Finding
from ..parts import chat, columns, options, preferring, replying, tokens, tools, writing
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

LR = Choice(5e-5, "preferences are learned in small steps, larger ones unlearn how to write (arXiv 2305.18290: 1e-6 for all weights)")


@final
@dataclass(frozen=True, kw_only=True)
class Preference(Task):
    """Chosen above rejected."""

    directions: ClassVar[Mapping[str, bool]] = preferring.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("prompt", "tools")
    alone: ClassVar[bool] = True
    targets: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "replies as those who chose between replies prefer it"
    writes: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = {**writing.SUGGESTS, "train.lr": LR}

    prompt: str = "prompt"
    """Column with what is asked: a text or messages. A table without it has whole conversations in the other two."""
    chosen: str = "chosen"
    """Column with the better reply."""
    rejected: str = "rejected"
    """Column with the worse one."""
    tools: str = ""
    """Column with the tools that the assistant may call: a list of descriptions of functions, or JSON of one."""
    loss_kind: str = "dpo"
    """dpo (arXiv 2305.18290), ipo (2310.12036), hinge (2305.10425); without a reference model orpo (2403.07691), simpo (2405.14734)."""
    beta: float | str = "auto"
    """How strongly replies are compared; `auto`: what the loss's paper uses (0.1; simpo 2)."""
    gamma: float = 1.0
    """simpo: how far ahead the chosen reply is to be."""
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
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    limit: int = fitted(0)
    ends: tuple[int, ...] = fitted(())
    purpose: str = fitted("training")

    def __post_init__(self) -> None:
        for name in ("prompt", "chosen", "rejected"):
            options.column(name, getattr(self, name))
        options.column("tools", self.tools, optional=True)
        options.one_of("loss_kind", self.loss_kind, preferring.LOSSES)
        if self.beta != "auto":
            options.number("beta", self.beta, low=1e-6, high=100)
        options.number("gamma", self.gamma, low=0, high=100)
        options.max_tokens(self.max_tokens)
        writing.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a better and a worse reply."""
        if columns.missing(profile, named, ("chosen", "rejected", "tools")):
            return None
        found = {role: named.get(role) or next((n for n in profile.columns if columns.same_name(n, role)), "") for role in cls.targets}
        if not all(found.values()) or not all(profile.columns[n].kind in ("text", "list", "category") for n in found.values()):
            return None
        why = f"columns {found['chosen']!r} and {found['rejected']!r} are named like the better and the worse of two replies"
        prompt = named.get("prompt") or next((n for n in profile.columns if columns.same_name(n, "prompt")), "prompt")
        what = "its name" if prompt in profile.columns else "made of what the two conversations begin with alike"
        more = {"prompt": Choice(prompt, what)} | columns.called(profile, named, "tools")
        return Claim({r: Choice(n, why) for r, n in found.items()} | more, 0.98, why)

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """A table of conversations gets a prompt: what both of a row begin with."""
        if self.prompt in table.names or not {self.chosen, self.rejected} <= set(table.names):
            return table
        cells = zip(table.column(self.chosen), table.column(self.rejected), strict=True)
        prompt, chosen, rejected = zip(*(replying.parted(*both) for both in cells), strict=True)
        ledger.note(f"column {self.prompt!r}: what {self.chosen!r} and {self.rejected!r} begin with alike")
        table = table.with_column(self.prompt, [one or "" for one in prompt])
        return table.with_column(self.chosen, list(chosen)).with_column(self.rejected, list(rejected))

    def check(self, table: Table) -> list[Finding]:
        """Rows without a prompt or a reply, pairs of equal replies: each with its rows."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        return [*found, *replying.findings(table, [self._wrong(row) for row in table.rows()])]

    def _wrong(self, row: Row) -> tuple[str, str]:
        code, got = replying.wrong_prompt(row[self.prompt])
        chosen, rejected = (replying.replied(row[name]) for name in (self.chosen, self.rejected))
        unread = tools.read(row.get(self.tools))[1]
        for other, what in ((code, got), chosen[1:], rejected[1:], ("bad-tools" if unread else "", unread)):
            if other:
                return other, what
        same = replying.words(chosen[0]).strip() == replying.words(rejected[0]).strip()
        return ("same-replies", "the same twice") if same else ("", "")

    def _replies(self, row: Row) -> tuple[replying.Messages, replying.Messages]:
        return replying.replied(row[self.chosen])[0], replying.replied(row[self.rejected])[0]

    def fit(self, train: Table) -> Self:
        """Nothing is learned from rows before the model is known."""
        return self

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How many tokens are read, and which token ends a reply. Raises DataError where replies lie beyond what the model reads."""
        part = train.take(tokens.sample_positions(len(train)))
        made = [self._whole(row, processor, part.place(at)) for at, row in enumerate(part.rows())]
        kept = writing.fitted(part, made, self.max_tokens, processor, limit, must=2)
        return self.settle(**kept, ends=(chat.end_of_turn(processor),))

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Rows that cannot be read, rows that the model's chat template refuses, and what it leaves out of them; replies that are cut."""
        wrong = replying.findings(rows, [self._wrong(row) for row in rows.rows()])
        talks = (self._talks(row) for row in rows.rows())
        return wrong or replying.lost(rows, talks, lambda row, place: self._whole(row, processor, place), self, processor, must=2)

    def _talks(self, row: Row) -> list[tuple[replying.Messages, replying.Messages]]:
        asked, given = chat.read(row[self.prompt])[0], self._given(row)
        return [([*asked, *said], given) for said in self._replies(row)]

    def _given(self, row: Row) -> list[dict[str, Any]]:
        return replying.tools_of(row.get(self.tools), f"column {self.tools!r}")

    def _whole(self, row: Row, processor: Any, place: str) -> list[Example]:
        asked, given = chat.read(row[self.prompt])[0], self._given(row)
        return [replying.whole(processor, asked, said, place, given) for said in self._replies(row)]

    def _sides(self, row: Row, processor: Any, most: int) -> list[Example]:
        asked, given = chat.read(row[self.prompt])[0], self._given(row)
        return [replying.side(processor, asked, said, most, given) for said in self._replies(row)]

    def truth(self, rows: Table) -> Truth:
        """(N,) lists of the two replies."""
        found = np.empty(len(rows), object)
        for at, row in enumerate(rows.rows()):
            found[at] = [replying.words(said) for said in self._replies(row)]
        return found

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """The prompt with each of its replies, end to end, 1 in `learn` for a reply and its end. To answer: the prompt alone."""
        chat.dress(processor)
        if self.purpose == "answering":
            room = writing.room(self.limit or tokens.limit(processor), self.max_new_tokens)
            return [replying.question(processor, row[self.prompt], self._given(row), room) for row in rows]
        most = self.tokens_kept or tokens.limit(processor)
        return [preferring.pair(*self._sides(row, processor, most)) for row in rows]

    @property
    def mines(self) -> bool:
        """Whether the untuned model is to say how likely it finds the training rows' replies."""
        return self.loss_kind in preferring.REFERRED

    def mine(self, encoded: Encoded, outputs: Outputs) -> Encoded:
        """The training rows with what the untouched model says of them."""
        return replying.mined(encoded, outputs)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Pairs side by side; questions padded to the longest."""
        return replying.collate(examples, pad)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The decoder with its own head."""
        from ..models.language import Language

        made = Language(backbone, dropout, self.ends)
        made.cuttable = False  # rows are pairs: there is no one hidden state of a row to keep
        return made

    def weight(self, batch: Batch) -> float:
        """Pairs."""
        return float(len(batch["input_ids"]))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Sum of the pairs' losses."""
        beta = preferring.BETA[self.loss_kind] if self.beta == "auto" else float(self.beta)
        likely = preferring.likelihoods(model, batch)
        return preferring.losses(self.loss_kind, *likely, batch.get("reference"), beta, self.gamma).sum()

    def set_for(self, purpose: Purpose) -> Self:
        """Only an answer is written out."""
        return self.settle(purpose=purpose)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Likelihoods of both replies, now and before; to answer, a reply."""
        if self.purpose == "answering":
            return writing.outputs(model, batch, self, ends=self.ends)
        return preferring.outputs(model, batch, self.loss_kind)

    def stream(self, model: nn.Module, batch: Batch) -> Iterator[Outputs]:
        """The reply as it grows."""
        return writing.stream(model, batch, self, ends=self.ends)

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Rewards and likelihoods of each row, in one form for all models."""
        return preferring.condense(outputs)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text` and `stopped` of a reply; of a pair which one is preferred and by how much."""
        if "reply" not in outputs:
            return preferring.answers(outputs)
        return replying.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Over all rows."""
        return preferring.score(outputs)

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """What a reward is."""
        if self.loss_kind in preferring.REFERRED:
            return {"reward_accuracy": "reward: how much likelier than by the untouched model; without an adapter to switch off, per token"}
        return {"reward_accuracy": "reward: log-likelihood per token"}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, the worst preferences first."""
        return preferring.grade(outputs, truth)

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """The first row's chosen reply, as the model's template writes it."""
        asked, said = chat.read(rows[0][self.prompt])[0], self._replies(rows[0])[0]
        return replying.marked(processor, asked, said, self.tokens_kept or tokens.limit(processor), self._given(rows[0]))

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The longer reply wins."""
        return {"longer reply": preferring.longer(self.truth(rows))}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Questions whose better answer repeats a word of theirs."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            thing, mark = rng.choice(["film", "book", "meal", "room"]), rng.choice(["good", "bad", "warm", "cold"])
            both = {"chosen": f"yes it was {mark}", "rejected": f"no {rng.choice(['never', 'we hated it'])}"}
            rows.append({"prompt": f"was the {thing} {mark} {rng.integers(1, 100)}", **both})
        return rows


task = Preference
