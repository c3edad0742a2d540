"""Which rows learn, choose, calibrate and judge: from files, a column, groups, time or a hash, in the user's own words
where given.

How a row's part follows from its content is told in `cut.py`; here it is decided what to cut from what, duplicates are
kept on one side, and it is found out which test rows are known to training. Rules:

- A part that the user gave is kept as given. Its leaks are told (`leaked_test`), so that the score can be given without
  them too.
- Rows of ours never repeat: validation and calibration rows cut here have no duplicate, exact or near, in any other
  part. Training rows that stand in a given test or validation file as well stay in train; they are not cut for
  anything.
- A chain of near-duplicates through more than a tenth of the rows (a template, one long context) says little about any
  two of them: within it only exact duplicates are kept together, and its test rows count as leaked.

Axes: N rows (those of the train, the validation and the test file, one after another), M memberships (row, class).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .. import spec
from ..errors import DataError, SpecError, listing, nearest
from ..spec import Choice
from . import cut as cutting
from . import duplicates
from .cut import CALIBRATION, PARTS, TEST, TRAIN, VALIDATION, Cut
from .dates import seconds
from .duplicates import Duplicates
from .finding import count
from .labels import texts as cells_of
from .shingles import key
from .table import Table

__all__ = ["PARTS", "Splits", "split"]

FEWEST = 10
"""Rows from which test and validation can be cut."""
CHAIN = 0.1
"""Share of the rows from which a group of near-duplicates is a chain."""
BY_CONTENT = "random (by content)"
"""How rows are parted where nothing else was said: by a hash of what they say, so that new rows move no old one."""
UNMET = "data.split=stratified was asked for, but rows have several labels or none: they are parted at random (by content)"
USUAL_COLUMNS = ("split", "fold", "subset", "partition", "part", "set")
WORDS = {
    "train": TRAIN, "training": TRAIN, "tr": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "dev": VALIDATION, "development": VALIDATION, "calibration": CALIBRATION, "calib": CALIBRATION, "cal": CALIBRATION,
    "test": TEST, "testing": TEST, "holdout": TEST,
}
"""What people call the parts."""


@dataclass(frozen=True)
class Splits:
    """Where each row went, how, and what is known about it."""

    parts: Mapping[str, np.ndarray]
    """Part -> positions of its rows, ascending, in the given files one after another."""
    how: Choice[str]
    """`files`, `column`, `group`, `time`, `stratified` or BY_CONTENT, and why."""
    duplicates: Duplicates
    leaked_test: np.ndarray
    """Positions WITHIN the test part of rows that have a duplicate, exact or near, in another part."""
    twin_of_leaked: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """For each of `leaked_test`: the first row of another part that it repeats, counted over the given files."""
    given: tuple[str, ...] = ()
    """Parts besides train that the user gave."""
    leaked_exact: int = 0
    """How many of them are exact duplicates."""
    leaked_validation: int = 0
    """Rows of the user's own validation part that have a duplicate in train."""
    aside: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows in no part: our own validation and calibration rows with a duplicate elsewhere that may not move."""
    moved: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows that a rule of `cut.py`, not their own hash, sent to their part."""
    notes: tuple[str, ...] = ()
    column: str = ""
    """Column that said which part a row is in."""
    mode: str = "random"
    """How rows without a given part were cut: `column`, `group`, `time`, `stratified` or `random`."""


@dataclass(frozen=True)
class _Rows:
    """What a split is made from. `given_N`: the part that the user gave each row, -1 where it is ours to decide."""

    table: Table
    """The training file's rows: the first of the N."""
    given_N: np.ndarray
    class_M2: np.ndarray
    found: Duplicates
    options: spec.Data
    seed: int
    shares: Mapping[str, float]
    stratum_N: np.ndarray | None = None


