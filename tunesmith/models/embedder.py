"""A backbone whose pooled, normalised vector is itself the answer, and the files by which sentence-transformers reads it.

modules.json config_sentence_transformers.json sentence_bert_config.json 1_Pooling/config.json   backbone, pooling, length 1

Axes: B texts of a batch, T tokens, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from .heads import Pooled, pool
from .source import Backbone

if TYPE_CHECKING:
    from .packing import Packed

Batch = Mapping[str, torch.Tensor]
MODES = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}
"""Our poolings as sentence-transformers calls them."""
KNOWN = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
MODULES = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))


@final
class Embedder(nn.Module):
    """Backbone and pooling, as the pretrained folder says it: `model(batch)` -> vectors (B, D) of length 1, float32."""

    per_token = False
    cuttable = False
    """A row holds several texts: its tokens are no single sequence whose activations could be kept."""

    def __init__(self, backbone: Backbone, dropout: float = 0.0) -> None:
        """No weights are added."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare = backbone.source, backbone.spare
        self.pooling = backbone.source.pooling
        self.packed: Packed | None = None
        self.cut = None

    def forward(self, batch: Batch) -> torch.Tensor:
        """Vectors (B, D) of texts: `input_ids` and `attention_mask` (B, T)."""
        hidden_BTD = Pooled.hidden(self, batch)  # type: ignore[arg-type]  # the same for all models
        return nn.functional.normalize(pool(hidden_BTD, batch["attention_mask"], self.pooling), dim=1)

    def reset_head(self, seed: int) -> None:
        """Nothing: there is no head."""


def sentence_files(model: Any) -> dict[str, Any]:
    """File name -> content, by which sentence-transformers knows pooling and length; of an `Embedder` all that it needs to load it.

    The modules' names are those that all its versions know.
    """
    mode = MODES[model.pooling]
    pooling = {"word_embedding_dimension": model.source.hidden} | {f"pooling_mode_{name}": name == mode for name in KNOWN}
    files: dict[str, Any] = {
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": model.source.max_length, "do_lower_case": False},
    }
    if isinstance(model, Embedder):
        files["modules.json"] = [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{name}"}
            for at, (name, path) in enumerate(MODULES)
        ]
        files["config_sentence_transformers.json"] = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    return files
