"""What stands beside a text's vector: columns of a table, read together with it by a small network.

A model with a `Fusion` answers `head(features) + fusion(features)`, features being the text's vector, those of pictures where there are
any (`pictures.py`), and the table's numbers side by side
(wide and deep: arXiv 1606.07792). The last layer starts at zero, so that a new model is its linear head, which can be solved; the frozen
encoder's vectors are kept like those of any other task, and only what lies above them is computed again.

Axes: B rows of a batch, D numbers of the text's vector, P of pictures, F of the table, H hidden units, C outputs, E = D + P + F.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import nn
from torch.nn import functional

HIDDEN = 128
"""H where nobody asks otherwise."""
QUIET, LOUD = 0.2, 2.0
"""How loud the text's vector (D numbers that are never nothing) and the table (F, most of them nothing) begin: alike, the vector drowns the
table, and the network learns texts by heart (docs/notes.md)."""
WIDEST = 65_536
"""Most numbers of a table or of a layer: nothing sane is wider, and memory is taken for it."""


@final
class Fusion(nn.Module):
    """Two layers with a shortcut: the text's vector, put to one scale, and the table each have a way into the first."""

    def __init__(self, text: int, table: int, out: int, hidden: int = HIDDEN, dropout: float = 0.1, pictures: int = 0) -> None:
        """`text`: D. `table`: F, which may be 0. `out`: C. `pictures`: P, which may be 0."""
        super().__init__()
        self.text, self.table, self.pictures = text, table, pictures
        self.norm = nn.LayerNorm(text)
        self.from_text = nn.Linear(text, hidden)
        self.from_table = nn.Linear(table, hidden, bias=False) if table else None
        self.picture_norm = nn.LayerNorm(pictures) if pictures else None
        self.from_pictures = nn.Linear(pictures, hidden, bias=False) if pictures else None
        self.deep = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, out)
        self.dropout = nn.Dropout(dropout)

    @property
    def shape(self) -> tuple[int, ...]:
        """(F, H), and P where there are pictures: with D and C all that is needed to make it anew."""
        return (self.table, self.deep.in_features, *([self.pictures] if self.pictures else []))

    @property
    def width(self) -> int:
        """P + F: what stands beside the text's vector."""
        return self.pictures + self.table

    def forward(self, features_BE: torch.Tensor) -> torch.Tensor:
        """(B, C) of text, pictures and table side by side."""
        text_BD, pictures_BP, table_BF = features_BE.split((self.text, self.pictures, self.table), 1)
        hidden_BH = self.from_text(self.norm(text_BD))
        if self.from_pictures is not None and self.picture_norm is not None:
            hidden_BH = hidden_BH + self.from_pictures(self.picture_norm(pictures_BP))
        if self.from_table is not None:
            hidden_BH = hidden_BH + self.from_table(table_BF)
        hidden_BH = self.dropout(functional.gelu(hidden_BH))
        hidden_BH = hidden_BH + self.dropout(functional.gelu(self.deep(hidden_BH)))
        found: torch.Tensor = self.last(hidden_BH)
        return found

    def reset(self, seed: int) -> None:
        """New weights that depend on `seed` alone; the last layer answers nothing yet."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for norm in (self.norm, self.picture_norm):
                if norm is not None:
                    norm.weight.fill_(QUIET)
                    norm.bias.zero_()
            for layer in (self.from_text, self.from_table, self.deep, self.from_pictures):
                if layer is not None:
                    width = (LOUD if layer is self.from_table else 1.0) * layer.in_features**-0.5
                    layer.weight.copy_(torch.empty(layer.weight.shape).uniform_(-width, width, generator=generator))
                    if layer.bias is not None:
                        layer.bias.zero_()
            self.last.weight.zero_()
            self.last.bias.zero_()


def sizes(model: nn.Module) -> list[int] | None:
    """F, H and P of what stands beside a model's head, as `head.json` keeps them; None where nothing does."""
    beside = getattr(model, "beside", None)
    return None if beside is None else list(beside.shape)


def sane(found: Any) -> bool:
    """Whether this is what `sizes` gives."""
    whole = isinstance(found, list) and len(found) in (2, 3) and all(type(size) is int and 0 <= size <= WIDEST for size in found)
    return found is None or (whole and found[1] > 0)


def saved(text: int, head: Mapping[str, Any]) -> Fusion | None:
    """What stood beside the head that `head.json` tells of, its weights still to come. `text`: D."""
    if head["beside"] is None:
        return None
    table, hidden, *pictures = head["beside"]
    return Fusion(text, table, int(head["out"]), hidden, float(head["dropout"]), *pictures)
