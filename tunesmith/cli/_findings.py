"""Findings about the data and the ledger of what was done to its rows, as a person or a program reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ._show import LEVELS, MANY_ROWS, console, jsonable, numbers, safe

LISTED = ("skipped", "dropped", "merged", "relabelled")
"""What was done to rows that their owner will want to look at: these are named."""
FEW_ROWS = 3
MARKS = {"error": "x", "warning": "!", "note": "-"}


def has_errors(findings: Sequence[Any]) -> bool:
    """Whether any finding would stop a run."""
    return any(finding.level == "error" for finding in findings)


def as_values(findings: Sequence[Any]) -> list[dict[str, Any]]:
    """The findings for `--json`, worst first."""
    return [jsonable(finding) for finding in _sorted(findings)]


def show_data(findings: Sequence[Any], ledger: Any) -> None:
    """All findings, then the ledger."""
    out = console()
    for line in said(findings, ledger.entries):
        out.print(line, soft_wrap=True)


def said(findings: Sequence[Any], entries: Sequence[Any]) -> list[str]:
    """Lines about the data: findings by level, worst first, each with its rows and what to do; then what was done to rows."""
    lines = [] if findings else ["no findings: nothing suspicious was seen"]
    for level in LEVELS:
        group = [finding for finding in findings if finding.level == level]
        lines += [_counted(group)] if group else []
        for finding in group:
            lines.append(f"  {_found(finding)}")
            lines += [f"    do: {safe(finding.fix)}"] if finding.fix else []
    return lines + [_done(entry, MANY_ROWS) for entry in entries]


def said_briefly(findings: Sequence[Any], entries: Sequence[Any]) -> list[str]:
    """The same in fewer lines, before a training: notes are counted, rows named sparingly."""
    loud, notes = ([f for f in findings if (f.level == "note") == quiet] for quiet in (False, True))
    lines = [f"{_found(f, FEW_ROWS)}{f'; do: {safe(f.fix)}' if f.fix else ''}" for f in _sorted(loud)]
    lines += [f"- {_counted(notes)}: `tunesmith check` and the report show {'them' if notes[1:] else 'it'}"] if notes else []
    return lines + [_done(entry, FEW_ROWS) for entry in entries]


def say_left_out(ledger: Any) -> None:
    """On stderr, which rows were left out."""
    for entry in ledger.entries:
        if entry.action in LISTED:
            print(_done(entry, MANY_ROWS), file=sys.stderr)


def _counted(group: Sequence[Any]) -> str:
    return f"{len(group)} {group[0].level}{'s' if len(group) > 1 else ''}"


def _found(finding: Any, limit: int = MANY_ROWS) -> str:
    where = f" ({numbers(finding.rows, limit)})" if len(finding.rows) else ""
    return f"{MARKS[finding.level]} {safe(finding.message)}{where}"


def _done(entry: Any, limit: int) -> str:
    """One thing that was done to rows."""
    count = f" {entry.count:,}" if entry.count else ""
    where = f" ({numbers(entry.rows, limit, entry.count)})" if entry.rows and entry.action in LISTED else ""
    return f"ledger: {safe(entry.action)}{count}: {safe(entry.why)}{where}"


def show_marked(marked: Sequence[tuple[str, bool]]) -> None:
    """A row as the model reads it: what is learned in green, or between double square brackets where there are no colours."""
    from rich.text import Text

    if not marked:
        return
    out, shown = console(), Text()
    coloured = out.is_terminal and not out.no_color
    for text, learned in marked:
        words = "\n".join(safe(line) for line in text.split("\n"))
        shown.append(f"[[{words}]]" if learned and not coloured else words, "bold green" if learned else "dim")
    out.print(f"\nthe first row as the model reads it; {'green' if coloured else 'what stands in [[ ]]'} is learned:\n")
    out.print(shown, soft_wrap=True)


def show_said(found: Mapping[str, Any]) -> None:
    """Findings and ledger of a result, where there is anything to say."""
    findings, entries = ([SimpleNamespace(**one) for one in found.get(name) or ()] for name in ("findings", "ledger"))
    out = console()
    for line in said(findings, entries) if findings else [_done(entry, MANY_ROWS) for entry in entries]:
        out.print(line, soft_wrap=True)


def _sorted(findings: Sequence[Any]) -> list[Any]:
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
