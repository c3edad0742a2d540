"""Which weights learn, in which stages. A strategy knows layers and parameter names; it knows no task.

A strategy is a frozen dataclass in a file of its own (`strategies/`); its fields are its options. `rates` maps a parameter's
name to a factor of the peak learning rate; a name that is absent is frozen.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

from .elsewhere import suggestion
from .errors import SpecError
from .spec import checked

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Outline:
    """A model's parameters by depth: 0 the embeddings, 1..L the layers, L+1 what follows them, L+2 the head."""

    depths: Mapping[str, int]
    """Parameter name -> depth, for every parameter, those of adapters included."""
    layers: int
    """L."""
    adapters: frozenset[str] = frozenset()
    """Names of parameters that the strategy's `shape` added (LoRA matrices, prompts, bottlenecks)."""

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the head's parameters."""
        return tuple(name for name, depth in self.depths.items() if depth == self.layers + 2)

    def at_least(self, depth: int) -> tuple[str, ...]:
        """Names of the parameters at this depth or above, adapters left out."""
        return tuple(n for n, d in self.depths.items() if d >= depth and n not in self.adapters)


@dataclass(frozen=True)
class Stage:
    """One stretch of training with the same weights learning."""

    name: str
    rates: Mapping[str, float]
    """Parameter name -> factor of the peak learning rate; absent: frozen."""
    share: float = 1.0
    """Share of the run's epochs."""
    solve: bool = False
    """No steps: the head is solved to its optimum on frozen features (`Task.solve`), the L2 strength chosen on validation."""


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """Abstract. Children are final."""

    adapter: ClassVar[bool] = False
    """Whether `shape` adds weights that are saved beside an unchanged backbone."""
    lr: ClassVar[float] = 1e-4
    """Peak rate that suits this way of learning for an encoder of about 100 M weights or fewer, with AdamW."""

    def shape(self, model: nn.Module, seed: int) -> None:  # noqa: B027  most strategies change no structure
        """Change the model's structure in place (adapters, prompts). The same seed gives the same weights."""

    def positions(self) -> int:
        """Positions of the model that learnt tokens take from the text."""
        return 0

    @abstractmethod
    def stages(self, outline: Outline) -> Sequence[Stage]:
        """The stages, in order."""

    @classmethod
    def options(cls) -> dict[str, dataclasses.Field[Any]]:
        """The options a user may set."""
        return {f.name: f for f in dataclasses.fields(cls)}

    @classmethod
    def build(cls, options: Mapping[str, Any], name: str) -> Self:
        """The strategy with these options. Raises SpecError for an unknown one, or one whose value its type does not allow."""
        for key in options:
            if key not in cls.options():
                raise SpecError(
                    f"options of {name}",
                    expected="an option of the strategy",
                    got=repr(key),
                    fix=suggestion(key, cls.options()),
                    code="unknown-option",
                )
        kinds = get_type_hints(cls, include_extras=True)
        return cls(**{key: checked(kinds[key], value, f"option {key!r} of {name}") for key, value in options.items()})
