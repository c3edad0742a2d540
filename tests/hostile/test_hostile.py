"""The 48 hostile artefacts: each is refused in one sentence, or never read; no code runs, nothing is called, nothing is written elsewhere.

All 48 apply. What could not be carried in by one road is tried by another: hard links exist in tar archives only, which are refused
whole; a base model's address in a finished run's `head.json` is a name that is shown and never followed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.artefacts import ARTEFACTS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 8.0
MEGABYTES = 700
Told = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What came of every try, by artefact."""
    folder = tmp_path_factory.mktemp("hostile")
    found = subprocess.run(
        [sys.executable, "-m", "tests.hostile.serve", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=560,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    outcomes: Told = {}
    for line in found.stdout.splitlines():
        outcome = json.loads(line)
        outcomes.setdefault(outcome["name"], []).append(outcome)
    return outcomes


def test_there_are_48() -> None:
    assert len(ARTEFACTS) == 48 and all(ARTEFACTS.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ARTEFACTS)
def test_refused_or_never_read(told: Told, name: str) -> None:
    assert len(told[name]) == len(ARTEFACTS[name])
    for one, outcome in zip(ARTEFACTS[name], told[name]):
        assert outcome["exit"] in one.exits and one.code in ("", outcome["code"]), outcome
        assert outcome["seen"] == [] and outcome["left"] == [], outcome
        assert outcome["seconds"] < SECONDS and outcome["megabytes"] < MEGABYTES, outcome
        if outcome["exit"]:
            assert outcome["code"] and ": expected " in outcome["message"] and ", got " in outcome["message"], outcome


def test_the_watch_bites(tmp_path: Path) -> None:
    """What it looks for is seen when it happens: else the tests above could not fail."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.hostile.bite", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr[-2000:]
    seen = json.loads(found.stdout)
    assert {name for name, events in seen.items() if not events} == set(), seen
