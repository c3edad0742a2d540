"""Progress, from events alone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest

from tunesmith.cli import _progress
from tunesmith.training.events import Adjusted, Evaluated, Event, Finished, Judging, Saved, Started, Step


def story(reason: str = "complete") -> Iterator[Event]:
    yield Started("runs/[red]x\x1b[2J", 0, 20, ("probe", "all"), 1_234)
    for step in range(1, 21):
        yield Step(step, "all\x07", step / 10, 1 / step, 1e-4, 0.5, 16, 300, step * 0.5)
        if step % 10 == 0:
            yield Evaluated(step, "all", step / 10, {"macro_f1": 0.5 + step / 100, "accuracy": 0.9}, True, step * 0.5)
            yield Saved(step, "x")
    yield Adjusted(20, "micro-batch halved", "out of memory")
    yield Finished(20, reason, 20, "all", {"macro_f1": 0.7}, 10.0)
    yield Judging("looking at the sealed test rows")


def heard() -> _progress.Story:
    found = _progress.Story()
    for event in story():
        found.hear(event)
    return found


def test_what_is_heard() -> None:
    found = heard()
    assert (found.step, found.total, found.reason, found.best) == (20, 20, "complete", "macro_f1 0.700")
    assert found.rate == pytest.approx(32.0)
    assert found.left == 0
    assert "32 rows/s" in found.line() and "loss 0.050" in found.line()


def test_time_left_is_that_of_the_present_pace() -> None:
    found = _progress.Story(total=110)
    for step in range(1, 11):
        found.hear(Step(step, "all", 0.1, 1.0, 1e-4, 1.0, 8, 8, 2.0 * step))
    assert found.left == pytest.approx(200.0)


def test_in_a_pipe_there_are_plain_lines_and_no_control_characters(capsys) -> None:
    _progress.follow(story(), _progress.Story())
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", said.err)
    assert lines[0] == "run runs/[red]x\\x1b[2J: 20 steps, probe then all, 1,234 weights learn"
    assert len([line for line in lines if "validation" in line]) == 2
    assert any("micro-batch halved: out of memory" in line for line in lines)
    assert lines[-1] == "looking at the sealed test rows"
    assert len(lines) == 6, "steps say nothing more often than every few seconds"


def test_steps_are_heard_of_every_few_seconds(capsys, monkeypatch) -> None:
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(clock))
    _progress.follow(story(), _progress.Story())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step") and "loss" in line]
    assert 3 <= len(said) <= 20 and "rows/s" in said[-1]


def test_quiet_says_nothing(capsys) -> None:
    _progress.follow(story(), _progress.Story(), quiet=True)
    assert capsys.readouterr() == ("", "")


def test_json_is_one_event_a_line(capsys) -> None:
    _progress.follow(story(), _progress.Story(), as_json=True)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in said] == [e.kind for e in story()]


def test_the_bar_shows_user_text_as_text(monkeypatch) -> None:
    """On a terminal the only escapes are Rich's own: markup and escapes inside a name stay text."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(_progress.sys, "stderr", screen)
    _progress.follow(story(), _progress.Story())
    assert "runs/[red]x\\x1b[2J" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue() and "\x07" not in screen.getvalue()


def test_a_story_without_steps_has_no_rate() -> None:
    empty = _progress.Story()
    assert empty.rate is None and empty.left is None and empty.line() == "step 0"
