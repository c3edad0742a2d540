"""Pictures out of noise: which columns say what they show, which noise a row is given, what is made, and how it is shown.

Axes: N rows, B rows of a batch, K noise levels, C channels, H height, W width, D numbers of a description.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.finding import Finding, count, places
from ..errors import DataError, ModelError, SpecError, listing, nearest, shorten
from ..spec import Choice
from ..task import Claim, Draw, Row
from . import pictures, pixels

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..data.profile import Profile
    from ..data.table import Table

CAPTIONS = ("caption", "captions", "prompt", "description", "alt", "alt_text", "text", "title")
LABELS = ("label", "class", "category", "kind")
LEVELS = 4
"""Noise levels at which a held-out row's loss is measured, one in each quarter of the schedule."""
CONDITIONS = ("label", "caption", "pooled")
"""What a picture is asked for by."""
DESCRIBED = 2000
"""Training pictures by which descriptions are standardised and labels told apart."""
PROBED = 200
"""Most labels for which agreement is told."""
LOOKED = 2000
"""Captions in which words that a mirror turns round are looked for."""
STEPS = 2000
"""Optimiser steps of 16 rows that a new model wants at least; of a pretrained one half as many."""
ROWS = 16
SECONDS = 1200.0
"""Training time for which a new model is made where no budget is given."""
RECIPES = (
    (64, (64, 128, 128, 256)), (64, (32, 64, 96, 128)), (32, (96, 192, 192)), (32, (64, 128, 128)), (32, (48, 96, 96)),
    (32, (32, 64, 64)), (16, (32, 64)), (16, (16, 32)),
)
"""New models, largest first."""
NUMBER = "sample"
"""Column that tells pictures of the same caption or label apart."""
HUGE = 300_000_000
"""Weights from which a pretrained model learns low-rank updates."""
EFFICIENCY = 0.6
PART = 0.7
"""Share of the time for steps; the rest is for looking at what they do."""


# -- columns ----------------------------------------------------------------------------------------------------------


def one_condition(caption: str, label: str) -> None:
    """Raises SpecError where both are named."""
    if caption and label:
        raise SpecError(
            "options caption and label", expected="one of them", got=f"{caption!r} and {label!r}",
            fix="name the one that pictures are to be asked for by", code="bad-value",
        )


def claim(profile: Profile, named: Mapping[str, Any], image: Choice[Any]) -> Claim:
    """What the pictures may be asked for by; sure only where the file holds nothing to be answered about them."""
    others = [name for name in profile.columns if name != image.value]
    said = bool(named.get("caption") or named.get("label")) or "" in (named.get("caption"), named.get("label"))
    caption = "" if said else _called(profile, CAPTIONS, ("text", "category", "id"))
    label = "" if said or caption else _called(profile, LABELS, ("category", "boolean", "integer"))
    columns: dict[str, Choice[Any]] = {"image": image}
    for role, value in (("caption", named.get("caption") or caption), ("label", named.get("label") or label)):
        if value:
            why = "named by you" if named.get(role) else f"column {value!r} says what each image shows"
            columns[role] = Choice(value, why)
    alone = not others or (bool(caption) and others == [caption])
    why = "images alone" if not others else f"images and {others[0]!r}, which says what they show"
    sure = 0.9 if named.get("caption") else 0.6 if alone else 0.05
    return Claim(columns, sure, f"{why if alone else 'images'}: more like them are to be made")


def _called(profile: Profile, names: Sequence[str], kinds: Sequence[str]) -> str:
    for name in names:
        for column in profile.columns.values():
            if column.name.lower() == name and column.kind in kinds:
                return column.name
    return ""


def empty(table: Table, column: str) -> list[Finding]:
    """An error for rows whose caption or label is missing."""
    if not column or column not in table.names:
        return []
    rows = np.flatnonzero([cell is None or not str(cell).strip() for cell in table.column(column)])
    if not len(rows):
        return []
    message = f"expected a text in column {column!r} of every row, got an empty cell in {count(len(rows))}"
    return [Finding("error", "empty-condition", message, places(table, rows), "fill them, or take the rows out")]


def vocabulary(cells: Sequence[Any]) -> tuple[str, ...]:
    """The labels, sorted. Raises DataError for fewer than two."""
    found = tuple(sorted({str(cell) for cell in cells if cell is not None}))
    if len(found) < 2:
        raise DataError(
            "the column of labels", expected="at least two labels among the training rows", got=listing(found) or "none",
            fix="leave the option label out", code="one-class",
        )
    return found


