"""Learnt factors of keys, values and the inner feed-forward features: a few thousand weights, and the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from ..errors import ModelError
from ..strategy import Outline, Stage, Strategy
from ._rates import adapted

if TYPE_CHECKING:
    from torch import nn

FAMILIES: dict[str, tuple[tuple[str, ...], str]] = {
    "bert": (("key", "value"), "output.dense"),
    "roberta": (("key", "value"), "output.dense"),
    "xlm-roberta": (("key", "value"), "output.dense"),
    "camembert": (("key", "value"), "output.dense"),
    "electra": (("key", "value"), "output.dense"),
    "mpnet": (("attn.k", "attn.v"), "output.dense"),
    "deberta-v2": (("key_proj", "value_proj"), "output.dense"),
    "distilbert": (("k_lin", "v_lin"), "lin2"),
    "modernbert": (("attn.Wqkv",), "mlp.Wo"),
    "gpt2": (("attn.c_attn",), "mlp.c_proj"),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "smollm3"), (("k_proj", "v_proj"), "down_proj")
    ),
    **dict.fromkeys(("t5", "mt5", "umt5"), (("k", "v"), "wo")),
    **dict.fromkeys(("bart", "mbart", "marian", "m2m_100", "pegasus"), (("k_proj", "v_proj"), "fc2")),
}
"""Family -> names of the maps whose outputs are scaled, name of the map whose input is scaled (arXiv 2205.05638, section 3.3)."""


@final
@dataclass(frozen=True, kw_only=True)
class IA3(Strategy):
    """IA3 (arXiv 2205.05638)."""

    adapter: ClassVar[bool] = True
    lr: ClassVar[float] = 1e-2

    targets: tuple[str, ...] = ()
    """Last parts of the names of the linear maps whose outputs are scaled; none: keys and values."""
    feedforward: str = ""
    """Last part of the name of the linear map whose input is scaled; none: the second of the feed-forward block."""

    def shape(self, model: nn.Module, seed: int) -> None:
        """Wrap the backbone. Raises SpecError for a name that fits none, ModelError for an unknown family without names."""
        from peft import IA3Config

        from ..models import adapters

        config = adapters.bare(model.backbone).config
        targets, feedforward = self._names(getattr(config, "encoder", config).model_type)  # an encoder twice has that encoder's names
        wanted = IA3Config(
            task_type=adapters.TASK,
            target_modules=adapters.linear_targets(model, (*targets, feedforward)),
            feedforward_modules=adapters.linear_targets(model, (feedforward,)),
            fan_in_fan_out=adapters.has_conv1d(model),
        )
        adapters.wrap(model, wanted, seed)

    def stages(self, outline: Outline) -> Sequence[Stage]:
        """One stage."""
        return (Stage("factors", adapted(outline)),)

    def _names(self, family: str) -> tuple[tuple[str, ...], str]:
        known = FAMILIES.get(family)
        if known is None and not (self.targets and self.feedforward):
            raise ModelError(
                f"strategy 'ia3' on {family}",
                expected="a family whose keys, values and feed-forward maps are known",
                got="another",
                fix="name them in the options `targets` and `feedforward`, or use `lora`",
                code="method-does-not-fit",
            )
        targets, feedforward = known or ((), "")
        return self.targets or targets, self.feedforward or feedforward


strategy = IA3
