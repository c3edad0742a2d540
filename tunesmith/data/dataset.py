"""From files to four parts with findings: the one door through which planning gets its data.

`read_sources` reads the given files once, before roles are known; `arrange` cleans, splits and audits them when they
are. Every row that is left out or changed on the way stands in the ledger.

Axes: N rows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from .. import spec
from ..errors import DataError, SpecError, listing
from ..memory import trim
from . import cut, labels, leaks
from .answers import Answers
from .audit import audit, empty_findings, target_findings
from .beside import refuse_held_out
from .files import named, small_images
from .finding import LISTED, Finding, count, places, refuse
from .labels import Kind
from .ledger import Ledger
from .profile import Profile
from .split import BY_CONTENT, PARTS, Splits, split
from .table import Table
from .texts import Texts

GIVEN = ("train", "validation", "test")
LIMIT_SALT = 1


@dataclass(frozen=True)
class Sources:
    """The given files, read, before anyone knows what their columns mean."""

    tables: Mapping[str, Table]
    """`train`, and `validation` and `test` where given."""
    profile: Profile
    """Of the training file."""
    ledger: Ledger

    @property
    def name(self) -> str:
        """What messages call the training file."""
        parts = self.tables["train"].sources
        return parts[0].name if parts else "data"


@dataclass(frozen=True)
class Dataset:
    """Four parts, how they came about, and what there is to know about them."""

    train: Table
    validation: Table
    calibration: Table
    test: Table
    splits: Splits
    findings: tuple[Finding, ...]
    """Errors first. `refuse(findings)` raises the first of them."""
    ledger: Ledger
    profile: Profile
    digest: str
    """SHA-256 over the content of all parts and the columns' roles."""
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    kind: Kind = "label"

    def part(self, name: str) -> Table:
        """A part by its name in PARTS."""
        parts = {"train": self.train, "validation": self.validation, "calibration": self.calibration, "test": self.test}
        return parts[name]

    def with_findings(self, more: Iterable[Finding]) -> Dataset:
        """The same data with further findings (those of a task), without telling the same twice."""
        known = {(f.code, f.rows[:1] or f.message) for f in self.findings}
        fresh = [f for f in dict.fromkeys(more) if (f.code, f.rows[:1] or f.message) not in known]
        return replace(self, findings=_ranked([*self.findings, *fresh]))

    def as_json(self) -> dict[str, Any]:
        """JSON-able values, as `data.json` keeps them. Row ids: 16 hex digits a row, in the part's order."""
        return {
            "digest": self.digest, "inputs": list(self.inputs), "targets": list(self.targets), "kind": self.kind,
            "rows": self.profile.rows,
            "columns": _plain({name: asdict(column) for name, column in self.profile.columns.items()}),
            "splits": {"how": asdict(self.splits.how), "given": list(self.splits.given), "parts": self._parts_json()},
            "leaked_test": list(places(self.test, self.splits.leaked_test)),
            "leaked_test_rows": len(self.splits.leaked_test),
            "duplicates": {"exact": self.splits.duplicates.exact, "near": self.splits.duplicates.near},
            "findings": [finding.as_json() for finding in self.findings], "ledger": self.ledger.as_json(),
        }

    def _parts_json(self) -> dict[str, Any]:
        tables = {name: self.part(name) for name in PARTS}
        return {
            name: {"rows": len(table), "digest": table.digest(), "row_ids": table.row_ids.astype(">u8").tobytes().hex()}
            for name, table in tables.items()
        }


def read_sources(data: spec.Data, ledger: Ledger | None = None, lacking: Sequence[str] = ()) -> Sources:
    """The given files as tables, and the profile of the training file. `lacking`: columns of which each file needs one alone. Raises
    DataError for what cannot be read, SpecError where no file is named."""
    from .read import read

    ledger = ledger or Ledger()
    if not data.train:
        raise SpecError("data.train", expected="a file with rows to learn from", got="nothing", fix="name one",
            code="no-train-file")
    refuse_held_out([data.train] if isinstance(data.train, str) else data.train)
    train = read(data.train, data, ledger, lacking=dict.fromkeys(lacking))
    known = {name: train.kind(name) for name in lacking if name in train.names}
    others = {part: getattr(data, part) for part in GIVEN[1:] if getattr(data, part)}
    # Files without a header take the training file's names.
    tables = {"train": train} | {part: read(path, data, ledger, names=train.names, lacking=known) for part, path in others.items()}
    return Sources(tables, named(Profile.of(train), train, data.files), ledger)


def load(data: spec.Data, inputs: Sequence[str], targets: Sequence[str], kind: Kind, seed: int) -> Dataset:
    """Read, clean, split and audit; raises DataError for the first finding of level `error`."""
    dataset = arrange(read_sources(data), data, inputs=inputs, targets=targets, kind=kind, seed=seed)
    refuse(dataset.findings)
    return dataset


