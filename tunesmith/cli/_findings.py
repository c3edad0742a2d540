"""Findings about the data and the ledger of what was done to its rows, as a person or a program reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ._show import LEVELS, console, jsonable, numbers, safe

LISTED = ("skipped", "dropped", "merged", "relabelled")
"""What was done to rows that their owner will want to look at: these are named."""
MARKS = {"error": "x", "warning": "!", "note": "-"}


def has_errors(findings: Sequence[Any]) -> bool:
    """Whether any finding would stop a run."""
    return any(finding.level == "error" for finding in findings)


def as_values(findings: Sequence[Any]) -> list[dict[str, Any]]:
    """The findings for `--json`, worst first."""
    return [jsonable(finding) for finding in _sorted(findings)]


def show_findings(findings: Sequence[Any]) -> None:
    """Grouped by level, worst first; each with its rows and what to do."""
    out = console()
    if not findings:
        out.print("no findings: nothing suspicious was seen")
    for level in LEVELS:
        group = [f for f in findings if f.level == level]
        if group:
            out.print(f"{len(group)} {level}{'s' if len(group) > 1 else ''}")
        for finding in group:
            where = f" ({numbers(finding.rows)})" if len(finding.rows) else ""
            out.print(f"  {MARKS[level]} {safe(finding.message)}{where}", soft_wrap=True)
            if finding.fix:
                out.print(f"    do: {safe(finding.fix)}", soft_wrap=True)


def show_ledger(ledger: Any) -> None:
    """One line per thing that was done to rows."""
    out = console()
    for entry in ledger.entries:
        count = f" {entry.count:,}" if entry.count else ""
        where = f" ({numbers(entry.rows)})" if entry.rows and entry.action in LISTED else ""
        out.print(f"ledger: {safe(entry.action)}{count}: {safe(entry.why)}{where}", soft_wrap=True)


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
    if found.get("findings"):
        show_findings([SimpleNamespace(**finding) for finding in found["findings"]])
    show_ledger(SimpleNamespace(entries=[SimpleNamespace(**entry) for entry in found.get("ledger", ())]))


def _sorted(findings: Sequence[Any]) -> list[Any]:
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
