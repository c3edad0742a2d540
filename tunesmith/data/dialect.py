"""How a delimited file is written: what parts the cells, what quotes do, whether the first line names the columns.

A reading is right when every row of the sample has the same number of cells, two or more. Where two readings are
equally good, nobody guesses: the error shows both. What was found is noted in the ledger.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..errors import DataError, SpecError, listing, shorten
from .encoding import MAX_LINE, Text
from .numbers import is_number

SAMPLE = 1 << 20
"""Characters that are looked at."""
MAX_ROWS = 5000
"""Rows of the sample that are looked at."""
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
_ONE_COLUMN = "\x1f"
"""Stands for no delimiter: a character that no text holds."""
_USUAL = frozenset(
    "text label class category target sentence sentence1 sentence2 review comment message title body content document"
    " question answer query premise hypothesis score rating stars sentiment intent emotion topic tags labels id index"
    " name date split 文本 标签 内容 类别".split()
)
"""Names that columns often have."""


@dataclass(frozen=True)
class Dialect:
    """One way to read a delimited file. `quote` empty: quotes are characters like any other.

    `backslash`: it stands before quotes within a cell. `space`: it is left out after a delimiter. `skip`: lines to pass, `comments`
    of which begin with `#`.
    """

    delimiter: str
    quote: str = '"'
    backslash: bool = False
    space: bool = False
    skip: int = 0
    comments: int = 0

    def rows(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Rows of cells, strictly: raises csv.Error where quotes do not close or stand amid a quoted cell."""
        csv.field_size_limit(MAX_LINE)
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quote or None, strict=True, doublequote=not self.backslash,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE, escapechar="\\" if self.backslash else None,
            skipinitialspace=self.space,
        )

    @property
    def words(self) -> str:
        """The dialect as a person would say it."""
        if self.delimiter == _ONE_COLUMN:
            return "one column, no delimiter"
        name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        quotes = {"": "quotes are plain characters", "'": "single quotes around cells"}.get(self.quote, "")
        more = [quotes, "backslash before quotes" if self.backslash else ""]
        return ", ".join([f"delimiter {name}", *filter(None, more)])


@dataclass(frozen=True)
class _Reading:
    """A dialect tried on the sample. `share`: rows that have the usual number of cells, `width`."""

    dialect: Dialect
    rows: list[list[str]]
    width: int
    share: float


def sniff(text: Text, wanted: str) -> tuple[Dialect, list[list[str]]]:
    """The dialect, and the rows of a sample read with it. `wanted`: the delimiter, or `auto`.

    Raises DataError where two readings are equally good; SpecError for a delimiter of more than one character.
    """
    lines = list(io.StringIO(text.sample(SAMPLE), newline=""))
    marked = re.fullmatch(r"(?i)sep=(.)\s*", lines[0]) if lines else None
    if marked:
        wanted, lines = (marked[1] if wanted == "auto" else wanted), lines[1:]
    read = partial(_read, text=text, wanted=wanted)
    chosen, passed = _after_comments(lines, read) or (read(lines), 0)
    comments = sum(line.startswith("#") for line in lines[:passed])
    return replace(chosen.dialect, skip=int(bool(marked)) + passed, comments=comments), chosen.rows


def _read(lines: Sequence[str], text: Text, wanted: str) -> _Reading:
    delimiters = list(DELIMITERS) if wanted == "auto" else [_given(wanted)]
    readings = [found for delimiter in delimiters if (found := _best_quoting(delimiter, lines))]
    return _choose(readings, text, wanted) or _single(lines, text)


def _after_comments(lines: Sequence[str], read: Callable[[Sequence[str]], _Reading]) -> tuple[_Reading, int] | None:
    """The reading of what stands after leading lines that begin with `#` and are no rows, and how many lines these are; None where
    there are none. Of files with one column nobody knows."""
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    if not any(line.startswith("#") for line in lines[:first]):
        return None
    below = read(lines[first:])
    passed = next((i for i, line in enumerate(lines[:first]) if not _is_comment(line, below)), first)
    if below.width < 2 or not passed:
        return None
    return (below, first) if passed == first else (read(lines[passed:]), passed)


