"""A run's result in a few lines: for the terminal, and as a fragment for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from ..judging import words
from . import show

BAR = 24
"""Characters of a bar in the terminal."""
CLEAN = "test without leaked rows"
"""The part of a report in which test rows that have duplicates among the training rows are left out."""


def summary(report: Mapping[str, Any]) -> str:
    """Plain lines: the sentence, the ladder with bars, all scores with intervals, what to beware of. No control characters."""
    lines = [show.visible(report["sentence"]), "", *_ladder(report), "", *_scores(report)]
    warnings = beware(report)
    return "\n".join([*lines, *([""] if warnings else []), *(f"! {show.visible(w)}" for w in warnings)])


def leaked(report: Mapping[str, Any]) -> str:
    """How many test rows have twins among the training rows, and the score without them; empty where none has."""
    count, clean = report.get("leaked", 0), report["parts"].get(CLEAN)
    without = f"; without them {words.title(report['metric'])} is {words.scored(clean['scores'][report['metric']])}" if clean else ""
    verb, twins = ("has a duplicate", "row") if count == 1 else ("have duplicates", "rows")
    return f"{count:,} test {twins} {verb} among the training rows{without}." if count else ""


def beware(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the scores should know, in sentences."""
    found = [leaked(report)] if report.get("leaked") else []
    found += [report["by_heart"]] if report.get("by_heart") else []
    found += [one["sentence"] for one in report.get("sharing") or []]
    if report.get("power"):
        found.append(report["power"]["sentence"])
    found += [_weak(one, report) for one in report.get("slices") or [] if one["clear"]][:3]
    calibration = report.get("calibration")
    if calibration and calibration["after"]["value"] is not None and calibration["after"]["value"] > calibration["chance"]:
        found.append(calibration["verdict"])
    if report.get("looks", 1) > 1:
        found.append(f"The test rows have been looked at {report['looks']} times; each look makes the scores a little less trustworthy.")
    return found


def table(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The ladder as rows of words: model, score with interval, verdict. For whoever draws tables."""
    metric = report["metric"]
    return [(rung["title"], words.scored(rung["scores"][metric]), _against(rung)) for rung in report["ladder"] if metric in rung["scores"]]


def fragment(report: Mapping[str, Any]) -> str:
    """Safe HTML for a notebook: the sentence, the ladder, all scores. Takes the notebook's own colours."""
    rows = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(_cell(words_, i) for i, words_ in enumerate(row))) for row in table(report)
    )
    scores = Markup("").join(
        Markup("<tr>{}{}</tr>").format(_cell(words.title(name), 0), _cell(words.scored(score), 1))
        for name, score in report["parts"]["test"]["scores"].items()
    )
    body = Markup(
        '<div class="tunesmith"><p style="font-size:1.15em;font-weight:600;max-width:44em">{}</p>'
        "<table>{}{}</table><details><summary>All scores on the test rows</summary><table>{}</table></details></div>"
    )
    heads = Markup("").join(_cell(name, i, "th") for i, name in enumerate(("model", words.title(report["metric"]), "tuned model")))
    return str(body.format(show.visible(report["sentence"]), Markup("<tr>{}</tr>").format(heads), rows, scores))


def _cell(value: str, column: int, tag: str = "td") -> Markup:
    return Markup('<{0} style="text-align:{1}">{2}</{0}>').format(tag, "right" if column == 1 else "left", show.visible(value))


def _ladder(report: Mapping[str, Any]) -> list[str]:
    rows = table(report)
    name, score = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    metric = report["metric"]
    values = [rung["scores"][metric]["value"] or 0.0 for rung in report["ladder"] if metric in rung["scores"]]
    top = max([*values, 1e-12])
    bars = ["█" * round(BAR * max(0.0, value) / top) for value in values]
    return [f"  {row[0]:<{name}}  {row[1]:<{score}}  {bar:<{BAR}}  {row[2]}".rstrip() for row, bar in zip(rows, bars)]


def _scores(report: Mapping[str, Any]) -> list[str]:
    scores = report["parts"]["test"]["scores"]
    wide = max(len(words.title(name)) for name in scores)
    lines = [f"  {words.title(name):<{wide}}  {words.scored(score)}" for name, score in scores.items()]
    return [*lines, words.UNMOVED] if any(map(words.unmoved, scores.values())) else lines


def _against(rung: Mapping[str, Any]) -> str:
    if rung["tuned"]:
        return "this run"
    if rung.get("oracle"):
        return "an upper line"
    compared = rung["comparison"]
    size = show.number(abs(compared["difference"]["value"] or 0.0))
    return {"better": f"beaten by {size}", "worse": f"better by {size}"}.get(compared["verdict"], "not distinguishable")


def _weak(one: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    score = {"value": one["score"], "low": one["low"], "high": one["high"]}
    return (f"Weak where {one['by']} is {_short(one['value'])}: {report['slice_score']} {words.scored(score)}, "
            f"{words.number(report['overall'])} over all rows.")


def _short(value: Any, limit: int = 40) -> str:
    """A slice's value cut to one line."""
    line = " ".join(str(value).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
