"""Documents in passages: overlapping stretches that end where a paragraph or a sentence does, and that know their place.

Axes: P passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self, final

import numpy as np
import pyarrow as pa

from ..data import duplicates
from ..data.documents import Document, Documents
from . import sentences
from .answers import Answer, Span, occurrences
from .bm25 import Index

PARAGRAPH = 0.6
"""A passage that is so full ends at a paragraph's end rather than go on."""
NEAR = 0.9
"""Jaccard similarity from which two passages are told to say nearly the same."""
FILE = "passages.arrow"
COLUMNS = ("document", "place", "start", "end", "text")


@final
@dataclass(frozen=True)
class Passages:
    """P passages of documents, in order: whose, where, from which character to which, and their words."""

    table: pa.Table

    @classmethod
    def of(cls, documents: Documents, size: int, overlap: int) -> Self:
        """Cut all documents. `size`: most characters of a passage; `overlap`: how many of them the next one may hold again."""
        rows = [(d.name, d.place(start), start, end, d.text[start:end]) for d in documents.of for start, end in cut(d.text, size, overlap)]
        columns = list(zip(*rows)) or [()] * 5
        kinds = (pa.large_string(), pa.large_string(), pa.int64(), pa.int64(), pa.large_string())
        return cls(pa.table({name: pa.array(cells, kind) for name, cells, kind in zip(COLUMNS, columns, kinds)}))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def documents(self) -> list[str]:
        """(P,) names of documents."""
        return list(self.table.column("document").to_pylist())

    @cached_property
    def spans_P2(self) -> np.ndarray:
        """First character in the document, and the one behind the last."""
        return np.stack([self.table.column(name).to_numpy() for name in ("start", "end")], 1)

    @cached_property
    def rows(self) -> dict[str, range]:
        """Document -> its passages."""
        found: dict[str, range] = {}
        for at, name in enumerate(self.documents):
            found[name] = range(found[name].start if name in found else at, at + 1)
        return found

    def text(self, at: int) -> str:
        """A passage's words."""
        return str(self.table.column("text")[at].as_py())

    def place(self, at: int) -> str:
        """The page or part of its document in which a passage begins; empty where there is none."""
        return str(self.table.column("place")[at].as_py())

    def texts(self) -> list[str]:
        """(P,) words of all passages."""
        return list(self.table.column("text").to_pylist())

    def save(self, folder: Path) -> None:
        """An Arrow file."""
        with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, self.table.schema) as writer:
            writer.write_table(self.table)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote, memory-mapped."""
        return cls(pa.ipc.open_file(pa.memory_map(str(folder / FILE))).read_all())


@final
@dataclass(frozen=True)
class Library:
    """Documents, their passages, and the full-text index of these."""

    passages: Passages
    index: Index
    documents: Documents | None = None
    """Whole documents, while they are at hand: a finished run keeps passages."""

    def holding(self, span: Span, name: str) -> list[int]:
        """Passages that hold at least half of a stretch of a document."""
        start, end = span
        rows = self.passages.rows.get(name, range(0))
        spans_R2 = self.passages.spans_P2[rows.start : rows.stop]
        shared_R = np.minimum(spans_R2[:, 1], end) - np.maximum(spans_R2[:, 0], start)
        return [rows.start + int(at) for at in np.flatnonzero(2 * shared_R >= max(end - start, 1))]

    @cached_property
    def names(self) -> dict[str, str]:
        """What rows may call a document by -> its name: the name itself, without folders, without ending; none that is two documents'."""
        found: dict[str, str] = {}
        doubtful = set[str]()
        for name in self.passages.rows:
            for short in {name.rpartition("/")[2], name.rpartition(".")[0], name.rpartition("/")[2].rpartition(".")[0]} - {"", name}:
                doubtful |= {short} if short in found else set()
                found[short] = name
        return {short: name for short, name in found.items() if short not in doubtful} | {name: name for name in self.passages.rows}

    @cached_property
    def _texts(self) -> dict[str, Document]:
        return {one.name: one for one in self.documents.of} if self.documents else {}

    def document(self, name: str) -> Document:
        """A document by its name."""
        if name not in self._texts:
            self._texts[name] = Document(name, self._joined(name))
        return self._texts[name]

    def all(self) -> list[Document]:
        """All documents."""
        return [self.document(name) for name in self.passages.rows]

    def _joined(self, name: str) -> str:
        """A document's text, put together from its passages (what lies between these is white space)."""
        rows = self.passages.rows.get(name, range(0))
        parts, size = list[str](), 0
        for at in rows:
            start, end = self.passages.spans_P2[at].tolist()
            if end > size:
                parts.append(" " * max(start - size, 0) + self.passages.text(at)[max(size - start, 0) :])
                size = end
        return "".join(parts)


