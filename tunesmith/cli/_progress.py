"""Follows the events of a training run on a screen, in a pipe, or as JSON lines. The events are the only thing it reads."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from ._findings import said_briefly
from ._show import console, duration, figure, print_json, safe

if TYPE_CHECKING:
    from ..training.events import Event

LINE_EVERY_SECONDS = 5.0
RECENT_STEPS = 50


@final
@dataclass
class Story:
    """What has been heard so far. The one object here that changes."""

    run: str = ""
    total: int = 0
    step: int = 0
    stage: str = ""
    epoch: float = 0.0
    loss: float | None = None
    seconds: float = 0.0
    best: str = ""
    reason: str = ""
    doing: str = ""
    """What is being done before the first step, or after the last."""
    recent: list[tuple[float, int, int]] = field(default_factory=list)
    """(training seconds, step, rows so far) of the latest steps: the rate is that of now, not of the whole run."""

    def hear(self, event: Event) -> None:
        """Take one event in."""
        found = {
            "started": self._started,
            "already-finished": self._already,
            "step": self._step,
            "evaluated": self._evaluated,
            "finished": self._finished,
            "judging": self._judging,
            "preparing": self._judging,
        }
        if event.kind in found:
            found[event.kind](event)

    def _started(self, event: Any) -> None:
        self.run, self.total, self.step = event.run, event.total_steps, event.step

    def _already(self, event: Any) -> None:
        self.run = event.run

    def _step(self, event: Any) -> None:
        self.doing = ""
        self.step, self.stage, self.epoch, self.loss, self.seconds = (
            event.step,
            event.stage,
            event.epoch,
            event.loss,
            event.seconds,
        )
        rows = self.recent[-1][2] + event.rows if self.recent else event.rows
        self.recent = [*self.recent[-RECENT_STEPS:], (event.seconds, event.step, rows)]

    def _evaluated(self, event: Any) -> None:
        if event.best and event.scores:
            name, value = next(iter(event.scores.items()))
            self.best = f"{name} {figure(value)}"

    def _finished(self, event: Any) -> None:
        self.reason, self.seconds = event.reason, event.seconds

    def _judging(self, event: Any) -> None:
        self.doing = event.what

    @property
    def rate(self) -> float | None:
        """Rows per second over the latest steps."""
        (first, _, before), (last, _, after) = (
            (self.recent[0], self.recent[-1]) if len(self.recent) > 1 else ((0, 0, 0), (0, 0, 0))
        )
        return (after - before) / (last - first) if last > first else None

    @property
    def left(self) -> float | None:
        """Seconds to the last planned step at the present pace; early stopping may end it sooner."""
        if len(self.recent) < 2 or self.recent[-1][1] <= self.recent[0][1]:
            return None
        pace = (self.recent[-1][0] - self.recent[0][0]) / (self.recent[-1][1] - self.recent[0][1])
        return max(self.total - self.step, 0) * pace

    def line(self) -> str:
        """Where training stands, on one line."""
        parts = [
            f"step {self.step:,}/{self.total:,}" if self.total else f"step {self.step:,}",
            safe(self.stage, 30),
            f"loss {figure(self.loss)}" if self.loss is not None else "",
            f"{self.rate:,.0f} rows/s" if self.rate else "",
            f"{duration(self.left)} left" if self.left is not None else "",
            f"best {safe(self.best)}" if self.best else "",
        ]
        return ", ".join(part for part in parts if part)


def follow(events: Iterable[Event], story: Story, *, quiet: bool = False, as_json: bool = False) -> None:
    """Run the events through to the end, show them, and keep in `story` what was heard."""
    if as_json:
        for event in _heard(events, story):
            print_json(event.as_json())
    elif quiet:
        for _ in _heard(events, story):
            pass
    elif sys.stderr.isatty():
        _on_screen(events, story)
    else:
        _in_pipe(events, story)


def _heard(events: Iterable[Event], story: Story) -> Iterator[Event]:
    for event in events:
        story.hear(event)
        yield event


def said(event: Any) -> str:
    """The sentence about an event that deserves one of its own (of the data a line for each thing); empty for the others."""
    if event.kind == "audited":
        return "\n".join(said_briefly(event.findings, event.ledger))
    if event.kind == "already-finished":
        return f"run {safe(event.run)} is finished: there is nothing to go on with"
    if event.kind == "started":
        where = f", going on from step {event.step:,}" if event.step else ""
        stages = " then ".join(map(safe, event.stages))
        return f"run {safe(event.run)}: {event.total_steps:,} steps, {stages}, {event.learning:,} weights learn{where}"
    if event.kind == "evaluated":
        known = [(name, value) for name, value in event.scores.items() if value == value][:3]  # what was not measured is no number
        shown = ", ".join(f"{safe(name)} {figure(value)}" for name, value in known)
        return f"step {event.step:,}, validation: {shown}{' (best so far)' if event.best else ''}"
    if event.kind == "adjusted":
        return f"step {event.step:,}: {safe(event.what)}: {safe(event.why)}"
    if event.kind in ("judging", "preparing"):
        return safe(event.what)
    if event.kind == "finished":
        return f"trained for {duration(event.seconds)} ({safe(event.reason)}); the best weights are those of step {event.best_step:,}"
    return ""


def _in_pipe(events: Iterable[Event], story: Story) -> None:
    """One plain line per event that says something, and one every few seconds of training."""
    last = time.monotonic()
    for event in _heard(events, story):
        sentence = said(event)
        if not sentence and event.kind == "step" and time.monotonic() - last >= LINE_EVERY_SECONDS:
            sentence = story.line()
        if sentence:
            print(sentence, file=sys.stderr, flush=True)
            last = time.monotonic()


def _on_screen(events: Iterable[Event], story: Story) -> None:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    bar = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.description}", markup=False),
        console=console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading the data", total=None)
        for event in _heard(events, story):
            if sentence := said(event):
                bar.console.print(sentence, soft_wrap=True)
            bar.update(task, total=story.total or None, completed=story.step, description=described(story))


def described(story: Story) -> str:
    """The words beside the bar."""
    return safe(story.doing) or story.line()