def arrange(
    sources: Sources, data: spec.Data, *, inputs: Sequence[str], targets: Sequence[str], kind: Kind, seed: int, spread: str = ""
) -> Dataset:
    """The parts of the sources, given the columns' roles. Findings of level `error` are kept, not raised. `spread`: a column whose
    values all parts are to have alike, as labels are, where the targets are none.

    Raises DataError where no split can be made at all (an unknown column, too few rows, the same file twice).
    """
    for table in sources.tables.values():
        table.require([*inputs, *targets])
    refuse(leaks.same_findings(sources.tables))
    tables, findings = _clean(sources, data, inputs, targets, kind)
    tables["train"] = _limited(tables["train"], data.limit, sources.ledger)
    texts = Texts(list(tables.values()), inputs)
    told = ([spread], "label") if spread else (targets, kind)
    class_M2, _ = Answers.joined(labels.of_rows(table, *told) for table in tables.values()).memberships()
    try:
        small = small_images(tables.values(), inputs) if data.near_duplicates else None
        splits = split(tables, texts, class_M2, data, seed, small, _number(tables, targets, kind))
    except DataError as error:
        if error.code == "too-few-rows":
            raise
        # A label column that is none (an id, numbers with commas) explains more than that its rows cannot be parted.
        refuse([*findings, *target_findings(tables["train"], targets, kind)])
        raise
    del class_M2
    trim()
    parts = _taken(tables, splits)
    rest = tables["train"].take(_rest(splits, len(tables["train"])))
    twins = [_place(tables, int(i)) for i in splits.twin_of_leaked[:LISTED]]
    findings += audit(parts, rest, splits, inputs, targets, kind, data, twins)
    _enter(tables, splits, sources.ledger)
    digest = _digest(parts, inputs, targets, kind)
    return Dataset(
        **parts, splits=splits, findings=_ranked(findings), ledger=sources.ledger, profile=sources.profile,
        digest=digest,
        inputs=tuple(inputs), targets=tuple(targets), kind=kind,
    )


# -- cleaning ----------------------------------------------------------------------------------------------------------


def _clean(
    sources: Sources, data: spec.Data, inputs: Sequence[str], targets: Sequence[str], kind: Kind
) -> tuple[dict[str, Table], list[Finding]]:
    """The tables without rows that cannot be used, labels merged if asked, numbers as numbers."""
    tables, findings = dict(sources.tables), list[Finding]()
    for part, table in tables.items():
        tables[part], found = cleaned(table, part, data.empty == "drop", inputs, targets, kind, sources.ledger)
        findings += found
    refuse_none(tables["train"], findings, sources.name)
    if kind == "number":
        return tables, findings
    return _merged(tables, targets, kind, data.merge_labels, sources.ledger, findings), findings


def cleaned(
    table: Table, part: str, drop: bool, inputs: Sequence[str], targets: Sequence[str], kind: Kind, ledger: Ledger
) -> tuple[Table, list[Finding]]:
    """A table without the rows that cannot be used (those without text or tokens: where dropping was asked for), numbers as numbers."""
    no_label_N = labels.empty(table, targets, kind)
    blank_N = table.blanks(inputs)
    listed = any(pa.types.is_list(table.kind(name)) or pa.types.is_large_list(table.kind(name)) for name in inputs)
    no_text_N = np.asarray((table.blanks(inputs, lists=True) if listed else blank_N) == len(inputs))
    found = empty_findings(table, part, no_label_N, no_text_N, np.asarray((blank_N > 0) & ~no_text_N), drop)
    found += labels.list_findings(table, targets, kind)
    out_N = no_label_N | (no_text_N & drop)
    if drop:
        for why, out in (("empty label", no_label_N), ("empty text", no_text_N & ~no_label_N)):
            if out.any():
                ledger.add("dropped", f"{why}, in {part}", table.places(np.flatnonzero(out)))
    table = table.take(~out_N) if out_N.any() else table
    return _numeric(table, targets, ledger) if kind == "number" else table, found


def refuse_none(table: Table, findings: Sequence[Finding], name: str) -> None:
    """Raises DataError where cleaning left no row."""
    if not len(table):
        refuse(findings)
        raise DataError(name, expected="rows with a text and a label", got="none", fix="check the columns", code="no-rows")


def _numeric(table: Table, targets: Sequence[str], ledger: Ledger) -> Table:
    """Targets that are texts of numbers (`3.5`) as numbers; others are left for the audit to refuse."""
    for name in targets:
        value_N, bad_N = labels.numbers(table, name)
        if pa.types.is_large_string(table.kind(name)) and not bad_N.any():
            ledger.add("cast", f"column {name!r} from text to number", table.places(range(len(table))))
            table = table.with_column(name, value_N.tolist())
    return table


