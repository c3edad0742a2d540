"""Target cells: what counts as empty, as the same label, as a number. Findings about them, with rows.

Axes: N rows of a table, C classes, M memberships (row, class).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ..errors import listing, shorten
from .answers import Answers
from .content import canonical_text
from .finding import Finding, count, places
from .shingles import fold
from .table import Table

Kind = Literal["label", "labels", "number", "other"]
"""One label of many, any number of labels, numbers, or something else (spans, texts), which the task itself looks at."""

LARGEST = 1e30
"""Targets beyond this overflow the squares of float32."""
MISSING = frozenset(("nan", "<na>", "#n/a", "nat"))
"""Labels that are none, in lower case: pandas and spreadsheets write them for an empty cell. `none` and `NA` may be labels."""
FEW = 12
"""At most so many different whole numbers look like classes rather than a quantity."""
BROKEN = 0.1
"""Share of the cells up to which those that are no lists are taken for broken ones of a column of lists."""
SEPARATORS = ("|", ";", ",")
_LOCALE = re.compile(r"[+-]?(\d{1,3}([.,\s'’]\d{3})+([.,]\d+)?|\d+,\d+)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)


def texts(table: Table, name: str) -> list[str | None]:
    """The cells of a label column as texts, one way of writing each value (5, 5.0 and '5' are one label); None where
    empty.

    A cell of white space alone is empty, and so is what programs write for a missing number (MISSING).
    """
    cells = [text for chunk in table.arrow(name).chunks for text in canonical_text(chunk).to_pylist()]
    return [text if text is not None and text.strip() and text.strip().lower() not in MISSING else None for text in cells]


def each_text(table: Table, name: str) -> Iterator[str | None]:
    """The same one after the other, of which few thousand are in memory."""
    for _, part in table.pieces():
        yield from texts(part, name)


def tags(table: Table, name: str) -> Iterator[list[str]]:
    """The labels of every row of a multi-label column: a list per cell, or a text parted by `|`, `;` or `,`; none where
    empty.
    """
    kind = table.kind(name)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ([_text(tag) for tag in cell or () if tag is not None] for cell in table.each(name))
    if all(map(_is_bracketed, filter(None, each_text(table, name)))):
        return (_listed(cell) if cell else [] for cell in each_text(table, name))
    mark = separator(each_text(table, name))
    return ([t.strip() for t in cell.split(mark) if t.strip()] if cell else [] for cell in each_text(table, name))


def _is_bracketed(cell: str) -> bool:
    """Whether a cell is written as a list: `["a", "b"]`, or `[a, b]`."""
    return cell.strip()[0] == "[" and cell.strip()[-1] == "]"


def _is_json(cell: str) -> bool:
    """Whether a cell is written as a list in JSON."""
    try:
        return _is_bracketed(cell) and isinstance(json.loads(cell), list)
    except ValueError:
        return False


def _listed(cell: str) -> list[str]:
    """The tags of a cell written as a list."""
    try:
        return [str(tag) for tag in json.loads(cell) if tag is not None]
    except ValueError:
        return [tag for part in cell.strip()[1:-1].split(",") if (tag := part.strip(" '\""))]


def separator(cells: Iterable[str | None]) -> str | None:
    """The character between the tags of a column's cells; None where every cell holds one."""
    seen = {mark for cell in cells if cell for mark in SEPARATORS if mark in cell}
    return next((mark for mark in SEPARATORS if mark in seen), None)


def _text(value: Any) -> str:
    return str(canonical_text(pa.array([value], pa.large_string() if isinstance(value, str) else None)).to_pylist()[0])


def flags(table: Table, names: Sequence[str]) -> Iterator[list[str]]:
    """The labels of every row where each label has a column of its own: a label is set unless its cell is 0, false, no
    or empty.
    """
    off = {None, "0", "false", "no", "f", "n"}
    rows = zip(*(each_text(table, name) for name in names))
    return ([name for name, cell in zip(names, row) if cell is not None and cell.lower() not in off] for row in rows)


def of_rows(table: Table, targets: Sequence[str], kind: Kind) -> Answers:
    """The labels of every row; none for numbers and others. Several `label` columns give `name=label` each."""
    return Answers.of(each_row(table, targets, kind))


def each_row(table: Table, targets: Sequence[str], kind: Kind) -> Iterator[Sequence[str]]:
    """The same one after the other, of which few thousand are in memory."""
    if kind in ("number", "other"):
        return repeat((), len(table))
    if kind == "labels":
        return tags(table, targets[0]) if len(targets) == 1 else flags(table, targets)
    if len(targets) == 1:
        return ((label,) if label is not None else () for label in each_text(table, targets[0]))
    rows = zip(*(each_text(table, name) for name in targets))
    return ([f"{name}={label}" for name, label in zip(targets, row)] for row in rows)


