"""Work in a process of its own: its memory is the system's again when it ends, and what it dies of kills nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def command(module: str, *asked: str) -> list[str]:
    """`python -m MODULE ASKED...` by this Python. `-P`: it imports nothing from the folder that it is started in, where data may lie."""
    return [sys.executable, "-P", "-m", module, *asked]


def environment() -> dict[str, str]:
    """This process's own; imports come from where they come from here."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}


def run(module: str, *asked: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """A module of ours, with this text as its input, without a network; until it ends."""
    return subprocess.run(command(module, *asked), input=given, capture_output=True, text=True, env=environment() | {"HF_HUB_OFFLINE": "1"})
