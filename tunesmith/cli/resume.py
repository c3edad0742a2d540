"""Go on with a run that was stopped or killed, to the same weights as if it had not been.

Example: tunesmith resume runs/2026-11-21-reviews-a1b2c3
"""

from __future__ import annotations

from ._flags import Json, Quiet, RunPath


def command(run: RunPath, *, quiet: Quiet = False, json: Json = False) -> int:
    """Resume."""
    from ..api import resume_events
    from .fit import learn

    return learn(resume_events(run), quiet=quiet, json=json)
