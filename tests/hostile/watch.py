"""Runs one thing in a forked process that notes what a hostile file could make it do: run code, start a program, call, write elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType
from typing import Any

CANARY = "tunesmith_canary"
"""Stands in every piece of foreign code: code with this word that is compiled or run is caught, whoever asked for it."""
PROGRAMS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen", "pty.spawn"}
CALLS = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request",
    "http.client.connect", "ftplib.connect", "smtplib.connect",
}  # fmt: skip
FORBIDDEN = PROGRAMS | CALLS | {"pickle.find_class", "webbrowser.open", "shutil.unpack_archive"}
CHANGES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "shutil.rmtree", "shutil.move", "shutil.copyfile",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SECONDS = 60
MEMORY = 3 << 30
"""Bytes of address space that a try may take on top of what it begins with."""


@dataclass(frozen=True)
class Outcome:
    """What came of one try."""

    exit: int
    code: str
    message: str
    seen: tuple[str, ...]
    """What must not have happened."""
    seconds: float
    """Of computing."""
    megabytes: float
    """Of memory on top of what the process began with."""


def watched(do: Callable[[], int], folder: Path, cache: Path) -> Outcome:
    """Do something in the folder, in a fork with limits and an audit hook. `do` returns an exit code and says errors as JSON lines."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.write(writing, json.dumps(asdict(_inside(do, folder, cache))).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        return Outcome(-1, "", f"the process ended with status {status}", ("a crash",), 0.0, 0.0)
    values = json.loads(said)
    return Outcome(**(values | {"seen": tuple(values["seen"])}))


def _inside(do: Callable[[], int], folder: Path, cache: Path) -> Outcome:
    os.chdir(folder)
    _limit()
    seen: list[str] = []
    out, err = io.StringIO(), io.StringIO()
    before, start = _resident("VmRSS"), time.process_time()
    _reset_peak()
    sys.addaudithook(_hook(seen, (folder.resolve(), cache.resolve())))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = do()
    seconds, peak = time.process_time() - start, _resident("VmHWM") - before
    lines = [line for line in out.getvalue().splitlines() if line.startswith("{")]
    last = json.loads(lines[-1]) if lines else {}
    if "Traceback" in err.getvalue():
        seen.append("a traceback")
    return Outcome(code, last.get("code", ""), last.get("message", err.getvalue()[-300:]), tuple(seen[:5]), seconds, peak / 1024)


def _limit() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident(name: str) -> int:
    """KiB of this process in memory: now (`VmRSS`) or at most (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _hook(seen: list[str], roots: tuple[Path, ...]) -> Callable[[str, tuple[Any, ...]], None]:
    """Notes, never prevents: what is refused must be refused by the program itself."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        with contextlib.suppress(RecursionError):
            if told := _told(event, args, roots):
                seen.append(told)

    return hook


def _told(event: str, args: tuple[Any, ...], roots: tuple[Path, ...]) -> str:
    """What an event is, where it must not be; else nothing."""
    if event in FORBIDDEN:
        return f"{event} {args!r:.200}"
    if event == "import" and CANARY in str(args[0]):
        return f"import of {args[0]}"
    if event in ("compile", "exec") and _sandboxed(event, args):
        return ""
    if event == "compile" and _foreign(args[0]):
        return f"compile of {args[1]}"
    if event == "exec" and _foreign(args[0]):
        return f"exec of {args[0]!r:.200}"
    if event == "open" and isinstance(args[2], int) and args[2] & WRITES and _outside(args[0], roots):
        return f"opened {args[0]} for writing"
    if event in CHANGES and any(_outside(path, roots) for path in args[:2] if isinstance(path, (str, bytes, os.PathLike))):
        return f"{event} {args!r:.200}"
    return ""


def _sandboxed(event: str, args: tuple[Any, ...]) -> bool:
    """A chat template is compiled and run, inside Jinja's sandbox, which is what it is for: what counts is what it reaches."""
    return (args[1] if event == "compile" else getattr(args[0], "co_filename", "")) == "<template>"


def _foreign(code: Any) -> bool:
    if isinstance(code, CodeType):
        held = [code.co_filename, *code.co_names, *(const for const in code.co_consts if isinstance(const, (str, CodeType)))]
        return any(_foreign(part) for part in held)
    return CANARY in (code.decode("utf-8", "replace") if isinstance(code, (bytes, bytearray)) else str(code))


def _outside(path: Any, roots: tuple[Path, ...]) -> bool:
    if isinstance(path, int) or os.fspath(path) in ("/dev/null", b"/dev/null"):
        return False
    found = Path(os.path.realpath(os.fsdecode(path)))
    return not any(found.is_relative_to(root) for root in roots)
