"""Sentences with two marked spans and their relation, as SemEval-2010 task 8 wrote them: a row for each sentence.

    1<TAB>"The <e1>configuration</e1> of antenna <e2>elements</e2>..."
    Component-Whole(e2,e1)
    Comment: Not a collection: there is structure here

Rows have `id`, `text` (without the quotes around it) and, unless the file has none at all, `relation`. Comments are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..errors import DataError, shorten
from ..spec import Data
from .cells import normalise
from .encoding import open_text
from .source import Loaded, Skip, Source
from .spool import Spool
from .table import Part

SENTENCE = re.compile(r'\s*(\d+)\t"?(.*?)"?\s*')
COMMENT = "comment:"
Block = list[tuple[int, str]]
"""Lines of one sentence with their numbers."""


def load(source: Source, options: Data, spool: Spool) -> Loaded:
    """The sentences of a file. Raises DataError, with the line, for one that is none, or that lacks its relation where others have one;
    with `bad_rows: skip` these are left out and listed."""
    text = open_text(source, options.encoding)
    blocks = list(_blocks(text.lines()))
    labelled = any(len(block) > 1 for block in blocks)
    rows, lines, skipped = list[dict[str, Any]](), list[int](), list[Skip]()
    for number, block in enumerate(blocks, 1):
        try:
            rows.append(_row(source.name, block, labelled))
            lines.append(block[0][0])
        except DataError as error:
            if options.bad_rows != "skip":
                raise
            skipped.append(Skip(number, block[0][0], f"expected {error.expected}, got {error.got}"))
    if not rows:
        raise DataError(source.name, expected="sentences", got="0 rows", fix="check the file", code="no-rows")
    spool.add(pa.Table.from_pylist(rows))
    table = spool.finish(normalise)
    notes = [text.note] if text.note else []
    notes.append("sentences with marked spans (SemEval-2010 task 8's form): each is a row; comments are left out")
    part = Part(source.name, table.num_rows, tuple(skip.row for skip in skipped), lines=tuple(lines))
    return Loaded(table, True, tuple(notes), tuple(skipped), (part,))


def _blocks(lines: Iterator[str]) -> Iterator[Block]:
    """A sentence begins where a line begins with a number and a tab; an empty line ends it."""
    block: Block = []
    for number, line in enumerate(lines, 1):
        said = line.rstrip("\r\n")
        if block and (not said.strip() or SENTENCE.fullmatch(said)):
            yield block
            block = []
        if said.strip() and not (block and said.strip().lower().startswith(COMMENT)):
            block.append((number, said))
    if block:
        yield block


def _row(name: str, block: Block, labelled: bool) -> dict[str, Any]:
    found = SENTENCE.fullmatch(block[0][1])
    if found is None:
        raise _error(name, block[0], "a number, a tab and a sentence")
    if len(block) != 1 + labelled:
        last = block[-1] if len(block) > 2 else (block[0][0] + 1, "none" if len(block) == 1 else block[1][1])
        raise _error(name, last, "one line with the relation under each sentence" if labelled else "nothing under the sentence")
    return {"id": found[1], "text": found[2]} | ({"relation": block[1][1].strip()} if labelled else {})


def _error(name: str, line: tuple[int, str], expected: str) -> DataError:
    fix = "mend the line, or say --bad-rows skip to leave such sentences out"
    return DataError(f"{name}, line {line[0]}", expected=expected, got=shorten(line[1]), fix=fix, code="not-semeval")
