"""Translate: from one column's texts to another's.

Rows: `source` and `target`, or columns named like languages (`en`, `ja`); a target may be a list of several that are all right. Models:
encoder-decoders (T5, BART, Marian, mBART, NLLB with their language codes), a language model, or an encoder, which then becomes both
halves. Scores: BLEU and chrF by sacrebleu with their signature, over the written translations of all test rows; bits per byte of the
targets chooses the weights. Beside it: the source as it is, a dictionary learned from the training rows, the untuned model.
"""
# Axes: N rows, B rows of a batch.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.finding import Finding
from ..parts import dictionary, languages, overlap, parallel, rewriting, rewritten, writing
from ..spec import Choice
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Form, Source


@final
@dataclass(frozen=True, kw_only=True)
class Translation(Task):
    """A text in another language."""

    directions: ClassVar[Mapping[str, bool]] = {
        "bleu": True, "chrf": True, "length_ratio": True, "stops": True, "bits_per_byte": False, "perplexity": False,
    }
    inputs: ClassVar[tuple[str, ...]] = ("source",)
    targets: ClassVar[tuple[str, ...]] = ("target",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "translates"
    writes: ClassVar[bool] = True
    halves: ClassVar[bool] = True

    source: str = "source"
    """Column with the text that is translated."""
    target: str = "target"
    """Column with its translation, or with a list of several that are all right."""
    source_language: str = ""
    """Code of the source's language (`en`, `en_XX`, `eng_Latn`); empty: the column's name, where it is one."""
    target_language: str = ""
    """Code of the target's language; also decides by which words BLEU counts. Empty: as above, else told by the script."""
    instruction: str = "auto"
    """Words before each source; `auto`: what T5 and language models are asked with, nothing for others."""
    label_smoothing: float = 0.1
    """Share of the probability spread over all tokens while training an encoder-decoder (arXiv 1512.00567, 1706.03762)."""
    max_tokens: int | str = "auto"
    """Most tokens of a source that are read; `auto`: all that the training rows have and the model takes."""
    max_new_tokens: int | str = "auto"
    """Most tokens that are written; `auto`: 1.3 times what 99 % of the training targets have."""
    min_new_tokens: int = 0
    """Fewest tokens that are written (encoder-decoders)."""
    beams: int | str = "auto"
    """Translations that are followed at a time; `auto`: 4 with encoder-decoders, 1 with language models."""
    length_penalty: float = 1.0
    """Sums of log-likelihoods are divided by the length to this power where several are followed; above 1 favours longer ones."""
    no_repeat_ngram: int = 0
    """No so many tokens in a row are written twice; 0: they may be (encoder-decoders)."""
    choose_by: Literal["bits_per_byte", "bleu", "chrf"] = "bits_per_byte"
    """Score by which validation rows choose the weights: bits per byte needs no writing; the others write for `validation_rows`."""
    validation_rows: int = 64
    """Validation rows, the first, that are translated where `choose_by` needs it."""
    kind: str = fitted("")
    family: str = fitted("")
    positions: int = fitted(0)
    tokeniser: str = fitted("13a")
    tokeniser_why: str = fitted("")
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
        rewriting.check(self, ("bleu", "chrf"))

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """Columns named like a text and its translation, or like two languages."""
        return parallel.claim(profile, named, sums_up=False)

    def check(self, table: Table) -> list[Finding]:
        """Empty cells, copies, rows that stand the other way round, lengths that do not fit."""
        return parallel.findings(table, self.source, self.target, sums_up=False)

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
        """By which words BLEU counts."""
        texts = [text for cell in train.column(self.target)[:500] for text in rewriting.targets_of(cell)]
        code = self.target_language or languages.of_header(self.target)
        name, why = overlap.tokeniser_for(code, texts)
        return self.settle(tokeniser=name, tokeniser_why=why)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """How much is read and written, in which languages. Raises SpecError for a language that the model does not know."""
        return self.settle(**rewriting.suited(self, train, processor, limit, self._instruction()))

    def effort(self, rows: int) -> float:
        """The usual target's tokens, for each text followed, by the tuned model and the untuned."""
        return rewritten.effort(self) * (2 if self.did else 1) * rows

    def lost(self, rows: Table, processor: Any) -> list[Finding]:
        """Sources that lose their end, targets that the model cannot write."""
        return rewriting.lost(self, rows, processor)

    def truth(self, rows: Table) -> Truth:
        """(N,) lists of right translations."""
        return rewriting.truth(rows, self.target)

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """Token ids of source and target, an example for each of several targets."""
        return rewriting.encode(rows, processor, self)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest."""
        return rewriting.collate(examples, pad)

    def _instruction(self) -> str:
        if self.instruction != "auto":
            return self.instruction
        named = [self.source_language or languages.of_header(self.source), self.target_language or languages.of_header(self.target)]
        way = f" from {languages.word(named[0])} to {languages.word(named[1])}" if all(named) else ""
        if self.kind == "language":
            return f"Translate{way}:\n\n"
        words = f"translate {languages.word(named[0])} to {languages.word(named[1])}: " if all(named) else "translate: "
        return words if self.family == "t5" else ""

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
        """Sum of the target tokens' cross-entropies, smoothed while an encoder-decoder trains."""
        return writing.loss(model, batch)

    def set_for(self, purpose: Purpose) -> Self:
        """A verdict and an answer are written out."""
        return self.settle(purpose=purpose)

    def before(self, encoded: Encoded) -> Encoded:
        """Which rows are translated."""
        return rewritten.before(encoded, self)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Nats, tokens and bytes of each target; translations of rows that were asked."""
        return rewritten.outputs(model, batch, self)

    def gather(self, outputs: Outputs, encoded: Encoded) -> Outputs:
        """Sums over a row's targets."""
        return writing.gather(outputs, encoded.row_N)

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Counts of each row, of which BLEU and chrF are made."""
        rows_M, said, wanted = rewritten.asked_rows(outputs, truth)
        bleu_NK, chrf_NK = np.zeros((len(truth), 10)), np.zeros((len(truth), 3 * overlap.ORDERS))
        bleu_NK[rows_M], chrf_NK[rows_M] = overlap.bleu_rows(said, wanted, self.tokeniser), overlap.chrf_rows(said, wanted)
        return rewritten.counted(outputs) | {"bleu": bleu_NK, "chrf": chrf_NK}

    # -- answers ------------------------------------------------------------------------------------------------------

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`text`: the translation; `stopped`: whether the model ended it by itself."""
        return rewritten.answers(outputs)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """Corpus figures: sums over rows, then one division. `length_ratio`: words written over words of the nearest target."""
        found = outputs if "bleu" in outputs else self.condense(outputs, truth)
        there = bool(np.sum(found["asked"]))
        bleu_K, chrf_K = found["bleu"].sum(0), found["chrf"].sum(0)
        made = (overlap.bleu(bleu_K), overlap.chrf(chrf_K), overlap.ratio(bleu_K[0], bleu_K[1])) if there else (float("nan"),) * 3
        return dict(zip(("bleu", "chrf", "length_ratio"), made)) | rewritten.likelihoods(found)

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """sacrebleu's signatures."""
        found = overlap.signatures(rewritten.references(truth), self.tokeniser)
        return found | {"bleu": f"{found['bleu']} ({self.tokeniser_why})"}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows for the report, by the chrF of each."""
        rows_M, said, wanted = rewritten.asked_rows(outputs, truth)
        quality_N = np.zeros(len(truth))
        quality_N[rows_M] = [overlap.chrf(row_K) / 100 for row_K in overlap.chrf_rows(said, wanted)]
        return rewritten.grade(outputs, truth, quality_N)

    def marked(self, rows: Sequence[Row], processor: Any) -> list[tuple[str, bool]]:
        """The first row."""
        return rewriting.marked(rows, self)

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """The source as it is, and word by word."""
        known = [(rewriting.text_of(a), rewriting.targets_of(b)) for a, b in zip(train.column(self.source), train.column(self.target))]
        learned = dictionary.learn([a for a, refs in known if refs], [refs[0] for _, refs in known if refs])
        texts = [rewriting.text_of(cell) for cell in rows.column(self.source)]
        return {
            "the source as it is": rewritten.guessed(texts),
            "dictionary, word by word": rewritten.guessed([learned.translate(text) for text in texts]),
        }

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """A small language whose words stand for ours, the adjective behind its noun."""
        rng = np.random.default_rng(seed)
        nouns, marks = {"film": "red", "book": "blue", "meal": "two", "room": "four"}, {"good": "one", "bad": "three", "warm": "five"}
        rows = []
        for _ in range(n):
            picked = [(list(nouns.items())[rng.integers(4)], list(marks.items())[rng.integers(3)]) for _ in range(2)]
            ours, theirs = (" ".join(found) for found in zip(*((f"{m} {n}", f"{t} {s}") for (n, t), (m, s) in picked)))
            number = rng.integers(1, 100)
            rows.append({"source": f"{ours} {number}", "target": f"{theirs} {number}"})
        return rows


task = Translation
