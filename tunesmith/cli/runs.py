"""List the runs in a folder, newest first.

Example: tunesmith runs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ._flags import Json

Root = Annotated[str, typer.Argument(metavar="[FOLDER]", help="The folder that holds the run folders.")]


def command(folder: Root = "runs", *, json: Json = False) -> int:
    """Runs."""
    from .. import api
    from ._show import console, print_json, rows_into, table

    found = api.runs(folder)
    if json:
        for run in found:
            print_json(run)
    elif not found:
        print(f"no runs in {folder}; make one with: tunesmith fit FILE")
    else:
        names = list(found[0])
        console().print(rows_into(table(*names), ([_cell(run, name) for name in names] for run in found)))
    return 0


def _cell(run: Mapping[str, Any], name: str) -> str:
    from ._show import figure

    return "not finished" if name == "value" and run[name] is None else figure(run[name])
