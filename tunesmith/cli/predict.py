"""Ask a run about new text, or about every row of a file.

Example: tunesmith predict RUN "A quiet, exact film."
Example: tunesmith predict RUN --file new.csv --out answers.csv
Example: tunesmith predict RUN "What does a passport cost?"
Example: tunesmith predict DIALOGUE --stream "Which film was it?"
Example: tunesmith predict VOICE "Please hold the line." --out line.wav
Example: tunesmith predict RUN "a red kite" --out pictures/
Example: tunesmith predict RELATIONS --entities ENTITIES "Anna was born in Rome."
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ._flags import BadRows, Delimiter, Device, Encoding, Json, Precision, Quiet, RunPath, reading

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
        help="Write the answers here (.csv, .tsv, .jsonl, .parquet; .wav: one sound; a new folder, FOLDER/: PNG or WAV files).",
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite the file of `--out`.")]

Entities = Annotated[
    str | None,
    typer.Option(
        "--entities", metavar="RUN", help="A token-classification run that finds the entities which this relation-extraction run relates."
    ),
]

Stream = Annotated[
    bool | None,
    typer.Option("--stream/--no-stream", help="Show the answer to one question while it is written; else where a terminal asks for one."),
]

Unseen = Counter[str]
CHUNK = 4096
SAY_EVERY_SECONDS = 5.0
LARGEST = 3
"""Probabilities that a person is shown; `--json` has all."""
SOURCES = "sources"
"""Key of an answer under which passages stand: a person gets a line for each."""
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
    stream: Stream = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    bad_rows: BadRows = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Predict."""
    asked, settings = _what_is_asked(texts, row, file, out), reading(encoding=encoding, delimiter=delimiter, bad_rows=bad_rows)
    _refuse_many(stream, asked, file or entities)
    _refuse_idle(settings, file)
    predictor = _ready(run, entities, {"device": device, "precision": precision}, at_once=out is None)
    if file is not None:
        answer_file(predictor, file, out, replace=replace, quiet=quiet, settings=settings)
    elif out is not None:
        answer_asked(predictor if entities else predictor.predictor, asked, out, replace=replace)
        _say_unseen(Unseen() if quiet else _unseen(predictor, asked), len(asked))
    elif _streams(predictor, asked, stream, as_json=json):
        show_stream(predictor.stream(asked[0]), as_json=json)
        _say_unseen(Unseen() if quiet else _unseen(predictor, asked), len(asked))
    else:
        show_answers(asked, predictor.predict(asked), as_json=json)
        _say_unseen(Unseen() if quiet else _unseen(predictor, asked), len(asked))
    return 0


def _ready(run: str, entities: str | None, how: Mapping[str, str], *, at_once: bool) -> Any:
    """The run, or a chain of two; `at_once`: with its model, not only when it is asked.

    Importing and loading make objects by the hundred thousand, and no garbage: looking for some took a fifth of a cold start.
    """
    import gc

    gc.disable()
    try:
        from .. import api
        from ..models.light import answer_only
        from ..seal import begin

        begin(run)
        answer_only(run)
        found = _chain(run, entities, how) if entities else api.load(run, **how)
        if at_once and not entities:
            getattr(found, "predictor", None)  # loads it
        return found
    finally:
        gc.freeze()
        gc.enable()


def _streams(predictor: Any, asked: Sequence[Any], wanted: bool | None, *, as_json: bool) -> bool:
    """Whether to show the answer as it comes: as asked, else for one question from a terminal to a task that writes."""
    if wanted is not None or len(asked) > 1 or as_json or not sys.stdout.isatty():
        return bool(wanted)
    return bool(getattr(getattr(predictor, "predictor", None), "streams", False))


def show_stream(stream: Any, *, as_json: bool) -> None:
    """Pieces as they come, line ends kept; as JSON a line for each piece, then the answer."""
    from ._show import print_json, safe

    shown = ""
    for piece in stream:
        shown += piece
        if as_json:
            print_json({"piece": piece})
        else:
            print("\n".join(map(safe, piece.split("\n"))), end="", flush=True)
    if as_json:
        print_json(stream.answer)
        return
    print(flush=True)
    if shown != stream.answer["text"]:  # a tokenizer that takes back more than its newest token
        print(safe(stream.answer["text"]))
    if not stream.answer.get("stopped", True):
        print("(not ended by itself: `max_new_tokens` were reached)", file=sys.stderr)


def _chain(run: str, entities: str, how: Mapping[str, Any]) -> Any:
    from ..chain import Chain
    from ..computing import Computing

    return Chain.load(entities, run, Computing(**how))


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
    return [dict(_pair("--row", cell) for cell in row)] if row else list(texts or ())


def _refuse_many(stream: bool | None, asked: Sequence[Any], other: str | None) -> None:
    """Raises SpecError where --stream is to show more than the answer to one question."""
    if stream and (other or len(asked) != 1):
        from ..errors import SpecError

        raise SpecError(
            "--stream", expected="one question", got=other or f"{len(asked)} texts", fix="ask one, or leave --stream out", code="many-asked"
        )


def _refuse_idle(settings: Mapping[str, str], file: str | None) -> None:
    """Raises SpecError where it is said how a file is read, and there is none."""
    if settings and file is None:
        from ..errors import SpecError

        flag = "--" + next(iter(settings)).replace("_", "-")
        raise SpecError(flag, expected="--file FILE beside it", got="no file", fix=f"leave {flag} out, or name the file", code="no-file")


