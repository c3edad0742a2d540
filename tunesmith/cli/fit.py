"""Fine-tune a pretrained model on a data file; leaves a run folder with a report.

Columns, task, model, way of learning and all settings are chosen where nothing is said, each with a reason that the plan keeps.

Example: tunesmith fit reviews.csv --label stars --budget 10m
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from ._flags import Json, Quiet, takes_spec

if TYPE_CHECKING:
    from ..spec import Spec
    from ..training.events import Event


@takes_spec
def command(spec: Any, *, quiet: Quiet = False, json: Json = False) -> int:
    """Fit."""
    from ..api import fit_events

    return learn(fit_events(_with_data(spec)), quiet=quiet, json=json)


def learn(events: Any, *, quiet: bool, json: bool) -> int:
    """Follow a training to its end and say what came of it. Exit code 75 where it was stopped."""
    from ..errors import STOPPED_RESUMABLE
    from . import _progress, _result
    from ._show import print_json, resume_hint

    story = _progress.Story()
    try:
        with _terminations():
            _progress.follow(_told(events), story, quiet=quiet, as_json=json)
    except KeyboardInterrupt as stop:
        if not story.run and not isinstance(stop, Terminated):
            raise
        story.reason = "stopped"
    if story.reason == "stopped" and not story.run:
        _result.complain("stopped before the first step; nothing was begun: the same command starts it again")
        return STOPPED_RESUMABLE
    if story.reason == "stopped":
        if json:
            print_json({"event": "stopped", "run": story.run, "resume": ["tunesmith", "resume", story.run]})
        else:
            _result.complain(resume_hint(story.run))
        return STOPPED_RESUMABLE
    _result.show(story.run, quiet=quiet, as_json=json)
    return 0


def _told(events: Iterable[Event]) -> Iterator[Event]:
    """The events; whoever keeps this process learns which run it is."""
    from ._keeper import tell

    for event in events:
        if event.kind == "started":
            tell(event.run)  # type: ignore[attr-defined]
        yield event


@final
class Terminated(KeyboardInterrupt):
    """SIGTERM while nothing waits for it: before the first step, and after the last."""


@contextmanager
def _terminations() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that what was begun is left in order; training has its own, gentler way."""
    from ..signals import forget, is_echo

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        if not is_echo():
            raise Terminated

    forget()
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _with_data(spec: Spec) -> Spec:
    """Raises SpecError where no data was named."""
    from ..errors import SpecError

    if not spec.data.train:
        raise SpecError(
            "FILE", expected="a data file or a spec", got="nothing", fix="tunesmith fit reviews.csv", code="no-data"
        )
    return spec
