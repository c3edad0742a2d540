"""The report's pictures. Each takes a part of `report.json` or of the events and gives an SVG; each says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..judging.words import title, unmoved
from .show import number, percent, span, visible
from .svg import Frame, Scale, dot, drawing, join, line, path, tag, text

MOST_POINTS = 300
"""Points of a drawn curve."""
LONG = 18
"""Characters of a label on an axis."""
LETTER, LINE = 7, 13
"""Most pixels of a character, and those from one line of small writing to the next."""


def bar(score: Mapping[str, Any], ends: tuple[float, float], class_: str = "", mark: float | None = None) -> Markup:
    """A score as a dot on its interval, on an axis shared by the table's rows; `mark`: a faint upright line for reference."""
    value, low, high = (score.get(key) for key in ("value", "low", "high"))
    if value is None:
        return Markup("")
    if value < ends[0]:
        arrow = tag("path", d="M0 11 L8 6.5 L8 15.5 Z", class_="point")
        return tag("svg", arrow, width="100%", height="22", role="img", aria_label=f"{number(value)}, off the axis", class_="bar")
    place = Scale(*ends, 1, 99)
    shapes = [tag("line", x1="0", x2="100%", y1="11", y2="11", class_="track")]
    if mark is not None:
        shapes.append(tag("line", x1=f"{place(mark)}%", x2=f"{place(mark)}%", y1="1", y2="21", class_="mark"))
    if low is not None and high is not None:
        shapes.append(tag("line", x1=f"{place(low)}%", x2=f"{place(high)}%", y1="11", y2="11", class_="range"))
    shapes.append(tag("circle", cx=f"{place(value)}%", cy="11", r="4.5", class_="point"))
    label = f"{number(value)}, {'' if unmoved(score) else 'interval '}{span(score)}" if span(score) else number(value)
    return tag("svg", join(shapes), width="100%", height="22", role="img", aria_label=label, class_=f"bar {class_}".strip())


