"""How values are shown in a terminal. Whatever came from a user's file or a model goes through `safe`: no control character,
no terminal escape, no markup reaches the screen."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import STOPPED_RESUMABLE
from ..judging.words import LARGE, large

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LEVELS = ("error", "warning", "note")
MANY_ROWS = 12


def safe(value: object, limit: int | None = None) -> str:
    """The value on one line, with everything that a terminal could obey written out (`\\x1b`, `\\u202e`), cut to `limit`."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
    return text if limit is None or len(text) <= limit else f"{text[: max(limit - 1, 0)]}…"


def console(stderr: bool = False) -> Console:
    """A console that interprets nothing in what it prints."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 120
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width, legacy_windows=False)


def table(*headings: str) -> Table:
    """An empty table whose cells wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, safe_box=True)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def rows_into(made: Table, rows: Iterable[Sequence[object]]) -> Table:
    """Add rows of plain values, each made safe. Text, not markup: a cell `[red]` stays `[red]`."""
    from rich.text import Text

    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    return made


def print_json(value: object) -> None:
    """One JSON line on stdout; numbers that are not finite become null, so that every reader can read it."""
    print(json.dumps(jsonable(value), ensure_ascii=True, allow_nan=False), flush=True)


def jsonable(value: Any) -> Any:
    """Dataclasses, paths, arrays and tuples to plain JSON values."""
    import dataclasses
    import math

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (str, bool, int, type(None))):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    return str(value)


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes in a unit a person reads: `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value: object) -> str:
    """A number with three decimals; anything else as it is."""
    return f"{value:.3f}" if isinstance(value, float) else safe(value)


def figure(value: object) -> str:
    """A score: as `number`, but a large one (an MSE of prices) with four digits that count."""
    return large(value) if isinstance(value, float) and LARGE <= abs(value) < math.inf else number(value)


def score(value: Any) -> str:
    """`0.871 (0.843 to 0.897)` where there is an interval, the bare number where there is none."""
    found = value if isinstance(value, Mapping) else {"value": value} | getattr(value, "__dict__", {})
    point, low, high = (found.get(key) for key in ("value", "low", "high"))
    if not isinstance(point, (int, float)):
        return "unknown" if point is None else safe(point)
    shown = figure(float(point))
    if not (_finite(low) and _finite(high)):
        return shown
    return f"{shown} (no interval)" if low == high else f"{shown} ({figure(low)} to {figure(high)})"


def _finite(value: object) -> bool:
    import math

    return isinstance(value, (int, float)) and math.isfinite(value)


def numbers(rows: Sequence[object], limit: int = MANY_ROWS, total: int = 0) -> str:
    """Places of rows, the file named once: `a.csv, rows 3, 17 and 4 more`; `total`: how many there are, where not all are at hand."""
    places = [str(row).rpartition(", row ") for row in rows[:limit]]
    found: dict[str, list[str]] = {}
    for file, _, row in places:
        found.setdefault(file, []).append(row)
    words = "; ".join(
        f"{safe(file, 60)}{', ' if file else ''}{'rows' if len(group) > 1 else 'row'} {', '.join(safe(row, 80) for row in group)}"
        for file, group in found.items()
    )
    more = max(total, len(rows)) - len(places)
    return f"{words} and {more:,} more" if more else words


def resume_hint(run: str) -> str:
    """What to type after a run was stopped."""
    return f"stopped; everything is saved (exit code {STOPPED_RESUMABLE}). Go on with: tunesmith resume {quoted(run)}"


def quoted(path: object) -> str:
    """A path as it can be pasted into a shell."""
    import shlex

    return shlex.quote(safe(path))
