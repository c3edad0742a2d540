"""What is wrong or odd about the data, with row numbers, before anything is trained.

`cells` looks at each file on its own, `audit` at the parts as they will be used. Suspected wrong labels: `noise.py`;
leaks: `leaks.py`; targets: `labels.py`.

Axes: N rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from .. import spec
from ..errors import listing, shorten
from . import labels, leaks, noise
from .answers import Answers
from .cut import LEAST
from .finding import Finding, count, have, places, refuse
from .labels import Kind
from .shingles import fold
from .split import Splits
from .table import Table
from .texts import Texts

__all__ = ["Finding", "audit", "empty_findings", "refuse", "target_findings"]

EMPTY_TEXTS = 0.05
"""Share of empty texts above which the file is refused."""
WORTH = 0.75
"""Share of labels that the simple model must agree with for its doubts to be worth telling."""
DOUBTED = 50
"""Suspected wrong labels that are listed."""
ROUND_LENGTHS = {
    100, 128, 140, 200, 255, 256, 280, 500, 512, 1000, 1023, 1024, 2000, 2048, 4000, 4096, 8000, 8192, 32767, 65535,
}
"""Lengths at which databases, spreadsheets and exports cut."""
_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d{2}")


def empty_findings(
    table: Table, part: str, no_label_N: np.ndarray, no_text_N: np.ndarray, half_N: np.ndarray, drop: bool
) -> list[Finding]:
    """Rows without a label (an error unless dropped), without any text (an error above 5 %), with one of two texts."""
    found, of = [], f" of {part}"
    rows = np.flatnonzero(no_label_N)
    if len(rows) == len(table) > 0:
        return [Finding("error", "no-labels", f"expected labels, got an empty cell in every row of {part}",
            places(table, rows[:1]),
                        "leave this file out and use `tunesmith predict` for it")]
    if len(rows) and not drop:
        found.append(Finding("error", "empty-label",
            f"expected a label in every row, got an empty cell (or NaN) in {count(len(rows))} of {part}",
                             places(table, rows), "fill them, or say --empty drop to leave these rows out"))
    rows = np.flatnonzero(no_text_N)
    if len(rows) and not drop:
        much = len(rows) > EMPTY_TEXTS * len(table)
        message = (f"expected a text in every row, got an empty one in {count(len(rows))} of {part}" if much
                   else f"{have(len(rows), of)} an empty text, kept as such")
        found.append(Finding("error" if much else "warning", "empty-text", message, places(table, rows),
                             "fill them, or say --empty drop to leave these rows out"))
    if len(rows := np.flatnonzero(half_N)):
        found.append(Finding("warning", "half-empty-text", f"{have(len(rows), of)} no text in one of the columns",
            places(table, rows),
                             "fill the cells or take the rows out"))
    return found


def audit(
    parts: Mapping[str, Table], rest: Table, splits: Splits, inputs: Sequence[str], targets: Sequence[str], kind: Kind,
    options: spec.Data, twins: Sequence[str] = (),
) -> list[Finding]:
    """Findings about the parts of the data, errors first.

    `rest`: the rows that the user gave no part, from which others were cut; files that the user gave are compared with
    them. Takes under 15 seconds for 50,000 rows. `twins`: where
    the first of `splits.leaked_test` are seen in training.
    """
    train = parts["train"]
    answers = {part: labels.of_rows(table, targets, kind) for part, table in parts.items()}
    whole, texts = labels.of_rows(rest, targets, kind), Texts([train], inputs)
    used = [*inputs, *targets, splits.column]
    words = not any(pa.types.is_struct(train.kind(name)) for name in inputs)  # files say nothing in words
    found = _split_findings(parts, splits, twins)
    for part in splits.given:
        found += _across(rest, parts[part], part, inputs, targets, options)
        found += leaks.shift_findings(whole, answers[part], part)
        found += _type_findings(rest, parts[part], part, targets, kind)
    found += _unknown_findings(parts, answers, splits) + _absent_findings(answers, whole, splits, kind)
    if not splits.given and not options.group:
        found += leaks.ungrouped_findings(train, [*used, options.time])
    if not splits.given and not options.time:
        found += leaks.untimed_findings(train)
    found += target_findings(rest, targets, kind)
    if kind not in ("number", "other") and not any(f.level == "error" for f in found):
        found += _answer_findings(train, texts, answers["train"], targets, kind, splits, words)
    found += leaks.column_findings(train, inputs, targets, answers["train"])
    found += leaks.word_findings(texts, answers["train"]) if words else []
    found += _column_findings(train, inputs, used)
    return sorted(found, key=lambda f: ("error", "warning", "note").index(f.level))


def _split_findings(parts: Mapping[str, Table], splits: Splits, twins: Sequence[str]) -> list[Finding]:
    found = leaks.duplicate_findings(splits, parts["test"], twins)
    kept = splits.duplicates
    if kept.exact or kept.near:
        found.append(Finding(
            "note", "duplicates",
            f"equal to an earlier row: {kept.exact:,} exactly (case, punctuation and space aside), {kept.near:,} nearly; "
            "wherever the split was made here they stay on one side",
        ))
    return found + [Finding("note", "split", note) for note in splits.notes]


def _across(
    rest: Table, other: Table, part: str, inputs: Sequence[str], targets: Sequence[str], options: spec.Data
) -> list[Finding]:
    found = leaks.id_findings(rest, other, part, [*inputs, *targets])
    found += leaks.group_findings(rest, other, part, options.group)
    return found + leaks.time_findings(rest, other, part, options.time)


def _unknown_findings(
    parts: Mapping[str, Table], answers: Mapping[str, Answers], splits: Splits
) -> list[Finding]:
    """Labels without a training row: an error in the user's own parts, a warning where the cut by time made them so."""
    known = set(answers["train"].counts())
    found = []
    for part in ("validation", "test"):
        for finding in labels.unknown_findings(known, parts[part], answers[part], part):
            if part not in splits.given:
                finding = replace(finding, level="warning", message=f"{finding.got}: labels that no training row has")
            found.append(finding)
    return found


