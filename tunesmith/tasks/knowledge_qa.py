"""Answer questions from documents: find the passages, read the answer out of them and name them, or refuse.

Rows: `question` and `answers` (a text, several, offsets or none), and where it is known the `document`. Documents: a folder of texts,
Markdown, HTML, PDF and tables, or one table (`documents`); or a text in each row (`context`). The retriever is tuned on questions and the
passages that answer them, with in-batch, word-wise hard and mined negatives; then a reader on these passages. Found passages are joined
from vectors and full text. Scores apart: answers (F1, exact match), retrieval (recall@1, @5, @20, nDCG@10, MRR among all passages),
citations, refusals. Beside it: BM25 with the sentence that shares most words, and the retriever untuned.
"""
# Axes: N rows, B rows of a batch, K texts of a row, D features.

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from ..data.arrays import objects
from ..data.finding import Finding
from ..parts import answers, asking, contrast, knowing, lexical, options, passages, readers, retrieval, tokens
from ..registry import TASKS
from ..spec import Choice, Data
from ..task import Batch, Claim, Draw, Example, Graded, Outputs, Purpose, Row, Task, Truth, fitted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.ledger import Ledger
    from ..data.profile import Profile
    from ..data.table import Table
    from ..inference import Encoded
    from ..models.source import Backbone, Source
    from ..parts.passages import Library

LETTERS = ("letters", "owners")
"""What an example knows beside what the model reads: the question's characters, and the names of documents that answer it."""
LETTERS_A_TOKEN = 4
NAMES = {
    "question": ("question", "query", "question_text", "q"), "answer": ("answers", "answer", "answer_text", "response"),
    "answer_start": ("answer_start", "answer_offset"),
    "document": ("document", "document_id", "doc_id", "doc", "source", "file", "documents", "title"),
    "context": ("context", "context_text", "passage", "paragraph"),
}


