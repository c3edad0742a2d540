"""The documented recipes of transformers' example scripts, on our training and test rows, and scored by our own scores.

`run_glue`: a new head on the pooled vector, rate 2e-5, batch 32, three epochs. `run_ner`: the command of its page says nothing, so
the Trainer's defaults stand: rate 5e-5, batch 8, three epochs; the first sub-word of a word learns its tag. `run_qa`: rate 3e-5,
batch 12, two epochs, windows of 384 tokens that share 128; windows are padded to the longest of a batch, not to 384, which changes
their cost and not what they say. All: AdamW, a rate that falls in a line, float32.
"""
# Axes: T tokens of a window, W words of a row, C labels.

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from sets import MODEL, Set

if TYPE_CHECKING:
    from tunesmith.planning import Ready
    from tunesmith.task import Outputs

Rows = list[dict[str, Any]]
Fitted = Callable[[Any, Rows, Any], Callable[[Rows], Any]]
"""(model, training rows, how they are padded) -> what predicts: rows -> raw outputs."""
WINDOW, SHARED, SPANS, LONGEST = 384, 128, 20, 30
"""Of run_qa: tokens of a window, those that neighbours share, starts and ends that are looked at, most tokens of an answer."""


@final
@dataclass(frozen=True)
class Recipe:
    """What a script does: how outputs are made, and the settings of its documented command."""

    outputs: Callable[[Ready, Fitted], Outputs]
    lr: float
    batch: int
    epochs: float


def trainer(data: Set, seed: int, threads: int, lr: float | None = None) -> dict[str, Any]:
    """transformers' Trainer on the same training and test rows; `lr`: another rate than the recipe's."""
    import torch

    from tunesmith import api

    recipe = RECIPES[data.task]
    with tempfile.TemporaryDirectory() as folder:
        files = data.prepare(Path(folder))
        ready = api.plan(api.make_spec(
            files["train"], model=data.model or MODEL, task=data.task, seed=seed, test=files.get("test", ""),
            validation=files.get("validation", ""), **data.options, **data.settings, **data.drawn(compared=True),
        ))  # fmt: skip
        torch.set_num_threads(threads)
        start = time.monotonic()
        outputs = recipe.outputs(ready, lambda *known: _fitted(*known, folder, recipe, lr or recipe.lr, seed))
        seconds = time.monotonic() - start
    scores = ready.task.score(outputs, ready.task.truth(ready.data.test))
    rows = {"rows": len(ready.data.test), "train_rows": len(ready.data.train)}
    return {"score": {"value": scores[data.metric]}, "scores": scores, "seconds": round(seconds, 1)} | rows


def _fitted(model: Any, rows: Rows, pads: Any, folder: str, recipe: Recipe, lr: float, seed: int) -> Callable[[Rows], Any]:
    from transformers import Trainer, TrainingArguments

    args = TrainingArguments(
        output_dir=f"{folder}/out", num_train_epochs=recipe.epochs, per_device_train_batch_size=recipe.batch, learning_rate=lr,
        per_device_eval_batch_size=64, seed=seed, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )
    run = Trainer(model=model, args=args, train_dataset=rows, data_collator=pads)
    run.train()
    return lambda asked: run.predict(asked).predictions


# -- run_glue ---------------------------------------------------------------------------------------------------------

PROBLEMS = {"label": "single_label_classification", "labels": "multi_label_classification", "number": "regression"}