def numbers(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) float64 of a target column, NaN where empty or unreadable, and (N,) bool: which cells cannot be used as
    numbers.
    """
    read = _number if pa.types.is_large_string(table.kind(name)) else _as_number
    value_N, there_N = np.full(len(table), math.nan), np.zeros(len(table), bool)
    for row, value in enumerate(map(read, table.each(name))):
        if value is not None:
            value_N[row], there_N[row] = value, True
    with np.errstate(invalid="ignore"):
        bad_N = ~(np.abs(value_N) <= LARGEST) & there_N
    return np.where(bad_N, math.nan, value_N), bad_N


def _as_number(cell: Any) -> float | None:
    """The same of a cell that is no text."""
    return None if cell is None else float(cell) if isinstance(cell, bool | int | float) else math.inf


def _number(cell: str | None) -> float | None:
    """None where empty, infinity where it is no number."""
    if cell is None or not cell.strip() or cell.strip().lower() in MISSING:
        return None
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else math.inf


def looks_like_number(cell: str) -> bool:
    """Whether a text is a number, or what people elsewhere write as one (`1.234,5`)."""
    return bool(_NUMBER.fullmatch(cell.strip()) or _LOCALE.fullmatch(cell.strip()))


def empty(table: Table, targets: Sequence[str], kind: Kind) -> np.ndarray:
    """(N,) bool: rows without an answer. A multi-label cell that is empty means *no label* and is an answer; what an empty cell of
    another kind means (no span in this text) only its task knows."""
    if kind == "other" or (kind == "labels" and len(targets) == 1):
        return np.zeros(len(table), bool)
    missing_N = np.zeros(len(table), bool)
    for name in targets:
        missing_N |= np.fromiter((cell is None for cell in each_text(table, name)), bool, len(table))
    return missing_N


# -- findings ---------------------------------------------------------------------------------------------------------


def twins(counts: Counter[str]) -> dict[str, str]:
    """Label -> the spelling to merge it into, where labels differ only in case, width or space; the commonest spelling
    stays.
    """
    families: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        families[fold(label)].append(label)
    best = {key: max(sorted(family), key=counts.__getitem__) for key, family in families.items()}
    return {label: best[fold(label)] for label in sorted(counts) if best[fold(label)] != label}


def twin_findings(table: Table, labels: Answers, merge: Mapping[str, str]) -> list[Finding]:
    """A warning for labels that look the same, with the merge that is proposed."""
    if not merge:
        return []
    rows = labels.having(merge)
    pairs = listing([f"{old!r} → {new!r}" for old, new in merge.items()])
    return [Finding(
        "warning", "label-twins", f"{count(len(merge), 'label')} differ from another only in case or space: {pairs}",
        places(table, rows), "say --merge-labels to merge them, or mend the cells",
    )]


def list_findings(table: Table, targets: Sequence[str], kind: Kind) -> list[Finding]:
    """An error for cells that cannot be read as a list, where nearly all others of their column can."""
    names = [name for name in targets if pa.types.is_large_string(table.kind(name))] if kind in ("label", "labels") else []
    found = []
    for name in names:
        bad = _unread(table, name, _is_json) or _unread(table, name, _is_bracketed)
        if bad:
            got = listing([repr(cell) for cell in texts(table.take(bad[:3]), name)])
            found.append(Finding(
                "error", "broken-list", f"expected a list in column {name!r}, as in nearly all rows, got {got} in {count(len(bad))}",
                places(table, bad), 'write each cell as ["one", "two"] (a bracket or a quote is missing, or it is one label alone)',
            ))
    return found


def _unread(table: Table, name: str, reads: Callable[[str], bool]) -> list[int]:
    """Rows whose cells are no lists, where nearly all are; of other columns no more than those few are looked at."""
    bad, filled = list[int](), 0
    for row, cell in enumerate(each_text(table, name)):
        filled += bool(cell)
        if cell and not reads(cell):
            bad.append(row)
            if len(bad) > BROKEN * len(table):
                return []
    return bad if len(bad) <= BROKEN * filled else []


def class_findings(table: Table, labels: Answers, kind: Kind) -> list[Finding]:
    """One class only, a class per row, classes with one row, imbalance."""
    counts = labels.counts()
    if kind in ("number", "other") or not len(table):
        return []
    if len(counts) < (2 if kind == "label" else 1):
        only = f"only {shorten(next(iter(counts)))!r}" if counts else "none"
        return [Finding(
            "error", "one-class",
            f"expected at least {2 if kind == 'label' else 1} labels, got {only} in {count(len(table))}", (),
            "check the label column: there is nothing to tell apart",
        )]
    if kind == "label" and len(counts) == len(table):
        return [Finding(
            "error", "label-per-row",
            f"expected labels that repeat, got a different one in each of {count(len(table))}", (),
            "name the label column with --label, or use --task text-regression for numbers",
        )]
    return _rare(table, labels, counts) + _imbalance(counts)


def _rare(table: Table, labels: Answers, counts: Counter[str]) -> list[Finding]:
    single = sorted(label for label, n in counts.items() if n == 1)
    if not single:
        return []
    rows = labels.having(set(single))
    return [Finding(
        "warning", "single-row-class",
        f"{count(len(single), 'label')} with one row {'each ' * (len(single) > 1)}({listing(single)}): "
        f"{'they go' if len(single) > 1 else 'it goes'} to train, and no score speaks of {'them' if len(single) > 1 else 'it'}",
        places(table, rows), "add rows, or merge the label with another",
    )]


def _imbalance(counts: Counter[str]) -> list[Finding]:
    (most, high), (least, low) = counts.most_common(1)[0], min(counts.items(), key=lambda item: (item[1], item[0]))
    if high < 10 * low:
        return []
    return [Finding(
        "note", "imbalance",
        f"label {shorten(most)!r} has {count(high)}, {shorten(least)!r} {low:,}: accuracy would flatter", (),
        "read macro-F1; try --set train.balance=weights",
    )]


def turned(label: str) -> str:
    """`Cause(e1,e2)` for `Cause(e2,e1)` and the other way round; other labels as they are."""
    found = re.fullmatch(r"(.+)\((e[12]),(\s*)(e[12])\)", label)
    return f"{found[1]}({found[4]},{found[3]}{found[2]})" if found and found[2] != found[4] else label


def unknown_findings(known: Iterable[str], table: Table, labels: Answers, part: str) -> list[Finding]:
    """An error for labels of the user's validation or test file that no training row has, not even in the other direction
    (`Cause(e1,e2)` and `Cause(e2,e1)` are one relation)."""
    seen = set(known)
    seen |= {turned(label) for label in seen}
    new = sorted(set(labels.counts()) - seen)
    if not new:
        return []
    rows = labels.having(set(new))
    merged = {fold(label) for label in seen}
    twins_only = all(fold(label) in merged for label in new)
    fix = "say --merge-labels" if twins_only else "add training rows for it, or take these rows out"
    return [Finding(
        "error", "unknown-label",
        "expected labels that the training rows have, "
        f"got {listing([repr(n) for n in new])} in {count(len(rows))} of {part}",
        places(table, rows), fix,
    )]


def number_findings(table: Table, name: str) -> list[Finding]:
    """Targets of a regression that are no usable numbers, are really classes, or never change."""
    value_N, bad_N = numbers(table, name)
    bad = np.flatnonzero(bad_N)
    if len(bad):
        cells = table.take(bad).column(name)
        locale = all(isinstance(cell, str) and _LOCALE.fullmatch(cell.strip()) for cell in cells)
        kind = "locale-number" if locale else "bad-number"
        most = 2 * len(bad) > len(table)  # written in several ways, as amounts in two currencies are
        mend = "write plain numbers, all in one unit" if most else "mend or remove these rows"
        fix = "write 1234.5, without separators" if locale else mend
        got = f"{listing([repr(cell) for cell in cells], 3)} in {count(len(bad))}"
        wanted = "plain numbers" if any(isinstance(cell, str) for cell in cells) else f"numbers below {LARGEST:g}"
        return [Finding("error", kind, f"expected {wanted} in column {name!r}, got {got}", places(table, bad), fix)]
    values = np.unique(value_N[~np.isnan(value_N)])
    if len(values) == 1:
        return [Finding("error", "constant-target",
            f"expected numbers that differ in column {name!r}, got only {values[0]:g}", (),
                        "check the label column: there is nothing to learn")]
    whole = len(values) <= FEW and bool(np.all(values == np.round(values)))
    if whole and (len(values) == 2 or values[-1] - values[0] + 1 == len(values)) and len(table) >= 5 * len(values):
        return [Finding("note", "classes-as-numbers",
            f"column {name!r} holds only {listing([f'{v:g}' for v in values], FEW)}", (),
                        "if these are classes rather than a quantity, say --task text-classification")]
    return []


def label_type_findings(table: Table, name: str, labels: Answers) -> list[Finding]:
    """Labels of a classification that are really quantities."""
    distinct = set(labels.counts())
    if pa.types.is_floating(table.kind(name)) and all(re.fullmatch(r"-?\d+", label) for label in distinct):
        return [Finding("note", "decimals-as-classes",
            f"column {name!r} holds decimals that are all whole, such as 1.0: read as the labels "
                        f"{listing(sorted(distinct))}", (), "if they are a quantity, say --task text-regression")]
    numeric = [label for label in distinct if _NUMBER.fullmatch(label) or _LOCALE.fullmatch(label)]
    if len(distinct) <= FEW or len(numeric) < 0.9 * len(distinct):
        return []
    rows = labels.where(lambda row: any(_LOCALE.fullmatch(label) for label in row))
    if len(rows):
        return [Finding(
            "error", "locale-number", f"expected labels in column {name!r}, got numbers such as {labels[rows[0]][0]!r}",
            places(table, rows), "write 1234.5, without separators, and say --task text-regression",
        )]
    if all(re.fullmatch(r"[+-]?\d+", label) for label in distinct):
        return []
    return [Finding(
        "warning", "numbers-as-classes",
        f"column {name!r} holds {len(distinct):,} different numbers such as {sorted(numeric)[0]!r}", (),
        "if they are a quantity, say --task text-regression",
    )]
