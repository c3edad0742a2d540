"""Make a plain Hugging Face folder of a run whose adapter is folded into the weights, once a fresh process answers with it as the run does.

Example: tunesmith merge RUN
Example: tunesmith merge RUN --out FOLDER --rows new.csv
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ._flags import Json, RunPath

Out = Annotated[str | None, typer.Option("--out", metavar="FOLDER", help="A new folder. Else `merged` in the run.")]
Rows = Annotated[
    str | None, typer.Option("--rows", metavar="FILE", help="Rows to compare answers on. Else the run's validation rows.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Write over an earlier merged folder.")]


def command(run: RunPath, *, out: Out = None, rows: Rows = None, replace: Replace = False, json: Json = False) -> int:
    """Merge."""
    from ..export.merge import TOLERANCE, merge
    from ._show import print_json, safe

    made = merge(run, out, rows=rows, replace=replace)
    if json:
        print_json({**asdict(made), "path": str(made.path)})
        return 0
    what = "is folded into its weights" if made.adapter else "had no adapter: its weights are as they were tuned"
    apart = f"the largest difference is {made.difference:.1e} of a row's largest output (allowed: {TOLERANCE:g})"
    print(f"{safe(str(made.path))}: {made.strategy} {what}")
    print(f"a fresh process answered {made.rows} rows with it as the run does: {apart}")
    return 0
