"""What files of tagged tokens look like: a token and its tag (and what else is known of it) in each line, an empty line between sentences.

Such files have no header and no common ending (`.conll`, `.bio`, `.train`...): they are told by their tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SUFFIXES = (".conll", ".conll03", ".conll2003", ".iob", ".iob2", ".bio", ".bioes", ".bilou", ".bmes")
NAMED = re.compile(r"conll(?!u)", re.IGNORECASE)
"""In a file's name: it holds tagged tokens, whatever its ending."""
TAG = re.compile(r"O|[BIESMLU][-_]\S+")
_DIGITS = re.compile(r"(?<=.)[0-9]{1,3}$")
DOCUMENT = "-DOCSTART-"
SOUND = 0.98
"""Share of the lines that must fit for a file to be told by its content; the others are then refused with their line."""
FEWEST = 5
"""Lines below which content tells nothing."""


@dataclass(frozen=True)
class Layout:
    """Where tokens and tags stand in a line."""

    separator: str | None
    """A tab, or None: any white space."""
    columns: int
    token: int
    tag: int
    numbered: bool = False
    """Whether each token is a character with its place in the word behind it (`口0`, `腔1`)."""

    def cells(self, line: str) -> list[str]:
        """The cells of a line."""
        return [cell.strip() for cell in line.split(self.separator)]


def named(name: str) -> bool:
    """Whether a file's name says that it holds tagged tokens."""
    last = name.rsplit("/", 1)[-1].lower().removesuffix(".gz")
    return last.endswith(SUFFIXES) or bool(NAMED.search(last))


def looks(sample: str) -> bool:
    """Whether the start of a file can only be tagged tokens: sentences apart, and a column of nothing but tags with some B or S."""
    lines = sample.splitlines()
    if sum(not line.strip() for line in lines) == 0 or len(lines) < FEWEST:
        return False
    found = layout(lines)
    if found is None:
        return False
    rows = [found.cells(line) for line in lines if _speaks(line)]
    fit = [row for row in rows if len(row) == found.columns and TAG.fullmatch(row[found.tag])]
    return len(fit) >= SOUND * len(rows) and any(row[found.tag][0] in "BSU" for row in fit)


def layout(lines: Iterable[str]) -> Layout | None:
    """The layout of these lines, as most of them have it; None where they have one column only."""
    spoken = [line for line in lines if _speaks(line)]
    separator = "\t" if sum("\t" in line for line in spoken) > len(spoken) / 2 else None
    rows = [[cell.strip() for cell in line.split(separator)] for line in spoken]
    sizes = [len(row) for row in rows]
    columns = max(set(sizes), key=sizes.count, default=0)
    if columns < 2:
        return None
    kept = [row for row in rows if len(row) == columns]
    tag = _tag_column(kept, columns)
    token = 0 if tag != 0 else 1
    return Layout(separator, columns, token, tag, _are_numbered([row[token] for row in kept]))


def comment(line: str, columns: int, separator: str | None) -> bool:
    """Whether a line is a comment: a `#` in front, and not as many cells as the others."""
    return line.startswith("#") and len(line.split(separator)) != columns


def unnumbered(tokens: Sequence[str]) -> tuple[list[str], int]:
    """Tokens without the places behind them, and how many places are as they should be: 0, or one more than that before.

    Where one is not, the digits at the end are taken off; a token without any stays.
    """
    found, sound, place = list[str](), 0, -1
    for token in tokens:
        number = next((n for n in (place + 1, 0) if token.endswith(str(n)) and len(token) > len(str(n))), None)
        if number is None:
            digits = _DIGITS.search(token)
            found.append(token[: digits.start()] if digits else token)
            place = int(digits[0]) if digits else -1
            continue
        found.append(token[: -len(str(number))])
        place, sound = number, sound + 1
    return found, sound


def _speaks(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(DOCUMENT) and not line.startswith("# ")


def _tag_column(rows: Sequence[Sequence[str]], columns: int) -> int:
    """The last column of nothing (or almost) but tags; the last one where none is."""
    fits = [sum(bool(TAG.fullmatch(row[column])) for row in rows) for column in range(columns)]
    return next((column for column in reversed(range(columns)) if fits[column] >= SOUND * len(rows)), columns - 1)


def _are_numbered(tokens: Sequence[str]) -> bool:
    """Whether these tokens, one after another, all are characters with their places."""
    short = all(2 <= len(token) <= 5 and token[-1] in "0123456789" for token in tokens)
    return short and len(tokens) >= 2 * FEWEST and unnumbered(tokens)[1] >= SOUND * len(tokens)
