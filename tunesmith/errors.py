"""Everything that a user can cause and mend.

    TunesmithError            exit  meaning
    ├── SpecError             2     a setting, a flag or a key of the spec
    ├── RunError              2     a run folder: missing, locked, changed
    ├── DataError             3     a file, row, column or value of the data
    ├── ModelError            4     a pretrained model, an adapter or a checkpoint
    ├── ResourceError         5     memory, disk, time
    └── DivergedError         6     training that went to NaN or collapsed

A message has one grammar: *place: expected X, got Y; do Z*. It is shown without a traceback. `code` is a short stable name
(`empty-file`, `unknown-column`) for programs. What is our own fault is an `assert` instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class TunesmithError(Exception):
    """A mistake that the user can mend. Abstract: raise one of the children."""

    exit_code: ClassVar[int] = 1

    def __init__(self, place: str, *, expected: str, got: str, fix: str, code: str) -> None:
        self.place, self.expected, self.got, self.fix, self.code = place, expected, got, fix, code
        super().__init__(f"{place}: expected {expected}, got {got}; {fix}")

    def as_dict(self) -> dict[str, str | int]:
        """The same error for `--json` and HTTP."""
        return {
            "error": type(self).__name__,
            "code": self.code,
            "exit": self.exit_code,
            "place": self.place,
            "expected": self.expected,
            "got": self.got,
            "fix": self.fix,
            "message": str(self),
        }


class SpecError(TunesmithError):
    """A setting that cannot be used."""

    exit_code = 2


class RunError(TunesmithError):
    """A run folder that cannot be used as asked."""

    exit_code = 2


class DataError(TunesmithError):
    """A file, row, column or value that cannot be used."""

    exit_code = 3


class ModelError(TunesmithError):
    """A pretrained model, adapter or checkpoint that cannot be used."""

    exit_code = 4


class ResourceError(TunesmithError):
    """Too little memory, disk or time."""

    exit_code = 5


class DivergedError(TunesmithError):
    """Training that produced a number that is not finite, or collapsed."""

    exit_code = 6


STOPPED_RESUMABLE = 75
"""Exit code after SIGTERM or Ctrl-C: everything is saved, `tunesmith resume RUN` goes on."""


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean 'label'?`, or the list of what there is."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or [n for n in names if n.lower() == name.lower()]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"use one of {listing(names, 12)}" if names else "there is nothing to choose from"


def listing(items: Sequence[object], limit: int = 5) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(shorten(item) for item in items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown


def shorten(value: object, limit: int = 60) -> str:
    """A value as it may be shown in a message: escaped, on one line, cut in the middle."""
    text = value if isinstance(value, str) and value.isprintable() and value.strip() == value else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 12]}…{text[-11:]}"