def show_answers(asked: Sequence[Any], answers: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """One line per text: the answer, how sure, and the text."""
    from ._show import print_json, safe

    several = len(asked) == len(answers) > 1  # a number of pictures is one question
    for question, answer in zip(asked if several else [None] * len(answers), answers, strict=True):
        if as_json:
            print_json(answer)
            continue
        shown = "  ".join(f"{safe(key)}: {_words(value)}" for key, value in answer.items() if key != SOURCES)
        print(shown if question is None else f"{shown}  <- {safe(question, 60)}")
        for number, source in enumerate(answer.get(SOURCES, ()), 1):
            print(f"  [{number}] {_source(source)}")


def _source(source: dict[str, Any]) -> str:
    """Where an answer was found, and the sentence that stands there."""
    from ._show import safe

    place = f", {safe(source['place'])}" if source["place"] else ""
    text = f": {safe(' '.join(source['text'].split()), 240)}" if source["text"] else ""
    return f"{safe(source['file'])}{place}, characters {source['start']:,} to {source['end']:,}{text}"


def _words(value: Any) -> str:
    """A value of an answer on one line; of many probabilities the largest."""
    from ._show import number, safe

    if isinstance(value, str) and value.startswith("data:image/"):
        return f"a picture of {len(value) * 3 // 4:,} bytes (--out FOLDER/ keeps it as a file)"
    if isinstance(value, str) and value.startswith("data:"):
        return f"a sound of {len(value) * 3 / 4000:,.0f} kB (--out FILE.wav or FOLDER/ keeps it as a file)"
    if isinstance(value, dict):
        shown = ", ".join(f"{safe(key)} {number(part)}" for key, part in list(value.items())[:LARGEST])
        return shown + (f" and {len(value) - LARGEST} more" if len(value) > LARGEST else "")
    if isinstance(value, (list, tuple)) and len(value) > LONGEST and all(isinstance(one, float) for one in value):
        return f"{', '.join(map(number, value[:LARGEST]))} and {len(value) - LARGEST} more numbers"
    return ", ".join(map(_part, value)) if isinstance(value, (list, tuple)) else number(value)


def _part(value: Any) -> str:
    """One of several parts of an answer: of a span its words and how sure it is, of a box and of what is heard where it is, too."""
    from ._show import number, safe

    if not isinstance(value, dict):
        return safe(value)
    words = [safe(one) for key, one in value.items() if isinstance(one, str) and not key.endswith("_type")]
    words += [f"({number(value['confidence'])})"] if "confidence" in value else []
    words += [f"({value['start']:g} to {value['end']:g} s)"] if isinstance(value.get("start"), float) else []
    return " ".join([*words, f"at {' '.join(f'{side:g}' for side in value['box'])}"] if "box" in value else words)


def answer_asked(predictor: Any, asked: Sequence[Any], out: str, *, replace: bool) -> None:
    """What was asked on the command line, each row with its answer, to a file or a folder."""
    from ._answers import joined, writing

    table = predictor.table(asked)
    with writing(out, replace=replace) as write:
        write([joined(row, answer) for row, answer in zip(table.rows(), predictor.predict(table), strict=True)])
    print(out)


def answer_file(
    predictor: Any, file: str, out: str | None, *, replace: bool, quiet: bool, settings: Mapping[str, str] | None = None
) -> None:
    """Every row of the file with its answer, in the file's order; says the rate and the time left while at it."""
    from ._answers import chunks, joined, writing

    unseen = Unseen()
    with writing(out, replace=replace) if out else _to_stdout() as write:
        table = _read(predictor, file, settings or {})
        start = last = time.monotonic()
        for positions in chunks(len(table), CHUNK):
            part = table.take(positions)
            write([joined(row, answer) for row, answer in zip(part.rows(), predictor.predict(part), strict=True)])
            unseen += Unseen() if quiet else _unseen(predictor, part)
            if not quiet and time.monotonic() - last >= SAY_EVERY_SECONDS:
                last = time.monotonic()
                _say(positions.stop, len(table), last - start)
    if not quiet:
        _say(len(table), len(table), time.monotonic() - start)
        _say_unseen(unseen, len(table))


def _read(predictor: Any, file: str, settings: Mapping[str, str]) -> Any:
    """The rows of a file; lines that were skipped are counted and named."""
    from ..data.ledger import Ledger
    from ._findings import say_left_out

    ledger = Ledger()
    table = predictor.read(file, ledger, **settings)
    say_left_out(ledger)
    return table


def _unseen(predictor: Any, rows: Any) -> Unseen:
    """Rows without any text, and rows that are longer than what is read of each; of two runs in a chain none."""
    one = getattr(predictor, "predictor", None)
    if not one:
        return Unseen()
    table = one.table(rows)
    return Unseen({"wordless": one.wordless(table), "cut": one.cut(table)})


def _say_unseen(rows: Unseen, total: int) -> None:
    if rows["wordless"]:
        which = f"{rows['wordless']:,} of {total:,} rows have no text" if total > 1 else "the row has no text"
        print(f"{which}: the answer is what the model says of nothing", file=sys.stderr)
    if rows["cut"]:
        which = f"{rows['cut']:,} of {total:,} rows are" if total > 1 else "the row is"
        print(f"{which} longer than what the model reads of each: the answer is of a part", file=sys.stderr)


def _to_stdout() -> Any:
    import contextlib

    from ._show import print_json

    return contextlib.nullcontext(lambda rows: [print_json(row) for row in rows])


def _say(done: int, total: int, seconds: float) -> None:
    from ._show import duration

    rate = done / max(seconds, 1e-9)
    left = f", {duration((total - done) / rate)} left" if done < total else f" in {duration(seconds)}"
    print(f"{done:,} of {total:,} rows, {rate:,.0f} rows/s{left}", file=sys.stderr, flush=True)
