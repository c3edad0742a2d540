"""Calls one command and turns whatever goes wrong into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from ..elsewhere import ours
from ..errors import TunesmithError, nearest
from ..registry import Registry
from ._show import print_json, safe

INTERRUPTED = 130
BROKEN_PIPE = 141


def call(commands: Registry, name: str, words: Sequence[str]) -> int:
    """The exit code of `tunesmith NAME WORDS`."""
    _survive_odd_text()
    as_json, debug = "--json" in words, "--debug" in words
    if name not in commands.names():
        return _fail(
            f"expected a command, got {safe(name, 60)!r}; {nearest(name, commands.names())}",
            "unknown-command",
            2,
            as_json,
        )
    try:
        return _run(commands.load(name), name, list(words))
    except BaseException as error:
        if isinstance(error, BrokenPipeError):
            return reader_left()
        if debug:
            traceback.print_exc()
        return _end(error, name, as_json)


def _end(error: BaseException, name: str, as_json: bool) -> int:
    """One sentence about what ended a command, and its exit code."""
    if isinstance(error, TunesmithError):
        return _fail(str(error), error.code, error.exit_code, as_json, error.as_dict())
    if isinstance(error, KeyboardInterrupt):
        return _fail("interrupted", "interrupted", INTERRUPTED, as_json)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("tunesmith"):
        place = f"the Python package {error.name.partition('.')[0]!r}"
        fix = "install Tunesmith again: pip install --force-reinstall tunesmith"
        return _fail(f"{place}: expected it to be installed, got nothing; {fix}", "missing-package", 2, as_json)
    if isinstance(error, MemoryError):
        return _fail(
            "memory: expected enough, got none left; use less data or a smaller model", "out-of-memory", 5, as_json
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = safe(error.filename or "disk")
        return _fail(f"{place}: expected room to write, got a full disk; free some and go on", "disk-full", 5, as_json)
    if not isinstance(error, Exception):
        raise error
    return _report(error, name, as_json)


def _run(command: Any, name: str, words: list[str]) -> int:
    """Parse the words and run the command; a word that cannot be parsed is one sentence and exit code 2."""
    import typer

    from ._flags import parser

    parse = parser(command, name)
    try:
        with parse.make_context(f"tunesmith {name}", words) as context:
            return int(parse.invoke(context) or 0)
    except typer.Exit as end:
        return end.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        message, path = " ".join(error.format_message().split()), ours(getattr(error, "option_name", ""))
        message = f"{message.rstrip('.')}. It is {path!r} here: --set {path}=VALUE." if path else message
        return _fail(f"{message} See: tunesmith {name} --help", "usage", 2, "--json" in words)


def _fail(message: str, code: str, exit_code: int, as_json: bool, details: dict[str, Any] | None = None) -> int:
    if as_json:
        print_json(details or {"error": "UsageError", "code": code, "exit": exit_code, "message": message})
    print(f"error: {safe(message)}", file=sys.stderr)
    return exit_code


def _report(error: Exception, name: str, as_json: bool) -> int:
    kind, words = type(error).__name__, safe(error, 200)
    return _fail(
        f"this is a fault of Tunesmith, not yours: {kind}: {words}. Run `tunesmith {name} ... --debug` for the details "
        "and report them to the project",
        "internal",
        1,
        as_json,
    )


def reader_left() -> int:
    """`tunesmith runs | head`: the reader closed the pipe, which is no error; keep Python from complaining at exit."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.close()
    return BROKEN_PIPE


def _survive_odd_text() -> None:
    """A terminal that cannot show a character gets its escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
