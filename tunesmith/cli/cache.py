"""Show or empty the folder of cached activations and tokens.

Example: tunesmith cache list        tunesmith cache clear
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ._flags import Json

Action = Annotated[str, typer.Argument(metavar="list|clear", help="What to do.")]


def command(action: Action = "list", *, json: Json = False) -> int:
    """Cache."""
    from ..errors import SpecError, nearest
    from ..training import cache
    from ._show import print_json, size

    if action not in ("list", "clear"):
        raise SpecError(
            "cache",
            expected="list or clear",
            got=repr(action),
            fix=nearest(action, ("list", "clear")),
            code="bad-value",
        )
    entries = [{"name": name, "bytes": count, "used": used} for name, count, used in cache.entries()]
    if action == "clear":
        freed = cache.prune(0)
        print_json({"action": action, "bytes": freed}) if json else print(f"freed {size(freed)}")
    elif json:
        print_json({"action": action, "folder": str(cache.folder()), "entries": entries})
    else:
        _list(entries, str(cache.folder()))
    return 0


def _list(entries: list[dict[str, Any]], folder: str) -> None:
    import time

    from ._show import console, duration, rows_into, safe, size, table

    if entries:
        rows = ((e["name"], size(e["bytes"]), f"{duration(time.time() - e['used'])} ago") for e in entries)
        console().print(rows_into(table("entry", "size", "last used"), rows))
    print(f"{size(sum(e['bytes'] for e in entries))} in {len(entries)} entries, in {safe(folder)}")
