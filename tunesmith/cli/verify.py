"""Tell whether a finished run is as it was when it finished: every byte of its model, its settings, its predictions and scores.

Example: tunesmith verify runs/2026-11-21-reviews-a1b2c3
"""

from __future__ import annotations

from ._flags import Json, RunPath


def command(run: RunPath, *, json: Json = False) -> int:
    """Verify."""
    from .. import api
    from ._show import print_json, safe

    changes = api.verify(run)
    if json:
        print_json({"run": run, "changes": changes})
    else:
        print("\n".join(safe(change) for change in changes) or "every file is as it was when the run finished")
    return 4 if changes else 0