def split(
    tables: Mapping[str, Table], texts: Sequence[str], class_M2: np.ndarray, options: spec.Data, seed: int,
    small: Sequence[bytes] | None = None, number_N: np.ndarray | None = None
) -> Splits:
    """Parts for the rows of `tables` (train, and validation and test where given); `texts` are what all N rows say, in
    that order; `small`: what they look like, where they are images; `number_N`: what is learned of them, where it is one number.

    Raises DataError where too few rows, groups or times are there; SpecError where the settings contradict each other.
    """
    found = duplicates.find(texts, options.near_duplicates, small)
    mode, why = _mode(tables, options)
    stratum_N = cutting.strata(class_M2, number_N, len(texts)) if mode == "stratified" else None
    unmet = mode == "stratified" and stratum_N is None
    if unmet:
        mode, why = "random", UNMET
    given_N, column = _given(tables, options, mode)
    shares = _shares(options, given_N)
    rows = _Rows(tables["train"], given_N, class_M2, found, options, seed, shares, stratum_N)
    pool = _pool(rows)
    _check_size(rows, pool)
    cut = _cut(rows, mode, pool)
    part_N = np.where(given_N < 0, TRAIN, given_N)
    part_N[pool] = cut.part_N
    _check_parts(_file(rows.table), part_N, shares, {"group": options.group, "time": options.time}.get(mode))
    aside = _aside(rows, part_N, pool, mode)
    part_N[aside] = -1
    how = Choice(_name(tables, mode, column), f"{why}; {_cut_reason(rows, mode, pool)}" if shares else why)
    told = _told(rows, part_N, how, replace(cut, moved_N=pool[cut.moved_N]), aside)
    return replace(told, column=column, mode=mode, notes=(*[UNMET] * unmet, *told.notes))


# -- what was asked ----------------------------------------------------------------------------------------------------


def _mode(tables: Mapping[str, Table], options: spec.Data) -> tuple[str, str]:
    """How rows are cut where the user gave no part: column, time, group, stratified or random."""
    asked, table = options.split, tables["train"]
    if options.time and options.group and asked == "auto":
        raise SpecError(
            "data.split", expected="group or time", got="both data.group and data.time", fix="set data.split to one",
            code="two-splits"
        )
    needed = {"group": options.group, "time": options.time, "column": options.split_column or _usual(table)}
    if asked in needed:
        if not needed[asked]:
            setting = "split_column" if asked == "column" else asked
            raise SpecError(
                f"data.{setting}", expected=f"the name of a column for `split: {asked}`", got="nothing",
                fix=f"use one of {listing(table.names, 12)}", code="missing-setting",
            )
        return asked, "as asked"
    for mode in ("time", "group"):
        if needed[mode]:
            return mode, f"column {needed[mode]!r} was named"
    if asked == "auto" and needed["column"] and (options.split_column or len(tables) == 1):
        return "column", f"column {needed['column']!r} says so"
    if asked != "auto":
        return asked, "as asked"
    return "random", _default(tables)


def _default(tables: Mapping[str, Table]) -> str:
    return "no split was given" if len(tables) == 1 else f"{' and '.join(list(tables)[1:])} rows were given"


def _usual(table: Table) -> str:
    """A column that says train, test... in every row."""
    for name in table.names:
        if name.lower() in USUAL_COLUMNS:
            found = {str(cell).strip().lower() for cell in cells_of(table, name)}
            if found <= set(WORDS) and {WORDS[cell] for cell in found} > {TRAIN}:
                return name
    return ""


def _given(tables: Mapping[str, Table], options: spec.Data, mode: str) -> tuple[np.ndarray, str]:
    column = (options.split_column or _usual(tables["train"])) if mode == "column" else ""
    first_N = _from_column(tables["train"], column) if column else np.full(len(tables["train"]), -1, np.int8)
    for part in tables:
        if (first_N == PARTS.index(part)).any():
            raise SpecError(
                f"data.{part}", expected=f"{part} rows from a file or from column {column!r}", got="both",
                fix="leave one of them out", code="two-splits",
            )
    others = [np.full(len(table), PARTS.index(part), np.int8) for part, table in tables.items() if part != "train"]
    return np.concatenate([first_N, *others]), column


def _from_column(table: Table, column: str) -> np.ndarray:
    table.require([column])
    given_N = np.full(len(table), -1, np.int8)
    for i, cell in enumerate(cells_of(table, column)):
        word = (cell or "").strip().lower()
        if word not in WORDS:
            raise DataError(
                f"{table.place(i)}, column {column!r}", expected="train, validation, calibration or test",
                got=repr(cell),
                fix=nearest(word, PARTS) if word else "fill the cell", code="unknown-part",
            )
        given_N[i] = -1 if WORDS[word] == TRAIN else WORDS[word]
    return given_N


