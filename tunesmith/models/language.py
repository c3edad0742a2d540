"""A decoder with the language-model head it was pretrained with: the likelihood of each token given those before it.

Axes: B rows of a batch, T tokens, M tokens whose likelihood is asked, D features, V entries of the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from .heads import Pooled, bare, evaluating, inputs, virtual_tokens
from .source import Backbone, processor

if TYPE_CHECKING:
    from .packing import Packed
    from .prefix import Cut

Batch = Mapping[str, torch.Tensor]
CHUNK = 512
"""Positions whose logits are held at a time: with 50,000 entries of the vocabulary 100 MB, and again that for their gradient."""
TOLERANCE = 1e-4
"""Largest difference between logits made here and the architecture's own, tried once when the model is made."""
POOLING = "language"
"""What stands for the kind of pooling in `head.json`: there is none."""


@final
class Language(nn.Module):
    """Decoder and vocabulary head: `model(batch)` -> nll_BT, in nats, of each token with `learn_BT`, 0 elsewhere.

    The head is the pretrained one, often the table of embeddings itself (tied). A batch with `hidden_BTD` runs the layers above `cut`.
    """

    keeps_head = True
    """The head came with the model: it is saved with it, and learns where the model's top does."""
    per_token = True
    pooling = POOLING

    def __init__(self, backbone: Backbone, dropout: float = 0.0, ends: Sequence[int] = ()) -> None:
        """`backbone`: loaded with its language model; `ends`: tokens that end what it writes, saved for programs that let it write.

        Raises ModelError (`unsuitable-head`) where the head cannot be told apart.
        """
        super().__init__()
        assert backbone.whole is not None, 'load(source, form="language")'
        self.backbone: Any = backbone.module
        self.head: Any = backbone.whole.get_output_embeddings()
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare = backbone.source, backbone.spare
        self.cut: Cut | None = None
        self.packed: Packed | None = None
        self._whole = (backbone.whole,)  # in a tuple: no second name for the same weights
        self._logits = _sound(self)
        _settle_ends(self.whole.generation_config, ends)

    @property
    def whole(self) -> Any:
        """The architecture's own model with its head (`LlamaForCausalLM`), of the same weights."""
        return self._whole[0]

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own, for turning what it writes into text."""
        return processor(self.source)

    @property
    def tied(self) -> bool:
        """Whether the head is the table of embeddings."""
        return self.head.weight is bare(self.backbone).get_input_embeddings().weight

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, T) nats of each token with `learn` (B, T), given all before it; the first token of a row has none."""
        asked_BT = batch["learn"][:, 1:].bool()
        hidden_MD = self.features(batch)[:, :-1][asked_BT]
        nll_BT = hidden_MD.new_zeros(batch["learn"].shape, dtype=torch.float32)
        if len(hidden_MD):
            nll_BT[:, 1:][asked_BT] = self.nll(hidden_MD, batch["input_ids"][:, 1:][asked_BT])
        return nll_BT

    def features(self, batch: Batch) -> torch.Tensor:
        """What the head reads: (B, T, D)."""
        return self.hidden(batch)[:, -batch["attention_mask"].shape[1] :]  # virtual tokens in front say nothing

    def hidden(self, batch: Batch) -> torch.Tensor:
        """The tokens' vectors as the decoder gives them: (B, T, D), virtual tokens included. Raises ModelError for a row too long."""
        return Pooled.hidden(self, batch)  # type: ignore[arg-type]  # the same for all heads

    def nll(self, hidden_MD: torch.Tensor, target_M: torch.Tensor) -> torch.Tensor:
        """(M,) nats. Logits are made a chunk at a time and again in the backward pass, so that memory does not grow with M."""
        if len(target_M) <= CHUNK:
            return self._nll(hidden_MD, target_M)
        parts = zip(hidden_MD.split(CHUNK), target_M.split(CHUNK), strict=True)
        return torch.cat([checkpoint(self._nll, hidden, target, use_reentrant=False) for hidden, target in parts])

    def logits(self, hidden_MD: torch.Tensor) -> torch.Tensor:
        """(M, V) float32, soft caps and scales of the architecture included."""
        return self._logits(self, hidden_MD).float()

    def write(self, prompts: Sequence[Sequence[int]], how: Mapping[str, Any], ended: Any = None) -> list[Any]:
        """What the model writes after each prompt: `generation.write`, with the fields of its `How`."""
        from .generation import How, write

        return list(write(self, prompts, How(**how), ended))

    def stream(self, prompt: Sequence[int], how: Mapping[str, Any], ended: Any = None) -> Iterator[Any]:
        """The same of one prompt, as it grows."""
        from .generation import How, stream

        return stream(self, prompt, How(**how), ended)

    def untouched(self) -> Any:
        """A context in which adapters, or learnt tokens, are switched off; None where there are none that can be."""
        return _untouched(self) if hasattr(self.backbone, "disable_adapter") else None

    def _nll(self, hidden_MD: torch.Tensor, target_M: torch.Tensor) -> torch.Tensor:
        return cross_entropy(self.logits(hidden_MD), target_M, reduction="none")

    def reset_head(self, seed: int) -> None:
        """Nothing: the head is pretrained."""