def _absent_findings(
    answers: Mapping[str, Answers], whole: Answers, splits: Splits, kind: Kind
) -> list[Finding]:
    """Labels with rows enough for every part of which chance left none in ours."""
    if splits.mode != "random" or kind not in ("label", "labels"):
        return []
    enough = {label for label, rows in whole.counts().items() if rows >= LEAST}
    single = max(map(len, whole.occurring()), default=0) == 1
    found = []
    for part in ("test", "validation"):
        absent = sorted(enough - set(answers[part].counts()))
        if part not in splits.given and absent and len(answers[part]):
            found.append(Finding(
                "warning", "label-not-judged",
                f"{count(len(absent), 'label')} with {LEAST} rows or more have none in {part}: {listing(absent)}", (),
                "say --set data.split=stratified" if single else f"add rows, or give a file with rows of each label for {part}",
            ))
    return found


def _type_findings(train: Table, other: Table, part: str, targets: Sequence[str], kind: Kind) -> list[Finding]:
    """Labels stored as text in one file and as numbers in the other are read as the same."""
    found = []
    for name in targets if kind == "label" else ():
        one, two = train.kind(name), other.kind(name)
        if one != two:
            found.append(Finding("note", "label-types",
                f"column {name!r} is {_words(one)} in train and {_words(two)} in {part}: "
                                 "labels are compared as texts, so that 1, 1.0 and '1' are one"))
    return found


def _words(kind: pa.DataType) -> str:
    names = ((pa.int64(), "whole numbers"), (pa.float64(), "numbers"), (pa.large_string(), "text"))
    return next((name for known, name in names if known == kind), str(kind))


def target_findings(rest: Table, targets: Sequence[str], kind: Kind) -> list[Finding]:
    """Findings about the target columns alone: no labels worth learning, no usable numbers, the one taken for the other."""
    whole = labels.of_rows(rest, targets, kind)
    if kind == "number":
        return [f for name in targets for f in labels.number_findings(rest, name)]
    types = labels.label_type_findings(rest, targets[0], whole) if kind == "label" and len(targets) == 1 else []
    return types + labels.class_findings(rest, whole, kind)


def _answer_findings(
    train: Table, texts: Texts, answers: Answers, targets: Sequence[str], kind: Kind,
    splits: Splits, words: bool
) -> list[Finding]:
    key_N = splits.duplicates.key_N[splits.parts["train"]]
    found = _conflicts(train, texts, answers)
    if kind == "label" and len(targets) == 1 and words:
        found += _doubts(train, texts, answers, key_N)
    return found