@lru_cache(maxsize=4)
def library(documents: Documents, size: int, overlap: int) -> Library:
    """The library of these documents; made once per process."""
    passages = Passages.of(documents, size, overlap)
    return Library(passages, Index.of(passages.texts()), documents)


@lru_cache(maxsize=4)
def opened(folder: str) -> Library:
    """The library that a run keeps."""
    return Library(Passages.load(Path(folder)), Index.load(Path(folder)))


def repeated(passages: Passages) -> tuple[int, int]:
    """How many passages say the same as an earlier one, and how many further ones nearly the same. Overlap does not count: passages of one
    document share less than that."""
    found = duplicates.find(passages.texts(), NEAR)
    return found.exact, found.near


# -- cutting ----------------------------------------------------------------------------------------------------------


def cut(text: str, size: int, overlap: int) -> list[Span]:
    """Stretches of at most `size` characters that together hold all words of the text, outer space left out."""
    units = list(_units(text, size))
    found, at = list[Span](), 0
    while at < len(units):
        stop = _stop(text, units, at, size)
        found.append((units[at][0], units[stop - 1][1]))
        if stop == len(units):
            break
        back = [i for i in range(at + 1, stop) if units[stop - 1][1] - units[i][0] <= overlap and units[stop][1] - units[i][0] <= size]
        at = back[0] if back and "\n\n" not in text[units[stop - 1][1] : units[stop][0]] else stop
    return found


def _stop(text: str, units: Sequence[Span], at: int, size: int) -> int:
    """The unit behind the last one of a passage: as many as fit, up to a paragraph's end where that leaves it full enough."""
    stop = at + 1
    while stop < len(units) and units[stop][1] - units[at][0] <= size:
        stop += 1
    if stop == len(units):
        return stop
    for end in range(stop, at, -1):
        full = units[end - 1][1] - units[at][0] >= PARAGRAPH * size
        if full and "\n\n" in text[units[end - 1][1] : units[end][0]]:
            return end
    return stop


def _units(text: str, size: int) -> Iterator[Span]:
    """Sentences; longer ones than a passage in pieces that end at a space where there is one."""
    for start, end in sentences.split(text):
        while end - start > size:
            space = text.rfind(" ", start + size // 2, start + size)
            stop = space if space > 0 else start + size
            yield start, stop
            start = stop + len(text[stop:end]) - len(text[stop:end].lstrip())
        if start < end:
            yield start, end


# -- places -----------------------------------------------------------------------------------------------------------


def located(documents: Iterable[Document], answer: Answer) -> list[tuple[str, int, int]]:
    """Where an answer stands in these documents: at its offset, else wherever its words do; where nowhere, white space aside."""
    found: list[tuple[str, int, int]] = []
    of = list(documents)
    for one in of:
        at = answer.start
        if at is not None and at >= 0 and one.text[at : at + len(answer.text)] == answer.text:
            return [(one.name, at, at + len(answer.text))]
        found += [(one.name, start, start + len(answer.text)) for start in occurrences(one.text, answer.text)]
    return found or [(one.name, *span) for one in of for span in _loosely(one.text, answer.text)]


def _loosely(text: str, answer: str) -> list[Span]:
    bare, kept = _bare(text)
    wanted = "".join(answer.split())
    return [(int(kept[at]), int(kept[at + len(wanted) - 1]) + 1) for at in occurrences(bare, wanted)] if wanted else []


@lru_cache(maxsize=512)
def _bare(text: str) -> tuple[str, np.ndarray]:
    """A text without white space, and where its characters stood."""
    kept = np.array([at for at, character in enumerate(text) if not character.isspace()], np.int32)
    return "".join(text.split()), kept
