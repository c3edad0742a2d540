"""Documents to look things up in: every text, Markdown, HTML and PDF file of a folder and of the folders in it, every row of its tables;
or the rows of one table.

A document keeps its name (`guides/fees.md`, `faq.csv, row 3`, or what an id column says) and where its pages or parts begin.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from ..errors import DataError, TunesmithError, listing, nearest
from ..spec import Data
from . import markup, pages
from .encoding import open_text
from .finding import LISTED, Finding, count
from .folder import _natural
from .ledger import Ledger
from .source import READABLE, Source
from .table import Table

PLAIN, MARKDOWN, HTML, PDF = (".txt", ".text", ".rst"), (".md", ".markdown"), (".html", ".htm", ".xhtml"), ".pdf"
ROWS = tuple(suffix for suffix in READABLE if suffix not in PLAIN)
MOST_FILES = 200_000
MOST_CHARACTERS = 64 << 20
"""Characters of one document."""
MOST_IN_ALL = 4 << 30
"""Characters of all documents."""
ID_NAMES = ("id", "document_id", "doc_id", "docid", "docno", "pid", "document", "name", "title", "url", "file")
TEXT_NAMES = ("text", "document_text", "content", "body", "passage", "context", "abstract", "document", "article", "paragraph", "answer")
SEEN = 50
"""Rows by which the column with the texts is told."""


@final
@dataclass(frozen=True)
class Document:
    """One document. `marks`: where a page or part begins, and what it is called, in order."""

    name: str
    text: str
    marks: tuple[tuple[int, str], ...] = ()

    def place(self, at: int) -> str:
        """The page or part in which a character stands; empty where there is none."""
        before = bisect.bisect_right([start for start, _ in self.marks], at)
        return self.marks[before - 1][1] if before else ""


@final
@dataclass(frozen=True)
class Documents:
    """All documents, in order, and what is to be said of them."""

    of: tuple[Document, ...]
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """SHA-256 of names and contents (64 hex digits)."""
        whole = hashlib.sha256()
        for document in self.of:
            for part in (document.name, document.text):
                whole.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
        return whole.hexdigest()


def read(path: str, options: Data, *, text: str = "", name: str = "") -> Documents:
    """The documents of a folder or a table. `text`, `name`: columns of a table that hold the texts and what they are called.

    Raises DataError for a path that is none, a file that cannot be read, and where there is no text at all. Read once per process.
    """
    found = Path(path).expanduser()
    try:
        stamp = tuple(_stamps(found)) if found.is_dir() else (os.stat(found).st_mtime_ns, os.stat(found).st_size)
    except OSError:
        fix = "give a folder of texts, Markdown, HTML, PDF or tables, or one table"
        raise DataError(path, expected="a folder with documents, or a table of them", got="nothing there", fix=fix,
            code="no-documents") from None  # fmt: skip
    try:
        return _read(str(found), options.model_dump_json(), text, name, stamp)
    except DataError as error:  # documents have an encoding of their own
        fix = error.fix.replace("--encoding ", "--option documents_encoding=")
        raise DataError(error.place, expected=error.expected, got=error.got, fix=fix, code=error.code) from None


@lru_cache(maxsize=4)
def _read(path: str, options: str, text: str, name: str, stamp: Any) -> Documents:
    chosen = Data.model_validate_json(options)
    root = Path(path)
    if root.is_dir():
        made, notes = _folder(root, chosen, text, name)
    elif root.name.lower().removesuffix(".gz").endswith(ROWS):
        made, notes = list(_rows(root, root.name, chosen, text, name)), []
    else:
        made, notes = _files([(root, root.name)], chosen), []
    return _sound(made, path, notes)


def of_texts(texts: Iterable[tuple[str, str]]) -> Documents:
    """Documents of (name, text), each name once."""
    return Documents(tuple(Document(name, text) for name, text in dict(texts).items() if text.strip()))


def _sound(made: Sequence[Document], path: str, notes: Sequence[str]) -> Documents:
    """Documents that have a text; which have none is said. Raises DataError where nothing is left or names are doubled."""
    kept = [document for document in made if document.text.strip()]
    empty = [document.name for document in made if not document.text.strip()]
    if not kept:
        got = f"{count(len(empty), 'document')} without one character of text ({listing(empty)})" if empty else "none"
        fix = "put texts, Markdown, HTML, PDF or tables there; scanned pages need text recognition first"
        raise DataError(path, expected="documents with text", got=got, fix=fix, code="no-documents")
    _refuse_doubled(kept, path)
    if sum(len(document.text) for document in kept) > MOST_IN_ALL:
        raise DataError(path, expected=f"at most {MOST_IN_ALL:,} characters in all", got="more", fix="leave some out", code="too-large")
    findings = list[Finding]()
    if empty:
        message = f"{count(len(empty), 'document')} without text, which no question can find (scanned pages?)"
        findings.append(Finding("warning", "empty-document", message, tuple(empty[:LISTED]), "recognise their text, or take them out"))
    return Documents(tuple(kept), tuple(findings), tuple(notes))


def _refuse_doubled(made: Sequence[Document], path: str) -> None:
    seen = set[str]()
    for document in made:
        if document.name in seen:
            raise DataError(path, expected="a name of its own for each document", got=f"two called {document.name!r}",
                fix="rename one, or name another column with `documents_id`", code="same-document")  # fmt: skip
        seen.add(document.name)


# -- folders ----------------------------------------------------------------------------------------------------------


def _stamps(root: Path) -> Iterator[tuple[str, int, int]]:
    for path in _walk(root):
        entry = path.lstat()
        yield str(path), entry.st_mtime_ns, entry.st_size


def _walk(root: Path) -> Iterator[Path]:
    """Files and links below a folder in the order of their names, hidden ones left out. Linked folders are given, not entered."""
    seen = 0
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = sorted((name for name in folders if not name.startswith(".") and name not in links), key=_natural)
        for name in sorted([*files, *links], key=_natural):
            if not name.startswith("."):
                seen += 1
                yield Path(folder, name)
        if seen > MOST_FILES:
            raise DataError(str(root), expected=f"at most {MOST_FILES:,} files", got="more", fix="join some", code="too-many-files")


def _folder(root: Path, options: Data, text: str, name: str) -> tuple[list[Document], list[str]]:
    """All documents of a folder, in the order of their names."""
    kinds = (*PLAIN, *MARKDOWN, *HTML, PDF)
    files, tables, others = list[tuple[Path, str]](), list[tuple[Path, str]](), list[str]()
    for path in _walk(root):
        shown = path.relative_to(root).as_posix()
        _refuse_odd(path, shown, root)
        end = path.name.lower()
        if end.endswith(kinds):
            files.append((path, shown))
        elif end.removesuffix(".gz").endswith(ROWS):
            tables.append((path, shown))
        else:
            others.append(shown)
    made = _files(files, options)
    made += [document for path, shown in tables for document in _rows(path, shown, options, text, name, folder=True)]
    return made, [f"documents: passed over {len(others):,} files of other kinds: {listing(others)}"] if others else []


def _refuse_odd(path: Path, shown: str, root: Path) -> None:
    """Raises DataError for a link that leads out of the folder or to a folder, and for what is no plain file."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise DataError(shown, expected=f"a file inside {root}", got="a link that leads out of it", fix="put the file itself there",
            code="outside-folder")  # fmt: skip
    if not path.exists() or not stat.S_ISREG(path.stat().st_mode):
        raise DataError(shown, expected="a plain file", got="a link to nothing or to a folder, or a pipe or device", fix="take it out",
            code="not-a-file")  # fmt: skip


