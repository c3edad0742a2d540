"""Ask a run about new text, or about every row of a file.

Example: tunesmith predict RUN "A quiet, exact film."
Example: tunesmith predict RUN --file new.csv --out answers.csv
Example: tunesmith predict RELATIONS --entities ENTITIES "Anna was born in Rome."
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ._flags import Json, Quiet, RunPath

Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="One or more texts.")]
Cells = Annotated[
    list[str] | None,
    typer.Option("--row", metavar="COLUMN=VALUE", help="One row, column by column, where the task reads several."),
]
File = Annotated[str | None, typer.Option("--file", metavar="FILE", help="Answer every row of this file.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the answers here (.csv, .tsv, .jsonl, .parquet; a new folder, FOLDER/: masks as PNG files); else JSON lines on stdout.",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite the file of `--out`.")]

Entities = Annotated[
    str | None,
    typer.Option(
        "--entities", metavar="RUN", help="A token-classification run that finds the entities which this relation-extraction run relates."
    ),
]

CHUNK = 4096
SAY_EVERY_SECONDS = 5.0
LARGEST = 3
"""Probabilities that a person is shown; `--json` has all."""
LONGEST = 16
"""Numbers of a vector that a person is shown."""


def command(
    run: RunPath,
    texts: Texts = None,
    *,
    row: Cells = None,
    file: File = None,
    out: Out = None,
    replace: Replace = False,
    entities: Entities = None,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Predict."""
    from .. import api
    from ..models.light import answer_only
    from ..seal import begin

    asked = _what_is_asked(texts, row, file, out)
    begin(run)
    answer_only(run)
    predictor = _chain(run, entities) if entities else api.load(run)
    if file is not None:
        answer_file(predictor, file, out, replace=replace, quiet=quiet)
    else:
        show_answers(asked, predictor.predict(asked), as_json=json)
    return 0


def _chain(run: str, entities: str) -> Any:
    from ..chain import Chain

    return Chain.load(entities, run)


def _what_is_asked(texts: Sequence[str] | None, row: Sequence[str] | None, file: str | None, out: str | None) -> Any:
    """The rows of the command line. Raises SpecError unless exactly one of texts, --row and --file was given."""
    from ..errors import SpecError
    from ._flags import _pair

    given = [name for name, value in (("TEXT", texts), ("--row", row), ("--file", file)) if value]
    if len(given) != 1:
        raise SpecError(
            "predict",
            expected="either TEXT, --row or --file",
            got=" and ".join(given) or "none of them",
            fix='tunesmith predict RUN "a text"',
            code="nothing-asked",
        )
    if out is not None and file is None:
        raise SpecError(
            "--out", expected="a file to answer", got="no --file", fix="add --file new.csv", code="nothing-asked"
        )
    return [dict(_pair("--row", cell) for cell in row)] if row else list(texts or ())


def show_answers(asked: Sequence[Any], answers: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """One line per text: the answer, how sure, and the text."""
    from ._show import print_json, safe

    for question, answer in zip(asked, answers, strict=True):
        if as_json:
            print_json(answer)
        else:
            shown = "  ".join(f"{safe(key)}: {_words(value)}" for key, value in answer.items())
            print(shown if len(asked) == 1 else f"{shown}  <- {safe(question, 60)}")


def _words(value: Any) -> str:
    """A value of an answer on one line; of many probabilities the largest."""
    from ._show import number, safe

    if isinstance(value, dict):
        shown = ", ".join(f"{safe(key)} {number(part)}" for key, part in list(value.items())[:LARGEST])
        return shown + (f" and {len(value) - LARGEST} more" if len(value) > LARGEST else "")
    if isinstance(value, (list, tuple)) and len(value) > LONGEST and all(isinstance(one, float) for one in value):
        return f"{', '.join(map(number, value[:LARGEST]))} and {len(value) - LARGEST} more numbers"
    return ", ".join(map(_part, value)) if isinstance(value, (list, tuple)) else number(value)


def _part(value: Any) -> str:
    """One of several parts of an answer: of a span its words and how sure it is, of a box where it is, too; `--json` has all."""
    from ._show import number, safe

    if not isinstance(value, dict):
        return safe(value)
    words = [safe(one) for key, one in value.items() if isinstance(one, str) and not key.endswith("_type")]
    words += [f"({number(value['confidence'])})"] if "confidence" in value else []
    return " ".join([*words, f"at {' '.join(f'{side:g}' for side in value['box'])}"] if "box" in value else words)


def answer_file(predictor: Any, file: str, out: str | None, *, replace: bool, quiet: bool) -> None:
    """Every row of the file with its answer, in the file's order; says the rate and the time left while at it."""
    from ._answers import chunks, joined, writing

    with writing(out, replace=replace) if out else _to_stdout() as write:
        table = predictor.read(file)
        start = last = time.monotonic()
        for positions in chunks(len(table), CHUNK):
            part = table.take(positions)
            write([joined(row, answer) for row, answer in zip(part.rows(), predictor.predict(part), strict=True)])
            if not quiet and time.monotonic() - last >= SAY_EVERY_SECONDS:
                last = time.monotonic()
                _say(positions.stop, len(table), last - start)
    if not quiet:
        _say(len(table), len(table), time.monotonic() - start)


def _to_stdout() -> Any:
    import contextlib

    from ._show import print_json

    return contextlib.nullcontext(lambda rows: [print_json(row) for row in rows])


def _say(done: int, total: int, seconds: float) -> None:
    from ._show import duration

    rate = done / max(seconds, 1e-9)
    left = f", {duration((total - done) / rate)} left" if done < total else f" in {duration(seconds)}"
    print(f"{done:,} of {total:,} rows, {rate:,.0f} rows/s{left}", file=sys.stderr, flush=True)
