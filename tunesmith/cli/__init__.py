"""The command line. Each file of this folder whose name has no leading underscore is a command of that name.

The list of commands and their one-line helps are read from the files' text, so `tunesmith --help` imports none of them; a
command's file is imported when it is called, and what it needs is imported inside its function.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..registry import Registry

COMMANDS = Registry("cli", "command")

ORDER = (
    "fit",
    "check",
    "plan",
    "predict",
    "evaluate",
    "report",
    "compare",
    "runs",
    "resume",
    "verify",
    "merge",
    "tasks",
    "strategies",
    "cache",
    "version",
)
"""The order a newcomer meets them in; commands that are not named here follow by the alphabet."""

EXIT_CODES = """\
Exit codes: 0 done, 1 our own fault, 2 a setting or a run folder, 3 data, 4 a model or checkpoint, 5 memory, disk or time,
6 training diverged, 75 stopped and resumable."""


HEAD = """\
Tunesmith: bring data and a task; get back a fine-tuned model you can trust.

Usage: tunesmith COMMAND ...        tunesmith COMMAND --help

  tunesmith fit reviews.csv                      columns, task, model and settings are found, with reasons
  tunesmith predict RUN "A quiet, exact film."   what the run says about new text

Commands:"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h", "help"):
        return _print_overview()
    if words[0] in ("--version", "-V"):
        words[0] = "version"
    from . import _keeper
    from ._guard import call

    if argv is None and _keeper.keeps(words):
        return _keeper.keep(lambda doing: call(COMMANDS, doing[0], doing[1:]), words)
    return call(COMMANDS, words[0], words[1:])


def overview_order() -> list[str]:
    """The commands' names in the order of the overview."""
    return sorted(COMMANDS.names(), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def overview() -> str:
    """What `tunesmith --help` prints."""
    names = overview_order()
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {COMMANDS.help(name)}" for name in names]
    return "\n".join([HEAD, *lines, "", EXIT_CODES])


def _print_overview() -> int:
    try:
        print(overview(), flush=True)
    except BrokenPipeError:
        from ._guard import reader_left

        return reader_left()
    return 0
