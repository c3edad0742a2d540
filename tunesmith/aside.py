"""Work in a process of its own: its memory is the system's again when it ends, and what it dies of kills nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(module: str, *asked: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ASKED...` with this text as its input, by this Python, with this package, without a network."""
    found = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": found}
    return subprocess.run([sys.executable, "-m", module, *asked], input=given, capture_output=True, text=True, env=env)
