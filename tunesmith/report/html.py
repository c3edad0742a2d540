"""`report.html`: one file that needs nothing else. No script, no network; colours follow the reader's light or dark."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import plots, show
from .read import story

HERE = Path(__file__).parent
MANY = 30
"""Labels from which the table shows the worst first and folds the rest."""
WORST = 12


def write(run_dir: str | Path) -> Path:
    """Render `report.html` of a finished run from the files of its folder; returns its path. Raises RunError without report.json."""
    target = Path(run_dir) / "report.html"
    beside = target.with_suffix(".html.new")
    beside.write_text(page(story(run_dir)), encoding="utf-8", newline="\n")
    os.replace(beside, target)
    return target


def page(told: dict[str, Any]) -> str:
    """The whole page of what `read.story` gathered."""
    report = told["report"]
    environment = _environment()
    rendered: str = environment.get_template("page.html.jinja").render(
        **told, css=(HERE / "style.css").read_text("utf-8"), score_ends=_score_ends(report), labels=_labels(report),
        slice_ends=_slice_ends(report), headline=split(report["sentence"]),
        part_names=part_names(report),
    )
    return rendered


def part_names(report: Mapping[str, Any]) -> list[str]:
    """The judged parts, the test rows first."""
    return sorted(report["parts"], key=lambda part: (not part.startswith("test"), part))


def split(sentence: str) -> tuple[str, str]:
    """The score, and what is made of it: the headline's two sentences."""
    first, dot, rest = sentence.partition(" rows. ")
    return (f"{first} rows.", rest) if dot else (sentence, "")


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: show.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    from ..judging import words

    environment.filters |= {
        "foreign": show.html, "marked": show.marked, "asked": show.asked,
        "number": show.number, "amount": show.amount, "span": show.span, "gap": show.gap,
        "percent": show.percent, "seconds": show.seconds, "size": show.size, "title_of": words.title, "short": plots.short,
        "setting": setting, "places": show.places, "moment": show.moment, "unbroken": show.unbroken, "shell": shlex.quote,
        "python": repr, "unconfirmed": words.unconfirmed,
    }
    environment.globals |= {
        "bar": plots.bar, "loss_curve": plots.loss_curve, "score_curve": plots.score_curve, "reliability": plots.reliability,
        "confusion": plots.confusion, "scatter": plots.scatter, "residuals": plots.residuals, "css_markup": Markup,
    }
    return environment


def setting(value: Any) -> str:
    """A setting's value as one writes it in the spec."""
    if value is None or value == "" or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {setting(v)}" for key, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _score_ends(report: dict[str, Any]) -> tuple[float, float]:
    metric = report["metric"]
    scores = [rung["scores"][metric] for rung in report["ladder"] if metric in rung["scores"]]
    return plots.ladder_ends(scores, report["directions"][metric])


def _slice_ends(report: dict[str, Any]) -> tuple[float, float]:
    return plots.ends([{"value": s["score"], "low": s["low"], "high": s["high"]} for s in report["slices"]])


def _labels(report: dict[str, Any]) -> dict[str, Any]:
    """Per-label rows to show at once and to fold away, worst first where there are many, and their common axis."""
    rows = report["per_label"]
    ranked = sorted(rows, key=lambda row: (row["f1"] is None, row["f1"]))
    shown = ranked[:WORST] if len(rows) > MANY else rows
    scores = [{"value": row["f1"], "low": row["low"], "high": row["high"]} for row in rows if row["f1"] is not None]
    return {"shown": shown, "folded": ranked[WORST:] if len(rows) > MANY else [], "ends": plots.ends(scores), "count": len(rows)}
