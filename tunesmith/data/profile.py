"""What a table's columns are like: the facts from which tasks guess roles.

Counts, lengths and ranges are over all rows, in Arrow. What needs a look inside texts (words, tags, patterns) is taken
from at most SAMPLE rows, spread evenly over the table. Every kind has one rule, in one small function (`_RULES`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import bare, mapped
from .containers import known
from .table import Table

Kind = Literal["text", "category", "number", "integer", "boolean", "list", "date", "id", "path", "files", "constant"]

SAMPLE = 10_000
"""Rows whose texts are looked into."""
MANY_TEXTS = 500_000
"""Texts from which those that differ are counted by hashes."""
MANY = 20
"""Rows from which uniqueness says something."""
SEPARATORS = ("|", ",", ";")
"""Between the tags of one cell."""

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+"
_TIME = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})?"
_DATE = rf"\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}([T ]{_TIME})?|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{4}}"
_ENDINGS = r"jpe?g|png|gif|webp|bmp|tiff?|wav|flac|og[ga]|mp3|m4a|opus|aiff?|aac|wma|pdf|docx?|html?|mp4"
_PATH = rf"(?i)[^\s\x00][^\n\x00]*\.({_ENDINGS})|data:(image|audio)/[\w.+-]+;base64,.*"
_ID_NAME = re.compile(r"(^|[_\W])(?i:id|idx|index|uuid|guid|key|nr|no)$|[a-z]I[Dd]$")
_TOKEN = r"[\x21-\x7e]+"


@dataclass(frozen=True)
class ColumnProfile:
    """Facts of one column. Only filled cells are counted (`distinct`) and measured (in characters and words).

    `low` and `high`: smallest and largest number; None for other kinds. `mean_words` is from a sample of at most SAMPLE
    rows (a character of a script without spaces counts as a word). `examples`: the first distinct values, at most five.
    """

    name: str
    kind: Kind
    distinct: int
    empty: int
    mean_chars: float = 0.0
    max_chars: int = 0
    mean_words: float = 0.0
    examples: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Profile:
    """Facts of a table: the number of rows, and each column's facts by name."""

    rows: int
    columns: Mapping[str, ColumnProfile]

    @classmethod
    def of(cls, table: Table) -> Profile:
        """The profile of a table: about a second per million rows and text column."""
        return cls(len(table), {name: _profile(name, table.arrow(name)) for name in table.names})


@dataclass(frozen=True)
class _Facts:
    """What the rules look at. `sample`: filled cells, at most SAMPLE, spread over the column."""

    name: str
    type: pa.DataType
    filled: int
    distinct: int
    sample: pa.Array
    mean_chars: float = 0.0
    max_chars: int = 0
    mean_words: float = 0.0
    low: float | None = None
    high: float | None = None


def _profile(name: str, column: pa.ChunkedArray) -> ColumnProfile:
    empty = column.null_count
    sample = _sample(column) if not _is_bytes(column.type) else pa.nulls(0)
    facts = _Facts(
        name, column.type, len(column) - empty, _distinct(column), sample, *_lengths(column), _mean_words(sample),
        *_range(column),
    )
    kind = next(kind for kind, rule in _RULES if rule(facts))
    return ColumnProfile(
        name, kind, facts.distinct, empty, facts.mean_chars, facts.max_chars, facts.mean_words, _examples(column),
        facts.low, facts.high,
    )


# -- facts ------------------------------------------------------------------------------------------------------------


def _sample(column: pa.ChunkedArray) -> pa.Array:
    spread = np.unique(np.linspace(0, max(len(column) - 1, 0), min(SAMPLE, len(column))).astype(np.int64))
    cells = bare.taken(column, spread).drop_null()
    return cells.combine_chunks()


def _distinct(column: pa.ChunkedArray) -> int:
    if _is_bytes(column.type):
        return int(len(column) - column.null_count)  # not worth reading all of them
    if pa.types.is_nested(column.type):
        return len({json.dumps(v, sort_keys=True, default=str) for v in column.to_pylist() if v is not None})
    if _is_text(column.type) and len(column) > MANY_TEXTS:
        return _distinct_texts(column)
    return int(pc.count_distinct(column, mode="only_valid").as_py())


def _distinct_texts(column: pa.ChunkedArray) -> int:
    """Of texts in millions by their hashes of 64 bits: Arrow would hold a copy of each."""
    filled = (text for chunk in column.chunks for text in mapped.each(chunk) if text is not None)
    hash_N = np.sort(np.fromiter(map(hash, filled), np.int64, len(column) - column.null_count))
    return int((np.diff(hash_N) != 0).sum()) + bool(len(hash_N))


def _lengths(column: pa.ChunkedArray) -> tuple[float, int]:
    if not _is_text(column.type):
        return 0.0, 0
    total, longest = 0, 0
    for chunk in column.chunks:
        chars = pc.utf8_length(chunk)
        total, longest = total + int(pc.sum(chars).as_py() or 0), max(longest, int(pc.max(chars).as_py() or 0))
        mapped.rest()
    return total / max(1, len(column) - column.null_count), longest


def _mean_words(sample: pa.Array) -> float:
    if not _is_text(sample.type) or not len(sample):
        return 0.0
    return float(pc.mean(pc.count_substring_regex(sample, _WORD)).as_py())


