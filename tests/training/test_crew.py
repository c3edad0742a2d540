"""Several processes compute the gradient of one; a helper that goes takes nothing with it."""

import os
import signal

import pytest

from tests.runs import fingerprint, make_ready
from tunesmith import api
from tunesmith.errors import ResourceError
from tunesmith.run import Run
from tunesmith.training.events import Step
from tunesmith.training.loop import train
from tunesmith.training.state import State


def started(folder, model, **train_settings):
    """A run that is about to train: two stages, accumulation, rows of unlike length."""
    ready = make_ready(folder, model, strategy="last-k", strategy_options={"k": 1}, epochs=1,
                       train={"processes": 2, "dropout": 0.0, "micro_tokens": 40, **train_settings})  # fmt: skip
    return ready, Run.create(ready), State.start(ready)


def losses(events):
    """What each step said."""
    return [(e.loss, e.grad_norm) for e in events if isinstance(e, Step)]


def test_two_processes_train_as_one(tmp_path, tiny_bert):
    _, run, state = started(tmp_path, tiny_bert)
    two = losses(train(state, run.checkpoints))
    _, run, state = started(tmp_path, tiny_bert, processes=1)
    one = losses(train(state, run.checkpoints))
    assert len(two) == len(one) > 5
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-4, abs=1e-6)


def test_a_stopped_run_of_two_goes_on_to_the_same_bits(tmp_path, tiny_bert):
    _, run, state = started(tmp_path, tiny_bert, dropout=0.1)
    whole = losses(train(state, run.checkpoints))
    unbroken = fingerprint(state, run.checkpoints)
    ready, run, state = started(tmp_path, tiny_bert, dropout=0.1)
    events = train(state, run.checkpoints)
    for event in events:
        if isinstance(event, Step) and event.step == 4:
            state.stop_asked = True
    state, _ = State.resume(ready, run.checkpoints)
    rest = losses(train(state, run.checkpoints))
    assert rest == whole[-len(rest) :] and fingerprint(state, run.checkpoints) == unbroken


def test_a_helper_that_is_killed_is_said_and_the_run_goes_on_later(tmp_path, tiny_bert):
    _, run, state = started(tmp_path, tiny_bert)
    with pytest.raises(ResourceError, match="processes"):
        for event in train(state, run.checkpoints):
            if isinstance(event, Step) and event.step == 2:
                os.kill(state.crew.helpers[0].pid, signal.SIGKILL)
    assert state.crew is None
    assert api.resume(run.path).path == run.path