def ends(scores: Sequence[Mapping[str, Any]], unit: bool = True) -> tuple[float, float]:
    """A common axis for several scores: round ends just outside all intervals; `unit`: not beyond 0 and 1."""
    values = [s[k] for s in scores for k in ("value", "low", "high") if s.get(k) is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    step = 10 ** math.floor(math.log10(max(high - low, 1e-6)))
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    if unit and 0 <= min(values) and max(values) <= 1:
        low, high = max(0.0, low), min(1.0, high)
    return round(low, 10), round(high if high > low else low + step, 10)


def ladder_ends(scores: Sequence[Mapping[str, Any]], higher: bool) -> tuple[float, float]:
    """A common axis for the ladder. A rung so weak that the others would fall on one spot is left to an arrow."""
    known = sorted((s for s in scores if s.get("value") is not None), key=lambda s: float(s["value"]))
    if higher and len(known) > 2:
        gap, rest = known[1]["value"] - known[0]["value"], known[-1]["value"] - known[1]["value"]
        known = known[1:] if gap > 2 * rest else known
    return ends(known)


def loss_curve(events: Sequence[Mapping[str, Any]]) -> Markup:
    """Training loss per row over epochs, smoothed over its noise; the raw steps stand faintly behind."""
    steps = [e for e in events if e.get("event") == "step" and _real(e.get("loss")) and _real(e.get("epoch"))]
    if len(steps) < 2:
        return Markup("")
    raw = [(float(e["epoch"]), float(e["loss"])) for e in steps]
    smooth = _smoothed(raw)
    top = max(sorted(y for _, y in raw)[: max(2, int(len(raw) * 0.99))])
    frame = Frame.of([0.0, max(x for x, _ in raw)], [min(0.0, min(y for _, y in raw)), top])
    faint = path([(frame.x(x), frame.y(y)) for x, y in _thin(raw)], "curve-raw")
    drawn = path([(frame.x(x), frame.y(y)) for x, y in _thin(smooth)], "curve")
    last = smooth[-1][1]
    words = f"Training loss falls from {number(smooth[0][1])} to {number(last)} over {number(raw[-1][0], 1)} epochs."
    return frame.draw(frame.axes("epoch", "training loss") + _stages(steps, frame) + faint + drawn, words)


def score_curve(events: Sequence[Mapping[str, Any]], metric: str, higher: bool) -> Markup:
    """The headline score on the validation rows at each evaluation, the best one named."""
    seen = [e for e in events if e.get("event") == "evaluated" and _real((e.get("scores") or {}).get(metric))]
    if not seen:
        return Markup("")
    points = [(float(e.get("epoch") or 0), float(e["scores"][metric])) for e in seen]
    taken = [i for i, e in enumerate(seen) if e.get("best")]
    best = taken[-1] if taken else (max if higher else min)(range(len(points)), key=lambda i: points[i][1])
    spread = max(y for _, y in points) - min(y for _, y in points)
    low, high = min(y for _, y in points) - 0.08 * spread, max(y for _, y in points) + 0.12 * spread
    frame = Frame.of([0.0, max(x for x, _ in points) or 1.0], [low, high])
    drawn = path([(frame.x(x), frame.y(y)) for x, y in points], "curve")
    dots = join(dot(frame.x(x), frame.y(y), "node", 3, f"epoch {number(x, 2)}: {number(y)}") for x, y in points)
    x, y = frame.x(points[best][0]), frame.y(points[best][1])
    at_end = x > frame.x.start + 0.6 * (frame.x.end - frame.x.start)
    chosen = dot(x, y, "best", 5) + text(x + (-1 if at_end else 1) * 2, y - 11, f"chosen: {number(points[best][1])}", "direct",
                                         "end" if at_end else "start")
    words = f"Validation {title(metric)} over epochs; best {number(points[best][1])} at epoch {number(points[best][0], 2)}."
    return frame.draw(frame.axes("epoch", f"{title(metric)} on validation rows") + _stages(seen, frame) + drawn + dots + chosen, words)


def reliability(found: Mapping[str, Any]) -> Markup:
    """How often answers of a given confidence come true, before (faint) and after calibration, against the diagonal of honesty."""
    bins = found.get("bins") or []
    if not bins:
        return Markup("")
    low = math.floor(10 * min(min(b["confidence"], b["low"]) for b in bins)) / 10
    frame = Frame.of([low, 1.0], [low, 1.0], width=330, height=320)
    diagonal = line(frame.x(low), frame.y(low), frame.x(1), frame.y(1), "honest")
    third = low + (1 - low) / 4
    note = text(frame.x(third) + 12, frame.y(third) + 4, "as promised", "faint")
    before = join(dot(frame.x(b["confidence"]), frame.y(b["share"]), "before", 3) for b in found.get("bins_before") or [])
    shapes = []
    for b in bins:
        x = frame.x(b["confidence"])
        words = f"{b['count']:,} answers, {percent(b['confidence'])} promised, {percent(b['share'])} right"
        shapes.append(line(x, frame.y(b["low"]), x, frame.y(b["high"]), "whisker") + dot(x, frame.y(b["share"]), "node", 4, words))
    axes = frame.axes("confidence", "share that came true", percent, percent)
    label = "Reliability diagram: " + "; ".join(f"{percent(b['confidence'])} promised, {percent(b['share'])} true" for b in bins)
    return frame.draw(axes + diagonal + note + before + join(shapes), label)


def confusion(found: Mapping[str, Any]) -> Markup:
    """Rows by true label and answer; the darker, the larger the share of its row. Empty for more labels than can be read."""
    counts, labels = found.get("counts"), [short(name) for name in found.get("labels") or []]
    if not counts or len(labels) < 2:
        return Markup("")
    cell = 60 if len(labels) <= 3 else 46 if len(labels) <= 6 else 34 if len(labels) <= 12 else 28
    left = min(150, 14 + max(len(name) for name in labels) * 6.6)
    slant = max(len(name) for name in labels) * 7 > cell
    top = (min(118, 22 + max(len(name) for name in labels) * 4.6) if slant else 26) + 18
    cells = [
        _cell(left + j * cell, top + i * cell, cell, count, count / max(1, sum(row)), i == j, labels[i], labels[j])
        for i, row in enumerate(counts) for j, count in enumerate(row)
    ]
    rows = [text(left - 8, top + (i + 0.5) * cell + 4, name, "label", "end") for i, name in enumerate(labels)]
    columns = [_column_name(left + (j + 0.5) * cell, top - 8, name, slant) for j, name in enumerate(labels)]
    heads = text(left + len(labels) * cell, 12, "answer →", "name", "end") + text(0, top - 8, "truth ↓", "name")
    width = left + len(labels) * cell + (60 if slant else 10)
    words = f"Confusion matrix of {len(labels)} labels: {sum(counts[i][i] for i in range(len(labels))):,} of "
    words += f"{sum(map(sum, counts)):,} rows on the diagonal."
    return drawing(width, top + len(labels) * cell + 6, heads + join(cells) + join(rows) + join(columns), words, "plot matrix")


def scatter(target: Mapping[str, Any]) -> Markup:
    """Predicted against true numbers, with the line of perfect answers."""
    points = target.get("points") or []
    if not points:
        return Markup("")
    frame = Frame.of([target["low"], target["high"]], [target["low"], target["high"]], width=340, height=330)
    low, high = frame.x.low, frame.x.high
    perfect = line(frame.x(low), frame.y(low), frame.x(high), frame.y(high), "honest")
    dots = join(dot(frame.x(t), frame.y(p), "cloud", 2.4) for t, p in points)
    label = f"Predicted against true {target['name']} of {len(points):,} rows; the diagonal is a perfect answer."
    return frame.draw(frame.axes("true", f"predicted {short(target['name'])}") + perfect + dots, label)


def residuals(target: Mapping[str, Any]) -> Markup:
    """The true mean where the model says a number: below the line it says too much, above it too little."""
    bins = target.get("bins") or []
    if len(bins) < 2:
        return Markup("")
    values = [b[key] for b in bins for key in ("given", "low", "high")]
    frame = Frame.of([min(values), max(values)], [min(values), max(values)], width=340, height=330)
    low, high = frame.x.low, frame.x.high
    honest = line(frame.x(low), frame.y(low), frame.x(high), frame.y(high), "honest")
    shapes = [
        line(frame.x(b["given"]), frame.y(b["low"]), frame.x(b["given"]), frame.y(b["high"]), "whisker")
        + dot(frame.x(b["given"]), frame.y(b["true"]), "node", 4, f"{b['count']:,} rows") for b in bins
    ]
    label = f"Mean true {target['name']} in bins of the predicted number, with intervals."
    return frame.draw(frame.axes("predicted", "true, mean of each tenth") + honest + join(shapes), label)


def short(name: Any, limit: int = LONG) -> str:
    """A label cut to fit an axis."""
    words = " ".join(visible(name).split())
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


def _cell(
    x: float, y: float, size: float, count: int, share: float, right: bool, truth: str, answer: str
) -> Markup:
    hint = tag("title", f"{truth} answered as {answer}: {count:,} rows, {percent(share)} of {truth}")
    box = tag("rect", hint, x=x + 1, y=y + 1, width=size - 2, height=size - 2, rx=2, class_="hit" if right else "miss",
              fill_opacity=f"{0.06 + 0.94 * share:.3f}" if count else "0.04")
    if not count:
        return box
    class_ = f"count {'on' if share > 0.5 else 'off'}{' small' if size < 34 or count > 999 else ''}"
    return box + text(x + size / 2, y + size / 2 + 4, f"{count}", class_, "middle")


def _column_name(x: float, y: float, name: str, slant: bool) -> Markup:
    if not slant:
        return text(x, y, name, "label", "middle")
    return tag("text", name, x=x, y=y, class_="label", transform=f"rotate(-40 {x:g} {y:g})")


def _stages(events: Sequence[Mapping[str, Any]], frame: Frame) -> Markup:
    """Where a new stage begins: a faint line with its name, above one that it would run into; nothing where there is but one."""
    starts: dict[str, float] = {}
    for event in events:
        starts.setdefault(str(event.get("stage", "")), float(event.get("epoch") or 0))
    if len(starts) < 2:
        return Markup("")
    shapes, ends = [], list[float]()
    for name, epoch in starts.items():
        x = frame.x(epoch)
        row = next((row for row, end in enumerate(ends) if end < x), len(ends))
        ends[row : row + 1] = [x + 4 + LETTER * len(short(name))]
        shapes.append(line(x, frame.y.start, x, frame.y.end, "stage") + text(x + 4, frame.y.start - 6 - LINE * row, short(name), "faint"))
    return join(shapes)


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean of a window around each step, about a twentieth of the curve, narrower at its steep start."""
    reach, total = max(1, len(points) // 40), [0.0]
    for _, y in points:
        total.append(total[-1] + y)
    found = []
    for i, (x, _) in enumerate(points):
        low, high = max(0, i - reach), min(len(points), i + min(reach, i) + 1)
        found.append((x, (total[high] - total[low]) / (high - low)))
    return found


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::every], points[-1]]


def _real(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