def glue(ready: Ready, fitted: Fitted) -> Outputs:
    """One answer a row: a label, several, or numbers (learned in units of their spread)."""
    import torch
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

    from tunesmith.models.source import processor

    task, tokenizer, kind = ready.task, processor(ready.source), PROBLEMS[ready.task.target_kind]
    truth = task.truth(ready.data.train)
    scale = (truth.mean(0), truth.std(0)) if kind == "regression" else None
    values = truth if scale is None else (truth - scale[0]) / scale[1]
    width = int(truth.max()) + 1 if truth.ndim == 1 else truth.shape[1]
    model = AutoModelForSequenceClassification.from_pretrained(ready.source.folder, num_labels=width, problem_type=kind)
    label = int if kind.startswith("single") else lambda value: torch.tensor(value, dtype=torch.float32)
    keep = ("input_ids", "attention_mask", "token_type_ids")
    read = lambda table: [{k: e[k] for k in keep if k in e} for e in task.encode(table.rows(), tokenizer)]  # noqa: E731
    rows = [row | {"labels": label(value)} for row, value in zip(read(ready.data.train), values)]
    logits = np.asarray(fitted(model, rows, DataCollatorWithPadding(tokenizer))(read(ready.data.test)), np.float32)
    return {"logits": logits} if scale is None else {"numbers": logits * scale[1] + scale[0]}


# -- run_ner ----------------------------------------------------------------------------------------------------------


def ner(ready: Ready, fitted: Fitted) -> Outputs:
    """A tag for each word, the likeliest by itself; spans are read from them as seqeval reads tags. Words beyond what the model reads
    are outside."""
    from transformers import AutoModelForTokenClassification, DataCollatorForTokenClassification

    from tunesmith.models.source import processor
    from tunesmith.parts import entities

    task: Any = ready.task
    plain = task.written == "plain"
    names, tokenizer = entities.labels(task.types, plain), processor(ready.source)
    model = AutoModelForTokenClassification.from_pretrained(ready.source.folder, num_labels=len(names))
    train, truth = ready.data.train, task.truth(ready.data.train)
    labels = [entities.encode(row["spans"], row["words"], task.types, plain) for row in truth]
    rows = [_tagged(row, label_W) for row, label_W in zip(_tokenised(train.column(task.tokens), tokenizer), labels, strict=True)]
    asked = _tokenised(ready.data.test.column(task.tokens), tokenizer)
    unlabelled = [{"input_ids": row["input_ids"]} for row in asked]
    logits = fitted(model, rows, DataCollatorForTokenClassification(tokenizer))(unlabelled)
    sizes = [row["words"] for row in task.truth(ready.data.test)]
    found = [_spans(logits_TC, row["first"], size, plain) for logits_TC, row, size in zip(logits, asked, sizes, strict=True)]
    return {"logits": entities.from_spans(found, sizes, task.types, plain)}


def _tokenised(cells: Sequence[Any], tokenizer: Any) -> Rows:
    """Token ids of rows of words; `first` (T,): the word whose first token this is, -1 elsewhere."""
    from tunesmith.parts import marked

    made = tokenizer([marked.tokens(cell) for cell in cells], is_split_into_words=True, truncation=True)
    return [{"input_ids": ids, "first": _first(made.word_ids(at))} for at, ids in enumerate(made["input_ids"])]


def _first(words: Sequence[int | None]) -> np.ndarray:
    word_T = np.array([-1 if word is None else word for word in words])
    return np.where(word_T != np.concatenate([[-1], word_T[:-1]]), word_T, -1)


def _tagged(row: dict[str, Any], label_W: np.ndarray) -> dict[str, Any]:
    label_T = np.where(row["first"] >= 0, label_W[row["first"]] if len(label_W) else -100, -100)
    return {"input_ids": row["input_ids"], "labels": label_T.tolist()}


def _spans(logits_TC: np.ndarray, word_T: np.ndarray, size: int, plain: bool) -> list[tuple[int, int, int]]:
    from tunesmith.parts import entities

    label_W, said = np.zeros(size, np.int32), word_T >= 0
    label_W[word_T[said]] = logits_TC[: len(word_T)][said].argmax(-1)
    return entities.spans(label_W, plain)


# -- run_qa -----------------------------------------------------------------------------------------------------------