def _file(table: Table) -> str:
    return table.sources[0].name if table.sources else "data"


def _shares(options: spec.Data, given_N: np.ndarray) -> dict[str, float]:
    """Share of the pool that each part which was not given takes."""
    asked = {name: float(getattr(options, f"{name}_share")) for name in cutting.ZONES}
    shares = {name: share for name, share in asked.items() if share > 0 and not (given_N == PARTS.index(name)).any()}
    if sum(shares.values()) >= 0.95:
        raise SpecError(
            "data", expected="shares that leave at least 5 % of the rows to train",
            got=", ".join(f"{name}_share {share:g}" for name, share in shares.items()), fix="lower them",
            code="shares-too-large",
        )
    return shares


def _name(tables: Mapping[str, Table], mode: str, column: str) -> str:
    return "column" if column else "files" if len(tables) > 1 else BY_CONTENT if mode == "random" else mode


# -- cutting -----------------------------------------------------------------------------------------------------------


def _pool(rows: _Rows) -> np.ndarray:
    """Rows that are ours to place: those without a given part, and without a duplicate in one."""
    known = np.isin(rows.found.group_N, rows.found.group_N[rows.given_N >= 0])
    return np.flatnonzero((rows.given_N < 0) & ~known)


def _check_size(rows: _Rows, pool: np.ndarray) -> None:
    needed = FEWEST if {"test", "validation"} & set(rows.shares) else 0
    without = " (without those that also stand in the files given for testing)" if len(pool) < len(rows.table) else ""
    if len(pool) < needed:
        raise DataError(
            _file(rows.table), expected=f"at least {FEWEST} rows to part",
            got=count(len(pool)) + without,
            fix="add rows, or give a validation and a test file", code="too-few-rows",
        )


def _cut(rows: _Rows, mode: str, pool: np.ndarray) -> Cut:
    if mode == "time":
        time_N = seconds(rows.table, rows.options.time)
        return cutting.by_time(time_N[pool], rows.found.key_N[pool], rows.shares, rows.seed)
    key_N = rows.found.key_N[pool]
    if mode == "group":
        key_N = _group_keys(rows)[pool]
        return cutting.by_hash(key_N, _numbered(key_N), _within(rows.class_M2, pool), rows.shares, rows.seed, big=0.25)
    group_N, note = _loosened(rows.found, pool)
    if rows.stratum_N is not None:
        cut = cutting.by_quota(key_N, group_N, rows.stratum_N[pool], rows.shares, rows.seed)
    else:
        cut = cutting.by_hash(key_N, group_N, _within(rows.class_M2, pool), rows.shares, rows.seed)
    return replace(cut, notes=(*note, *cut.notes))


def _group_keys(rows: _Rows) -> np.ndarray:
    """Content hash of each training row's group; a row without one is a group of its own."""
    rows.table.require([rows.options.group])
    key_N = rows.found.key_N[: len(rows.table)].copy()
    for i, cell in enumerate(cells_of(rows.table, rows.options.group)):
        if cell is not None:
            key_N[i] = key(cell)
    return key_N


