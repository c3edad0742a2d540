"""CSV and its kin, to the letter: every row that is not loaded is named, no cell is changed.

Rows are parsed by the standard library's strict parser, line by line, because a message needs the line and cells must
keep their bytes. (DuckDB 2.0 reads the same file 2.3 times as fast, but drops a cell where CR, LF and CRLF are mixed,
and takes the first row of a file without header for names.)
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import final

import pyarrow as pa

from ..errors import DataError, listing, shorten
from ..spec import Data
from .cells import normalise
from .dialect import Dialect, check_names, has_header, names_of, sniff
from .encoding import MAX_LINE, Text, open_text, too_long
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
        columns = [pa.array(cells, pa.large_string()) for cells in zip(*batch)]
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
    return tuple(filter(None, ["; ".join(filter(None, [text.note, dialect.words, header])), blanks]))


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
        while block := self._lines.block():
            names = self._row < 0
            batch = self._at_once(block)
            if batch is None:
                batch = list(self._one_by_one(block))
            if rows := batch[1:] if names else batch:
                yield rows

    def _at_once(self, block: list[str]) -> list[list[str]] | None:
        """The rows of whole lines, where nothing is wrong with any of them; None: look at them one by one."""
        try:
            batch = list(self._dialect.rows(iter(block)))
        except csv.Error:
            return None
        if set(map(len, batch)) != {self._width}:
            return None
        self._lines.passed(block)
        self._row += len(batch)
        return batch

    def _one_by_one(self, block: list[str]) -> Iterator[list[str]]:
        """The rows that begin in these lines; the last may go on beyond them."""
        self._lines.give_back(block)
        reader = self._dialect.rows(self._lines)
        while self._lines.begin():
            try:
                row = next(reader)
            except csv.Error as error:
                self._broken(str(error))
                reader = self._dialect.rows(self._lines)
                continue
            if len(row) == self._width:
                self._row += 1
                yield row
            elif not row or len(row) == 1 and not row[0].strip():
                self.blank += 1
            else:
                self._refuse(f"{self._width} cells", f"{len(row)}", "ragged-row", shorten(row[-1]))

    def _broken(self, why: str) -> None:
        """A row whose quotes are wrong. Where rows may be skipped, reading goes on at the line after its first."""
        line = self._lines.first
        if "field limit" in why or "field larger" in why:
            if not self._skip_bad:
                raise self._unclosed() or too_long(self._name, line)
        unclosed = self._unclosed()
        if unclosed and not self._skip_bad:
            raise unclosed
        self._refuse("a delimiter after the quote that closes a cell", "more text", "bad-quotes", "")
        self._retries += 1
        if self._retries > MAX_RETRIES:
            raise DataError(
                f"{self._name}, line {line}", expected=f"at most {MAX_RETRIES:,} rows with broken quotes", got="more",
                fix="check the quotes of the whole file", code="bad-quotes",
            )
        self._lines.again()

    def _unclosed(self) -> DataError | None:
        """The error for a cell that was open when the file, or the largest cell, ended; None for other faults."""
        if not self._lines.ended and self._lines.held < MAX_LINE:
            return None
        offset = _opening("".join(self._lines.record()), self._dialect)
        return unclosed(self._name, self._lines.first + offset)

    def _refuse(self, expected: str, got: str, code: str, value: str) -> None:
        line, row = self._lines.first, self._row + 1
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
    """Physical lines with their numbers, in blocks or one by one; keeps those of the current row, to go back to its second."""

    def __init__(self, text: Text, skip: int) -> None:
        self._blocks = text.blocks()
        self._back: deque[str] = deque()
        self._record: list[str] = []
        self.ended = False
        self.held = 0
        self._next = self._limit = self.first = 1
        for _ in range(skip):
            next(self)

    def block(self) -> list[str]:
        """The next lines, none at the end. They count as read once they are `passed` or given back."""
        lines = list(self._back) or next(self._blocks, [])
        self._back.clear()
        return lines

    def passed(self, block: list[str]) -> None:
        """The lines were rows, all of them."""
        self._next += len(block)

    def give_back(self, block: list[str]) -> None:
        """The lines are to be read one by one."""
        self._back.extend(block)
        self._limit = self._next + len(block)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self._back:
            self._back.extend(next(self._blocks, []))
        if not self._back:
            self.ended = True
            raise StopIteration
        line = self._back.popleft()
        self._record.append(line)
        self.held += len(line)
        self._next += 1
        return line

    def begin(self) -> bool:
        """A row begins with the next line; whether that is one of those given back."""
        self._record.clear()
        self.first, self.held = self._next, 0
        return self._next < self._limit

    def again(self) -> None:
        """Give the current row's lines once more, but for its first."""
        self._back.extendleft(reversed(self._record[1:]))
        self._next = self.first + 1
        self.ended = False

    def record(self) -> list[str]:
        """The lines of the current row so far."""
        return self._record


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
