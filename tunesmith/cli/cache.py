"""Show, trim or empty the folder of converted tables and cached activations.

Trimming removes the least recently used first; so does every run once the limit (TUNESMITH_CACHE_BYTES, 20 GiB) is passed.

Example: tunesmith cache list        tunesmith cache clean --keep 5GB        tunesmith cache clear
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ._flags import Json

ACTIONS = ("list", "clean", "clear")
Action = Annotated[str, typer.Argument(metavar="list|clean|clear", help="What to do.")]
Keep = Annotated[str, typer.Option("--keep", metavar="SIZE", help="With `clean`: most bytes left, such as 500MB or 5GB; else the limit.")]
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def command(action: Action = "list", *, keep: Keep = "", json: Json = False) -> int:
    """Cache."""
    from ..data import caches
    from ..errors import SpecError, nearest
    from ._show import print_json, size

    if action not in ACTIONS:
        raise SpecError(
            "cache", expected="list, clean or clear", got=repr(action), fix=nearest(action, ACTIONS), code="bad-value"
        )
    if action != "list":
        freed = caches.prune(0 if action == "clear" else bytes_of(keep) if keep else caches.limit())
        print_json({"action": action, "bytes": freed}) if json else print(f"freed {size(freed)}")
        return 0
    entries = caches.entries()
    if json:
        shown = [{"room": e.room, "name": e.name, "bytes": e.bytes, "used": e.used} for e in entries]
        print_json({"action": action, "folder": str(caches.root()), "limit": caches.limit(), "entries": shown})
    else:
        _list(entries, str(caches.root()), caches.limit())
    return 0


def bytes_of(text: str) -> int:
    """`500MB`, `5 GB`, `2GiB` or a number of bytes. Raises SpecError."""
    import re

    from ..errors import SpecError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*", text, re.IGNORECASE)
    unit = match[2].upper() if match else "?"
    unit = f"{unit}B" if unit and not unit.endswith("B") else unit
    if match is None or unit not in UNITS:
        raise SpecError("--keep", expected="a size such as 500MB or 5GB", got=repr(text), fix="add the unit", code="bad-value")
    return int(float(match[1]) * UNITS[unit])


def _list(entries: Sequence[Any], folder: str, limit: int) -> None:
    import time

    from ._show import console, duration, rows_into, safe, size, table

    if entries:
        rows = ((e.room, e.name, size(e.bytes), f"{duration(time.time() - e.used)} ago") for e in entries)
        console().print(rows_into(table("what", "entry", "size", "last used"), rows))
    print(f"{size(sum(e.bytes for e in entries))} in {len(entries)} entries, at most {size(limit)}, in {safe(folder)}")