def _loosened(found: Duplicates, pool: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Groups of the pool's rows, numbered from 0, with chains of near-duplicates taken apart into exact ones."""
    group_N, exact_N = _numbered(found.group_N[pool]), found.exact_N[pool]
    size_G = np.bincount(group_N)
    chain_N = (size_G > max(CHAIN * len(pool), 2 * cutting.LEAST))[group_N]
    if not chain_N.any():
        return group_N, ()
    loose_N = _numbered(np.where(chain_N, exact_N + len(found.group_N), group_N))
    if loose_N.max() == group_N.max():
        return group_N, ()
    resembling = count(int(chain_N.sum()))
    return loose_N, (f"{resembling} resemble each other in a long chain: of these only exact duplicates stay on one side",)


def _numbered(values_N: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(values_N, return_inverse=True)[1]).astype(np.int32)


def _within(class_M2: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """The memberships of the pool's rows, with rows numbered within the pool."""
    if not len(class_M2):
        return class_M2
    number_N = np.full(int(max(class_M2[:, 0].max(), pool.max(initial=0))) + 1, -1, np.int32)
    number_N[pool] = np.arange(len(pool), dtype=np.int32)
    row_M = number_N[class_M2[:, 0]]
    inside_M = row_M >= 0
    return np.stack([row_M[inside_M], class_M2[inside_M, 1]], 1)


def _check_parts(place: str, part_N: np.ndarray, shares: Mapping[str, float], column: str | None) -> None:
    thing = f"different values of {column!r}" if column else "different texts (and labels that repeat)"
    for name in ("train", *(n for n in ("test", "validation") if n in shares)):
        if not (part_N == PARTS.index(name)).any():
            raise DataError(
                place, expected=f"enough {thing} to part the rows", got=f"no row for {name}",
                fix="add rows, give a file for it, or choose another data.split", code="too-few-groups",
            )


# -- duplicates across parts -------------------------------------------------------------------------------------------


def _aside(rows: _Rows, part_N: np.ndarray, pool: np.ndarray, mode: str) -> np.ndarray:
    """Our validation and calibration rows with a duplicate in another part, as happens where groups or times rule."""
    if mode not in ("group", "time"):
        return np.zeros(0, np.int64)
    group_N = rows.found.group_N
    taken: list[np.ndarray] = []
    for part in (VALIDATION, CALIBRATION):
        mine = pool[part_N[pool] == part]
        others = np.isin(part_N, [TRAIN, TEST, *([VALIDATION] if part == CALIBRATION else [])])
        repeated = mine[np.isin(group_N[mine], group_N[others])]
        # A validation set of nothing cannot choose: then the repeats stay, and are told.
        taken += [repeated] if len(repeated) < len(mine) else []
    return np.sort(np.concatenate([np.zeros(0, np.int64), *taken]))


def _told(rows: _Rows, part_N: np.ndarray, how: Choice[str], cut: Cut, aside: np.ndarray) -> Splits:
    parts = {name: np.flatnonzero(part_N == i) for i, name in enumerate(PARTS)}
    group_N, exact_N = rows.found.group_N, rows.found.exact_N
    others = np.flatnonzero((part_N >= 0) & (part_N != TEST))
    leaked = np.flatnonzero(np.isin(group_N[parts["test"]], group_N[others]))
    _, first = np.unique(group_N[others], return_index=True)
    twins = others[first][np.searchsorted(group_N[others[first]], group_N[parts["test"][leaked]])]
    exact = int(np.isin(exact_N[parts["test"]], exact_N[others]).sum())
    validation = int(np.isin(group_N[parts["validation"]], group_N[parts["train"]]).sum())
    notes = (*cut.notes, *([rows.found.note] if rows.found.note else []), *_class_note(rows, part_N))
    given = tuple(name for i, name in enumerate(PARTS) if (rows.given_N == i).any())
    return Splits(parts, how, rows.found, leaked, twins, given, exact, validation, aside, cut.moved_N, notes)


def _class_note(rows: _Rows, part_N: np.ndarray) -> list[str]:
    """How near the class shares of our test part came to those of all rows."""
    if not len(rows.class_M2) or "test" not in rows.shares:
        return []
    part_M, class_M = part_N[rows.class_M2[:, 0]], rows.class_M2[:, 1]
    kinds = class_M.max() + 1
    all_C, test_C = (np.bincount(class_M[here_M], minlength=kinds) for here_M in (part_M >= 0, part_M == TEST))
    apart = np.abs(all_C / max(1, all_C.sum()) - test_C / max(1, test_C.sum())).max()
    missing = int(((all_C > 0) & (test_C == 0)).sum())
    without = f"; {missing:,} of {(all_C > 0).sum():,} labels have no test row" if missing else ""
    return [f"class shares of the test rows are within {100 * apart:.1f} points of those of all rows{without}"]


def _cut_reason(rows: _Rows, mode: str, pool: np.ndarray) -> str:
    names = ", ".join(f"{share:.0%} {name}" for name, share in rows.shares.items())
    by = {
        "time": f"the latest rows of column {rows.options.time!r}", "group": f"a hash of column {rows.options.group!r}",
        "stratified": "ranks of content hashes within each label or range (duplicates together): new rows may move others",
    }.get(mode, "a hash of each row's content (duplicates together), so that adding rows moves no old one")
    return f"{names} of {count(len(pool))} cut by {by}"