def ways(asked: str, said: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Whether pictures are mirrored, and why."""
    if asked != "auto":
        return (("flip",) if asked == "flip" else ()), "as asked"
    chosen, why = pixels.ways("auto", [one for one in said if not (len(one) == 1 or one.isdigit())])
    if "flip" in chosen:
        return ("flip",), "no caption or label would change its meaning"
    return (), why.removeprefix("crops alone: ")


def lost(rows: Table, processor: Any, caption: str, label: str, labels: Sequence[str]) -> list[Finding]:
    """Warnings for captions that are cut, and for labels that no training row has."""
    found = []
    if caption in rows.names:
        long = np.flatnonzero([processor.cut(str(cell or "")) for cell in rows.column(caption)])
        if len(long):
            message = f"{count(len(long), 'caption')} longer than the model reads: the ends are not seen"
            found.append(Finding("warning", "texts-cut", message, places(rows, long), "shorten them"))
    if label in rows.names:
        new = np.flatnonzero([str(cell) not in labels for cell in rows.column(label)])
        if len(new):
            message = f"{count(len(new))} with a label that no training row has: pictures of any kind are made of these"
            found.append(Finding("warning", "unknown-label", message, places(rows, new), "leave them out, or train on such rows, too"))
    return found


def takes(processor: Any, caption: str, label: str) -> None:
    """Raises ModelError where a model reads captions and rows have none, or the reverse."""
    if bool(caption) == processor.reads:
        return
    new = processor.source.kind == "new"
    reader = "add the encoder's name behind a colon, or leave --model out" if new else "leave --model out for a new model that does"
    raise ModelError(
        f"model {processor.source.name!r}", expected="a model that reads captions" if caption else "a model that reads no captions",
        got="one that does not" if caption else "one that does", fix=reader if caption else "name their column: --option caption=COLUMN",
        code="captions",
    )


# -- new models -------------------------------------------------------------------------------------------------------


def side(cells: Sequence[Any]) -> int:
    """Pixels a side that the images have: the median of some."""
    few = [cells[int(at)] for at in np.unique(np.linspace(0, len(cells) - 1, min(len(cells), 200)).astype(int))]
    return int(np.median(pictures.sides(few) or [32]))


def recipe(own: int, fixed: bool, budget: float | None, flops: float, make: Callable[[int, tuple[int, ...]], Any]) -> Choice[str]:
    """The largest new model of which enough steps fit into the time. `own`: the images' side, to be met exactly where it is `fixed`."""
    seconds = budget or SECONDS
    asked = [(own, widths) for _, widths in RECIPES if not own % 2 ** len(widths)] if fixed else []
    fitting = asked or [(size, widths) for size, widths in RECIPES if size <= max(16, own)]
    for size, widths in fitting:
        cost = STEPS * step_seconds(size, widths, flops)
        if cost <= PART * seconds:
            break
    name = make(size, widths).name
    time = f"the budget of {seconds:.0f} s" if budget else f"{seconds / 60:.0f} minutes, as no budget was given"
    fits = f", within {time}" if cost <= PART * seconds else f": more than {time}; it is the smallest"
    why = "as asked" if fixed else f"the images have {own}"
    takes = f"{STEPS:,} steps of {ROWS} rows take about {cost:.0f} s{fits}"
    return Choice(name, f"no model was named: a new one, of {size} x {size} pixels ({why}); {takes}")


def step_seconds(size: int, widths: Sequence[int], flops: float) -> float:
    """Seconds of a step of 16 rows: weights by the places at which they work, forward and backward."""
    weights = 120 * sum(width**2 for width in widths)
    return ROWS * 6 * 0.5 * weights * size**2 / 4 / (EFFICIENCY * flops)


def suggested(new: bool, rows: int, weights: int) -> Mapping[str, Choice[Any]]:
    """What `auto` means for a new and for a pretrained model."""
    per_epoch = max(1, -(-rows // ROWS))
    steps = STEPS if new else STEPS // 2
    epochs = float(max(2, -(-steps // per_epoch)))
    total = epochs * per_epoch
    looks = min(1.0, float(f"{12 / epochs:.2g}"))
    found: dict[str, Choice[Any]] = {
        "train.batch": Choice(ROWS, "noise levels are drawn anew each time: many small steps teach more than few large ones"),
        "train.epochs": Choice(epochs, f"about {steps:,} steps: each epoch shows each picture under other noise"),
        "train.evaluations": Choice(1 if looks == 1 else looks, "about a dozen looks at what it paints"),
        "train.ema": Choice(
            round(1 - 1 / max(20.0, total / 20), 5), "pictures of the mean weights of the last twentieth of the steps are better than "
            "those of the last weights, which the noise of single steps moves (arXiv 2006.11239, appendix B; 2312.02696)",
        ),
        "train.dropout": Choice(0.0, "what small denoisers and latent ones are trained with"),
    }
    if new:
        return found | {
            "strategy": Choice("full", "a new model: all weights learn"),
            "train.lr": Choice(5e-4, "small new denoisers bear a higher rate than the 2e-4 of large ones (arXiv 2006.11239)"),
        }
    if weights > HUGE:
        return found | {
            "strategy": Choice("lora", f"{weights / 1e6:.0f} M weights: updates of attention of low rank learn a kind of picture"),
            "train.lr": Choice(1e-4, "the usual rate of low-rank updates of denoisers"),
        }
    rate = 1e-4 if weights < 100_000_000 else 1e-5
    return found | {
        "strategy": Choice("full", f"{weights / 1e6:.1f} M weights: all can learn"),
        "train.lr": Choice(rate, f"suits a pretrained denoiser of {weights / 1e6:.1f} M weights"),
    }


# -- noise ------------------------------------------------------------------------------------------------------------


def stream(key: str, which: int) -> np.random.Generator:
    """Random numbers that follow from a name alone; `which`: one of several streams."""
    return np.random.default_rng(np.random.SeedSequence([int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()), which]))


def key(row: Row, caption: str, label: str) -> str:
    """The name behind a question's noise: what is asked, and which of several pictures of it."""
    return f"{row.get(caption)}|{row.get(label)}|{row.get(NUMBER, 0)}"


def noised(cell: Any, name: str, processor: Any, mirrored: bool, draw: Draw | None) -> dict[str, np.ndarray]:
    """`painted` (C, H, W), `noise` (K, C, H, W) and `level` (K,): one level, drawn; without a draw four, the same each time. `sizes` (6,)
    for a model that is told them."""
    picture_HW3 = pictures.square(cell, processor.side)
    if mirrored and draw is not None and draw.random() < 0.5:
        picture_HW3, name = picture_HW3[:, ::-1], f"{name}|mirrored"
    painted = processor.painted(picture_HW3, name, draw)
    rng, levels = (draw, 1) if draw is not None else (stream(name, 0), LEVELS)
    level_K = processor.levels((np.arange(levels) + rng.random(levels)) / levels)
    sizes = {"sizes": pictures.framing(cell, processor.side)} if processor.sized else {}
    return {"painted": painted, "noise": rng.standard_normal((levels, *painted.shape), np.float32), "level": level_K, **sizes}


def spread(rows: int, most: int) -> np.ndarray:
    """(N,) 1 for the rows that get a picture: at most so many, evenly spread."""
    asked_N = np.zeros(rows, np.int64)
    asked_N[np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(int))] = 1
    return asked_N


# -- outputs ----------------------------------------------------------------------------------------------------------


def outputs(model: nn.Module, batch: Mapping[str, torch.Tensor], steps: int, guidance: float) -> dict[str, Any]:
    """`loss` (B, K) and `picture`: see the task."""
    asked = batch["asked"].bool() if "asked" in batch else None
    rows = len(next(iter(batch.values())))
    loss_BK = model(batch)[1] if "painted" in batch else next(model.parameters()).new_full((rows, LEVELS), float("nan"))
    made = [""] * rows
    if asked is not None and asked.any():
        chosen = {name: value[asked] for name, value in batch.items() if name in ("start", *CONDITIONS)}
        painted = model.paint(chosen, steps, guidance).float().cpu().numpy()  # type: ignore[operator]
        for at, picture_3HW in zip(asked.nonzero().flatten().tolist(), painted, strict=True):
            made[at] = pictures.address(pictures.bytes_of(picture_3HW))
    return {"loss": loss_BK, "picture": made}


# -- answers ----------------------------------------------------------------------------------------------------------


def questions(asked: Sequence[Any], caption: str, label: str, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of captions or labels, equal ones told apart by a number; or as many rows as a number says. Raises DataError."""
    if not caption and not label:
        return [{NUMBER: at} for at in range(sum(_number(one) for one in asked))]
    column, seen, found = caption or label, dict[str, int](), list[dict[str, Any]]()
    for at, one in enumerate(asked):
        row = dict(one) if isinstance(one, Mapping) else {column: one}
        if not isinstance(row.get(column), str):
            example = labels[0] if label else "a red square"
            raise _bad(at, f"a {'caption' if caption else 'label'}", repr(row.get(column)), f'tunesmith predict RUN "{example}"')
        if label and row[label] not in labels:
            raise _bad(at, "a label that the model learned", repr(row[label]), nearest(row[label], labels))
        row.setdefault(NUMBER, seen.get(row[column], 0))
        seen[row[column]] = seen.get(row[column], 0) + 1
        found.append({name: row[name] for name in (column, NUMBER)})
    return found


def _number(asked: Any) -> int:
    text = str(asked.get(NUMBER, "1") if isinstance(asked, Mapping) else asked).strip()
    if not text.isdigit() or not 0 < int(text) <= 100_000:
        what = "a number of pictures, as this run was shown neither captions nor labels"
        raise _bad(0, what, repr(text), "tunesmith predict RUN 8 --out pictures/")
    return int(text) if not isinstance(asked, Mapping) else 1


def _bad(at: int, expected: str, got: str, fix: str) -> DataError:
    return DataError(f"the request, row {at + 1}", expected=expected, got=shorten(got), fix=fix, code="bad-row")