def _merged(
    tables: dict[str, Table], targets: Sequence[str], kind: Kind, merge: bool, ledger: Ledger, findings: list[Finding]
) -> dict[str, Table]:
    """Tables with label twins merged, or a warning that there are some."""
    if kind == "labels" and len(targets) > 1:
        return tables
    for name in targets:
        cells = {part: labels.of_rows(table, [name], kind) for part, table in tables.items()}
        change = labels.twins(sum((rows.counts() for rows in cells.values()), Counter[str]()))
        for part, table in tables.items():
            changed = cells[part].having(change)
            if len(changed) and merge:
                ledger.add("merged", f"labels of column {name!r}: {_pairs(change)}", table.places(changed))
                tables[part] = table.with_column(name, rewritten(table, name, cells[part], change, kind))
            elif len(changed):
                findings += labels.twin_findings(table, cells[part], change)
    return tables


def _pairs(change: Mapping[str, str]) -> str:
    return listing([f"{old!r} to {new!r}" for old, new in change.items()], 20)


def rewritten(
    table: Table, name: str, rows: Answers, change: Mapping[str, str], kind: Kind
) -> list[Any]:
    """The cells of a label column with labels replaced, in the form that they had."""
    new = [list(dict.fromkeys(change.get(label, label) for label in row)) for row in rows]
    if kind == "label":
        return [row[0] if row else None for row in new]
    if not pa.types.is_large_string(table.kind(name)):
        return new
    mark = labels.separator(labels.each_text(table, name)) or ","
    return [mark.join(row) or None for row in new]


def _number(tables: Mapping[str, Table], targets: Sequence[str], kind: Kind) -> np.ndarray | None:
    """(N,) what is learned of all rows, where it is one number."""
    one = kind == "number" and len(targets) == 1
    return np.concatenate([labels.numbers(table, targets[0])[0] for table in tables.values()]) if one else None


def _limited(table: Table, limit: int | None, ledger: Ledger) -> Table:
    """At most `limit` rows, drawn by content, so that a larger limit only adds rows and file order does not matter."""
    if limit is None or len(table) <= limit:
        return table
    order_N = np.argsort(cut.unit(table.row_ids, 0, LIMIT_SALT), kind="stable")
    ledger.add("dropped", f"data.limit: {limit:,} of {count(len(table))} were drawn",
        table.places(np.sort(order_N[limit:])))
    return table.take(np.sort(order_N[:limit]))


# -- parting -----------------------------------------------------------------------------------------------------------


def _taken(tables: Mapping[str, Table], splits: Splits) -> dict[str, Table]:
    """Each part as a view of the file that its rows come from."""
    starts, start = {}, 0
    for name, table in tables.items():
        starts[name] = start
        start += len(table)
    parts = {}
    for part in PARTS:
        home = part if part in tables and part in splits.given else "train"
        parts[part] = tables[home].take(splits.parts[part] - starts[home])
    return parts


def _place(tables: Mapping[str, Table], position: int) -> str:
    """Where a row stands, counted over the given files one after another."""
    for table in tables.values():
        if position < len(table):
            return table.place(position)
        position -= len(table)
    raise AssertionError("no such row")


def _rest(splits: Splits, n: int) -> np.ndarray:
    """Rows of the training file that the user gave no part."""
    rest_N = np.ones(n, bool)
    for part in splits.given:
        rows = splits.parts[part]
        rest_N[rows[rows < n]] = False
    return np.flatnonzero(rest_N)


def _enter(tables: Mapping[str, Table], splits: Splits, ledger: Ledger) -> None:
    """Write down which rows the split kept together or left out."""
    train = tables["train"]
    group_N = splits.duplicates.group_N
    together = np.flatnonzero(np.bincount(group_N)[group_N] > 1)
    together = together[together < len(train)]
    if len(together) and splits.how.value in ("stratified", BY_CONTENT):
        ledger.add("kept-together", "equal or similar rows on one side of the split",
            train.places(together))
    if len(splits.aside):
        why = "a validation or calibration row that also stands in another part"
        ledger.add("dropped", why, train.places(splits.aside))


def _digest(parts: Mapping[str, Table], inputs: Sequence[str], targets: Sequence[str], kind: Kind) -> str:
    content = {name: table.digest() for name, table in parts.items()}
    said = {"parts": content, "inputs": list(inputs), "targets": list(targets), "kind": kind}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _plain(values: Any) -> Any:
    """The same without dates and other values that JSON lacks."""
    return json.loads(json.dumps(values, default=str))


def _ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: ("error", "warning", "note").index(f.level)))