def _range(column: pa.ChunkedArray) -> tuple[float | None, float | None]:
    if not _is_number(column.type) or column.null_count == len(column):
        return None, None
    ends = pc.min_max(column).as_py()
    return float(ends["min"]), float(ends["max"])


def _examples(column: pa.ChunkedArray) -> tuple[Any, ...]:
    if _is_bytes(column.type):
        return _sniffed(column)
    seen: list[Any] = []
    for value in column.slice(0, 1000).to_pylist():
        if value is not None and value not in seen:
            seen.append(value)
        if len(seen) == 5:
            break
    return tuple(seen)


def _sniffed(column: pa.ChunkedArray) -> tuple[str, ...]:
    """Of bytes: `a sound`, where the first cell with bytes begins as sounds do."""
    for cell in column.slice(0, 20).to_pylist():
        found = cell.get("bytes") if isinstance(cell, dict) else cell
        if found:
            return ("a sound",) if known(found) else ()
    return ()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _share(sample: pa.Array, pattern: str) -> float:
    """Share of the sampled texts that a pattern matches from end to end."""
    return float(pc.mean(pc.match_substring_regex(sample, f"^(?s:{pattern})$")).as_py() or 0) if len(sample) else 0.0


# -- rules ------------------------------------------------------------------------------------------------------------


def _constant(facts: _Facts) -> bool:
    """One value, or none at all."""
    return facts.distinct <= 1


def _boolean(facts: _Facts) -> bool:
    """Arrow's booleans, or texts that are all true or false."""
    return bool(pa.types.is_boolean(facts.type)) or _is_text(facts.type) and _share(facts.sample, "(?i)true|false") == 1


def _date(facts: _Facts) -> bool:
    """Arrow's dates and times, or texts that all look like one."""
    return bool(pa.types.is_temporal(facts.type)) or _is_text(facts.type) and _share(facts.sample, _DATE) == 1


def _id(facts: _Facts) -> bool:
    """A name for each row: whole numbers or single words with digits that (nearly) never repeat."""
    if facts.distinct < 0.98 * facts.filled or facts.filled < MANY:
        return False
    named = bool(_ID_NAME.search(facts.name))
    if pa.types.is_integer(facts.type):
        assert facts.low is not None and facts.high is not None
        return named or facts.distinct == facts.filled == facts.high - facts.low + 1
    if not _is_text(facts.type) or facts.max_chars > 100 or _share(facts.sample, _TOKEN) < 0.99:
        return False
    return named or _share(facts.sample, r".*\d.*") >= 0.5


def _integer(facts: _Facts) -> bool:
    """Whole numbers."""
    return bool(pa.types.is_integer(facts.type))


def _decimal(facts: _Facts) -> bool:
    """Numbers with decimals."""
    return bool(pa.types.is_floating(facts.type))


def _list(facts: _Facts) -> bool:
    """Arrow's lists, texts that are all JSON lists, or tags between separators."""
    if pa.types.is_nested(facts.type):
        return True
    if not _is_text(facts.type):
        return False
    return _share(facts.sample, r"\s*\[.*\]\s*") == 1 or any(_tagged(facts, separator) for separator in SEPARATORS)


def _tagged(facts: _Facts, separator: str) -> bool:
    """Few short tags that come together in several ways: `fear|joy`, `joy`, `fear|anger`.

    At least one cell in fifty holds two tags or more; tags have at most four words; most tags of such cells stand in
    another cell too (that is what parts tags from `Paris, France` and from sentences).
    """
    cells = list(dict.fromkeys(facts.sample.to_pylist())) if facts.max_chars <= 1000 else []
    several = [cell for cell in cells if separator in cell]
    together = int(pc.sum(pc.match_substring(facts.sample, separator)).as_py() or 0)
    if len(several) < 2 or together < 0.02 * len(facts.sample):
        return False
    in_cells = Counter(tag for cell in cells for tag in {part.strip() for part in cell.split(separator)})
    tags = {part.strip() for cell in several for part in cell.split(separator)}
    if any(len(tag.split()) > 4 or len(tag) > 40 for tag in tags):
        return False
    return sum(in_cells[tag] > 1 for tag in tags) > 0.5 * len(tags)


def _path(facts: _Facts) -> bool:
    """Texts that end like files of images, sounds or documents."""
    return _is_text(facts.type) and _share(facts.sample, _PATH) >= 0.95


def _files(facts: _Facts) -> bool:
    """Bytes, alone or beside a path, as Parquet files of images hold them."""
    return _is_bytes(facts.type)


def _category(facts: _Facts) -> bool:
    """Short texts that repeat: half of the filled cells or more repeat another, at most 60 characters on average."""
    short = facts.mean_words <= 5 or facts.distinct <= 50
    return _is_text(facts.type) and short and 2 * facts.distinct <= facts.filled and facts.mean_chars <= 60


_RULES: tuple[tuple[Kind, Callable[[_Facts], bool]], ...] = (
    ("constant", _constant), ("boolean", _boolean), ("date", _date), ("files", _files), ("path", _path), ("id", _id),
    ("integer", _integer), ("number", _decimal), ("list", _list), ("category", _category), ("text", lambda facts: True),
)
