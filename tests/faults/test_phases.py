"""SIGTERM in each phase of a run: exit code 75, no step lost, and `resume` ends in the same bits."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Said, tunesmith
from tests.runs import write_rows
from tunesmith.run import Run

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


def signalled(patch: pytest.MonkeyPatch, target: str, at: int) -> None:
    """Let SIGTERM come when a function is called the `at`-th time."""
    calls: list[int] = []
    module, _, name = target.rpartition(".")
    above, _, last = module.rpartition(".")
    owner: Any = importlib.import_module(module) if last.islower() else getattr(importlib.import_module(above), last)
    real = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == at:
            signal.raise_signal(signal.SIGTERM)
        return real(*args, **kwargs)

    patch.setattr(owner, name, call)


@pytest.fixture
def fit(tunesmith: Callable[..., Said], tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Said]:
    """`tunesmith fit` of a tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rows = write_rows(tmp_path / "rows.csv", n=64)
    settings = ["train.threads=1", "evaluate.resamples=100", "train.save_every=3", "evaluate.baselines=false"]
    words = ["--model", str(tiny_bert), "--strategy", "full", "--epochs", "2", "--batch", "8", *(w for s in settings for w in ("--set", s))]
    return lambda: tunesmith("fit", rows, *words, "--json")


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_any_phase_is_exit_75(fit: Callable[[], Said], tmp_path: Path, phase: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        signalled(patch, *PHASES[phase])
        said = fit()
    assert said.code == 75, said.err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "the handler is put back"
    runs = list((tmp_path / "runs").glob("*"))
    if not runs:
        assert "the same command starts it again" in said.err
        return
    run = Run(runs[0])
    assert not run.finished and not list(runs[0].rglob("*.tmp"))
    steps = [event["step"] for event in run.events() if event["event"] == "step"]
    saved = [event["step"] for event in run.events() if event["event"] == "saved"]
    assert not steps or max(saved) == max(steps), "no step is lost"


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
