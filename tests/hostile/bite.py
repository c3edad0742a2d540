"""Every deed that the watch must see, done on purpose: `python -m tests.hostile.bite FOLDER` prints what was seen of each."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.hostile.artefacts import pickle_bomb
from tests.hostile.watch import CANARY, watched

DEEDS: dict[str, Callable[[], object]] = {
    "unpickling": lambda: pickle.loads(pickle_bomb()),
    "a shell": lambda: os.system("true"),
    "a program": lambda: subprocess.run(["true"]),
    "a connection": lambda: socket.create_connection(("127.0.0.1", 9)),
    "an address": lambda: urllib.request.urlopen("http://127.0.0.1:9/"),
    "foreign code": lambda: exec(f"{CANARY} = 1"),
    "a foreign module": lambda: __import__(CANARY),
    "a file elsewhere": lambda: Path(f"../{CANARY}").write_text("x"),
    "a folder elsewhere": lambda: os.mkdir(f"../{CANARY}-folder"),
    "a removal elsewhere": lambda: os.remove("../honest"),
    "a crash": os.abort,
}


def do(deed: Callable[[], object]) -> int:
    """The deed, whatever comes of it."""
    with contextlib.suppress(Exception):
        deed()
    return 0


def main() -> None:
    """Do them all."""
    folder = Path(sys.argv[1]) / "inner"
    folder.mkdir()
    (folder.parent / "honest").write_text("x")
    quiet = watched(lambda: do(lambda: Path("here").write_text("x")), folder, folder)
    assert quiet.seen == (), quiet
    print(json.dumps({name: watched(lambda deed=deed: do(deed), folder, folder).seen for name, deed in DEEDS.items()}))


if __name__ == "__main__":
    main()
