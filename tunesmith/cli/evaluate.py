"""Score a run on a labelled file, with intervals.

Example: tunesmith evaluate RUN labelled.csv
Example: tunesmith evaluate RELATIONS test.jsonl --entities ENTITIES
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ._flags import BadRows, Delimiter, Device, Encoding, Json, Precision, RunPath, reading

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A labelled file with the columns that the run learned from.")
]

Entities = Annotated[
    str | None,
    typer.Option(
        "--entities", metavar="RUN", help="A token-classification run: this relation-extraction run is judged on the entities it finds."
    ),
]

Empty = Annotated[
    str | None, typer.Option("--empty", metavar="refuse|drop", help="Rows without label or text: stop, or drop, count and name them.")
]


def command(
    run: RunPath, file: File, *, entities: Entities = None, encoding: Encoding = None, delimiter: Delimiter = None,
    bad_rows: BadRows = None, empty: Empty = None, device: Device = "auto", precision: Precision = "fp32", json: Json = False,
) -> int:
    """Evaluate."""
    from .. import api
    from ._findings import show_said
    from ._result import show_scores
    from ._show import print_json, safe

    settings = reading(encoding=encoding, delimiter=delimiter, bad_rows=bad_rows, empty=empty)
    how: Any = {"device": device, "precision": precision}
    found = _end_to_end(run, entities, file, settings, how) if entities else api.evaluate(run, file, **how, **settings)
    if json:
        print_json(found)
    else:
        show_said(found)
        show_scores(found["scores"], title=f"scores on {file}{', computed in bf16' * (precision == 'bf16')}")
        for score, how in (found.get("how_scored") or {}).items():
            print(safe(f"{score}: {how}"))
    return 0


def _end_to_end(run: str, entities: str, file: str, settings: Mapping[str, str], how: Mapping[str, Any]) -> dict[str, Any]:
    from ..chain import Chain
    from ..computing import Computing
    from ..errors import SpecError

    if "empty" in settings:
        raise SpecError("--empty", expected="a run judged alone", got="--entities", fix="leave --empty out", code="bad-pair")
    return Chain.load(entities, run, Computing(**how)).evaluate(file, **settings) | {"precision": how["precision"]}
