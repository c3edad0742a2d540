"""A finished run that answers rows. The same path serves evaluation, prediction and the reload gate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np

from .computing import AS_TRAINED, Computing
from .errors import DataError, RunError, SpecError, listing, nearest
from .inference import MICRO_TOKENS, Encoded, encode, infer, pad_id
from .registry import TASKS
from .run import Run
from .seal import checking
from .task import Outputs, Purpose, Task, Truth

if TYPE_CHECKING:
    from torch import nn

    from .data.ledger import Ledger
    from .data.table import Table

MORE = 2
"""Tokens of room by which a row is tried anew: half of it is left where an answer takes the other half."""
FRAME = 16
"""Most special tokens of a row."""


@final
class Predictor:
    """A loaded run: `predictor.predict(["A quiet, exact film."])`."""

    def __init__(self, run: Run, task: Task, model: nn.Module, processor: Any, autocast: Any = None) -> None:
        """`autocast`: the context of passes that are not computed in float32."""
        self.run, self.task, self.model, self.processor, self.autocast = run, task, model, processor, autocast

    @classmethod
    def load(cls, path: str | Path, model: str | Path | None = None, computing: Computing = AS_TRAINED) -> Self:
        """Load a run's model; `model`: a folder whose model answers in its place.

        Raises RunError where there is none yet, ModelError where it is damaged.
        """
        from .models.save import load_model, load_processor

        run = Run(path)
        if not (run.model / "head.json").is_file():
            raise RunError(
                str(run.path),
                expected="a finished model",
                got="a run that has not ended",
                code="run-unfinished",
                fix=f"`tunesmith resume {run.path}` finishes it",
            )
        sealed = checking(run.path)
        folder = Path(model or run.model)
        task = load_task(run).at(folder)
        loaded = load_model(folder, task)
        device = computing.place(loaded, run.spec.train)
        made = cls(run, task, loaded, load_processor(folder), computing.autocast(device))
        if task.stocks:
            from .shelf import Shelf

            made.model.shelf = Shelf.load(folder)  # type: ignore[assignment]
        sealed.require()
        return made

    def predict(self, rows: Any) -> list[dict[str, Any]]:
        """Answers in the order asked: for a text, for texts, for rows with the columns the run learned from, or for a table or frame.

        Raises DataError where a column is missing or a text is no text.
        """
        table = self.table(rows)
        answers = self.task.set_for("answering").answers(self.outputs(self._complete(table), "answering"))
        said = self.task.remarks(table)
        return [answer | more for answer, more in zip(answers, said, strict=True)] if said else answers

    def wordless(self, table: Table) -> int:
        """Rows without any text, whose answers say nothing of them; 0 for tasks that refuse such rows or remark on each."""
        asked = [name for name in self.task.asks() if name in table.names]
        told = self.task.wide or self.task.files or not asked
        return 0 if told else int((table.blanks(asked, lists=True) == len(asked)).sum())

    def cut(self, table: Table) -> int:
        """Rows that are longer than what is read of each. Told by encoding them with room for more: those that grow were cut."""
        task = self.task.set_for("answering")
        wider, found = _wider(task), 0
        if wider is None:
            return 0
        columns = [name for name in task.columns(task.inputs) if name in table.names]
        for _, part in table.pieces():
            able = [at for at, row in enumerate(part.rows()) if _bytes(row[name] for name in columns) > _least(task)]
            some = part.take(np.array(able, np.int64))
            lengths = [_lengths(encode(one, self.processor, some), len(some)) for one in (task, wider)] if able else []
            found += int((lengths[1] > lengths[0]).sum()) if able else 0
        return found

    @property
    def streams(self) -> bool:
        """Whether answers can be had while they are written."""
        return self.autocast is None and self._grows

    @property
    def _grows(self) -> bool:
        """Whether the task's answers grow."""
        return type(self.task).stream is not Task.stream

    def stream(self, row: str | Sequence[Any] | Mapping[str, Any]) -> Stream:
        """The answer to one question, while it is written. Raises SpecError where the task's answers do not grow."""
        if not self.streams:
            raise SpecError(
                f"task {self.run.spec.task}", expected="a task that writes its answers (dialogue, text-generation)",
                got="answers in bf16, which come whole" if self._grows else "one whose answers are whole at once",
                fix="leave --precision out" if self._grows else "ask without --stream", code="no-stream",
            )  # fmt: skip
        return Stream(self, self.table([row]))

    def _complete(self, table: Table) -> Table:
        """The rows of a wide task with columns that were not given as empty ones; which they are stands beside each answer.

        Raises DataError where there is none at all of the run's columns.
        """
        absent = [name for name in self.task.columns(self.task.inputs) if name not in table.names] if self.task.wide else []
        if len(absent) == len(self.task.columns(self.task.inputs)):
            table.require(absent)
        for name in absent:
            table = table.with_column(name, [None] * len(table))
        return table

    def outputs(self, table: Table, purpose: Purpose = "judging") -> Outputs:
        """Raw outputs of the rows of a table."""
        from .data.arrays import filled

        return filled(len(table), self.parts(table, purpose))

    def judged(self, table: Table) -> tuple[Outputs, Truth | None]:
        """What the task scores of labelled rows: outputs and truth; outputs condensed part by part, and no truth, where that says all."""
        task = self.task.by_part(table)
        if task is None:
            truth = self.task.truth(table)  # before the outputs: what cannot be read is said with its file and row
            return self.outputs(table), truth
        from .data.arrays import filled

        return filled(len(table), self._condensed(task, table)), None

    def _condensed(self, task: Task, table: Table) -> Iterator[tuple[slice, Outputs]]:
        for at, rows in table.pieces():
            truth = task.truth(rows)
            for _, outputs in self.parts(rows, "judging"):  # one part
                yield at, task.condense(outputs, truth)

    def parts(self, table: Table, purpose: Purpose) -> Iterator[tuple[slice, Outputs]]:
        """The same, a few thousand rows at a time: memory does not grow with the table."""
        task = self.task.set_for(purpose)
        table.require(task.asks())
        for at, part in table.pieces():
            part = self.with_files(part, task.asks() if purpose == "answering" else None)
            encoded = encode(task, self.processor, part)
            pad = pad_id(self.processor)
            yield at, infer(task, self.model, encoded, pad=pad, micro_tokens=MICRO_TOKENS, autocast=self.autocast, alone=True)

    def with_files(self, part: Table, asked: Sequence[str] | None = None) -> Table:
        """Rows whose files are found and read whole; `asked`: of these columns alone. Raises DataError that names the first bad one, and
        how many there are."""
        from .data.files import DROP, SKIP, resolve
        from .data.finding import refuse
        from .data.ledger import Ledger

        names = [name for name in self.task.columns(self.task.files) if name in part.names and (asked is None or name in asked)]
        if not names:
            return part
        options = self.run.spec.data.model_copy(update={"bad_rows": "refuse"})
        part, wrong = self.task.unfolded(part, False, Ledger())
        refuse(wrong)
        found, findings = resolve(part, names, options, Ledger(), self.task.modality, optional=self.task.wide)
        refuse(replace(finding, fix=finding.fix.removesuffix(SKIP).removesuffix(DROP)) for finding in findings)  # nothing is skipped here
        return found

    def read(self, file: str | Path, ledger: Ledger | None = None, **settings: str) -> Table:
        """The rows of a data file, read as the run's own were but for these settings of `data` (`encoding="latin-1"`).

        How it was understood, and lines that were skipped, are written to `ledger`. Raises SpecError for a setting that is none.
        """
        from .data.ledger import Ledger
        from .data.read import read

        options = self.run.spec.changed({f"data.{name}": value for name, value in settings.items()}).data
        table = read(str(file), options, ledger or Ledger(), names=tuple(self.run.read("data.json")["columns"]))
        named = [name for name in self.task.columns(self.task.inputs) if name in self.task.columns(self.task.files)]
        if len(named) == 1 and named[0] not in table.names and self.task.modality in table.names:
            table = table.rename({self.task.modality: named[0]})  # a folder calls its files so, whatever the training table did
        return self._renamed(table) if named and os.path.isdir(str(file)) else table

    def _renamed(self, table: Table) -> Table:
        """The rows of a folder, their labels, masks or boxes called as those of the training rows."""
        columns, usual = self.task.columns(self.task.targets), [getattr(type(self.task), role, "") for role in self.task.targets]
        missing = len(columns) == len(usual) == 1 and columns[0] not in table.names and usual[0] in table.names
        return table.rename({usual[0]: columns[0]}) if missing else table

    def table(self, rows: Any) -> Table:
        """What was asked, as a table with the run's input columns."""
        from .data.table import Table

        if isinstance(rows, Table):
            return rows
        texts = self._each(rows)
        asked = self.task.questions(texts)
        if asked is not None:
            return Table.of(asked, name="the request")
        return Table.of([self._row(row, index, self._asked(row)) for index, row in enumerate(texts)], name="the request")

    def _each(self, rows: Any) -> list[Any]:
        """What was asked, row by row: of one text or row, of many, of a frame, or of columns by name."""
        from .data.frames import is_frame, to_arrow

        if isinstance(rows, str | bytes | os.PathLike) or (isinstance(rows, Mapping) and not self._columnwise(rows)):
            return [rows]
        if is_frame(rows) or isinstance(rows, Mapping):
            found: list[Any] = to_arrow(rows).to_pylist()
            return found
        if not isinstance(rows, Iterable):
            raise DataError(
                "the request", expected="a text, texts, rows or a frame", got=type(rows).__name__,
                fix="give a list of texts", code="bad-row",
            )  # fmt: skip
        return list(rows.to_pylist() if hasattr(rows, "to_pylist") else rows)

    def _columnwise(self, rows: Mapping[str, Any]) -> bool:
        """Whether these are columns by name, not one row: each holds a list, where a row's own cells are none."""
        asked = [rows[name] for name in self.task.columns(self.task.inputs) if name in rows]
        if self.task.writes or self.task.lists:
            return bool(asked) and all(isinstance(cell, list) and cell and isinstance(cell[0], list) for cell in asked)
        return bool(asked) and all(isinstance(cell, list | tuple) for cell in asked)

    def _asked(self, row: Any) -> list[str]:
        """The columns that a row needs; of a task that answers the first of its inputs alone, those that it has."""
        columns = self.task.columns(self.task.inputs)
        if not self.task.alone:
            return columns
        return columns[:1] + [name for name in columns[1:] if isinstance(row, Mapping) and row.get(name) is not None]

    def _row(self, row: Any, index: int, columns: Sequence[str]) -> dict[str, Any]:
        place = f"the request, row {index + 1}"
        row = os.fspath(row) if isinstance(row, os.PathLike) else row
        kinds = (str, bytes, dict) if self.task.files else (str,)  # a file: its path, its bytes, or an object with one of these
        kinds = (str, list) if self.task.writes or self.task.lists else kinds  # a text, or a list of messages or tokens
        if isinstance(row, (str, bytes)) and isinstance(row, kinds) and len(columns) == 1:
            return {columns[0]: row}
        if isinstance(row, Mapping) and self.task.wide:
            return {column: row[column] for column in columns if column in row}
        if not isinstance(row, Mapping):
            raise DataError(
                place,
                expected=f"{'a text' if len(columns) == 1 else 'a row'} with {listing(columns)}",
                got="one text alone" if isinstance(row, str) else type(row).__name__,
                fix=_ask(columns),
                code="bad-row",
            )
        for column in columns:
            if not isinstance(row.get(column), kinds):
                raise DataError(
                    f"{place}, column {column!r}",
                    expected="a text",
                    got=repr(row.get(column)) if column in row else "no such column",
                    fix=nearest(column, row) if column not in row else "pass a text",
                    code="bad-cell",
                )
        return {column: row[column] for column in columns}


