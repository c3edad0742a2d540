"""Training texts that translation models say anew before the first step: there, back, and beside their rows.

Texts go in an order of their own, in parts that are kept as they are made, so that a stopped run goes on where it was, and another run
of the same texts loads no translator. Each model is let go of before the next one comes, and before training begins.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import shorten
from ..memory import give_back
from ..parts import augment
from ..translators import PART, TOKENS, Direction, Translator
from . import device
from .events import Adjusted, Event, Preparing

if TYPE_CHECKING:
    from ..parts.augment import Retelling
    from .stages import Work
    from .state import State

WHAT = "texts said anew"
SHOWN = 3
"""Examples that are told."""
LONGER = 2
"""Times the characters of its text from which a form is no translation of it."""
SPARE = 20
"""Characters that it may have beside."""
SMALLEST = 256
"""Tokens of a pass below which memory that runs out is an error."""


def retold(state: State, work: Work) -> Generator[Event, None, Work]:
    """The work with the forms of its training texts beside them; as it is where none are wanted, or where a stop was asked for."""
    train = state.ready.data.train
    retelling = state.ready.task.retelling(train)
    if retelling is None or state.done or state.stage == len(state.stages):
        return work
    if all(stage.solve for stage in state.stages[state.stage :]):
        yield Adjusted(state.total, f"no {WHAT}", "a head is solved on the rows as they are: back-translation would change nothing")
        return work
    found = yield from _forms(state, retelling)
    if state.stop_asked:
        return work
    if state.total == 0:
        yield Adjusted(0, WHAT, _summary(retelling, found))
    columns = {
        augment.beside(column): [found.get(cell or "") or None for cell in cells] for column, cells in retelling.cells.items()
    }
    return work.beside(train.beside(columns))


def ended(made: Generator[Event, None, Work]) -> Work:
    """What a generator returns, its events unheard."""
    while True:
        try:
            next(made)
        except StopIteration as end:
            found: Work = end.value
            return found


def _forms(state: State, retelling: Retelling) -> Generator[Event, None, dict[str, list[str]]]:
    """Text -> its forms, the usable ones."""
    there, back = state.ready.translators
    texts = retelling.texts()
    between = yield from _translated(state, there, texts, retelling.forms, "there")
    if state.stop_asked:
        return {}
    middle = sorted({one for several in between.values() for one in several}, key=augment.by_length)
    again = yield from _translated(state, back, middle, 1, "back")
    return {
        text: list(dict.fromkeys(form for one in between.get(text, ()) for form in again.get(one, ()) if _another(text, form)))
        for text in texts
    }


def _another(text: str, form: str) -> bool:
    """Whether this is a form of the text, and not the text itself or a model running on."""
    return form.split() != text.split() and len(form) <= LONGER * len(text) + SPARE


def _translated(
    state: State, translator: Translator, texts: Sequence[str], forms: int, way: str
) -> Generator[Event, None, dict[str, list[str]]]:
    """Text -> its translations; what there is of it where a stop was asked for. The model is loaded where something is not kept yet."""
    found: dict[str, list[str]] = {}
    if not texts:
        return found
    direction, model = Direction.of(translator, texts, forms), None
    for start in range(0, len(texts), PART):
        part = texts[start : start + PART]
        said = direction.known(part)
        if said is None:
            yield Preparing(state.total, f"translating {way}, by {translator.name}: {start:,} of {len(texts):,} texts")
            if state.stop_asked:
                break
            model = direction.load(state.accelerator.device) if model is None else model
            said = _asked(direction, model, part)
        found |= dict(zip(part, said, strict=True))
    del model
    _release()
    return found


def _asked(direction: Direction, model: Any, texts: Sequence[str]) -> list[list[str]]:
    """A part's translations, in smaller passes while memory runs out."""
    budget = TOKENS
    while True:
        try:
            return direction.said(model, texts, budget)
        except (RuntimeError, MemoryError) as error:
            if not device.out_of_memory(error) or budget <= SMALLEST:
                raise
        budget //= 2


def _release() -> None:
    import torch

    give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _summary(retelling: Retelling, found: Mapping[str, Sequence[str]]) -> str:
    """How many rows have another form, why others have none, and what some look like."""
    rows = [[cell for cell in row if cell is not None] for row in zip(*retelling.cells.values(), strict=True)]
    asked = [row for row in rows if row]
    have = sum(any(found.get(cell) for cell in row) for row in asked)
    never = f"; {len(rows) - len(asked):,} are never changed" if len(asked) < len(rows) else ""
    without = f"; {len(asked) - have:,} stay as they are (they came back the same, empty, or not whole)" if have < len(asked) else ""
    texts = [text for text in found if found[text]]
    shown = [texts[round(at * (len(texts) - 1) / (SHOWN - 1))] for at in range(SHOWN)] if len(texts) >= SHOWN else texts
    examples = "; ".join(f"{shorten(text, 80)} -> {shorten(found[text][0], 80)}" for text in shown)
    different = len({form for forms in found.values() for form in forms})
    said = f"{have:,} of {len(asked):,} training rows have another form ({different:,} different ones){without}{never}"
    return said + (f". {examples}" if examples else "")