def _conflicts(table: Table, texts: Texts, answers: Answers) -> list[Finding]:
    """Equal texts (but for case and space) with different labels: at most one of them can be right."""
    answer_N = Answers.of(map(sorted, answers)).kind_N
    text_N = np.fromiter((hash(fold(text)) for text in texts), np.int64, len(texts))  # eight bytes of each, not the texts
    order_N = np.argsort(text_N, kind="stable")
    starts = np.flatnonzero(np.diff(text_N[order_N], prepend=~text_N[order_N[:1]]))
    sorted_N = answer_N[order_N]
    differ_G = np.minimum.reduceat(sorted_N, starts) != np.maximum.reduceat(sorted_N, starts)
    rows = np.sort(order_N[np.repeat(differ_G, np.diff(starts, append=len(order_N)))])
    if not len(rows):
        return []
    return [Finding("warning", "conflicting-labels",
        f"{count(len(rows))} say the same as another row but have a different label",
                    places(table, rows), "decide on one label for each text")]


def _doubts(table: Table, texts: Texts, answers: Answers, key_N: np.ndarray) -> list[Finding]:
    doubts = noise.suspects(texts, answers, key_N)
    if not doubts.suspects or doubts.agreement < WORTH:
        return []
    n, worst = len(doubts.suspects), doubts.suspects[:DOUBTED]
    telling = doubts.agreement >= 0.9 and n >= 0.01 * doubts.looked_at
    drawn = "" if doubts.looked_at == len(table) else f" (of {doubts.looked_at:,} rows looked at)"
    rows = tuple(f"{table.place(s.position)}: {shorten(s.given)!r}, perhaps {shorten(s.suggested)!r}" for s in worst)
    return [Finding(
        "warning" if telling else "note", "suspected-labels",
        f"{count(n)}{drawn} have a label that a simple model doubts; it agrees with {doubts.agreement:.0%} of the others",
        rows,
        "look at the first few; some will be right as they are",
    )]


# -- columns -----------------------------------------------------------------------------------------------------------


def _column_findings(table: Table, inputs: Sequence[str], used: Sequence[str]) -> list[Finding]:
    found = [f for name in inputs for f in _cut_texts(table, name)]
    constant = [name for name in table.names if name not in used and len(table) > 1 and _constant(table, name)]
    for name in inputs:
        if len(table) > 1 and _constant(table, name):
            found.append(Finding("warning", "constant-input", f"column {name!r} says the same in every row", (),
                "leave it out"))
    if constant:
        found.append(Finding("note", "constant-columns", f"columns that never change: {listing([repr(n) for n in constant])}"))
    return found + [f for name in table.names for f in _spoiled_ids(table, name)]


def _constant(table: Table, name: str) -> bool:
    cells = table.each(name)
    first = next(cells)
    return all(cell == first for cell in cells)


def _cut_texts(table: Table, name: str) -> list[Finding]:
    """Texts that end at one suspiciously round length."""
    lengths = np.fromiter((len(cell) if isinstance(cell, str) else 0 for cell in table.each(name)), np.int64, len(table))
    longest = int(lengths.max(initial=0))
    rows = np.flatnonzero(lengths == longest)
    if longest not in ROUND_LENGTHS or len(rows) < max(3, 0.01 * len(table)):
        return []
    return [Finding("warning", "cut-texts",
        f"{count(len(rows))} of column {name!r} end at exactly {longest:,} characters, the longest there is: "
                    "an export may have cut them", places(table, rows), "export the whole texts")]


def _spoiled_ids(table: Table, name: str) -> list[Finding]:
    """Ids that a spreadsheet rounded: 1.23457E+17, or numbers past 2^53 kept as decimals."""
    kind = table.kind(name)
    if not leaks._ID_NAME.search(name):
        return []
    if pa.types.is_floating(kind):
        number_N = np.fromiter((cell or 0.0 for cell in table.each(name)), np.float64, len(table))
        rows = np.flatnonzero(np.abs(np.nan_to_num(number_N)) >= 2.0**53)
    elif pa.types.is_large_string(kind):
        rounded = (bool(cell and _SCIENTIFIC.fullmatch(cell.strip())) for cell in table.each(name))
        rows = np.flatnonzero(np.fromiter(rounded, bool, len(table)))
    else:
        return []
    if not len(rows):
        return []
    cells = table.take(rows).column(name)
    merged = len(rows) - len(set(cells))
    return [Finding("warning", "rounded-ids",
        f"column {name!r} holds ids that were rounded, such as {cells[0]}, in {count(len(rows))}; "
                    f"{merged:,} of them fell together", places(table, rows), "export ids as text")]
