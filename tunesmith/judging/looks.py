"""The seal on the test rows: every look is written down before it happens.

Each look is one JSON line of `looks.jsonl`, appended in one write, so that two processes or a kill lose none.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "looks.jsonl"


def look(run_dir: str | Path, reason: str) -> int:
    """Count one look at the test rows, and return how many there have been, this one included."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "reason": reason}
    line = json.dumps(entry, ensure_ascii=True) + "\n"
    handle = os.open(Path(run_dir) / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)
    return len(looks(run_dir))


def looks(run_dir: str | Path) -> list[dict[str, Any]]:
    """All looks, oldest first. A line that cannot be read (a kill in mid-write) was a look all the same."""
    file = Path(run_dir) / FILE
    lines = file.read_text("utf-8", errors="replace").splitlines() if file.is_file() else []
    return [_read(line) for line in lines if line.strip()]


def _read(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"time": "", "reason": "unreadable entry"}
