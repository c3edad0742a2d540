"""Compare two runs on the same test rows: the differences, their intervals, and whether the gain is real.

Example: tunesmith compare RUN_A RUN_B
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ._flags import Json

RunA = Annotated[str, typer.Argument(metavar="RUN_A", help="A run folder.")]
RunB = Annotated[str, typer.Argument(metavar="RUN_B", help="Another run folder.")]


def command(run_a: RunA, run_b: RunB, *, json: Json = False) -> int:
    """Compare."""
    from .. import api
    from ._show import print_json

    found = api.compare(run_a, run_b)
    if json:
        print_json(found)
    else:
        show_comparison(found)
    return 0


def show_comparison(found: dict[str, Any]) -> None:
    """One row per score, then the verdict."""
    from ._show import console, rows_into, safe, score, table

    rows = ((name, score(row["a"]), score(row["b"]), score(row["difference"])) for name, row in found["scores"].items())
    out = console()
    out.print(rows_into(table("score", "a", "b", "b - a"), rows))
    out.print(safe(found["verdict"]), soft_wrap=True)
