"""CSV and its kin, to the letter: every row that is not loaded is named, no cell is changed.

Rows are parsed by the standard library's strict parser, line by line, because a message needs the line and cells must
keep their bytes. (DuckDB 2.0 reads the same file 2.3 times as fast, but drops a cell where CR, LF and CRLF are mixed,
and takes the first row of a file without header for names.)
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, final

import pyarrow as pa

from ..errors import DataError, listing, shorten
from ..spec import Data
from . import bare
from .cells import normalise
from .dialect import Dialect, check_names, has_header, names_of, sniff
from .encoding import MAX_LINE, Text, open_text
from .finding import count
from .numbers import Numbers
from .source import Loaded, Skip, Source
from .spool import LARGE, Spool

MAX_RETRIES = 1000
"""Broken quotes in one file after which reading on would be guesswork."""


def load(source: Source, options: Data, spool: Spool) -> Loaded:
    """The rows of a delimited text file.

    Raises DataError for bytes that do not fit the encoding, rows with a cell too many or too few, quotes that do not
    close (each with its line; with `bad_rows: skip`, such rows are left out and listed), doubtful delimiters, no rows.
    """
    text = open_text(source, options.encoding)
    dialect, sample = sniff(text, options.delimiter)
    try:
        return _load(text, dialect, sample, options, spool)
    except DataError as error:
        # Tabs and pipes part cells with and without quotes as marks: what the sample did not show, the whole file may.
        if dialect.delimiter not in "\t|" or error.code not in ("ragged-row", "bad-quotes", "unclosed-quote"):
            raise
        spool.clear()
        other = replace(dialect, quote="" if dialect.quote else '"')
        with contextlib.suppress(DataError):
            return _load(text, other, sample, options, spool)
        raise


def _load(text: Text, dialect: Dialect, sample: list[list[str]], options: Data, spool: Spool) -> Loaded:
    source = text.source
    headed = has_header(sample, options.header)
    names = names_of(sample[0], headed)
    check_names(names, source.name)
    if source.path.stat().st_size > LARGE and dialect.quote:
        _check_last_quote(text, dialect)
    rows = _Rows(text, dialect, len(names), skip_bad=options.bad_rows == "skip")
    table = _collect(rows, names, headed, spool)
    if not table.num_rows:
        raise _no_rows(source, headed, rows)
    return Loaded(table, headed, _notes(text, dialect, headed, names, rows.blank), tuple(rows.skipped))


def _collect(rows: _Rows, names: list[str], headed: bool, spool: Spool) -> pa.Table:
    numbers = Numbers(names)
    for batch in rows.batches(headed):
        columns = [bare.texts(cells) for cells in zip(*batch)]
        table = normalise(pa.table(columns, names=names))
        numbers.watch(table)
        spool.add(table)
    return spool.finish(numbers.cast)


def _no_rows(source: Source, headed: bool, rows: _Rows) -> DataError:
    got = "0 rows: a header only" if headed else "0 rows"
    if rows.skipped:
        got = f"0 rows: {len(rows.skipped):,} could not be read ({rows.skipped[0].why})"
    return DataError(source.name, expected="rows", got=got, fix="check the file", code="no-rows")


def _notes(text: Text, dialect: Dialect, headed: bool, names: list[str], blank: int) -> tuple[str, ...]:
    header = "the first line names the columns" if headed else f"no header: columns are called {listing(names, 4)}"
    blanks = f"{blank:,} empty lines passed over" if blank else ""
    comments = f"{count(dialect.comments, 'comment')} (#) above the rows passed over" if dialect.comments else ""
    return tuple(filter(None, ["; ".join(filter(None, [text.note, dialect.words, header])), comments, blanks]))


@final
class _Rows:
    """Rows of one file, checked against the number of columns. Counts what it leaves out."""

    def __init__(self, text: Text, dialect: Dialect, width: int, *, skip_bad: bool) -> None:
        self._name, self._dialect, self._width, self._skip_bad = text.source.name, dialect, width, skip_bad
        self._lines = _Lines(text, dialect.skip)
        self.skipped: list[Skip] = []
        self.blank = 0
        self._row = 0
        self._retries = 0

    def batches(self, headed: bool) -> Iterator[list[list[str]]]:
        """Lists of rows after the header, a few megabytes each."""
        self._row = -1 if headed else 0
        while self._lines.window or self._lines.more():
            names = self._row < 0
            batch = self._at_once()
            if batch is None:
                batch = list(self._one_by_one())
            if rows := batch[1:] if names else batch:
                yield rows

    def _at_once(self) -> list[list[str]] | None:
        """The rows of the lines at hand, where nothing is wrong with any of them; None: look at them one by one."""
        lines = self._lines.window
        try:
            batch = list(self._dialect.rows(iter(lines)))
        except csv.Error:
            return None
        if set(map(len, batch)) != {self._width}:
            return None
        self._row += len(batch)
        self._lines.passed(len(lines))
        return batch

    def _one_by_one(self) -> Iterator[list[str]]:
        """The rows that begin in the lines at hand; the last may go on beyond them."""
        wanted = len(self._lines.window)
        start = at = 0
        reader = self._reader(start)
        while at < wanted:
            first = at
            try:
                row = next(reader)
            except csv.Error:
                self._broken(first, start + reader.line_num)
                start = at = first + 1
                reader = self._reader(start)
                continue
            at = start + reader.line_num
            if len(row) == self._width:
                self._row += 1
                yield row
            elif not row or len(row) == 1 and not row[0].strip():
                self.blank += 1
            else:
                self._refuse(first, f"{self._width} cells", f"{len(row)}", "ragged-row", shorten(row[-1]))
        self._lines.passed(at)

    def _reader(self, start: int) -> Any:
        return self._dialect.rows(self._lines.feed(start))

    def _broken(self, first: int, end: int) -> None:
        """A row in lines `first` to `end` whose quotes are wrong. Where it may be skipped, only its first line is."""
        record = self._lines.window[first:end]
        open_at_end = self._lines.ended or sum(map(len, record)) >= MAX_LINE
        if open_at_end and not self._skip_bad:
            raise unclosed(self._name, self._lines.number(first) + _opening("".join(record), self._dialect))
        self._refuse(first, "a delimiter after the quote that closes a cell", "more text", "bad-quotes", "")
        self._retries += 1
        if self._retries > MAX_RETRIES:
            raise DataError(
                f"{self._name}, line {self._lines.number(first)}", got="more", code="bad-quotes",
                expected=f"at most {MAX_RETRIES:,} rows with broken quotes", fix="check the quotes of the whole file",
            )

    def _refuse(self, first: int, expected: str, got: str, code: str, value: str) -> None:
        line, row = self._lines.number(first), self._row + 1
        if not self._skip_bad or row < 1:
            shown = f" (the last is {value!r})" if value else ""
            where = f"{self._name}, line {line}" + (f" (row {row})" if row > 0 else " (header)")
            fix = "mend the line, or say --bad-rows skip to leave such rows out and list them"
            raise DataError(where, expected=expected, got=got + shown, fix=fix, code=code)
        self._row += 1
        self.skipped.append(Skip(row, line, f"expected {expected}, got {got}"))


def unclosed(name: str, line: int) -> DataError:
    """The error for a quote that opens and never closes."""
    return DataError(
        f"{name}, line {line}", expected="a closing quote for the quote that opens here",
        got="none before the end of the file (or the limit of a cell)",
        fix='close it, or double it ("") if it is part of the text', code="unclosed-quote",
    )


@final
class _Lines:
    """A window on the file's physical lines: as many as are being looked at."""

    def __init__(self, text: Text, skip: int) -> None:
        self._blocks = text.blocks()
        self.window: list[str] = []
        self.ended = False
        self._before = 0
        self.more()
        self.passed(skip)

    def more(self) -> bool:
        """Take the next block into the window; whether there was one."""
        block = next(self._blocks, [])
        self.window += block
        self.ended = not block
        return bool(block)

    def passed(self, lines: int) -> None:
        """The window's first lines are done with."""
        del self.window[:lines]
        self._before += lines

    def number(self, at: int) -> int:
        """The number in the file (from 1) of the line at this position of the window (from 0)."""
        return self._before + at + 1

    def feed(self, at: int) -> Iterator[str]:
        """Lines from a position of the window on, and those after the window as they are needed."""
        self.ended = False
        while True:
            yield from self.window[at:]
            at = len(self.window)
            if not self.more():
                return