def qa(ready: Ready, fitted: Fitted) -> Outputs:
    """The span with the largest sum of its start's and end's logits over all windows of a row."""
    from transformers import AutoModelForQuestionAnswering, DataCollatorWithPadding

    from tunesmith.models.source import processor
    from tunesmith.parts import reading

    task: Any = ready.task
    tokenizer = processor(ready.source)
    model = AutoModelForQuestionAnswering.from_pretrained(ready.source.folder)
    truth, test = task.truth(ready.data.train), ready.data.test
    rows = [_pointed(one, truth[one["row"]]["spans"]) for one in _windows(ready.data.train, task, tokenizer)]
    asked = _windows(test, task, tokenizer)
    starts, ends = fitted(model, rows, DataCollatorWithPadding(tokenizer))([_read(one) for one in asked])
    best, none_N = [(None, -np.inf)] * len(test), np.full(len(test), np.inf)
    for one, start_T, end_T in zip(asked, starts, ends, strict=True):
        best[one["row"]] = max(best[one["row"]], _best(one["place"], start_T, end_T), key=lambda guess: guess[1])
        none_N[one["row"]] = min(none_N[one["row"]], start_T[0] + end_T[0])
    guesses = [(span, float(sum_ - none)) for (span, sum_), none in zip(best, none_N)]
    return reading.guessed([str(text) for text in test.column(task.context)], guesses)


def _windows(table: Any, task: Any, tokenizer: Any) -> Rows:
    """Question and context in windows; `place` (T, 2): the characters of the context's tokens, -1 elsewhere."""
    texts = [[str(cell) for cell in table.column(name)] for name in (task.question, task.context)]
    made = tokenizer(
        *texts, truncation="only_second", max_length=WINDOW, stride=SHARED, return_overflowing_tokens=True, return_offsets_mapping=True
    )
    rows = []
    for at, row in enumerate(made["overflow_to_sample_mapping"]):
        inside_T = np.array([part == 1 for part in made.sequence_ids(at)])
        place_T2 = np.where(inside_T[:, None], np.array(made["offset_mapping"][at]), -1)
        rows.append({"row": row, "place": place_T2} | {name: made[name][at] for name in ("input_ids", "token_type_ids") if name in made})
    return rows


def _read(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("input_ids", "token_type_ids") if name in one}


def _pointed(one: dict[str, Any], spans: Sequence[Sequence[int]]) -> dict[str, Any]:
    """A window with the tokens of the first right answer, or of its first token where it does not hold that answer whole."""
    place_T2, start_at, end_at = one["place"], 0, 0
    own_T = np.flatnonzero(place_T2[:, 1] >= 0)
    if len(spans) and len(own_T) and place_T2[own_T[0], 0] <= spans[0][0] and spans[0][1] <= place_T2[own_T[-1], 1]:
        start_at = int(own_T[place_T2[own_T, 0] <= spans[0][0]][-1])
        end_at = int(own_T[place_T2[own_T, 1] >= spans[0][1]][0])
    return _read(one) | {"start_positions": start_at, "end_positions": end_at}


def _best(place_T2: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> tuple[tuple[int, int] | None, float]:
    """The best span of a window, and the sum of its logits."""
    size = len(place_T2)
    starts, ends = (np.argsort(-side_T[:size])[:SPANS] for side_T in (start_T, end_T))
    pairs = [
        (float(start_T[one] + end_T[last]), one, last)
        for one in starts for last in ends
        if place_T2[one, 0] >= 0 and place_T2[last, 1] >= 0 and one <= last < one + LONGEST
    ]  # fmt: skip
    if not pairs:
        return None, -np.inf
    sum_, one, last = max(pairs)
    return (int(place_T2[one, 0]), int(place_T2[last, 1])), sum_


GLUE = Recipe(glue, 2e-5, 32, 3.0)
RECIPES = {
    "text-classification": GLUE, "text-regression": GLUE, "text-multilabel": GLUE,
    "token-classification": Recipe(ner, 5e-5, 8, 3.0), "extractive-qa": Recipe(qa, 3e-5, 12, 2.0),
}  # fmt: skip
"""Task -> the recipe that it is compared with."""
