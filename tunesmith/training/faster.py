"""Other ways to the same numbers: how a model computes while it learns, as the plan has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models import dropout, quick
from ..spec import Train
from . import device

if TYPE_CHECKING:
    from ..planning import Ready


def compute(model: Any, ready: Ready) -> None:
    """Compiled layers where they are planned; else dropout and low-rank updates in few passes, frozen weights cast once."""
    model.casts = quick.Casts()
    if _compiled(model, ready):
        return
    dropout.quicken(model)
    if ready.strategy.adapter:  # peft is imported where a strategy has low-rank updates
        from ..models.updates import quicken

        quicken(model)


def _compiled(model: Any, ready: Ready) -> bool:
    if ready.plan.spec.train.compile == "on":
        from ..models.compiled import layers

        model.compiled = layers(model.backbone, asked=ready.asked.train.compile == "on")
    return getattr(model, "compiled", None) is not None


def pack(model: Any, settings: Train) -> str:
    """Have the model compute rows end to end where that is planned; why not, where its architecture does not."""
    if settings.packing != "on":
        return ""
    from ..models.packing import suited

    with device.autocast(settings):
        packed, why = suited(model)
    if packed is not None:
        model.packed = packed
    return why
