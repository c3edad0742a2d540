"""List the ways of learning (which weights learn, in which stages), or show one strategy's options.

Example: tunesmith strategies lora
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A strategy, or the path of your own strategy's file.")
    ] = None,
    *,
    json: Json = False,
) -> int:
    """Strategies."""
    from ..registry import STRATEGIES
    from ._entries import show

    return show(STRATEGIES, name, as_json=json)
