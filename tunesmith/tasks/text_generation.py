"""Write text: go on from its beginning, or complete a prompt.

Rows: `text`, or `prompt` and `completion`. Scores: bits per byte first (comparable between models and tokenizers), perplexity per token
and per byte; with prompts also ROUGE-L, exact match and how often the model stops by itself, over replies to a part of the rows. Beside
it: the untuned model, and bytes as likely as they are among the training rows.
"""
# Axes: N rows, B rows of a batch, T tokens.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np

from ..data.finding import Finding, count, places
from ..parts import batch, columns, options, replying, tokens, writing
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone

PROMPTS = (("prompt", "completion"), ("prompt", "response"), ("instruction", "output"), ("instruction", "response"))
"""Names of columns that say that one is to be completed by the other."""


@final
@dataclass(frozen=True, kw_only=True)
class TextGeneration(Task):
    """Text after text."""

    directions: ClassVar[Mapping[str, bool]] = writing.DIRECTIONS
    inputs: ClassVar[tuple[str, ...]] = ("text", "prompt", "context")
    alone: ClassVar[bool] = True
    targets: ClassVar[tuple[str, ...]] = ("completion",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "writes text"
    writes: ClassVar[bool] = True
    suggests: ClassVar[Mapping[str, Choice[Any]]] = writing.SUGGESTS

    text: str = "text"
    """Column with the text, where there is no prompt."""
    prompt: str = ""
    """Column with what is to be completed."""
    context: str = ""
    """Column with what a prompt is about (Alpaca's `input`), put on a line behind it; cells may be empty."""
    completion: str = ""
    """Column with how it is completed: what is learned."""
    between: str = "\n"
    """What is put between the two where the prompt does not end, nor the completion begin, with white space."""
    max_tokens: int | str = "auto"
    """Most tokens of an example; longer texts become several. `auto`: enough for 99 % of the training rows, within the model's limit."""
    max_new_tokens: int = 128
    """Most tokens that are written in answer to a prompt."""
    temperature: float = 0.0
    """0: always the likeliest token; above: drawn at this temperature, the same for the same prompt and seed."""
    top_p: float = 1.0
    """Drawn among the fewest tokens that have this share of the probability (arXiv 1904.09751)."""
    stop: tuple[str, ...] = ()
    """Texts before which an answer ends."""
    seed: int = 0
    """Of the draws."""
    judged_replies: int = 32
    """Test rows that are answered for ROUGE-L, exact match and stopping; all rows count for the likelihoods."""
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    limit: int = fitted(0)
    purpose: str = fitted("training")

    def __post_init__(self) -> None:
        options.column("text", self.text, optional=bool(self.prompt))
        options.column("prompt", self.prompt, optional=True)
        options.column("context", self.context, optional=True)
        options.column("completion", self.completion, optional=not self.prompt)
        options.max_tokens(self.max_tokens)
        writing.check(self)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a prompt and its completion, or the one column of a file, if it holds texts."""
        if columns.missing(profile, named, ("text", "prompt", "context", "completion")):
            return None
        if named.get("prompt") and named.get("completion"):
            return Claim({"text": Choice("", "there is a prompt")}, 0.95, "you named a prompt and its completion")
        if named.get("prompt") or named.get("completion") or named.get("text"):
            return None
        for prompt, completion in PROMPTS:
            found = [next((c.name for c in profile.columns.values() if columns.same_name(c.name, n)), "") for n in (prompt, completion)]
            if all(found) and all(profile.columns[name].kind in ("text", "category") for name in found):
                why = f"columns {found[0]!r} and {found[1]!r} are named like a prompt and its completion"
                roles = {"text": "", "prompt": found[0], "completion": found[1]}
                return Claim({role: Choice(name, why) for role, name in roles.items()} | _context(profile, named, prompt), 0.8, why)
        only = list(profile.columns.values())
        if len(only) == 1 and only[0].kind == "text" and only[0].mean_words >= 3:
            why = f"{only[0].name!r} is the only column, and holds texts: they are learned as they stand"
            return Claim({"text": Choice(only[0].name, why)}, 0.3, why)
        return None

    def columns(self, roles: Sequence[str]) -> list[str]:
        """The columns behind these roles: a prompt, with what it is about, stands instead of a text."""
        idle = "text" if self.prompt else "context"
        return Task.columns(self, [role for role in roles if role != idle])

    def check(self, table: Table) -> list[Finding]:
        """Columns with two roles, completions that are empty."""
        found = options.twice(self.columns((*self.inputs, *self.targets)))
        if not self.prompt:
            return found
        empty = np.flatnonzero([not tokens.as_text(cell).strip() for cell in table.column(self.completion)])
        if not len(empty):
            return found
        message = f"expected a completion in every row, got an empty cell in {count(len(empty))}"
        return [*found, Finding("error", "empty-completion", message, places(table, empty), "fill them, or take the rows out")]

    def fit(self, train: Table) -> Self:
        """Nothing is learned from rows before the model is known."""
        return self

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How many tokens an example has. Raises DataError where a completion lies beyond what the model reads."""
        whole = self.settle(tokens_kept=10**9, limit=limit)
        part = train.take(tokens.sample_positions(len(train)))
        made = whole.encode(part.rows(), processor)
        if self.prompt:
            return self.settle(**writing.fitted(part, [[example] for example in made], self.max_tokens, processor, limit))
        lengths_N = np.array([len(example["input_ids"]) for example in made])
        chosen = tokens.choose_limit(lengths_N, self.max_tokens, min(limit, tokens.limit(processor)))
        why = f"{chosen.why}; longer texts are learned in several examples"
        return self.settle(tokens_kept=chosen.value, tokens_why=why, limit=limit)

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Completions that are cut; texts without prompts lose nothing."""
        whole = self.settle(tokens_kept=10**9)
        able = self.prompt and self.completion in rows.names
        return replying.cut(rows, lambda row, _: whole.encode([row], processor), self, processor) if able else []

    def truth(self, rows: Table) -> Truth:
        """(N,) completions; empty where there is none."""
        if not self.completion or self.completion not in rows.names:
            return writing.texts([""] * len(rows))
        return writing.texts([tokens.as_text(cell) for cell in rows.column(self.completion)])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids, with 1 in `learn` for those that are learned. To answer: the prompt alone, or the text to go on from."""
        if self.purpose == "answering" or (rows and self.prompt and self.completion not in rows[0]):
            return self._questions(rows, processor)
        most = self.tokens_kept or tokens.limit(processor)
        if not self.prompt:
            found = [(at, one) for at, row in enumerate(rows) for one in writing.blocks(processor, self._text(row, "text"), most)]
            return [writing.told(one, prompted=False) | {"row": at} for at, one in found]
        pairs = [self._pair(row) for row in rows]
        return [writing.told(writing.continued(processor, prompt, said, most), prompted=True) for prompt, said in pairs]

    def _questions(self, rows: Sequence[Row], processor: Any) -> list[Example]:
        start, room = writing.start_of(processor), self._room(processor)
        texts = [self._pair(row)[0] if self.prompt else self._text(row, "text") for row in rows]
        return [writing.question([*start, *ids_T.tolist()], room) for ids_T in writing.ids_of(processor, texts)]

    def _room(self, processor: Any) -> int:
        return writing.room(self.limit or tokens.limit(processor), self.max_new_tokens)

    def _text(self, row: Row, role: str) -> str:
        return str(tokens.mended(tokens.as_text(row[getattr(self, role)])))

    def _pair(self, row: Row) -> tuple[str, str]:
        about = self._text(row, "context") if self.context and self.context in row else ""
        prompt = self._text(row, "prompt") + (f"\n{about}" if about.strip() else "")
        said = self._text(row, "completion") if self.completion in row else ""
        joined = prompt[-1:].isspace() or said[:1].isspace() or not prompt
        return prompt + ("" if joined else self.between), said

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return batch.collate(examples, writing.pads(pad))

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The decoder with its own head."""
        from ..models.language import Language

        return Language(backbone, dropout)

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
        return writing.effort(self, rows) if self.prompt else 0.0

    def before(self, encoded: Encoded) -> Encoded:
        """Which rows are answered for a verdict."""
        return writing.select(encoded, self.judged_replies) if self.purpose == "judging" and len(encoded) else encoded

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Nats, tokens and bytes of each row; replies of those that were asked."""
        return writing.outputs(model, batch, self, ends=())

    def stream(self, model: nn.Module, batch: Batch) -> Iterator[Outputs]:
        """The reply as it grows."""
        return writing.stream(model, batch, self, ends=())

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Sums over the examples of a long text."""
        return writing.gather(outputs, encoded.row_N)

    def by_part(self, rows: Table) -> Self:
        """Rows are counted one by one."""
        return self

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Numbers of each row, replies compared with the completions."""
        return writing.condense(outputs, truth)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text` and `stopped` to a prompt; `bits_per_byte` and `tokens` of a text that was there."""
        return writing.answers(outputs)

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
        """The first row."""
        if not self.prompt:
            return [(self._text(rows[0], "text"), True)]
        return list(zip(self._pair(rows[0]), (False, True), strict=True))

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """A unigram model of bytes."""
        name = self.completion if self.prompt else self.text
        told, asked = ([[tokens.as_text(cell)] for cell in table.column(name)] for table in (train, rows))
        return {"byte unigrams": writing.unigrams(told, asked)}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Sentences of a small grammar."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            thing, mark = rng.choice(["film", "book", "meal", "room"]), rng.choice(["good", "bad", "warm"])
            verb = rng.choice(["loved", "hated"])
            rows.append({"text": f"the {thing} was {mark} and we {verb} it {rng.integers(1, 100)} times"})
        return rows


def _context(profile: Profile, named: Mapping[str, Any], prompt: str) -> dict[str, Choice[Any]]:
    """The column with what an instruction is about."""
    known = [] if prompt != "instruction" or named.get("context") else ["input", "context"]
    texts = [column.name for column in profile.columns.values() if column.kind in ("text", "category", "constant")]
    found = [name for name in texts if any(columns.same_name(name, one) for one in known)]
    return {"context": Choice(found[0], "named like what an instruction is about")} if found else {}


task = TextGeneration
