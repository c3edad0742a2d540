"""Answer in a conversation: the assistant's replies are learned, and to stop after each of them.

Rows: `messages` (OpenAI's `role` and `content`, ShareGPT's `from` and `value`), or a column for each role, of texts or messages. Scores:
bits per byte of the replies first, their perplexity per token and per byte; ROUGE-L, exact match and how often the model stops by itself,
over the last replies of a part of the rows. Beside it: the untuned model, and bytes as likely as they are in the training rows' replies.
"""
# Axes: N rows, B rows of a batch, T tokens.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np

from ..data.finding import Finding
from ..errors import DataError
from ..parts import batch, chat, columns, options, replying, template, tokens, tools, writing
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

NAMES = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns", "chat")


@final
@dataclass(frozen=True, kw_only=True)
class Dialogue(Task):
    """Replies."""

    directions: ClassVar[Mapping[str, bool]] = writing.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("messages", "user", "system", "tools")
    alone: ClassVar[bool] = True
    targets: ClassVar[tuple[str, ...]] = ("assistant",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "answers in conversations"
    writes: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = writing.SUGGESTS

    messages: str = "messages"
    """Column with the list of messages."""
    user: str = ""
    """Column with what the user says, or the messages up to the reply, where these have columns of their own."""
    assistant: str = ""
    """Column with the assistant's reply, beside `user`."""
    system: str = ""
    """Column with what the assistant is told beforehand."""
    tools: str = ""
    """Column with the tools that the assistant may call: a list of descriptions of functions, or JSON of one."""
    learn: str = "all"
    """all: every reply of a conversation is learned, but those with `"weight": 0`; last: only what is said after the user's last words."""
    max_tokens: int | str = "auto"
    """Most tokens of a conversation that are read; `auto`: enough for 99 % of the training rows, within the model's limit."""
    max_new_tokens: int = 128
    """Most tokens of a reply that is written."""
    temperature: float = 0.0
    """0: always the likeliest token; above: drawn at this temperature, the same for the same conversation and seed."""
    top_p: float = 1.0
    """Drawn among the fewest tokens that have this share of the probability (arXiv 1904.09751)."""
    stop: tuple[str, ...] = ()
    """Texts before which a reply ends."""
    seed: int = 0
    """Of the draws."""
    judged_replies: int = 32
    """Test rows whose last reply is written for ROUGE-L, exact match and stopping; all rows count for the likelihoods."""
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    limit: int = fitted(0)
    ends: tuple[int, ...] = fitted(())
    purpose: str = fitted("training")

    def __post_init__(self) -> None:
        options.column("messages", self.messages, optional=bool(self.user))
        options.column("user", self.user, optional=True)
        options.column("assistant", self.assistant, optional=not self.user)
        options.column("system", self.system, optional=True)
        options.column("tools", self.tools, optional=True)
        options.one_of("learn", self.learn, ("all", "last"))
        options.max_tokens(self.max_tokens)
        writing.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of lists that is named like messages, or columns named like the two roles."""
        if columns.missing(profile, named, ("messages", "user", "assistant", "system", "tools")):
            return None
        more = columns.called(profile, named, "tools")
        if named.get("messages") or (named.get("user") and named.get("assistant")):
            return Claim({"messages": Choice(named.get("messages", ""), "named by you")} | more, 0.97, "you named the messages")
        for column in profile.columns.values():
            if column.kind in ("list", "text") and any(columns.same_name(column.name, name) for name in NAMES) and _talks(column.examples):
                why = f"column {column.name!r} holds messages with roles"
                return Claim({"messages": Choice(column.name, why)} | columns.called(profile, named, "system") | more, 0.97, why)
        found = {role: next((n for n in profile.columns if columns.same_name(n, role)), "") for role in ("user", "assistant", "system")}
        if not found["user"] or not found["assistant"]:
            return _parted(profile, more)
        why = f"columns {found['user']!r} and {found['assistant']!r} are named like the two who talk"
        return Claim({role: Choice(name, why) for role, name in found.items()} | {"messages": Choice("", why)} | more, 0.9, why)

    def columns(self, roles: Sequence[str]) -> list[str]:
        """The columns behind these roles: either the messages, or a column for each who talks."""
        apart = {"user": True, "assistant": True, "messages": False}
        return Task.columns(self, [role for role in roles if apart.get(role, bool(self.user)) == bool(self.user)])

    def check(self, table: Table) -> list[Finding]:
        """Messages that are none, unknown roles, roles out of order, rows without a reply: each with its rows."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        return [*found, *replying.findings(table, [self._wrong(row) for row in table.rows()], chat.EXPECTED)]

    def _wrong(self, row: Row) -> tuple[str, str]:
        messages, code, got = self._read(row)
        unread = tools.read(row.get(self.tools))[1]
        silent = ("", "") if code or chat.replies(messages) else ("no-reply", "none")
        return next((one for one in ((code, got), silent, ("bad-tools", unread)) if one[0] and one[1]), ("", ""))

    def fit(self, train: Table) -> Self:
        """Nothing is learned from rows before the model is known."""
        return self

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How many tokens are read, and which token ends a reply.

        Raises DataError where replies lie beyond what the model reads, or its template does not take a row's messages.
        """
        part = train.take(tokens.sample_positions(len(train)))
        made = [self._whole(row, processor, part.place(at)) for at, row in enumerate(part.rows())]
        kept = writing.fitted(part, made, self.max_tokens, processor, limit)
        if not getattr(tokens.tokenizer_of(processor), "chat_template", None):
            kept["tokens_why"] += "; the model has no chat template: `User: ...`, `Assistant: ...`, a line each"
        return self.settle(**kept, ends=(chat.end_of_turn(processor),))

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Rows that cannot be read, rows that the model's chat template refuses, and what it leaves out of them; replies that are cut."""
        wrong = replying.findings(rows, [self._wrong(row) for row in rows.rows()], chat.EXPECTED)
        talks = ([(self._read(row)[0], self._given(row))] for row in rows.rows())
        return wrong or replying.lost(rows, talks, lambda row, place: self._whole(row, processor, place), self, processor)

    def _whole(self, row: Row, processor: Any, place: str) -> list[Example]:
        messages, given = self._read(row)[0], self._given(row)
        replying.refuse_unwritten(processor, messages, given, place)
        return [chat.example(processor, turn, 10**9) for turn in chat.turns(processor, messages, given)]

    def truth(self, rows: Table) -> Truth:
        """(N,) last replies; empty where there is none."""
        return writing.texts([(chat.replies(self._read(row)[0]) or [""])[-1] for row in rows.rows()])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids by the model's chat template, with 1 in `learn` for replies and the token that ends each.

        To answer: the conversation up to the assistant's next message; a last message of the assistant is left out and written anew.
        """
        chat.dress(processor)
        if self.purpose == "answering":
            return [self._question(row, processor) for row in rows]
        most, found = self.tokens_kept or tokens.limit(processor), []
        for at, row in enumerate(rows):
            messages, code, got = self._read(row)
            if code or not chat.replies(messages):
                raise _unreadable(f"row {at + 1}", code or "no-reply", got or "none")
            examples = [chat.example(processor, turn, most) for turn in chat.turns(processor, messages, self._given(row))]
            found += [writing.told(one, prompted=one is examples[-1]) | {"row": at} for one in examples]
        return found

    def _question(self, row: Row, processor: Any) -> Example:
        messages, code, got = self._read(row)
        if code:
            raise _unreadable("the request", code, got)
        told = messages[:-1] if messages[-1]["role"] == "assistant" else messages
        try:
            asked = chat.asked(processor, told, self._given(row))
        except template.Refused as refused:
            raise _unreadable("the request", "role-order", str(refused)) from None
        ids_T = chat.ids_of(processor, asked)
        return writing.question(ids_T.tolist(), writing.room(self.limit or tokens.limit(processor), self.max_new_tokens))

    def _given(self, row: Row) -> list[dict[str, Any]]:
        return replying.tools_of(row.get(self.tools), f"column {self.tools!r}")

    def _read(self, row: Row) -> tuple[list[dict[str, Any]], str, str]:
        messages, code, got = chat.read(self._parts(row) if self.user else row[self.messages])
        told = tokens.as_text(row.get(self.system) or "").strip() if self.system else ""
        if told and messages and messages[0]["role"] == "system":
            return [], "role-order", f"a system message beside column {self.system!r}"
        messages = [{"role": "system", "content": told}, *messages] if told and not code else messages
        return (chat.last_only(messages) if self.learn == "last" else messages), code, got

    def _parts(self, row: Row) -> list[Any]:
        """The messages of columns of their own; replies of what is asked are read, not learned."""
        found: list[Any] = []
        for role in ("user", "assistant"):
            cell = row.get(getattr(self, role))
            read = isinstance(cell, list) and role == "user" and not chat.read(cell)[1]
            found += chat.read_only(chat.read(cell)[0]) if read else cell if isinstance(cell, list) else []
            found += [] if isinstance(cell, list) or cell is None else [{"role": role, "content": tokens.as_text(cell)}]
        return found

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, writing.pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The decoder with its own head."""
        from ..models.language import Language

        return Language(backbone, dropout, self.ends)

    def weight(self, batch: Batch) -> float:
        """Learned tokens."""
        return writing.weight_of(batch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Sum of the learned tokens' cross-entropies."""
        return writing.loss(model, batch)

    def set_for(self, purpose: Purpose) -> Self:
        """Only an answer, and a verdict on some rows, is written out."""
        return self.settle(purpose=purpose)

    def effort(self, rows: int) -> float:
        """Replies of the rows that are judged by them, by the tuned model and the untuned."""
        return writing.effort(self, rows)

    def before(self, encoded: Encoded) -> Encoded:
        """Which rows' last replies are written for a verdict."""
        return writing.select(encoded, self.judged_replies) if self.purpose == "judging" and len(encoded) else encoded

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Nats, tokens and bytes of each row's replies; replies written where they were asked."""
        return writing.outputs(model, batch, self, ends=self.ends)

    def stream(self, model: nn.Module, batch: Batch) -> Iterator[Outputs]:
        """The reply as it grows."""
        return writing.stream(model, batch, self, ends=self.ends)

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Sums over the examples of a row, where the template makes several."""
        return writing.gather(outputs, encoded.row_N)

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Numbers of each row, written replies compared with the true ones."""
        return writing.condense(outputs, truth)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text` and `stopped` of a reply; `bits_per_byte` and `tokens` of replies that were there."""
        return [answer | ({"text": answer["text"].strip()} if "text" in answer else {}) for answer in writing.answers(outputs)]

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Sums over all rows, divided once."""
        return writing.score(outputs, truth)

    def rests_on(self, outputs: Outputs) -> Mapping[str, int]:
        """Scores of replies rest on the rows that were asked."""
        return writing.rests_on(outputs)

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, the most surprising first."""
        return writing.grade(outputs, truth)

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """The first row, as the model's template writes it."""
        turn = chat.turns(processor, self._read(rows[0])[0], self._given(rows[0]))[-1]
        return chat.marked(processor, turn, self.tokens_kept or tokens.limit(processor))

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """A unigram model of the replies' bytes."""
        told, asked = ([chat.replies(self._read(row)[0]) for row in table.rows()] for table in (train, rows))
        return {"byte unigrams": writing.unigrams(told, asked)}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Questions with the answer in them."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            thing, mark = rng.choice(["film", "book", "meal", "room"]), rng.choice(["good", "bad", "warm", "cold"])
            said = [("user", f"was the {thing} {mark} {rng.integers(1, 100)}"), ("assistant", f"yes it was {mark}")]
            said += [("user", "really"), ("assistant", "never")] if rng.random() < 0.5 else []
            rows.append({"messages": [{"role": role, "content": text} for role, text in said]})
        return rows


def _parted(profile: Profile, more: Mapping[str, Choice[Any]]) -> Claim | None:
    """Columns of messages that are named like a prompt and its completion."""
    for names in (("prompt", "completion"), ("prompt", "response")):
        found = [next((c for c in profile.columns.values() if columns.same_name(c.name, name)), None) for name in names]
        if all(column is not None and column.kind == "list" and _talks(column.examples) for column in found):
            user, assistant = (column.name for column in found if column is not None)
            why = f"columns {user!r} and {assistant!r} hold messages, and are named like a prompt and its completion"
            roles = {"messages": "", "user": user, "assistant": assistant}
            return Claim({role: Choice(name, why) for role, name in roles.items()} | more, 0.9, why)
    return None


def _talks(examples: Sequence[Any]) -> bool:
    """Whether cells hold messages."""
    read = [chat.read(cell)[1] for cell in examples if isinstance(cell, list) or str(cell).lstrip().startswith("[")]
    return bool(read) and any(code in ("", "role-order", "unknown-role", "bad-tools") for code in read)


def _unreadable(place: str, code: str, got: str) -> DataError:
    expected, fix = chat.EXPECTED[code]
    return DataError(place, expected=expected, got=got, fix=fix, code=code)


task = Dialogue
