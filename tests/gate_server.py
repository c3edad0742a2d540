"""Fresh processes for the reload gate, quickly: `python -m tests.gate_server` imports what the gate does once, and forks for each run.

What a fork shares with the training process is nothing, as with a process of its own; only the seconds of importing are saved.
`tests/test_api.py` goes through the gate's own process, as do runs that are started by a command.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, final

ROOT = Path(__file__).resolve().parents[1]


RUN = subprocess.run
"""The real one."""


@final
class GateServer:
    """Starts with the first run that asks; stands for `subprocess.run`, which it is for everything but the gate."""

    def __init__(self) -> None:
        self.server: subprocess.Popen[str] | None = None

    def run(self, command: Any, *args: Any, **options: Any) -> Any:
        """As `subprocess.run`: the gate's command is answered by a fork."""
        if isinstance(command, list) and command[1:4] == ["-P", "-m", "tunesmith.gate"]:
            return self._ask(command[4:], options["input"])
        return RUN(command, *args, **options)

    def _ask(self, words: list[str], rows: str) -> subprocess.CompletedProcess[str]:
        if self.server is None:
            command = [sys.executable, "-m", "tests.gate_server"]
            self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.server.stdin is not None and self.server.stdout is not None
        ask = {"words": words, "rows": rows, "here": os.getcwd(), "environment": dict(os.environ)}
        self.server.stdin.write(json.dumps(ask) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        return subprocess.CompletedProcess([], answer["code"], answer["out"], answer["err"])

    def end(self) -> None:
        """No more runs."""
        if self.server is not None:
            self.server.communicate()


def _answer(ask: dict[str, Any]) -> dict[str, Any]:
    from tunesmith import gate

    os.chdir(ask["here"])
    os.environ.clear()
    os.environ.update(ask["environment"])
    sys.argv, sys.stdin = ["gate", *ask["words"]], io.StringIO(ask["rows"])
    code, told, failed = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(failed):
        try:
            gate.main()
        except BaseException:
            code = 1
            traceback.print_exc()
    return {"code": code, "out": told.getvalue(), "err": failed.getvalue()}


def _serve() -> None:
    from transformers import AutoModel  # noqa: F401

    from tunesmith import predictor  # noqa: F401
    from tunesmith.models import save  # noqa: F401

    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answer = json.dumps(_answer(json.loads(line)))
            os.write(1, f"{answer}\n".encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"code": -os.WTERMSIG(status), "out": "", "err": ""}), flush=True)


if __name__ == "__main__":
    _serve()
