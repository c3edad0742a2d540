"""Tagged tokens in columns (CoNLL and its kin): each sentence a row with the lists `tokens` and `tags`.

Further columns are kept as lists too (`column_2`...). `-DOCSTART-` lines and comments are no tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import pyarrow as pa

from ..errors import DataError, shorten
from ..spec import Data
from . import tagged
from .cells import normalise
from .encoding import Text, open_text
from .source import Loaded, Skip, Source
from .spool import Spool
from .table import Part

BATCH = 10_000
SAMPLE = 1 << 20
"""Characters from which the layout is read."""
STRINGS = pa.list_(pa.string())


def load(source: Source, options: Data, spool: Spool) -> Loaded:
    """The sentences of a file of tagged tokens.

    Raises DataError, with the line, for lines with a cell too many or too few, for empty tokens, and where there are no rows; with
    `bad_rows: skip`, their sentences are left out and listed.
    """
    text = open_text(source, options.encoding)
    layout = tagged.layout(text.sample(SAMPLE).splitlines())
    if layout is None:
        raise DataError(
            source.name, expected="a token and a tag in each line, with a tab or a space between", got="one column",
            fix="write `token<TAB>tag` lines with an empty line between sentences", code="one-column",
        )
    reader = _Reader(text, layout, options.bad_rows == "skip")
    sentences = reader.sentences()
    while batch := list(itertools.islice(sentences, BATCH)):
        spool.add(_table(batch, layout))
    table = spool.finish(normalise)
    if not table.num_rows:
        why = f" ({reader.skipped[0].why})" if reader.skipped else ""
        raise DataError(source.name, expected="sentences", got=f"0 rows{why}", fix="check the file", code="no-rows")
    part = Part(source.name, table.num_rows, tuple(skip.row for skip in reader.skipped), lines=tuple(reader.lines))
    return Loaded(table, True, tuple(_notes(text, layout)), tuple(reader.skipped), (part,))


Sentence = list[list[str]]
"""The cells of each line."""


@final
@dataclass
class _Reader:
    text: Text
    layout: tagged.Layout
    skip_bad: bool
    lines: list[int] = field(default_factory=list)
    """The line in which each sentence begins."""
    skipped: list[Skip] = field(default_factory=list)

    def sentences(self) -> Iterator[Sentence]:
        """Sentence by sentence; broken ones are left out where that was asked for."""
        for row, (start, lines) in enumerate(self._blocks(), 1):
            try:
                yield self._sentence(lines)
                self.lines.append(start)
            except DataError as error:
                if not self.skip_bad:
                    raise
                self.skipped.append(Skip(row, start, f"expected {error.expected}, got {error.got}"))

    def _blocks(self) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        """(first line, [(number, line)...]) of each sentence."""
        block: list[tuple[int, str]] = []
        for number, line in enumerate(self.text.lines(), 1):
            if line.strip() and not line.startswith(tagged.DOCUMENT):
                if not tagged.comment(line, self.layout.columns, self.layout.separator):
                    block.append((number, line.rstrip("\r\n")))
            elif block:
                yield block[0][0], block
                block = []
        if block:
            yield block[0][0], block

    def _sentence(self, lines: list[tuple[int, str]]) -> Sentence:
        rows = [self._row(number, line) for number, line in lines]
        if self.layout.numbered:
            bare, _ = tagged.unnumbered([row[self.layout.token] for row in rows])
            for row, token in zip(rows, bare):
                row[self.layout.token] = token
        return rows

    def _row(self, number: int, line: str) -> list[str]:
        cells = self.layout.cells(line)
        if len(cells) != self.layout.columns:
            between = "tabs" if self.layout.separator else "white space"
            wanted = f"{self.layout.columns} columns between {between}, as most lines have"
            raise self._error(number, wanted, f"{len(cells)} ({shorten(line)})", "ragged-row")
        if not cells[self.layout.token] or not cells[self.layout.tag]:
            raise self._error(number, "a token and a tag", f"an empty cell ({shorten(line)})", "empty-token")
        return cells

    def _error(self, line: int, expected: str, got: str, code: str) -> DataError:
        fix = "mend the line, or say --bad-rows skip to leave such sentences out"
        return DataError(f"{self.text.source.name}, line {line}", expected=expected, got=got, fix=fix, code=code)


def _table(sentences: list[Sentence], layout: tagged.Layout) -> pa.Table:
    names = {layout.token: "tokens", layout.tag: "tags"}
    order = [layout.token, layout.tag, *(at for at in range(layout.columns) if at not in names)]
    columns = {
        names.get(at, f"column_{at + 1}"): pa.array([[cells[at] for cells in sentence] for sentence in sentences], STRINGS) for at in order
    }
    return pa.table(columns)


def _notes(text: Text, layout: tagged.Layout) -> Iterator[str]:
    if text.note:
        yield text.note
    between = "tab" if layout.separator else "white space"
    yield f"tagged tokens: column {layout.token + 1} the token, column {layout.tag + 1} the tag, {between} between, a row for each sentence"
    if layout.numbered:
        yield "places behind the characters (口0 腔1) taken off"