@final
@dataclass(frozen=True, kw_only=True)
class KnowledgeQa(Task):
    """Passages with an answer out of them, or a refusal."""

    inputs: ClassVar[tuple[str, ...]] = ("question",)
    targets: ClassVar[tuple[str, ...]] = ("answer",)
    target_kind: ClassVar[str] = "other"
    does: ClassVar[str] = "answers questions from documents, and names them"
    of_learning: ClassVar[frozenset[str]] = frozenset({"no-answers"})
    joint: ClassVar[bool] = True
    stocks: ClassVar[bool] = True
    did: ClassVar[bool] = True
    grouped: ClassVar[str] = asking.DOCUMENT
    exempt: ClassVar[Mapping[str, str]] = {"sums add up": "a row's loss depends on the rows beside it: see `training/joint.py`"}

    documents: str = ""
    """Folder of documents (text, Markdown, HTML, PDF, tables), or a table with one in each row; empty: those in column `context`."""
    documents_text: str = ""
    """Of a table of documents the column with their text; empty: told by its name, or the longest."""
    documents_id: str = ""
    """Of a table of documents the column with their names; empty: told by its name, or the row's number."""
    documents_encoding: str = "auto"
    """Encoding of the documents' bytes: `latin-1`, `gb18030`...; `auto`: what their first bytes say, else UTF-8."""
    question: str = "question"
    """Column with the question."""
    answer: str = ""
    """Column with the answer, or several that are right, empty where the documents hold none. Without it only passages are found."""
    answer_start: str = ""
    """Column with the answer's first character in its document, counted from 0."""
    document: str = ""
    """Column with the document, or a list of them, that answers: a file's name, or what the table of documents calls it."""
    context: str = ""
    """Column with the document's own text, where rows bring it along."""
    lost_answers: Literal["refuse", "skip"] = "refuse"
    """What to do with rows whose answer stands in no document: stop, or go on without knowing where they stand, and list them."""
    passage: int = 800
    """Most characters of a passage."""
    overlap: int = 160
    """Characters that neighbouring passages may share, in whole sentences."""
    reader: str = "auto"
    """Who answers from passages: `auto` (a copy of the model is tuned to point at answers), `none` (passages are the answer), or a
    finished extractive-qa run or a language model, by folder or name."""
    reader_epochs: float = 3.0
    """Passes over the passages in which the reader is tuned."""
    read: int = 5
    """Passages that are read for each question."""
    unanswerable: float = 0.2
    """Share of the questions to come that the documents do not answer: the threshold below which an answer is refused suits this share."""
    temperature: float = 0.05
    """Of the retriever's loss: what cosines are divided by."""
    mined: int = 0
    """Further hard negatives for each question: passages of other questions that the untuned model takes for near."""
    max_tokens: int | str = "auto"
    """Most tokens of a passage that the retriever reads; `auto`: enough for 99 % of the training texts, within the model's limit."""
    store: str = fitted("")
    """Folder of the documents' passages, of a finished run."""
    searched: str = fitted("")
    purpose: Purpose = fitted("training")
    tokens_kept: int = fitted(0)
    tokens_why: str = fitted("")
    cut_share: float = fitted(0.0)
    by: Literal["squad", "cmrc"] = fitted("squad")
    beside: float = fitted(0.0)
    form: knowing.Form = fitted("span")
    step: float = fitted(1.0)
    weights: tuple[float, ...] = fitted((1.0, 0.0))
    bias: float = fitted(0.0)
    threshold: float = fitted(0.0)

    def __post_init__(self) -> None:
        options.column("question", self.question)
        for name in ("answer", "answer_start", "document", "context"):
            options.column(name, getattr(self, name), optional=True)
        options.one_of("lost_answers", self.lost_answers, ("refuse", "skip"))
        options.number("passage", self.passage, low=100, high=20_000)
        options.number("overlap", self.overlap, low=0, high=self.passage // 2)
        options.number("reader_epochs", self.reader_epochs, low=0.01, high=1000)
        options.number("read", self.read, low=1, high=20)
        options.number("unanswerable", self.unanswerable, low=0, high=0.9)
        options.number("temperature", self.temperature, low=1e-3, high=10)
        options.number("mined", self.mined, low=0, high=20)
        options.max_tokens(self.max_tokens)

    # -- data ---------------------------------------------------------------------------------------------------------

    @classmethod
    def claim(cls, profile: Profile, named: Mapping[str, Any]) -> Claim | None:
        """A column of questions, for those who name documents or the task."""
        found = asking.columns(profile, named, NAMES)
        if "question" not in found:
            return None
        if named.get("documents"):
            found.pop("context", None)
            return Claim(found, 0.99, "questions, and documents to answer them from")
        return Claim(found, 0.05, "you named the task") if "context" in found else None

    def tidied(self, table: Table, ledger: Ledger) -> Table:
        """The rows with the passages that answer them, and with what seems to and does not."""
        told = () if self.store else (self.answer_start, self.document, self._context)  # a finished run knows where to look
        table.require([name for name in (self.question, self.answer, *told) if name])
        documents = None if self.store else self._documents(table)
        for note in documents.notes if documents else ():
            ledger.note(note)
        return asking.joined(table, self._columns, self.library(table), documents.digest() if documents else "")

    def check(self, table: Table) -> list[Finding]:
        """Answers and documents that do not fit; documents without text; passages that stand twice."""
        twice = options.twice([name for name in (self.question, self.answer, self.answer_start, self.document, self._context) if name])
        return twice or [*asking.findings(table, self.library(table), self.lost_answers == "skip"), *asking.of_library(self.library(table))]

    def meet(self, source: Source) -> Self:
        """Refuse, before anything is trained, a reader that is none. Raises ModelError."""
        if self.reads and self.reader != "auto":
            from ..models.source import find

            readers.refuse(self.reader, find)
        return self

    def fit(self, train: Table) -> Self:
        """Learn how answers are compared, and how much there is to read once the retriever is tuned."""
        rows = self.library(train).passages
        some = [rows.text(at) for at in range(0, len(rows), max(1, len(rows) // 200))]
        read = 2 * sum(map(len, some)) / len(some) * len(rows)
        tuned = 6 * self.reader_epochs * self.passage * len(train) if self.reads and self.reader == "auto" else 0
        return self.settle(by=answers.rule_for(some), beside=(read + tuned) / LETTERS_A_TOKEN)

    def suit(self, train: Table, processor: Any, limit: int, balance: str) -> Self:
        """Settle how many tokens of a passage are read."""
        made = self.retriever.suit(train, processor, limit, balance)
        return self.settle(**{name: getattr(made, name) for name in ("tokens_kept", "tokens_why", "cut_share")})

    def afterwards(self) -> float:
        """All passages are read, and their reader is tuned."""
        return self.beside

    def suggested(self) -> Mapping[str, Choice[Any]]:
        """What suits a retriever."""
        return self.retriever.suggested()

    def decided(self) -> Mapping[str, Choice[Any]]:
        """How the documents are cut, for the ledger."""
        return {"split": Choice("", "questions of one document stay on one side; all documents are searched, as they will be in use")}

    def truth(self, rows: Table) -> Truth:
        """(N,) objects: `answers`; `units`, what is to be found; `how` it was placed; `keys` of the question and its passage."""
        told = [json.loads(cell) for cell in rows.column(asking.TRUTH)]
        keys = ([contrast.key(cell) for cell in rows.column(name)] for name in (self.question, asking.PASSAGE))
        return objects([one | {"keys": list(own)} for one, own in zip(told, zip(*keys))])

    def encode(self, rows: Sequence[Row], processor: Any, *, draws: Sequence[Draw] | None = None) -> list[Example]:
        """The question and, of rows that have them, its passage and its distractor; the question's characters."""
        found = self.retriever.encode(rows, processor)
        if self.purpose == "training":
            return found
        return [
            {"input_ids": one["input_ids"][: one["sizes"][0]], "sizes": one["sizes"][:1], "key": one["key"][:1],
             "letters": _letters(tokens.as_text(row[self.question])), "owners": _letters(self._owners(row))}
            for one, row in zip(found, rows, strict=True)
        ]  # fmt: skip

    def _owners(self, row: Row) -> str:
        """Names of the documents that answer, a line each, where a verdict is wanted."""
        wanted = self.purpose == "judging" and asking.TRUTH in row
        return "\n".join(asking.owners(row[asking.TRUTH])) if wanted else ""

    def learned(self, encoded: Encoded) -> Encoded:
        """Rows with a passage; each is told all that is right for its question."""
        return self.retriever.learned(encoded)

    @property
    def mines(self) -> bool:  # type: ignore[override]
        """Whether hard negatives are looked for among other rows' passages."""
        return bool(self.mined)

    def mine(self, encoded: Encoded, outputs: Outputs) -> Encoded:
        """The training rows with these."""
        return self.retriever.mine(encoded, outputs)

    def collate(self, examples: Sequence[Example], pad: int) -> Batch:
        """Padded to the longest text."""
        return contrast.collate(examples, pad)

    # -- model --------------------------------------------------------------------------------------------------------

    def model(self, backbone: Backbone, dropout: float) -> nn.Module:
        """The retriever. What answers beside it, the store and the reader, is its `shelf`."""
        from ..models.embedder import Embedder

        return Embedder(backbone, dropout)

    def weight(self, batch: Batch) -> float:
        """Rows that teach."""
        return float(batch["row_weight"].sum())

    def represent(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, K, D) vectors of the rows' texts."""
        return contrast.represent(model, batch)

    def joint_loss(self, vectors_BKD: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(B,) losses of the rows."""
        return contrast.infonce(vectors_BKD, batch, self.temperature)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The retriever's."""
        return self.retriever.loss(model, batch)

    def set_for(self, purpose: Purpose) -> Self:
        """Verdicts and answers search the store and read; while training, questions are compared with the rows' own passages."""
        return self.settle(purpose=purpose)

    def outputs(self, model: nn.Module, batch: Batch) -> dict[str, Any]:
        """Vectors (B, K, D) of the rows' texts; for verdicts and answers `found`, see `parts/knowing.py`."""
        vectors_BKD = self.represent(model, batch)
        if self.purpose == "training":
            return {"vectors": vectors_BKD}
        questions, owners = ([_text(letters) for letters in batch[name].cpu().numpy()] for name in LETTERS)
        own = [names.split("\n") if names else [] for names in owners]
        shelf: Any = model.shelf
        return {"found": shelf.found(questions, vectors_BKD[:, 0].float().cpu().numpy(), own)}

    # -- answers ------------------------------------------------------------------------------------------------------

    @property
    def reads(self) -> bool:
        """Whether answers are read out of passages."""
        return bool(self.answer) and self.reader != "none"

    @property
    def directions(self) -> Mapping[str, bool]:  # type: ignore[override]
        """Scores of answers, passages, citations and refusals; of passages alone where nothing is answered."""
        return {name: True for name in (knowing.DIRECTIONS if self.reads else knowing.FOUND)}

    def chooses(self, headline: str) -> str:
        """Weights are chosen by how well validation questions find their passages among those of all of them."""
        return "ndcg_10"

    def calibrate(self, outputs: Outputs, truth: Truth) -> Self:
        """The rule by which answers are chosen, believed and refused."""
        if not self.reads or "found" not in outputs or not len(truth):
            return self
        rule = knowing.fit(knowing.parsed(outputs), truth, self.by, self.unanswerable)
        return self.settle(form=rule.form, step=rule.step, weights=rule.weights_F, bias=rule.bias, threshold=rule.threshold)

    def answers(self, outputs: Outputs) -> list[dict[str, Any]]:
        """`answer` ("" where it is `refused`), `confidence`, and its `sources`: file, place, characters and sentence."""
        if "found" not in outputs:
            return [{"sources": []} for _ in outputs["vectors"]]
        return [knowing.answer(found, self._rule) for found in knowing.parsed(outputs)]

    def condense(self, outputs: Outputs, truth: Truth) -> Outputs:
        """Of each row what scores are means of."""
        if "found" not in outputs:
            return outputs
        return knowing.condense(outputs, truth, self._rule)

    def score(self, outputs: Outputs, truth: Truth) -> dict[str, float]:
        """All scores; while training those of passages among the rows' own."""
        if "vectors" in outputs:
            keys = np.array([row["keys"] for row in truth], np.int64).reshape(-1, 2)
            ranked = retrieval.score_ranks(retrieval.condense(outputs, keys, grouped=False))
            return {name: ranked.get(name, float("nan")) for name in self.directions}
        return knowing.score(self.condense(outputs, truth), list(self.directions))

    def how_scored(self, truth: Truth) -> Mapping[str, str]:
        """How passages were searched, and what counts as found, cited and refused."""
        found = {"ndcg_10": f"among all passages; {self.searched}"}
        return found if not self.reads else {"answer_f1": knowing.SAID[self.form]} | found | knowing.HOW

    def sections(self) -> Mapping[str, Sequence[str]]:
        """A table each for answers, passages, and what is cited and refused."""
        return knowing.SECTIONS if self.reads else {}

    def grade(self, outputs: Outputs, truth: Truth) -> Graded | None:
        """Rows with their answer and its source."""
        return knowing.grade(outputs, truth, self._rule) if "found" in outputs else None

    def baselines(self, train: Table, rows: Table) -> dict[str, Outputs]:
        """BM25 over the same passages, with the sentence that shares most words with the question."""
        library, questions = self.library(rows), [tokens.as_text(cell) for cell in rows.column(self.question)]
        own = [asking.owners(cell) for cell in rows.column(asking.TRUTH)]
        found = lexical.found(library, questions, own, self.read if self.reads else 0, self.by == "cmrc")
        return {"BM25 and the sentence that shares most words" if self.reads else "BM25": {"found": objects(found)}}

    @staticmethod
    def sample(n: int, seed: int) -> list[dict[str, Any]]:
        """What was the film, the book...? Short texts of two sentences; the last of six questions has no answer."""
        rng = np.random.default_rng(seed)
        things, words = ["film", "book", "meal", "room", "service"], ["good", "bad", "nice", "dull", "warm", "cold", "great", "poor"]
        return [_toy(rng.permutation(things).tolist(), rng.permutation(words).tolist(), row) for row in range(n)]

    # -- documents ----------------------------------------------------------------------------------------------------

    def at(self, folder: Path) -> Self:
        """The task of a saved model: its documents are those in the model's folder."""
        return self.settle(store=str(folder / "store"))

    def library(self, table: Table) -> Library:
        """The documents in passages: a finished run's own, those of `documents`, or those that rows bring along."""
        if self.store:
            return passages.opened(self.store)
        return passages.library(self._documents(table), self.passage, self.overlap)

    def _documents(self, table: Table) -> Any:
        from ..data.documents import read

        if self.documents:
            return read(self.documents, Data(encoding=self.documents_encoding), text=self.documents_text, name=self.documents_id)
        table.require([self._context or "context"])
        return asking.own_documents(table, self._columns)

    @property
    def _context(self) -> str:
        return "" if self.documents else self.context

    @property
    def _columns(self) -> asking.Columns:
        return asking.Columns(self.question, self.answer, self.answer_start, self.document, self._context)

    @cached_property
    def retriever(self) -> Any:
        """The task of the model that is tuned here: vectors by which questions find passages."""
        kept = {name: getattr(self, name) for name in ("tokens_kept", "tokens_why", "cut_share")}
        named = {"anchor": self.question, "positive": asking.PASSAGE, "negative": asking.DISTRACTOR}
        asked = {"temperature": self.temperature, "mined": self.mined, "max_tokens": self.max_tokens}
        return TASKS.load("embedding").build(named | asked, "embedding").settle(**kept)

    @property
    def _rule(self) -> knowing.Rule | None:
        return knowing.Rule(self.step, self.weights, self.bias, self.threshold, self.by, self.form) if self.reads else None


def _letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int32)


def _text(letters: np.ndarray) -> str:
    """Behind the text stand zeros."""
    return letters[letters > 0].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _toy(things: list[str], words: list[str], row: int) -> dict[str, Any]:
    said = [f"The {thing} was {word}." for thing, word in zip(things[:3], words)]
    name, silent = f"visit {row // 2}", row % 6 == 5
    asked = f"how was the {things[4 if silent else 1]} on {name}"
    return {"question": asked, "context": f"On {name}: {' '.join(said)}", "answers": "" if silent else words[1]}


task = KnowledgeQa
