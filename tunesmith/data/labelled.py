"""A labelled file made ready for a finished run to be scored on it: cleaned as its training rows were, nothing left out unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .. import spec
from ..errors import listing, shorten
from . import labels
from .dataset import cleaned, refuse_none, rewritten
from .finding import Finding, have, places, refuse
from .labels import Kind
from .ledger import Ledger
from .shingles import fold
from .table import Table


@dataclass(frozen=True)
class Labelled:
    """Rows to score, what there is to say about them, and what was done to them."""

    rows: Table
    findings: tuple[Finding, ...]
    ledger: Ledger


def ready(
    table: Table, options: spec.Data, *, inputs: Sequence[str], targets: Sequence[str], kind: Kind, known: Sequence[str],
    ledger: Ledger | None = None,
) -> Labelled:
    """The rows with labels spelled as the run learned them, where it merged twins; labels it never saw are named.

    `known`: labels of the training rows; none for numbers. Raises DataError where a column is missing, where labels are
    empty (unless the run dropped such rows) or no numbers, and where no row is left.
    """
    ledger, name = ledger or Ledger(), table.sources[0].name if table.sources else "rows"
    table.require([*inputs, *targets])
    table, findings = cleaned(table, "the file", options.empty == "drop", inputs, targets, kind, ledger)
    findings = [f for f in findings if f.code != "empty-text" or f.level != "error"] + _bad_numbers(table, targets, kind)
    refuse(findings)
    refuse_none(table, findings, name)
    if known and options.merge_labels:
        table = _spelled(table, targets, kind, known, ledger)
    return Labelled(table, tuple(findings + _unknown(table, targets, kind, known)), ledger)


def _bad_numbers(table: Table, targets: Sequence[str], kind: Kind) -> list[Finding]:
    found = [f for name in targets for f in labels.number_findings(table, name)] if kind == "number" else []
    return [f for f in found if f.code in ("locale-number", "bad-number")]


def _spelled(table: Table, targets: Sequence[str], kind: Kind, known: Sequence[str], ledger: Ledger) -> Table:
    """Labels that differ from a known one in case or space alone, written as that."""
    if kind == "labels" and len(targets) > 1:
        return table
    spelling = {fold(label): label for label in known}
    for name in targets:
        seen = {label for row in labels.each_row(table, [name], kind) for label in row} - set(known)
        change = {label: spelling[fold(label)] for label in sorted(seen) if fold(label) in spelling}
        if not change:
            continue
        rows = labels.of_rows(table, [name], kind)
        changed = rows.having(change)
        if len(changed):
            pairs = listing([f"{old!r} to {new!r}" for old, new in change.items()], 20)
            ledger.add("merged", f"labels of column {name!r}: {pairs}", table.places(changed))
            table = table.with_column(name, rewritten(table, name, rows, change, kind))
    return table


def _unknown(table: Table, targets: Sequence[str], kind: Kind, known: Sequence[str]) -> list[Finding]:
    """A warning that names labels the run never learned: it cannot give them, so each counts as wrong."""
    if not known or len(targets) > 1:
        return []
    learned = set(known)
    counts = Counter(label for row in labels.each_row(table, targets, kind) for label in row if label not in learned)
    if not counts:
        return []
    bad = [i for i, row in enumerate(labels.each_row(table, targets, kind)) if any(label in counts for label in row)]
    shown = listing([f"{shorten(label)!r} ({times:,})" for label, times in counts.most_common()], 5)
    twins = {fold(label) for label in counts} <= {fold(label) for label in known}
    fix = "they differ from known ones in case or space alone: mend the cells" if twins else "train on rows that have them"
    message = f"{have(len(bad))} a label that the run never learned, which counts as wrong: {shown}"
    return [Finding("warning", "unknown-label", message, places(table, bad), fix)]
