"""List the runs in a folder, newest first.

Example: tunesmith runs
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json

Root = Annotated[str, typer.Argument(metavar="[FOLDER]", help="The folder that holds the run folders.")]


def command(folder: Root = "runs", *, json: Json = False) -> int:
    """Runs."""
    from .. import api
    from ._show import console, number, print_json, rows_into, table

    found = api.runs(folder)
    if json:
        for run in found:
            print_json(run)
    elif not found:
        print(f"no runs in {folder}; make one with: tunesmith fit FILE")
    else:
        names = list(found[0])
        console().print(rows_into(table(*names), ([number(run[name]) for name in names] for run in found)))
    return 0
