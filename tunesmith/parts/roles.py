"""Which column is the text, which the target: guesses from names and kinds, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..data.profile import ColumnProfile, Profile
from ..spec import Choice

TEXT_NAMES = "text review sentence comment content message body tweet post question title description abstract document utterance query headline".split()
LABEL_NAMES = "label category class sentiment stars target intent topic polarity department type emotion gold tag rating score y".split()
LABELS_NAMES = "labels tags categories topics emotions genres classes keywords".split()
NUMBER_NAMES = "score target rating value price similarity label grade relevance y stars".split()
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("sentence_A", "sentence_B"), ("text1", "text2"), ("text_a", "text_b"),
    ("premise", "hypothesis"), ("question", "sentence"), ("question", "answer"), ("question1", "question2"), ("query", "passage"), ("s1", "s2"),
)  # fmt: skip
MANY_VALUES = 12
"""A column of numbers with more different values than this is measured, not chosen from."""


def text(profile: Profile, taken: Iterable[str]) -> Choice[str] | None:
    """The column of running text: one with a usual name, else the one with the most words."""
    columns = [c for c in free(profile, taken) if c.kind in ("text", "category", "id", "path")]
    named = _named(columns, TEXT_NAMES)
    if named and (named.kind == "text" or named.mean_words >= 2):
        return Choice(named.name, f"its name is a usual one, and its cells have {named.mean_words:.0f} words on average")
    longest = max((c for c in columns if c.kind == "text"), key=lambda c: c.mean_words, default=named)
    if longest is None:
        return None
    return Choice(longest.name, f"the column with the most words: {longest.mean_words:.0f} on average")


def pair(profile: Profile, taken: Iterable[str]) -> tuple[Choice[str], Choice[str]] | None:
    """Two columns of text whose names say that they belong together."""
    names = {c.name.lower(): c.name for c in free(profile, taken)}
    for first, second in PAIRS:
        if first.lower() in names and second.lower() in names:
            a, b = names[first.lower()], names[second.lower()]
            return Choice(a, f"with {b!r} a usual pair of names"), Choice(b, f"with {a!r} a usual pair of names")
    return None


def label(profile: Profile, taken: Iterable[str]) -> Choice[str] | None:
    """The column with one label: few different values, a usual name first."""
    columns = [c for c in free(profile, taken) if is_label(c, profile.rows)]
    named = _named(columns, LABEL_NAMES)
    if named:
        return Choice(named.name, f"its name is a usual one, and it has {named.distinct} different values")
    fewest = min(columns, key=lambda c: c.distinct, default=None)
    return fewest and Choice(fewest.name, f"the column with the fewest different values: {fewest.distinct}")


def is_label(column: ColumnProfile, rows: int) -> bool:
    """Whether a column looks like a choice among labels: few values, repeated; whole numbers only where they are few."""
    few = 1 < column.distinct <= max(2, min(1000, rows // 3))
    if column.kind in ("integer", "number"):
        return few and column.distinct <= MANY_VALUES and _whole(column)
    return few and (column.kind in ("category", "boolean") or (column.kind in ("text", "id", "path") and column.distinct <= rows // 10))


def number(profile: Profile, taken: Iterable[str]) -> Choice[str] | None:
    """The column with a measured number: many different values, a usual name first."""
    columns = [c for c in free(profile, taken) if is_measure(c)]
    named = _named(columns, NUMBER_NAMES)
    if named:
        return Choice(named.name, f"its name is a usual one, and it has {named.distinct:,} different numbers from {named.low:g} to {named.high:g}")
    if len(columns) == 1:
        return Choice(columns[0].name, f"the only column of numbers: {columns[0].distinct:,} different ones")
    return None


def is_measure(column: ColumnProfile) -> bool:
    """Whether a column looks measured: numbers with many values, or with fractions."""
    return column.kind in ("number", "integer") and (column.distinct > MANY_VALUES or not _whole(column))


def tags(profile: Profile, taken: Iterable[str]) -> Choice[str] | None:
    """The column whose cells hold several labels."""
    columns = [c for c in free(profile, taken) if c.kind == "list"]
    found = _named(columns, LABELS_NAMES) or (columns[0] if len(columns) == 1 else None)
    return found and Choice(found.name, f"its cells hold lists, such as {found.examples[0]!r}" if found.examples else "its cells hold lists")


def inputs(profile: Profile, named: Mapping[str, Any], target: Iterable[str]) -> dict[str, Choice[Any]] | None:
    """The text column, or the pair of them, where they are not named; None where there is none."""
    if "text" in named:
        return {}
    taken = {*target, *_flat(named.values())}
    found = None if "text_pair" in named else pair(profile, taken)
    if found:
        return {"text": found[0], "text_pair": found[1]}
    one = text(profile, taken)
    return None if one is None else {"text": one}


def free(profile: Profile, taken: Iterable[str]) -> list[ColumnProfile]:
    """Columns that have no role yet and are not the same in every row."""
    gone = set(taken)
    return [c for c in profile.columns.values() if c.name not in gone and c.kind != "constant"]


def _named(columns: list[ColumnProfile], names: list[str]) -> ColumnProfile | None:
    by_name = {re.sub(r"[^a-z0-9]", "", c.name.lower()): c for c in columns}
    return next((by_name[n] for n in names if n in by_name), None)


def _whole(column: ColumnProfile) -> bool:
    return all(float(v).is_integer() for v in (column.low, column.high, *column.examples) if isinstance(v, int | float))


def _flat(values: Iterable[Any]) -> list[str]:
    return [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, str)]