def _is_comment(line: str, below: _Reading) -> bool:
    """Whether a line above the rows is about them: empty; with other cells than they have and not only a hashtag at the start of a text;
    or with as many, where not it but the row below has usual names."""
    try:
        cells = next(below.dialect.rows(iter([line])), [])
    except csv.Error:
        cells = []
    if len(cells) == below.width:
        return _usual(below.rows[0]) and not _usual([cells[0].lstrip("# "), *cells[1:]])
    return len(cells) == 1 or line[1:2] in " \t#!\r\n"


def _given(wanted: str) -> str:
    delimiter = {"tab": "\t", "\\t": "\t", **{name: char for char, name in DELIMITERS.items()}}.get(wanted, wanted)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise SpecError(
            "data.delimiter", expected="one character, or tab, comma, semicolon, pipe", got=repr(wanted),
            fix="say the character between two cells", code="bad-delimiter",
        )
    return delimiter


def _best_quoting(delimiter: str, lines: Sequence[str]) -> _Reading | None:
    """The best way to take quotes for one delimiter: the plainest of those that fit the most rows."""
    first = _try(Dialect(delimiter), lines)
    literal = _try(Dialect(delimiter, quote=""), lines) if delimiter in "\t|" else None
    if literal and literal.share == 1 and not (first and first.share == 1 and _quotes_are_marks(literal.rows)):
        return literal
    others = _other_quotings(delimiter, lines) if not first or first.share < 1 else []
    readings = [first, *(_try(dialect, lines) for dialect in others), literal]
    return max(filter(None, readings), key=lambda reading: reading.share, default=None)


def _other_quotings(delimiter: str, lines: Sequence[str]) -> list[Dialect]:
    """Rarer ways, each only where the sample shows its mark; else an unclosed quote would pass as a plain character."""
    sample = "".join(lines)
    marks = (
        (Dialect(delimiter, space=True), f'{delimiter} "' in sample),
        (Dialect(delimiter, backslash=True), '\\"' in sample),
        (Dialect(delimiter, quote="'"), '"' not in sample and re.search(rf"(^|{re.escape(delimiter)})'", sample, re.M)),
    )
    return [dialect for dialect, shown in marks if shown]


def _quotes_are_marks(rows: list[list[str]]) -> bool:
    """In rows read with quotes left in: a writer put them there (a whole column has them, or doubled ones inside)."""
    if any('""' in cell[1:-1] for row in rows for cell in row if len(cell) > 2 and cell[0] == cell[-1] == '"'):
        return True
    below = rows[1:] or rows
    columns = zip(*(row for row in below if len(row) == len(below[0])))
    return any(all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in column) for column in columns)


def _try(dialect: Dialect, lines: Sequence[str]) -> _Reading | None:
    rows: list[list[str]] = []
    bad = 0
    reader = dialect.rows(iter(lines))
    while len(rows) < MAX_ROWS:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            # The sample may end within a quoted cell: no fault of the file's.
            bad += "end of data" not in str(error) or len(lines) < 2 or not _cut(lines)
            continue
        if row and (len(row) > 1 or row[0].strip()):
            rows.append(row)
    if not rows:
        return None
    width, count = Counter(map(len, rows)).most_common(1)[0]
    return _Reading(dialect, rows, width, count / (len(rows) + bad))


def _cut(lines: Sequence[str]) -> bool:
    return sum(map(len, lines)) >= 0.9 * SAMPLE


def _choose(readings: list[_Reading], text: Text, wanted: str) -> _Reading | None:
    several = [reading for reading in readings if reading.width > 1]
    if not several:
        return next((r for r in readings if wanted != "auto"), None)
    best = max(reading.share for reading in several)
    equal = [reading for reading in several if reading.share == best]
    by_name = {".tsv": "\t", ".tab": "\t", ".psv": "|"}.get(text.source.suffix)
    preferred = [reading for reading in equal if reading.dialect.delimiter == by_name] or equal
    if len(preferred) > 1:
        preferred = _firmer(preferred)
    if len(preferred) > 1:
        raise _doubtful(preferred, text)
    return preferred[0]