@final
class Stream:
    """An answer while it is written: iterating gives pieces of its text, which together are the text of `answer`."""

    def __init__(self, predictor: Predictor, asked: Table) -> None:
        self._predictor, self._asked = predictor, asked
        self.answer: dict[str, Any] = {}
        """What `predict` answers; whole once the pieces are at their end."""

    def __iter__(self) -> Iterator[str]:
        said = ""
        for answer in self._answers():
            self.answer = answer
            text = self.answer.get("text", "")
            if len(text) > len(said) and text.startswith(said):
                said, piece = text, text[len(said) :]
                yield piece

    def _answers(self) -> Iterator[dict[str, Any]]:
        from .inference import collate
        from .models.heads import evaluating

        here = self._predictor
        task = here.task.set_for("answering")
        encoded = encode(task, here.processor, self._asked)
        device = next(here.model.parameters()).device
        with evaluating(here.model):
            for outputs in task.stream(here.model, collate(task, encoded, [0], pad_id(here.processor), device)):
                yield task.answers(outputs)[0]


def _ask(columns: Sequence[str]) -> str:
    """How to give a row, in Python and on the command line."""
    cells = ", ".join(f"{column!r}: ..." for column in columns)
    words = " ".join(f"--row {column}=..." for column in columns)
    return f"pass {{{cells}}} (`tunesmith predict RUN {words}`, or --file for a file with these columns)"


