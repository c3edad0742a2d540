"""Summarise: a short text of a long one.

Rows: `document` and `summary` under these or similar names; a document may be a list of its sentences, a summary a list of several that
are all right. Models: encoder-decoders (T5, BART, mBART...), a language model, or an encoder, which then becomes both halves. Scores:
ROUGE-1, 2, L and Lsum, the best of several references, and the ratio of lengths, over the written summaries of all test rows; bits per
byte of the targets chooses the weights. Beside it: the first sentence, the first three, the untuned model; and, as a line that no
extract crosses, the sentences that one would choose who knew the references.
"""
# Axes: N rows, B rows of a batch.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding
from ..parts import extracts, overlap, parallel, rewriting, rewritten, writing
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Form, Source

NAMES = ("rouge_l", "rouge1", "rouge2", "rouge_lsum")
COLUMNS = (2, 0, 1, 3)
"""Where these stand in `overlap.rouge_rows`."""
ORACLE = "oracle: the best sentences, chosen by the references"


@final
@dataclass(frozen=True, kw_only=True)
class Summarisation(Task):
    """The gist."""

    directions: ClassVar[Mapping[str, bool]] = {
        "rouge_l": True, "rouge1": True, "rouge2": True, "rouge_lsum": True, "length_ratio": True, "stops": True,
        "bits_per_byte": False, "perplexity": False,
    }
    inputs: ClassVar[tuple[str, ...]] = ("source",)
    targets: ClassVar[tuple[str, ...]] = ("target",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "summarises texts"
    writes: ClassVar[bool] = True
    halves: ClassVar[bool] = True
    oracles: ClassVar[frozenset[str]] = frozenset((ORACLE,))

    source: str = "document"
    """Column with the document: a text, or a list of its sentences."""
    target: str = "summary"
    """Column with its summary, or with a list of several that are all right."""
    source_language: str = ""
    """Code of the documents' language, for models that know several (`en_XX`); empty: none is said."""
    target_language: str = ""
    """Code of the summaries' language, for such models."""
    instruction: str = "auto"
    """Words before each document; `auto`: what T5 and language models are asked with, nothing for others."""
    label_smoothing: float = 0.0
    """Share of the probability spread over all tokens while training an encoder-decoder (arXiv 1512.00567)."""
    max_tokens: int | str = "auto"
    """Most tokens of a document that are read; `auto`: all that the training rows have and the model takes."""
    max_new_tokens: int | str = "auto"
    """Most tokens that are written; `auto`: 1.3 times what 99 % of the training summaries have."""
    min_new_tokens: int = 0
    """Fewest tokens that are written (encoder-decoders)."""
    beams: int | str = "auto"
    """Summaries that are followed at a time; `auto`: 4 with encoder-decoders, 1 with language models."""
    length_penalty: float = 1.0
    """Sums of log-likelihoods are divided by the length to this power where several are followed; above 1 favours longer ones."""
    no_repeat_ngram: int = 0
    """No so many tokens in a row are written twice; 0: they may be; 3 is usual for news (encoder-decoders)."""
    stem: bool = False
    """Whether ROUGE takes English words of one stem for the same, as many papers do."""
    choose_by: Literal["bits_per_byte", "rouge_l", "rouge1", "rouge2", "rouge_lsum"] = "bits_per_byte"
    """Score by which validation rows choose the weights: bits per byte needs no writing; the others write for `validation_rows`."""
    validation_rows: int = 64
    """Validation rows, the first, that are summarised where `choose_by` needs it."""
    kind: str = fitted("")
    family: str = fitted("")
    positions: int = fitted(0)
    prefix: str = fitted("")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    new_kept: int = fitted(0)
    limit: int = fitted(0)
    ends: tuple[int, ...] = fitted(())
    drops: int = fitted(-1)
    speaks: str = fitted("")
    speaks_to: str = fitted("")
    first: int = fitted(-1)
    unknown: float = fitted(0.0)
    purpose: str = fitted("training")

    def __post_init__(self) -> None:
        rewriting.check(self, NAMES)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a text and its summary."""
        return parallel.claim(profile, named, sums_up=True)

    def check(self, table: Table) -> list[Finding]:
        """Empty cells, copies, summaries longer than their documents."""
        return parallel.findings(table, self.source, self.target, sums_up=True)

    def meet(self, source: Source) -> Self:
        """An encoder-decoder, a language model, or an encoder."""
        return self.settle(kind=rewriting.kind_of(source), family=source.model_type, positions=source.positions)

    @property
    def form(self) -> Form:
        """With its language-model head, or as an encoder-decoder."""
        return "language" if self.kind == "language" else "seq2seq"

    @property
    def did(self) -> bool:
        """An encoder alone could not."""
        return self.kind != "warm"

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """What suits the kind of model."""
        return rewriting.SUGGESTS[self.kind]

    def chooses(self, headline: str) -> str:
        """Bits per byte, unless asked otherwise."""
        return self.choose_by

    def fit(self, train: Table) -> Self:
        """Nothing is learned from rows before the model is known."""
        return self

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How much is read and written. Raises SpecError for a language that the model does not know."""
        asks = {"language": "Summarise:\n\n", "seq2seq": "summarize: " if self.family == "t5" else ""}
        prefix = asks.get(self.kind, "") if self.instruction == "auto" else self.instruction
        return self.settle(**rewriting.suited(self, train, processor, limit, prefix))

    def effort(self, rows: int) -> float:
        """The usual target's tokens, for each text followed, by the tuned model and the untuned."""
        return rewritten.effort(self) * (2 if self.did else 1) * rows

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Documents that lose their end, summaries that the model cannot write."""
        return rewriting.lost(self, rows, processor)

    def truth(self, rows: Table) -> Truth:
        """(N,) lists of right summaries."""
        return rewriting.truth(rows, self.target)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids of document and summary, an example for each of several summaries."""
        return rewriting.encode(rows, processor, self)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return rewriting.collate(examples, pad)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The model with the head it was pretrained with."""
        from ..models.language import Language
        from ..models.seq2seq import Seq2Seq

        if self.kind == "language":
            return Language(backbone, dropout, self.ends)
        return Seq2Seq(backbone, dropout, self.label_smoothing)

    def weight(self, batch: Batch) -> float:
        """Learned tokens."""
        return rewritten.weight_of(batch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Sum of the target tokens' cross-entropies."""
        return writing.loss(model, batch)

    def set_for(self, purpose: Purpose) -> Self:
        """A verdict and an answer are written out."""
        return self.settle(purpose=purpose)

    def before(self, encoded: Encoded) -> Encoded:
        """Which rows are summarised."""
        return rewritten.before(encoded, self)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Nats, tokens and bytes of each target; summaries of rows that were asked."""
        return rewritten.outputs(model, batch, self)

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Sums over a row's targets."""
        return writing.gather(outputs, encoded.row_N)

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """ROUGE of each row, and words written and wanted (the mean of its references)."""
        rows_M, said, wanted = rewritten.asked_rows(outputs, truth)
        rouge_NK, words_NK = np.zeros((len(truth), len(NAMES))), np.zeros((len(truth), 2))
        rouge_NK[rows_M] = overlap.rouge_rows(said, wanted, self.stem)
        size = lambda text: len(overlap.words_of(text))  # noqa: E731
        words_NK[rows_M] = np.array([[size(a), np.mean([size(ref) for ref in refs])] for a, refs in zip(said, wanted)]).reshape(-1, 2)
        return rewritten.counted(outputs) | {"rouge": rouge_NK, "words": words_NK}

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text`: the summary; `stopped`: whether the model ended it by itself."""
        return rewritten.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """ROUGE: means over rows. `length_ratio`: words written over words wanted, of all rows together."""
        found = outputs if "rouge" in outputs else self.condense(outputs, truth)
        asked = float(np.sum(found["asked"]))
        rouge_K = found["rouge"].sum(0) / asked if asked else np.full(len(NAMES), np.nan)
        words_2 = found["words"].sum(0)
        made = {name: float(rouge_K[place]) for name, place in zip(NAMES, COLUMNS)}
        return made | {"length_ratio": overlap.ratio(words_2[0], words_2[1]) if asked else float("nan")} | rewritten.likelihoods(found)

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """The tokeniser of ROUGE."""
        words = overlap.rouge_words(self.stem, max((len(refs) for refs in truth), default=1))
        return dict.fromkeys(NAMES, words)

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, by the ROUGE-L of each."""
        return rewritten.grade(outputs, truth, self.condense(outputs, truth)["rouge"][:, COLUMNS[0]])

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """The first row."""
        return rewriting.marked(rows, self)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The first sentences; and the oracle."""
        cells = [rewriting.cell_of(cell) for cell in rows.column(self.source)]
        return {
            "first sentence": rewritten.guessed(extracts.lead(cells, 1)),
            "first three sentences": rewritten.guessed(extracts.lead(cells, 3)),
            ORACLE: rewritten.guessed(extracts.oracle(cells, [list(refs) for refs in self.truth(rows)])),
        }

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """Of some sentences the one that matters."""
        rng = np.random.default_rng(seed)
        things, rows = ["film", "book", "meal", "room"], []
        for _ in range(n):
            thing, mark = rng.choice(things), rng.choice(["good", "bad", "warm", "cold"])
            number = rng.integers(1, 100)
            rows.append({"document": f"we ate {number} . the {thing} was {mark} . we read it again .", "summary": f"{thing} {mark}"})
        return rows


task = Summarisation
