"""What a process says of its memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith import memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what one process has held")
def test_the_most_that_was_held_is_not_the_parents():
    ballast = b"x" * (300 << 20)
    found = subprocess.run(
        [sys.executable, "-c", "from tunesmith.memory import most_held; print(most_held())"], capture_output=True, text=True, check=True
    )
    assert memory.most_held() > len(ballast) > int(found.stdout) > 1 << 20
    del ballast
    memory.trim()
    assert memory.most_held() > 300 << 20 and memory.held() <= memory.most_held()
