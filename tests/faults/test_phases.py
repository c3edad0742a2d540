"""SIGTERM in each phase of a run: exit code 75, no step lost, and `resume` ends in the same bits."""

from __future__ import annotations

import importlib
import itertools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Said, tunesmith
from tests.runs import write_rows
from tunesmith import api, finish, planning
from tunesmith.plain_yaml import parse_value
from tunesmith.run import Run
from tunesmith.training import checkpoint

__all__ = ["tunesmith"]

# phase -> the function during which the signal comes, and at which of its calls
PHASES = {
    "reading": ("tunesmith.data.dataset.Profile.of", 1),
    "planning": ("tunesmith.planning.find", 1),
    "loading the model": ("tunesmith.training.state.load", 1),
    "tokenising": ("tunesmith.training.stages.encode", 1),
    "the first step": ("tunesmith.training.loop.gradient_of", 1),
    "a later step": ("tunesmith.training.loop.gradient_of", 7),
    "validating": ("tunesmith.training.loop.validate", 2),
    "saving a checkpoint": ("tunesmith.training.checkpoint.swap", 3),
    "calibrating": ("tunesmith.finish._calibrated", 1),
    "saving the model": ("tunesmith.finish.save", 1),
    "the simple models": ("tunesmith.finish._rungs", 1),
    "reporting": ("tunesmith.finish.write_html", 1),
}


MOMENTS = (0, 2, 20, 200, -1)
"""When in the phase: at its first call of a Python function, at the second one..., and when it has returned."""


def signalled(patch: pytest.MonkeyPatch, target: str, at: int, moment: int = 0) -> list[str]:
    """Let SIGTERM come in a function that is called the `at`-th time; what is returned says that it came."""
    calls: list[int] = []
    came: list[str] = []
    module, _, name = target.rpartition(".")
    above, _, last = module.rpartition(".")
    owner: Any = importlib.import_module(module) if last.islower() else getattr(importlib.import_module(above), last)
    real = getattr(owner, name)

    def come() -> None:
        sys.setprofile(None)
        came.append(target)
        signal.raise_signal(signal.SIGTERM)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) != at:
            return real(*args, **kwargs)
        if moment == 0:
            come()
        left = itertools.count(moment, -1)
        if moment > 0:
            sys.setprofile(lambda frame, event, _: come() if event == "call" and next(left) == 0 else None)
        try:
            return real(*args, **kwargs)
        finally:
            sys.setprofile(None)
            if not came:
                come()

    patch.setattr(owner, name, call)
    return came


SETTINGS = ["train.threads=1", "evaluate.resamples=100", "train.save_every=3", "evaluate.baselines=false"]
WORDS = ["--strategy", "full", "--epochs", "2", "--batch", "8", *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture
def fit(
    tunesmith: Callable[..., Said], tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """`tunesmith fit` of a tiny model, in a folder of its own."""

    def run(name: str = ".") -> Said:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        return tunesmith("fit", write_rows(tmp_path / "rows.csv", n=64), "--model", str(tiny_bert), *WORDS, "--json")

    return run


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Any:
    """What these commands plan, once: every run starts from it, but for those that are stopped before."""
    rows = write_rows(tmp_path_factory.mktemp("planned") / "rows.csv", n=64)
    paths = {name: parse_value(value) for name, _, value in (setting.partition("=") for setting in SETTINGS)}
    return api.plan(api.make_spec(str(rows), model=str(tiny_bert), strategy="full", epochs=2, batch=8, **paths))


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_any_phase_is_exit_75(fit: Callable[..., Said], planned: Any, tmp_path: Path, phase: str) -> None:
    """Five moments of twelve phases: sixty signals, no step lost."""
    for moment in MOMENTS:
        with pytest.MonkeyPatch.context() as patch:
            if phase not in ("reading", "planning"):
                patch.setattr(planning, "prepare", lambda spec: planned)
                patch.setattr(finish, "gate", lambda *_: None)  # a fresh process, tested elsewhere
            came = signalled(patch, *PHASES[phase], moment)
            said = fit(str(moment))
        assert came and said.code == 75, (moment, said.err)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "the handler is put back"
        runs = list((tmp_path / str(moment) / "runs").glob("*"))
        if runs:
            nothing_is_lost(runs[0])
        else:
            assert "the same command starts it again" in said.err


def nothing_is_lost(folder: Path) -> None:
    """The last step is in a whole checkpoint, nothing half-written counts, and nothing is called finished."""
    run = Run(folder)
    assert not run.finished and not [path for path in folder.rglob("*.tmp") if not path.name.startswith(".")]
    steps = [event["step"] for event in run.events() if event["event"] == "step"]
    saved = checkpoint.steps_saved(run.checkpoints, "last")
    assert not steps or checkpoint.read(saved[-1])[1]["total"] == max(steps), "no step is lost"


@pytest.mark.slow
def test_stopped_twice_it_ends_in_the_same_bits(fit: Callable[[], Said], tunesmith: Callable[..., Said], tmp_path: Path) -> None:
    assert fit().code == 0
    for phase in ("a later step", "saving the model"):
        with pytest.MonkeyPatch.context() as patch:
            signalled(patch, *PHASES[phase])
            assert fit().code == 75
        left = next(path for path in (tmp_path / "runs").glob("*") if not Run(path).finished)
        assert tunesmith("resume", left, "--quiet").code == 0
    weights = {(path / "model" / "model.safetensors").read_bytes() for path in (tmp_path / "runs").glob("*")}
    assert len(list((tmp_path / "runs").glob("*"))) == 3 and len(weights) == 1
