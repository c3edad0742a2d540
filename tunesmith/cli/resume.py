"""Go on with a run that was stopped or killed, to the same weights as if it had not been.

Example: tunesmith resume runs/2026-11-21-reviews-a1b2c3
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import OUTPUT, Json, Quiet, RunPath

Smaller = Annotated[
    bool,
    typer.Option(
        "--smaller", help="After memory ran out: half the micro-batch, the same batch and steps.", rich_help_panel=OUTPUT
    ),
]


def command(run: RunPath, *, smaller: Smaller = False, quiet: Quiet = False, json: Json = False) -> int:
    """Resume."""
    from ..api import resume_events
    from .fit import learn

    return learn(resume_events(run, smaller=smaller), quiet=quiet, json=json)