def _files(files: Sequence[tuple[Path, str]], options: Data) -> list[Document]:
    found = {shown: _marked(path, shown, options) for path, shown in files if not path.name.lower().endswith(PDF)}
    printed = [(path, shown) for path, shown in files if path.name.lower().endswith(PDF)]
    for (_, shown), one in zip(printed, pages.read([path for path, _ in printed], [shown for _, shown in printed])):
        if isinstance(one, DataError):
            raise one
        found[shown] = _paged(shown, one)
    return [found[shown] for _, shown in files]


def _marked(path: Path, shown: str, options: Data) -> Document:
    if path.stat().st_size > 4 * MOST_CHARACTERS:
        raise _too_long(shown)
    text = open_text(Source(shown, path, path.suffix.lower()), options.encoding).all() if path.stat().st_size else ""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    end = path.name.lower()
    headings: list[markup.Heading] = []
    if end.endswith(HTML):
        text, headings = markup.html(text)
    elif end.endswith(MARKDOWN):
        text, headings = markup.markdown(text)
    if len(text) > MOST_CHARACTERS:
        raise _too_long(shown)
    return Document(shown, text, tuple(headings))


def _too_long(shown: str) -> DataError:
    return DataError(shown, expected=f"a document of at most {MOST_CHARACTERS:,} characters", got="a longer one", fix="cut it",
        code="field-over-limit")  # fmt: skip