def load_task(run: Run) -> Task:
    """The fitted, calibrated task of a run."""
    saved = run.read("task.json")
    task: Task = TASKS.load(saved["name"]).from_json(saved["values"])
    return task


def _wider(task: Task) -> Task | None:
    """The task with room for more tokens; None where it does not cut texts."""
    room = {name: getattr(task, name) + MORE for name in ("tokens_kept", "limit") if getattr(task, name, 0)}
    if not room or task.files or task.models or task.stocks:
        return None
    parts = {"parts": tuple(_wider(part) or part for part in getattr(task, "parts", ()))}
    return task.settle(**room, **{name: value for name, value in parts.items() if value})


def _least(task: Task) -> int:
    """Bytes of a row that may be too long; a token is at least one. Of those that are answered in writing each may."""
    return 0 if task.writes else getattr(task, "tokens_kept", 0) - FRAME - len(getattr(task, "prefix", ""))


def _bytes(cells: Iterable[Any]) -> int:
    return sum(len(str(cell).encode("utf-8", "replace")) for cell in cells)


def _lengths(encoded: Encoded, rows: int) -> np.ndarray:
    """(N,) tokens of each row; NaN where it is read in several windows, which together hold all of it."""
    found_N = np.full(rows, np.nan)
    found_N[encoded.row_N] = encoded.lengths_N
    found_N[np.bincount(encoded.row_N, minlength=rows) > 1] = np.nan
    return found_N
