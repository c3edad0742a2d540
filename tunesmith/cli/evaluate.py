"""Score a run on a labelled file, with intervals.

Example: tunesmith evaluate RUN labelled.csv
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json, RunPath

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A labelled file with the columns that the run learned from.")
]


def command(run: RunPath, file: File, *, json: Json = False) -> int:
    """Evaluate."""
    from .. import api
    from ._findings import show_said
    from ._result import show_scores
    from ._show import print_json

    found = api.evaluate(run, file)
    if json:
        print_json(found)
    else:
        show_said(found)
        show_scores(found["scores"], title=f"scores on {file}")
    return 0