def _opening(text: str, dialect: Dialect) -> int:
    """Line (from 0) of the quote that never closes, in the text of a row."""
    at = 0
    while at >= 0:
        end = _closing(text, at + 1, dialect) if text.startswith(dialect.quote, at) else at
        if end < 0:
            return len(re.findall(r"\r\n|\r|\n", text[:at]))
        at = text.find(dialect.delimiter, end) + 1 or -1
    return 0


def _closing(text: str, at: int, dialect: Dialect) -> int:
    """Where the quote that closes a cell stands; -1 where none does."""
    quote, escape = dialect.quote, "\\" if dialect.backslash else dialect.quote
    while (at := text.find(quote, at)) >= 0:
        if escape == quote and not text.startswith(quote, at + 1) or escape != quote and text[at - 1] != escape:
            return at + 1
        at += 2 if escape == quote else 1
    return -1


def _check_last_quote(text: Text, dialect: Dialect) -> None:
    """Quick refusal of a large file with an odd number of quotes, the last of which opens a cell: it never closes."""
    if text.codec not in ("utf-8", "utf-8-sig"):
        return
    quote, opens = dialect.quote.encode(), (dialect.delimiter.encode(), b"\n", b"\r")
    count = done = 0
    last, before, tail = -1, b"", b""
    with open(text.source.path, "rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(quote)
            at = chunk.rfind(quote)
            if at >= 0:
                last, before = done + at, chunk[at - 1 : at] if at else tail
            done, tail = done + len(chunk), chunk[-1:]
    if count % 2 and before in opens and done - last > 2:
        raise unclosed(text.source.name, _line_at(text, last))


def _line_at(text: Text, offset: int) -> int:
    with open(text.source.path, "rb") as file:
        chunks = iter(lambda: file.read(min(1 << 20, offset - file.tell())), b"")
        return 1 + sum(chunk.count(b"\n") for chunk in chunks)
