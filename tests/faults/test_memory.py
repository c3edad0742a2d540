"""Kills for memory by the kernel: the command goes on by itself with half the micro-batch; other kills are told and left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli import _keeper

ROOT = Path(__file__).resolve().parents[2]
GONE_ON = ["first step", "a later step", "three times", "validating", "after the last step"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    """What came of each kind of end."""
    folder = tmp_path_factory.mktemp("memory")
    words = [sys.executable, "-m", "tests.faults.memory_server", str(folder), str(tiny_bert)]
    environment = os.environ | {"TUNESMITH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment)
    assert found.returncode == 0, found.stderr[-3000:]
    return dict(json.loads(found.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", GONE_ON)
def test_same_steps_same_batches_same_order(told: dict[str, Any], kind: str) -> None:
    whole, found = told["unbroken"], told[kind]
    assert whole["code"] == found["code"] == 0 and found["finished"], found
    assert [step[:2] for step in found["steps"]] == [step[:2] for step in whole["steps"]] and len(whole["steps"]) > 8
    assert max(abs(a[2] - b[2]) for a, b in zip(found["steps"], whole["steps"])) < 1e-5
    assert len(found["adjusted"]) >= 1 and "killed-for-memory" in found["said"] and "half the micro-batch" in found["said"]
    largest = max(step[1] for step in whole["steps"])
    assert found["micro"]["micro_tokens"] <= largest * (0.2 if kind == "three times" else 0.8), "really smaller passes"


@pytest.mark.slow
def test_what_does_not_help_ends_with_one_sentence(told: dict[str, Any]) -> None:
    found = told["for ever"]
    assert found["code"] == 5 and not found["finished"] and found["said"].count('"killed-for-memory"') == 3
    assert "got a kill by the system for memory, and 3 more times, at ever smaller micro-batches; give it more memory" in found["said"]
    found = told["before the first step"]
    assert found["code"] == 5 and "got a kill by the system for memory, before the first step" in found["said"]
    assert "killed-for-memory" not in found["said"], "there is no checkpoint to go on from, and no micro-batch to blame"


@pytest.mark.slow
def test_a_kill_of_another_kind_is_told_and_not_tried_again(told: dict[str, Any]) -> None:
    for kind, code, name in (("by a person", 137, "SIGKILL"), ("by a fault", 139, "SIGSEGV")):
        found = told[kind]
        assert found["code"] == code and not found["finished"], found
        assert f"got an end by {name}, not for memory as far as the system tells; `tunesmith resume " in found["said"]


def test_the_kernels_counts_are_read_where_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, container = tmp_path / "vmstat", tmp_path / "memory.events"
    machine.write_text("pgfault 12\noom_kill 3\nswap_ra 0\n")
    container.write_text("low 0\noom 9\noom_kill 2\noom_group_kill 0\n")
    monkeypatch.setattr(_keeper, "COUNTERS", (machine, container, tmp_path / "none"))
    assert _keeper.kills() == 5


LINES = [(["fit", "a.csv"], True), (["resume", "r"], True), (["predict", "r"], False), (["fit", "--help"], False)]


@pytest.mark.parametrize(("words", "kept"), LINES)
def test_only_what_trains_is_kept(monkeypatch: pytest.MonkeyPatch, words: list[str], kept: bool) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert _keeper.keeps(words) == (kept and sys.platform == "linux")
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert not _keeper.keeps(words), "threads of an imported torch would not survive a fork"
