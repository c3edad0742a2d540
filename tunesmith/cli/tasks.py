"""List the tasks, or show one task's columns and options.

Example: tunesmith tasks text-classification
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A task, or the path of your own task's file.")
    ] = None,
    *,
    json: Json = False,
) -> int:
    """Tasks."""
    from ..registry import TASKS
    from ._entries import show

    return show(TASKS, name, as_json=json)