@contextmanager
def _untouched(model: Any) -> Iterator[None]:
    wrapped = model.backbone
    if not virtual_tokens(wrapped):
        with wrapped.disable_adapter():
            yield
        return
    model.backbone = bare(wrapped)
    try:
        yield
    finally:
        model.backbone = wrapped


def _settle_ends(settings: Any, ends: Sequence[int]) -> None:
    known = settings.eos_token_id
    every = sorted({*ends, *(known if isinstance(known, list) else [known])} - {None})
    if ends:
        settings.eos_token_id = every if len(every) > 1 else every[0]


def _by_head(model: Language, hidden_MD: torch.Tensor) -> torch.Tensor:
    return model.head(hidden_MD)


def _by_architecture(model: Language, hidden_MD: torch.Tensor) -> torch.Tensor:
    """The architecture's own code above the decoder, handed the decoder's output."""
    twin = copy.copy(model.whole)
    twin._modules = dict(twin._modules)
    twin._modules[twin.base_model_prefix] = _Given(hidden_MD[None])
    return twin(inputs_embeds=hidden_MD[None], use_cache=False).logits[0]


@final
class _Given(nn.Module):
    """Stands for a decoder that has already run."""

    def __init__(self, hidden_BTD: torch.Tensor) -> None:
        super().__init__()
        self.hidden_BTD = hidden_BTD

    def forward(self, *_: Any, **__: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPast

        return BaseModelOutputWithPast(last_hidden_state=self.hidden_BTD)


def _sound(model: Language) -> Callable[[Language, torch.Tensor], torch.Tensor]:
    """The way from hidden states to logits that gives what the architecture gives, tried on a few tokens."""
    whole, device = model.whole, next(model.parameters()).device
    ids_BT = torch.arange(5, device=device)[None] % bare(model.backbone).config.vocab_size
    batch = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT)}
    with evaluating(whole), torch.no_grad():
        expected_TV = whole(**inputs(whole, batch)).logits[0].float()
        hidden_TD = model.backbone(**inputs(model.backbone, batch)).last_hidden_state[0]
        for way in (_by_head, _by_architecture):
            try:
                found_TV = way(model, hidden_TD).float()
            except (AttributeError, TypeError, ValueError, RuntimeError, KeyError):
                continue
            if found_TV.shape == expected_TV.shape and float((found_TV - expected_TV).abs().max()) < TOLERANCE:
                return way
    raise ModelError(
        model.source.name,
        expected="a decoder with a language-model head on its last vectors",
        got=f"{type(whole).__name__}, whose logits are made otherwise",
        fix="use a model such as GPT-2, Llama, Mistral, Qwen or Gemma",
        code="unsuitable-head",
    )
