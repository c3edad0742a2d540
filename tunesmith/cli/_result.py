"""What came of a run, in a few lines: scores with intervals, the simple models beside it, where the report lies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ._show import console, print_json, quoted, rows_into, safe, score, table


def complain(sentence: str) -> None:
    """One sentence on stderr."""
    print(safe(sentence), file=sys.stderr, flush=True)


def show(path: str, *, quiet: bool = False, as_json: bool = False) -> None:
    """The summary of the finished run in this folder."""
    from ..api import load

    run = load(path)
    if as_json:
        print_json({"event": "result", "run": str(path), "report": str(run.report_path), "scores": run.scores})
        return
    if quiet:
        print(path)
        return
    show_scores(run.scores, title="scores on the sealed test rows")
    out = console()
    out.print(f"report:   {safe(run.report_path)}", soft_wrap=True)
    out.print(f'predict:  tunesmith predict {quoted(path)} "your text"', soft_wrap=True)


def show_scores(scores: Mapping[str, Any], title: str | None = None) -> None:
    """A table of scores, each with its interval where it has one."""
    console().print(
        rows_into(
            table("score", "value (interval)", title=title), ((name, score(value)) for name, value in scores.items())
        )
    )
