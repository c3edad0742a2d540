"""A run's model as a plain folder without adapters: folded into the weights, and shown in a fresh process to answer the same.

config.json model.safetensors tokenizer*   what `AutoModel.from_pretrained` (for models that write, their own class) reads
head.json head.safetensors                 the linear head, where the task put one on top
README.md                                  what it is, how to load it, how far its answers are from the run's
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from .. import fresh
from ..disk import replaced
from ..errors import ModelError, RunError, SpecError, TunesmithError
from ..predictor import Predictor
from ..run import Run
from ..seal import checking

ROWS = 64
"""Rows on which the folder is compared with the run."""
TOLERANCE = 1e-3
"""Largest difference of a raw output, as a share of the row's largest (at least 1): sums are rounded in another order after merging."""


@final
@dataclass(frozen=True)
class Merged:
    """A folder that answers as its run does."""

    path: Path
    strategy: str
    adapter: bool
    """Whether there was an adapter; without one the folder holds the weights as they were tuned."""
    rows: int
    """On how many rows answers were compared."""
    difference: float
    """Largest difference of a raw output, as a share of the row's largest (at least 1)."""


def merge(path: str | Path, out: str | Path | None = None, *, rows: str | Path | None = None, replace: bool = False) -> Merged:
    """Fold a run's adapter into its weights, in `out` (a new folder; else `merged` in the run). `rows`: a file to compare on; else
    the run's validation rows.

    Raises ModelError for adapters that are no updates of weights (`not-mergeable`) and where answers differ (`merge-differs`);
    RunError without rows to compare on, SpecError where `out` exists.
    """
    from ..models import merging, save

    run = Run(path)
    target = Path(out) if out is not None else run.path / "merged"
    _refuse_existing(target, replace)
    head = _head(run)
    predictor = Predictor.load(run.path)
    adapter = head["adapter"] is not None
    asked = _asked(predictor, rows)
    before = fresh.outputs(predictor, asked)
    merging.merge(predictor.model)
    without = fresh.outputs(predictor, asked[:1])
    before = {name: value for name, value in before.items() if name in without}  # what the untouched model says needs the adapter
    found: list[Merged] = []

    def write(folder: Path) -> None:
        save.save(predictor.model, predictor.processor, folder)
        there, failed = fresh.answered(run.path, asked, folder)
        worst, where = (float("inf"), failed) if failed else fresh.difference(predictor.task, before, there, len(asked))
        if not worst <= TOLERANCE:
            raise _differs(run, where)
        found.append(Merged(target, run.spec.strategy, adapter, len(asked), worst))
        (folder / "README.md").write_text(card(found[0], head, run), "utf-8")

    replaced(target, write)
    return found[0]


def _head(run: Run) -> dict[str, Any]:
    """What the run's model says of its head and adapter; checked where the model is loaded. Raises RunError before the run has a model."""
    checking(run.path).require()
    if not (run.model / "head.json").is_file():
        raise RunError(
            str(run.path), expected="a finished model", got="a run that has not ended",
            fix=f"`tunesmith resume {run.path}` finishes it", code="run-unfinished",
        )  # fmt: skip
    return {"adapter": None, **json.loads((run.model / "head.json").read_text("utf-8"))}


def _asked(predictor: Predictor, file: str | Path | None) -> list[dict[str, Any]]:
    """Rows to compare on, as a fresh process is given them."""
    if file is not None:
        table = predictor.read(file)
    else:
        from ..planning import read

        try:
            table = read(predictor.run.spec)[1].validation
        except TunesmithError as error:
            raise _no_rows(predictor.run, str(error)) from None
    task = predictor.task
    table.require(task.columns((*task.inputs, *task.targets) if task.writes else task.inputs))
    found: list[dict[str, Any]] = json.loads(json.dumps(fresh.cells(task, table, ROWS), default=str))
    if not found:
        raise _no_rows(predictor.run, "none")
    return found


def card(merged: Merged, head: dict[str, Any], run: Run) -> str:
    """The folder's README: what it is, how it is loaded, what was compared."""
    made = {"language": "AutoModelForCausalLM", "seq2seq": "AutoModelForSeq2SeqLM", "speech": "AutoModelForSpeechSeq2Seq"}
    loader = made.get(str(head["pooling"]), "AutoModel")
    what = f"with the `{merged.strategy}` adapter folded into the weights" if merged.adapter else "as it was tuned; there was no adapter"
    beside = "" if loader != "AutoModel" else (
        f"\nOn top stands a linear head (`head.safetensors`: `head.weight`, `head.bias`; pooling `{head['pooling']}` in `head.json`).\n"
    )
    licence = head["licence"] or "not stated: ask whoever published the base model"
    return (
        f"---\nbase_model: {json.dumps(str(head['base']))}\n---\n\n# {target_name(run)}\n\n{head['base']}, tuned for `{run.spec.task}`, "
        f"{what}.\n\n```python\nfrom transformers import {loader}, AutoTokenizer\n\nmodel = {loader}.from_pretrained(\"FOLDER\")\n"
        f"tokenizer = AutoTokenizer.from_pretrained(\"FOLDER\")\n```\n{beside}\nA fresh process answered {merged.rows} rows with it: raw "
        f"outputs at most {merged.difference:.1e} from the run's, as a share of a row's largest ({TOLERANCE:g} is allowed).\n\n"
        f"Licence of the base model: {licence}\n"
    )


def target_name(run: Run) -> str:
    """How the folder is headed."""
    return f"{run.path.name}, merged"


def _refuse_existing(target: Path, replace: bool) -> None:
    ours = (target / "head.json").is_file()
    if target.exists() and not (replace and ours):
        raise SpecError(
            "--out", expected="a new folder", got=f"{str(target)!r}, which exists",
            fix="choose another name" + (" or add --replace" if ours else ""), code="file-exists",
        )  # fmt: skip
    if not target.parent.is_dir():
        raise SpecError(
            "--out", expected="a folder in one that exists", got=repr(str(target)), fix=f"make {target.parent} first", code="no-such-folder"
        )


def _no_rows(run: Run, got: str) -> RunError:
    return RunError(
        str(run.path), expected="validation rows on which the folder is compared with the run", got=got,
        fix="name a file with the run's columns: --rows FILE", code="no-rows",
    )  # fmt: skip


def _differs(run: Run, got: str) -> ModelError:
    return ModelError(
        f"merging {run.model}", expected=f"answers within {TOLERANCE:g} of the run's from the merged folder in a fresh process",
        got=got, fix="use the run's model as it was saved (base and adapter)", code="merge-differs",
    )  # fmt: skip
