"""A model of letters as transformers keeps one: `AutoModelForCTC` and `Wav2Vec2CTCTokenizer` load the saved folder.

Our own head file stays beside it: what is loaded here again is bit for bit what was saved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def with_head(model: Any, module: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under the names of the family's class for CTC, its head among them; others' as they are."""
    if _class(model, module) is None:
        return dict(state)
    head = {f"lm_head.{name}": tensor for name, tensor in model.head.state_dict().items()}
    return {f"{module.base_model_prefix}.{name}": tensor for name, tensor in state.items()} | head


def save(model: Any, module: Any, folder: Path) -> None:
    """What the class for CTC wants to read in the config, and the tokenizer."""
    made_by = _class(model, module)
    if made_by is None:
        return
    path = folder / "config.json"
    values = json.loads(path.read_text("utf-8"))
    values |= {"architectures": [made_by.__name__], "vocab_size": len(model.symbols), "pad_token_id": 0}
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
    _save_tokenizer(model.symbols, folder)


def _save_tokenizer(symbols: Sequence[str], folder: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer

    path = folder / "vocab.json"
    path.write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}, ensure_ascii=False) + "\n", "utf-8")
    blank = symbols[0]
    marks = {"pad_token": blank, "unk_token": blank, "bos_token": None, "eos_token": None, "word_delimiter_token": symbols[1]}
    Wav2Vec2CTCTokenizer(str(path), **marks).save_pretrained(folder)


def _class(model: Any, module: Any) -> Any:
    """The family's class for CTC, where the model's head writes letters and there is one."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING

    known = getattr(model, "symbols", ()) and type(module.config) in MODEL_FOR_CTC_MAPPING
    return MODEL_FOR_CTC_MAPPING[type(module.config)] if known else None