def _firmer(readings: list[_Reading]) -> list[_Reading]:
    """Of equal readings, those whose first row is made of names rather than of pieces of them."""
    named = [r for r in readings if all(re.fullmatch(r"\w[\w .()/-]*", cell.strip()) for cell in r.rows[0])]
    return named or readings


def _doubtful(readings: list[_Reading], text: Text) -> DataError:
    shown = [f"{r.dialect.words} gives {r.width} cells ({listing(r.rows[0], 4)})" for r in readings]
    choices = " or ".join(f"--delimiter {DELIMITERS[r.dialect.delimiter]}" for r in readings)
    return DataError(
        text.source.name, expected="one way to part the cells",
        got=f"{len(shown)} that fit all rows: {'; '.join(shown)}", fix=f"say {choices}", code="doubtful-delimiter",
    )


def _single(lines: Sequence[str], text: Text) -> _Reading:
    """One column: quoted cells where the file has them, else whole lines."""
    quoted = _try(Dialect(","), lines)
    if quoted and quoted.width == 1 and (quoted.share == 1 or text.source.suffix == ".csv"):
        return quoted
    whole = _try(Dialect(_ONE_COLUMN, quote=""), lines)
    if whole is None:
        raise DataError(
            text.source.name, expected="rows", got="only empty lines: no rows", fix="check the file", code="empty-file"
        )
    return whole


# -- header -----------------------------------------------------------------------------------------------------------


def has_header(rows: Sequence[Sequence[str]], wanted: bool | str) -> bool:
    """Whether the first row names the columns.

    It does where a column is all numbers but for its first cell, or a first cell is a usual name; it does not where a
    first cell is a number, appears again below in its column, or is a sentence.
    """
    if isinstance(wanted, bool):
        return wanted
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    columns = list(zip(*below)) or [()] * len(first)
    if any(_names_numbers(cell, column) for cell, column in zip(first, columns)):
        return True
    if any(map(_numeric, first)) or _seen_below(first, below):
        return False
    return _usual(first) or len(first) > 1 and not any(map(_is_sentence, first))


def _usual(row: Sequence[str]) -> bool:
    return any(cell.strip().lower() in _USUAL for cell in row)


def _names_numbers(cell: str, column: Sequence[str]) -> bool:
    filled = [value for value in column if value.strip()]
    return bool(cell.strip()) and not _numeric(cell) and bool(filled) and all(map(_numeric, filled))


def _numeric(cell: str) -> bool:
    """A number, or what people elsewhere write as one: `1,5`, `$1.234`, `12 %`."""
    return is_number(cell) or len(cell) < 40 and bool(re.fullmatch(r"[-+]?[$€£¥]?\s?\d[\d.,' ]*\s?[%$€£¥]?", cell.strip()))


def _seen_below(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    return any(cell and any(row[i] == cell for row in below) for i, cell in enumerate(first))


def _is_sentence(cell: str) -> bool:
    return len(cell) > 60 or len(cell.split()) > 6 or cell.rstrip().endswith((".", "!", "。", "！"))


def names_of(first: Sequence[str], headed: bool) -> list[str]:
    """Column names: the first row's, without outer space; `column_1`... where there is no header or no name.

    One column without header is called `text`: a file of nothing but texts, as people give to predict.
    """
    if len(first) == 1 and not headed:
        return ["text"]
    return [(cell.strip() if headed else "") or f"column_{i}" for i, cell in enumerate(first, 1)]


def check_names(names: Sequence[str], place: str) -> None:
    """Raises DataError where two columns have one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        at = {name: [i for i, other in enumerate(names, 1) if other == name] for name in twice}
        shown = "; ".join(f"{shorten(name)!r} at columns {listing(where)}" for name, where in at.items())
        raise DataError(
            place, expected="a different name for each column", got=shown, fix="rename them", code="duplicate-columns"
        )