def _paged(shown: str, texts: Sequence[str]) -> Document:
    marks, text = list[tuple[int, str]](), ""
    parts = list[str]()
    size = 0
    for number, text in enumerate(texts, 1):
        marks.append((size, f"page {number}"))
        parts.append(text.rstrip() + "\n\n")
        size += len(parts[-1])
    return Document(shown, "".join(parts), tuple(marks))


# -- tables -----------------------------------------------------------------------------------------------------------


def _rows(path: Path, shown: str, options: Data, text: str, name: str, folder: bool = False) -> Iterator[Document]:
    """A document for each row of a table that has a text."""
    from .read import read as read_table

    try:
        table = read_table(str(path), options.model_copy(update={"limit": None}), Ledger())
    except TunesmithError as error:
        if not isinstance(error, DataError):
            raise
        raise DataError(f"{shown} (documents): {error.place}", expected=error.expected, got=error.got, fix=error.fix,
            code=error.code) from None  # fmt: skip
    column = _text_column(table, text, shown, strict=not folder)
    named = _id_column(table, column, name, shown, strict=not folder)
    cells = table.column(named) if named else [None] * len(table)
    for at, (cell, own) in enumerate(zip(table.column(column), cells)):
        label = f"{shown}, row {at + 1}" if own is None else f"{shown}: {own}" if folder else str(own)
        yield Document(label, "" if cell is None else str(cell).replace("\r\n", "\n"))


def _text_column(table: Table, asked: str, shown: str, strict: bool) -> str:
    """The column with the texts: as named, of a usual name, or that with the longest cells."""
    if asked and (strict or asked in table.names):
        table.require([asked])
        return asked
    part = table.take(range(min(SEEN, len(table))))
    sizes = {one: sum(len(cell) for cell in part.column(one) if isinstance(cell, str)) for one in table.names}
    usual = [one for wanted in TEXT_NAMES for one in table.names if one.lower() == wanted and sizes[one]]
    if not any(sizes.values()):
        raise DataError(shown, expected="a table with a column of texts", got=f"the columns {listing(list(table.names))}",
            fix="name it: --option documents_text=COLUMN", code="no-text")  # fmt: skip
    return usual[0] if usual else max(sizes, key=lambda one: sizes[one])


def _id_column(table: Table, text: str, asked: str, shown: str, strict: bool) -> str:
    """The column whose cells name the documents: as named, or of a usual name where no cell is empty or stands twice."""
    if asked and strict and asked not in table.names:
        raise DataError(shown, expected=f"a column {asked!r}", got=f"the columns {listing(list(table.names))}",
            fix=nearest(asked, table.names), code="unknown-column")  # fmt: skip
    if asked in table.names:
        return asked
    usual = [one for wanted in ID_NAMES for one in table.names if one.lower() == wanted and one != text]
    return next((one for one in usual if _names_rows(table.column(one))), "")


def _names_rows(cells: Sequence[Any]) -> bool:
    return None not in cells and len(set(map(str, cells))) == len(cells)
