"""What answers beside the tuned weights: documents in passages, their vectors by the tuned model, full text, and a reader.

    model/store/    passages.arrow  vectors.npy  words*.npy  words.json  store.json
    model/reader/   a model of its own: one that points at stretches (extractive-qa), or one that writes (a language model)

Both searches are joined by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), each with a weight: 1 / (60 + rank) of the
vectors' rank times `weight`, of BM25's times the rest.

Axes: B questions, P passages, D features, K hits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from .data.table import Table
from .disk import write_json
from .inference import encode, infer, pad_id
from .parts import answers, bm25, citing, lexical, reading, sentences
from .parts.passages import Library, opened
from .registry import TASKS
from .task import Task

if TYPE_CHECKING:
    from torch import nn

STORE, READER = "store", "reader"
RANKED = 100
"""Passages of each search that are joined."""
HITS = 20
"""Passages that are kept: recall@20 looks no further."""
FUSION = 60
NEAREST = 3
"""Hits of which the nearest sentence is shown."""
SPANS = 2
"""Stretches of a passage that are kept."""
BLOCK = 65_536
MICRO_TOKENS = 4096


@final
@dataclass(frozen=True)
class Reader:
    """A model that reads passages. `writes`: whether it writes an answer, rather than pointing at one."""

    task: Task
    model: nn.Module
    processor: Any
    writes: bool = False


@final
@dataclass(frozen=True)
class Shelf:
    """A library, the vectors of its passages, how much these weigh, and who reads how many passages."""

    library: Library
    vectors_PD: np.ndarray
    weight: float = 0.5
    reader: Reader | None = None
    read: int = 5

    # -- search -------------------------------------------------------------------------------------------------------

    def ranked(self, questions: Sequence[str], vectors_BD: np.ndarray, without: Sequence[Iterable[str]] = ()) -> list[list[list[Any]]]:
        """For each question its hits, best first: [passage, score, cosine, BM25]. `without`: documents that are left out for it."""
        cosine_BP = self._cosines(np.asarray(vectors_BD, np.float32))
        found = []
        for row, question in enumerate(questions):
            out = [at for name in (without[row] if without else ()) for at in self.library.passages.rows.get(name, ())]
            found.append(self._joined(cosine_BP[row], self.library.index.scores(question), out))
        return found

    def _cosines(self, vectors_BD: np.ndarray) -> np.ndarray:
        blocks = range(0, len(self.vectors_PD), BLOCK)
        return np.concatenate([vectors_BD @ self.vectors_PD[at : at + BLOCK].astype(np.float32).T for at in blocks], 1)

    def _joined(self, cosine_P: np.ndarray, words_P: np.ndarray, out: Sequence[int]) -> list[list[Any]]:
        kept_P = np.ones(len(cosine_P), bool)
        kept_P[list(out)] = False
        near = bm25.best(np.where(kept_P, cosine_P, -np.inf), RANKED, -np.inf) if self.weight else np.zeros(0, np.int64)
        said = bm25.best(np.where(kept_P, words_P, 0.0), RANKED, 0.0) if self.weight < 1 else np.zeros(0, np.int64)
        score_P = np.zeros(len(cosine_P))
        for places, share in ((near, self.weight), (said, 1 - self.weight)):
            score_P[places] += share / (FUSION + 1 + np.arange(len(places)))
        return [
            [int(at), round(float(score_P[at]), 6), round(float(cosine_P[at]), 5), round(float(words_P[at]), 4)]
            for at in bm25.best(score_P, HITS, 0.0)
        ]

    # -- answers ------------------------------------------------------------------------------------------------------

    def found(self, questions: Sequence[str], vectors_BD: np.ndarray, own: Sequence[Sequence[str]] | None = None) -> list[str]:
        """What `parts.knowing` decides on, a JSON text for each question. `own`: documents known to hold the answer, which are once left
        out to see what is said where there is none."""
        ranked = self.ranked(questions, vectors_BD)
        told = [row for row, names in enumerate(own or ()) if names]
        found = [self._hits(question, hits) for question, hits in zip(questions, ranked)]
        if self.reader is not None:
            hidden = self.ranked([questions[row] for row in told], vectors_BD[told], [own[row] for row in told]) if told and own else []
            asked = [(question, hits[: self.read]) for question, hits in zip(questions, ranked)]
            asked += [(questions[row], hits[: self.read]) for row, hits in zip(told, hidden)]
            said = self._written(asked) if self.reader.writes else self._pointed(asked)
            for one, answer in zip(found, said):
                one |= {"reply": answer} if self.reader.writes else {"spans": answer}
            for row, answer in zip(told, said[len(questions) :]):
                found[row]["hidden"] = answer
        return [json.dumps(one, ensure_ascii=False) for one in found]

    def _hits(self, question: str, hits: Sequence[Sequence[Any]]) -> dict[str, Any]:
        passages = self.library.passages
        nearest = [self._nearest(question, passages.text(hit[0])) for hit in hits[:NEAREST]] + [""] * len(hits[NEAREST:])
        rows = [
            [passages.documents[at], passages.place(at), *passages.spans_P2[at].tolist(), *scores, text]
            for (at, *scores), text in zip(hits, nearest)
        ]
        return {"hits": rows, "spans": [], "hidden": None, "reply": None, "read": min(self.read, len(hits)) if self.reader else 0}

    def _nearest(self, question: str, text: str) -> str:
        """The sentence that shares most words with the question."""
        (span, _), *_ = sentences.most_shared([question], [text], self._by_character)
        return text[slice(*span)] if span else ""

    @cached_property
    def _by_character(self) -> bool:
        some = range(0, len(self.library.passages), max(1, len(self.library.passages) // 50))
        return answers.rule_for(self.library.passages.text(at) for at in some) == "cmrc"

    def _pointed(self, asked: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> list[list[list[Any]]]:
        """For each question stretches of its passages, and of each passage the sentence nearest to the question."""
        passages = self.library.passages
        pairs = dict.fromkeys((question, hit[0]) for question, hits in asked for hit in hits)
        told = dict(zip(pairs, self._spans([(question, passages.text(at)) for question, at in pairs])))
        found = []
        for question, hits in asked:
            spans = []
            for at, hit in enumerate(hits):
                text, base = passages.text(hit[0]), int(passages.spans_P2[hit[0], 0])
                for start, end, odds in told[question, hit[0]]:
                    spans.append([at, base + start, base + end, text[start:end], odds, _around(text, start, end), hit[2]])
                spans.append(lexical.sentence(at, text, base, question, self._by_character, hit[2]))
            found.append(spans)
        return found

    def _spans(self, pairs: Sequence[tuple[str, str]]) -> list[list[tuple[int, int, float]]]:
        """The best stretches of each (question, text): from, to, odds against no answer."""
        if not pairs or self.reader is None:
            return []
        task: Any = self.reader.task
        table = Table.of({task.question: [q for q, _ in pairs], task.context: [text for _, text in pairs]})
        model, processor = self.reader.model, self.reader.processor
        outputs = infer(task, model, encode(task, processor, table), pad=pad_id(processor), micro_tokens=MICRO_TOKENS)
        best = [one.spans for one in reading.decide(outputs, task.longest, None, task.worded)]
        return [
            [(int(s), int(e), round(float(o), 5)) for s, e, o in zip(one.start_K[:SPANS], one.end_K[:SPANS], one.odds_K[:SPANS])]
            for one in best
        ]

    def _written(self, asked: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> list[dict[str, Any]]:
        """For each question a written answer and the hits that it names."""
        assert self.reader is not None
        passages = self.library.passages
        told = [(question, [passages.text(hit[0]) for hit in hits]) for question, hits in asked]
        return [citing.write(self.reader.model, self.reader.processor, *one) for one in told]

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the store, and the reader as a folder of its own, into a model's folder."""
        from .models.save import save

        store = folder / STORE
        store.mkdir(parents=True, exist_ok=True)
        self.library.passages.save(store)
        self.library.index.save(store)
        np.save(store / "vectors.npy", self.vectors_PD, allow_pickle=False)
        write_json(store / "store.json", {"weight": self.weight, "read": self.read, "passages": len(self.library.passages)})
        if self.reader is not None:
            save(self.reader.model, self.reader.processor, folder / READER)
            name = "text-generation" if self.reader.writes else "extractive-qa"
            write_json(folder / READER / "task.json", {"name": name, "values": self.reader.task.as_json()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote, memory-mapped where it is large."""
        store = folder / STORE
        told = json.loads((store / "store.json").read_text("utf-8"))
        vectors_PD = np.load(store / "vectors.npy", mmap_mode="r", allow_pickle=False)
        reader = load_reader(folder / READER) if (folder / READER).is_dir() else None
        return cls(opened(str(store)), vectors_PD, float(told["weight"]), reader, int(told["read"]))

    def weighing(self, weight: float) -> Shelf:
        """The same with another weight of the vectors."""
        return replace(self, weight=weight)


def _around(text: str, start: int, end: int) -> str:
    """The sentences that hold a stretch."""
    spans = [span for span in sentences.split(text) if span[0] < end and span[1] > start]
    return text[spans[0][0] : spans[-1][1]] if spans else text[start:end]


def load_reader(folder: Path) -> Reader:
    """The reader in a folder, and the task that it was tuned for. Raises ModelError where files are damaged."""
    from .models.save import load_model, load_processor

    saved = json.loads((folder / "task.json").read_text("utf-8"))
    task = TASKS.load(saved["name"]).from_json(saved["values"])
    return Reader(task, load_model(folder, task), load_processor(folder), bool(task.writes))


def embed(task: Task, model: nn.Module, processor: Any, texts: Sequence[str], micro_tokens: int) -> np.ndarray:
    """(P, D) float16 vectors of length 1 of passages, by the model as it stands: as read by the task's own first input."""
    parts = []
    for start in range(0, len(texts), 8 * 1024):
        encoded = encode(task, processor, Table.of({task.columns(task.inputs)[0]: list(texts[start : start + 8 * 1024])}))
        parts.append(infer(task, model, encoded, pad=pad_id(processor), micro_tokens=micro_tokens)["vectors"][:, 0].astype(np.float16))
    return np.concatenate(parts)
