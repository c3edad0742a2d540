"""Say where a run's report lies, or open it in the browser.

Example: tunesmith report RUN --open
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._flags import Json, RunPath

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def command(run: RunPath, *, open: Open = False, json: Json = False) -> int:
    """Report."""
    from .. import api
    from ._show import print_json, safe

    path = api.load(run).report_path
    _require(run, path)
    if json:
        print_json({"report": str(path)})
    else:
        print(safe(path))
    if open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return 0


def _require(run: str, path: Path) -> None:
    """Raises RunError where the run has no report yet."""
    from ..errors import RunError

    if not path.is_file():
        fix = f"`tunesmith resume {run}` finishes it"
        raise RunError(run, expected=f"a finished run with its {path.name}", got="none", fix=fix, code="run-unfinished")
