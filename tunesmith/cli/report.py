"""Say where a run's report lies, or open it in the browser.

Example: tunesmith report RUN --open
"""

from __future__ import annotations

from typing import Annotated

import typer

from ._flags import Json, RunPath

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


def command(run: RunPath, *, open: Open = False, json: Json = False) -> int:
    """Report."""
    from .. import api
    from ._show import print_json, safe

    path = api.load(run).report_path
    if json:
        print_json({"report": str(path)})
    else:
        print(safe(path))
    if open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return 0
