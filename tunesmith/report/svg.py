"""A few drawing words for vector plots: shapes with classes (colours live in the style sheet, so that light, dark and print share
one drawing), scales, and axes with few round ticks.

A plot is drawn at the size it is read on a phone; wider pages set plots side by side instead of blowing them up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from .show import minus, visible


@final
@dataclass(frozen=True)
class Scale:
    """Numbers to places along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number, held within the axis."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 2)

    def ticks(self, about: int = 4) -> list[float]:
        """Round numbers within the axis, about so many."""
        step = _round_step((self.high - self.low) / max(1, about))
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def tag(name: str, body: str | Markup = "", **attributes: object) -> Markup:
    """One element; `class_` and underscores become what XML wants; everything is escaped."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), visible(value)) for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, pairs, body if isinstance(body, Markup) else visible(body))


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    """Words at a place."""
    return tag("text", words, x=x, y=y, class_=class_ or None, text_anchor=None if anchor == "start" else anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight stroke."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """A polyline through points."""
    drawn = " ".join(f"{'M' if i == 0 else 'L'}{x:g} {y:g}" for i, (x, y) in enumerate(points))
    return tag("path", d=drawn, class_=class_) if drawn else Markup("")


def dot(x: float, y: float, class_: str, radius: float = 3.5, title: str = "") -> Markup:
    """A point, with words for who rests on it."""
    return tag("circle", tag("title", title) if title else "", cx=x, cy=y, r=radius, class_=class_)


def join(parts: Iterable[Markup]) -> Markup:
    """Several elements."""
    return Markup("").join(parts)


def drawing(width: float, height: float, body: Markup, label: str, class_: str = "plot") -> Markup:
    """The SVG element; `label` says to a screen reader what the picture shows."""
    return tag(
        "svg", tag("title", label) + body, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label, class_=class_,
        style=f"max-width:{width:g}px",
    )


@final
@dataclass(frozen=True)
class Frame:
    """The field of a plot with its two axes."""

    x: Scale
    y: Scale
    width: float
    height: float

    @classmethod
    def of(
        cls, xs: Sequence[float], ys: Sequence[float], *, width: float = 360, height: float = 250, left: float = 44,
        right: float = 16, top: float = 26, bottom: float = 38,
    ) -> Frame:
        """A field that holds these numbers; `xs` and `ys` are any numbers between whose ends the axes run."""
        return cls(Scale(*_ends(xs), left, width - right), Scale(*_ends(ys), height - bottom, top), width, height)

    def axes(
        self, x_name: str, y_name: str, x_format: Callable[[float], str] | None = None,
        y_format: Callable[[float], str] | None = None,
    ) -> Markup:
        """Faint lines across at round values, and the axes' names: y above, x below right."""
        across = [
            line(self.x.start, self.y(v), self.x.end, self.y(v), "grid")
            + text(self.x.start - 7, self.y(v) + 4, (y_format or plain)(v), "tick", "end") for v in self.y.ticks()
        ]
        along = [text(self.x(v), self.y.start + 17, (x_format or plain)(v), "tick", "middle") for v in self.x.ticks(5)]
        base = line(self.x.start, self.y.start, self.x.end, self.y.start, "axis")
        names = text(0, 12, y_name, "name") + text(self.x.end, self.height - 3, x_name, "name", "end")
        return join(across) + base + join(along) + names

    def draw(self, body: Markup, label: str) -> Markup:
        """The finished plot."""
        return drawing(self.width, self.height, body, label)


def plain(value: float) -> str:
    """A tick's number without needless zeros."""
    if abs(value) >= 1000:
        return minus(f"{value:,.0f}")
    return minus(f"{value:.10g}" if abs(value) >= 0.001 or value == 0 else f"{value:.0e}")


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    return low, high


def _round_step(rough: float) -> float:
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if rough <= step * power * 1.0001)

