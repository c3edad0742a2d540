"""What came of a run, in a few lines: scores with intervals, the simple models beside it, where the report lies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..judging.words import UNMOVED, unmoved
from ._show import console, print_json, quoted, rows_into, safe, score, table


def complain(sentence: str) -> None:
    """One sentence on stderr."""
    print(safe(sentence), file=sys.stderr, flush=True)


def show(path: str, *, quiet: bool = False, as_json: bool = False) -> None:
    """The summary of the finished run in this folder."""
    from ..api import load
    from ..report.show import asked
    from ..report.text import CLEAN

    run = load(path)
    if as_json:
        parts = run.report["parts"]
        report = {"report": str(run.report_path), "sentence": run.report["sentence"], "scores": parts["test"]["scores"]}
        report |= {"leaked": run.report["leaked"]} if run.report.get("leaked") else {}
        report |= {"scores_without_leaked": parts[CLEAN]["scores"]} if CLEAN in parts else {}
        print_json({"event": "result", "run": str(path), **report})
    elif quiet:
        print(path)
    else:
        show_report(run.report)
        out = console()
        out.print(f"report   {safe(run.report_path)}", soft_wrap=True)
        example = asked(run.report.get("inputs", []), task=run.report["task"])
        out.print(f"ask it   tunesmith predict {quoted(path)} {example}", soft_wrap=True)


def show_report(report: Mapping[str, Any]) -> None:
    """The headline in words, the ladder of models, and all scores of the tuned one."""
    from ..report.text import leaked

    out, metric = console(), report["metric"]
    rungs = ((rung["title"], score(rung["scores"].get(metric)), verdict(rung)) for rung in report["ladder"])
    out.print(rows_into(table("model", metric, "the tuned model is"), rungs))
    show_scores(
        report["parts"]["test"]["scores"], title=f"all scores on {report['parts']['test']['rows']:,} sealed test rows"
    )
    out.print(safe(f"{report['sentence']} {leaked(report)}".strip()), soft_wrap=True)
    if report.get("by_heart"):
        out.print(safe(report["by_heart"]), soft_wrap=True)
    for one in report.get("sharing") or ():
        out.print(safe(one["sentence"]), soft_wrap=True)


def verdict(rung: Mapping[str, Any]) -> str:
    """What the tuned model is against this one: better, worse, or not distinguishable."""
    if rung.get("oracle"):
        return "an upper line: it looked at the truth"
    return "" if rung["tuned"] else safe((rung.get("comparison") or {}).get("verdict", ""))


def show_scores(scores: Mapping[str, Any], title: str) -> None:
    """A table of scores, each with its interval where it has one."""
    out = console()
    out.print(safe(title), soft_wrap=True)
    out.print(rows_into(table("score", "value (interval)"), ((name, score(value)) for name, value in scores.items())))
    if any(isinstance(value, Mapping) and unmoved(value) for value in scores.values()):
        out.print(UNMOVED, soft_wrap=True)
