"""Which column is the text, which the target: guesses from names and kinds, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..data.profile import ColumnProfile, Profile
from ..errors import listing
from ..spec import Choice

Nature = Literal["classes", "numbers", "tags", "none"]

TEXT_NAMES = (
    "text", "review", "sentence", "comment", "content", "message", "body", "tweet", "utterance", "post", "sms", "document",
    "abstract", "description", "question", "headline", "title", "query", "premise", "sentence1", "text_a", "s1",
)
CLASS_NAMES = (
    "label", "category", "class", "sentiment", "stars", "target", "intent", "topic", "rating", "emotion", "type", "polarity", "spam",
    "toxic", "y", "gold_label", "answer_class", "department", "priority", "language",
)
NUMBER_NAMES = (
    "score", "target", "value", "price", "rating", "similarity", "relatedness_score", "relatedness", "y", "label", "stars", "grade",
    "sales", "income", "valence",
)
TAG_NAMES = ("labels", "tags", "categories", "emotions", "topics", "genres", "keywords", "classes", "label", "ids")
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_a", "sentence_b"), ("premise", "hypothesis"),
    ("question1", "question2"), ("question", "answer"), ("question", "sentence"), ("query", "passage"), ("query", "document"),
    ("text", "text_pair"), ("text1", "text2"), ("text_1", "text_2"), ("text_a", "text_b"), ("s1", "s2"), ("first", "second"),
    ("claim", "evidence"),
)
"""Names that say that two texts belong together; the order is that in which the model reads them."""
SPLIT_NAMES = ("split", "fold", "partition", "subset", "set", "part")
SPLIT_VALUES = frozenset(("train", "training", "test", "dev", "val", "valid", "validation", "calibration"))
FEW = 12
"""Up to so many distinct whole numbers are taken for classes (stars, 0/1, grades)."""
CODED = 1000
"""Up to so many consecutive whole numbers from 0 or 1 are taken for numbered classes, if each has five rows."""


def same_name(one: str, other: str) -> bool:
    """Whether two names differ only in case and punctuation."""
    return _bare(one) == _bare(other)


def text_columns(profile: Profile, named: Mapping[str, Any]) -> dict[str, Choice[Any]] | None:
    """`text` and, for pairs, `text_pair`, for the options that the user did not name; None where there is no text."""
    found: dict[str, Choice[Any]] = {k: Choice(named[k], "named by you") for k in ("text", "text_pair") if named.get(k)}
    taken = {name for value in named.values() for name in (value if isinstance(value, list | tuple) else (value,)) if isinstance(name, str)}
    free = [column for column in profile.columns.values() if column.name not in taken and _is_text(column, profile.rows)]
    if "text" not in found:
        pair = _pair(free) if "text_pair" not in named else None
        if pair:
            return found | pair
        best = max(free, key=_text_rank, default=None)
        if best is None:
            return None
        found["text"] = Choice(best.name, _text_reason(best, [c.name for c in free if c is not best]))
    elif "text_pair" not in named:
        partner = _partner(str(found["text"].value), free)
        found |= {"text_pair": partner} if partner else {}
    return found


def called(profile: Profile, named: Mapping[str, Any], role: str) -> dict[str, Choice[Any]]:
    """A column named like a role that the user gave no column, where there is one."""
    found = [] if named.get(role) else [name for name in profile.columns if same_name(name, role)]
    return {role: Choice(found[0], "its name")} if found else {}


def target_column(
    profile: Profile, taken: Iterable[Any], natures: Sequence[Nature], names: Sequence[str]
) -> tuple[ColumnProfile, bool] | None:
    """The likeliest target of these natures, and whether its name says so; None where no column suits."""
    taken = set(taken)
    fits = [c for c in profile.columns.values() if c.name not in taken and not is_split(c) and nature(c, profile.rows) in natures]
    if not fits:
        return None
    order = {name: i for i, name in enumerate(map(_bare, names))}
    called = [column for column in fits if _bare(column.name) in order]
    if called:
        return min(called, key=lambda column: order[_bare(column.name)]), True
    return fits[-1], False  # people put the answer last


def nature(column: ColumnProfile, rows: int) -> Nature:
    """What a target of this column would be. A 0/1 column that one empty cell turned into decimals is classes all the same."""
    if column.kind == "list":
        return "tags"
    if column.kind in ("boolean", "category"):
        return "classes"
    if column.kind == "integer":
        return "classes" if _numbered_classes(column, rows) else "numbers"
    if column.kind == "number":
        few_whole = column.distinct <= FEW and all(float(value).is_integer() for value in column.examples)
        return "classes" if few_whole or column.distinct <= 2 else "numbers"
    short = column.kind == "text" and column.mean_words <= 4 and column.max_chars <= 80
    return "classes" if short and 2 <= column.distinct <= max(rows // 2, 2) else "none"


def describe(column: ColumnProfile) -> str:
    """What a column holds, in words."""
    if column.kind == "list":
        return "lists of labels"
    if column.kind in ("number", "integer") and column.low is not None and column.high is not None:
        return f"{column.distinct:,} different numbers from {column.low:g} to {column.high:g}"
    if column.kind in ("boolean", "category", "constant"):
        return f"{column.distinct:,} different values"
    known = {"id": "a different value in each row", "date": "dates", "path": "names of files"}
    words = max(1, round(column.mean_words))
    return known.get(column.kind) or f"texts of {words} word{'s' if words > 1 else ''} on average"


def is_split(column: ColumnProfile) -> bool:
    """Whether a column says which part a row belongs to."""
    values = {str(value).lower() for value in column.examples}
    return _bare(column.name) in SPLIT_NAMES and column.distinct <= 6 or bool(values) and values <= SPLIT_VALUES


def flag_columns(profile: Profile, taken: Iterable[Any]) -> tuple[str, ...]:
    """Columns of 0 and 1 (or true and false): a label each, where there are at least three."""
    taken = set(taken)
    found = tuple(c.name for c in profile.columns.values() if c.name not in taken and (c.kind == "boolean" or _zero_one(c)))
    return found if len(found) >= 3 else ()


def tag_columns(profile: Profile, named: Mapping[str, Any], taken: Sequence[Any]) -> tuple[Choice[Any], float] | None:
    """The column (or columns) of `labels`, named or guessed, and how sure that is."""
    if named.get("labels"):
        return Choice(named["labels"], "named by you"), 0.9
    found = target_column(profile, taken, ("tags",), TAG_NAMES)
    if found:
        column, called = found
        return Choice(column.name, f"column {column.name!r} holds {describe(column)}"), 0.9 if called else 0.7
    several = flag_columns(profile, taken)
    why = f"columns {listing(several, 4)} hold 0 and 1 each"
    return (Choice(several, why), 0.7) if several else None


def _zero_one(column: ColumnProfile) -> bool:
    return column.kind in ("integer", "number") and column.distinct == 2 and (column.low, column.high) == (0.0, 1.0)


def missing(profile: Profile, named: Mapping[str, Any], roles: Sequence[str]) -> bool:
    """Whether the user named a column for one of these roles that the table does not have."""
    values = [named[role] for role in roles if named.get(role)]
    flat = [name for value in values for name in (value if isinstance(value, list | tuple) else [value])]
    return any(name not in profile.columns for name in flat)


def _numbered_classes(column: ColumnProfile, rows: int) -> bool:
    assert column.low is not None and column.high is not None
    if column.distinct <= FEW:
        return True
    quantity = any(same_name(column.name, name) for name in ("score", "price", "value", "age", "year", "count", "length"))
    dense = column.low in (0, 1) and column.high - column.low + 1 == column.distinct
    return dense and not quantity and column.distinct <= CODED and rows >= 5 * column.distinct


def _is_text(column: ColumnProfile, rows: int) -> bool:
    if is_split(column):
        return False
    if column.kind == "text":
        return True
    # Few rows, or many repeated ones, can make a column of sentences look like categories.
    return column.kind in ("category", "list") and column.mean_words >= 3 and column.distinct > max(20, rows // 20)


def _text_rank(column: ColumnProfile) -> tuple[int, float]:
    names = [_bare(name) for name in TEXT_NAMES]
    bare = _bare(column.name)
    return (len(names) - names.index(bare) if bare in names and column.mean_words >= 1 else 0, column.mean_words or column.mean_chars)


def _text_reason(column: ColumnProfile, others: Sequence[str]) -> str:
    called = any(same_name(column.name, name) for name in TEXT_NAMES)
    reason = f"{describe(column)}, and a name that says so" if called else f"the longest texts: {describe(column)}"
    return f"{reason}; not {', '.join(repr(name) for name in others[:3])}" if others else reason


def _pair(free: Sequence[ColumnProfile]) -> dict[str, Choice[Any]] | None:
    bare = {_bare(column.name): column.name for column in free}
    for one, other in PAIRS:
        first, second = bare.get(_bare(one)), bare.get(_bare(other))
        if first and second:
            why = f"columns {first!r} and {second!r} are named like a pair of texts"
            return {"text": Choice(first, why), "text_pair": Choice(second, why)}
    return None


def _partner(text: str, free: Sequence[ColumnProfile]) -> Choice[Any] | None:
    bare = {_bare(column.name): column.name for column in free}
    for one, other in PAIRS:
        if same_name(one, text) and _bare(other) in bare:
            return Choice(bare[_bare(other)], f"named like the partner of {text!r}")
    return None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
