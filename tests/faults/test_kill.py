"""A run killed at any instant, again and again, ends in the same bits as one that was left alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 100
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_kills(tmp_path, tiny_bert):
    words = [sys.executable, "-m", "tests.faults.kill_server", str(tmp_path), str(tiny_bert), str(KILLS), "2026"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1100)
    assert found.returncode == 0, found.stderr[-2000:]
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["wrong"] == [] and result["kills"] >= KILLS, result
