"""Show or empty the folder of cached activations and tokens.

Example: tunesmith cache list        tunesmith cache clear
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json

Action = Annotated[str, typer.Argument(metavar="list|clear", help="What to do.")]


def command(action: Action = "list", *, json: Json = False) -> int:
    """Cache."""
    from .. import api
    from ..errors import SpecError, nearest
    from ._show import console, print_json, rows_into, size, table

    if action not in ("list", "clear"):
        raise SpecError(
            "cache",
            expected="list or clear",
            got=repr(action),
            fix=nearest(action, ("list", "clear")),
            code="bad-value",
        )
    entries = api.cache_clear() if action == "clear" else api.cache_list()
    total = sum(entry["bytes"] for entry in entries)
    if json:
        print_json({"action": action, "entries": entries, "bytes": total})
        return 0
    if action == "list" and entries:
        console().print(rows_into(table("entry", "size"), ((entry["name"], size(entry["bytes"])) for entry in entries)))
    print(f"{'freed' if action == 'clear' else 'in all'} {size(total)} in {len(entries)} entries")
    return 0
