"""Examples to one batch: padded to its longest, stacked, in one copy.

Axes: B rows, T tokens, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..task import Batch, Example

if TYPE_CHECKING:
    import torch

RENAMED = {"hidden_TD": "hidden_BTD", "features_TD": "features_BTD", "pooled_D": "pooled_BD"}
LONG = frozenset({"hidden_TD", "features_TD"})
"""What the activation cache keeps of a row, and what the model reads."""


def collate(examples: Sequence[Example], pads: Mapping[str, int]) -> Batch:
    """One batch.

    Arrays named in `pads` (T,), `hidden_TD` and `features_TD` (T, D) are padded on the right to the longest row; all others are
    stacked.
    `attention_mask` (B, T) is made from the lengths wherever something was padded. Whole numbers become int64, others float32,
    activations keep their type.
    """
    batch: Batch = {}
    for name in examples[0]:
        values = [example[name] for example in examples]
        if name in pads or name in LONG:
            padded, mask_BT = _pad(values, pads.get(name, 0))
            batch[RENAMED.get(name, name)] = _tensor(padded, keep=name in LONG)
            if "attention_mask" not in examples[0] and "attention_mask" not in batch:
                batch["attention_mask"] = _tensor(mask_BT.astype(np.int64))
        else:
            batch[RENAMED.get(name, name)] = _tensor(np.asarray(values), keep=name in RENAMED)
    return batch


def text_pads(pad: int) -> dict[str, int]:
    """What fills the short rows of a text model's inputs."""
    return {"input_ids": pad, "attention_mask": 0, "token_type_ids": 0, "special_tokens_mask": 1}


def _pad(values: Sequence[Any], fill: int) -> tuple[np.ndarray, np.ndarray]:
    sizes_B = np.array([len(value) for value in values])
    flat = np.concatenate([np.asarray(value) for value in values])
    mask_BT = np.arange(sizes_B.max()) < sizes_B[:, None]
    kind = np.int64 if flat.dtype.kind in "iub" else flat.dtype
    padded = np.full((*mask_BT.shape, *flat.shape[1:]), fill, kind)
    padded[mask_BT] = flat
    return padded, mask_BT


def _tensor(array: np.ndarray, keep: bool = False) -> torch.Tensor:
    import torch

    if not keep:
        array = array.astype(np.int64 if array.dtype.kind in "iub" else np.float32, copy=False)
    return torch.from_numpy(np.ascontiguousarray(array))
