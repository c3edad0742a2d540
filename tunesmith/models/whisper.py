"""Whisper, which hears and writes: the likelihood of a transcript given a sound, and writing it down (arXiv 2212.04356).

Axes: B windows of a batch, U tokens of the transcript, D features, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..errors import ModelError, SpecError
from . import sound
from .heads import bare, evaluating
from .source import Backbone, Source, processor

Batch = Mapping[str, torch.Tensor]
POOLING = "speech"
"""What stands for the kind of pooling in `head.json`: there is none."""
IGNORED = -100
"""Stands in `labels` where there is no token."""
KEPT = (
    "alignment_heads", "bos_token_id", "decoder_start_token_id", "eos_token_id", "is_multilingual", "lang_to_id", "language",
    "max_initial_timestamp_index", "max_length", "no_timestamps_token_id", "pad_token_id", "prev_sot_token_id", "task", "task_to_id",
)  # fmt: skip
"""What is taken of the settings of generation that come with a model, for those who load the saved one with transformers."""


@final
class Recogniser(nn.Module):
    """Encoder, decoder and head: `model(batch)` -> nll_BU, in nats, of each token of `labels` (B, U), 0 where these are negative."""

    keeps_head = True
    """The head came with the model: it is saved with it."""
    per_token = True
    pooling = POOLING
    cuttable = False
    """Two stacks of layers with an attention across: there is no one place to cut."""

    def __init__(self, backbone: Backbone, dropout: float = 0.0, seconds: int = 0, told: tuple[str, str] | None = None) -> None:
        """`backbone`: loaded with `form="speech"`; `seconds`: of a window, else the model's own; `told`: language and task, of one that
        knows several, else those that came with it."""
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare = backbone.source, backbone.spare
        self.cut = None
        if seconds:
            sound.shorten_window(self.whole.model, seconds)
        _settle(self.whole, backbone.source, told)

    @property
    def whole(self) -> Any:
        """The architecture's own model, without adapters."""
        return bare(self.backbone)

    @property
    def head(self) -> Any:
        """The map to the vocabulary."""
        return self.whole.get_output_embeddings()

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own, for turning what it writes into text."""
        return processor(self.source).tokenizer

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, U) nats of each token of `labels`, given the sound and all before it; `prompt` (1, P): what each transcript begins with."""
        labels_BU, prompt_1P = batch["labels"], batch["prompt"]
        before_BU = torch.cat([prompt_1P.expand(len(labels_BU), -1), labels_BU[:, :-1].clamp(min=0)], 1)
        found = self.whole.model(input_features=batch["input_features"], decoder_input_ids=before_BU, use_cache=False)
        hidden_BUD = self.dropout(found.last_hidden_state[:, prompt_1P.shape[1] - 1 :])
        logits_BUV = self.head(hidden_BUD).float()
        return cross_entropy(logits_BUV.transpose(1, 2), labels_BU, ignore_index=IGNORED, reduction="none")

    def write(self, batch: Batch, most: int) -> list[tuple[list[int], float]]:
        """Of each window the likeliest token each time, up to `most`, and how sure: the tokens' mean probability (geometric)."""
        with evaluating(self), torch.inference_mode():
            return self._written(batch["input_features"], batch["prompt"], most)

    def _written(self, features_BMT: torch.Tensor, prompt_1P: torch.Tensor, most: int) -> list[tuple[list[int], float]]:
        model, end = self.whole.model, int(self.tokenizer.eos_token_id)
        heard = model.encoder(features_BMT).last_hidden_state
        ids_BU, words = prompt_1P.expand(len(heard), -1), int(prompt_1P.min())
        written, sums, ended, cache = [[] for _ in heard], [0.0] * len(heard), [False] * len(heard), None  # type: ignore[var-annotated]
        for _ in range(min(most, model.config.max_target_positions - prompt_1P.shape[1])):
            found = model.decoder(input_ids=ids_BU, encoder_hidden_states=heard, past_key_values=cache, use_cache=True)
            cache = found.past_key_values
            log_BV = self._allowed(self.head(found.last_hidden_state[:, -1]).float(), words, end).log_softmax(-1)
            best_B, id_B = log_BV.max(-1)
            for row, (value, token) in enumerate(zip(best_B.tolist(), id_B.tolist(), strict=True)):
                if not ended[row]:
                    sums[row] += value
                    written[row].append(token)
                    ended[row] = token == end
            if all(ended):
                break
            ids_BU = id_B[:, None]
        sure = [sum_ / max(len(ids), 1) for sum_, ids in zip(sums, written, strict=True)]
        return [([one for one in ids if one != end], value) for ids, value in zip(written, sure, strict=True)]

    def _allowed(self, logits_BV: torch.Tensor, words: int, end: int) -> torch.Tensor:
        """Words and the end: no marks of time, language or task, which stand behind the words in Whisper's vocabulary."""
        logits_BV[:, words:] = -torch.inf
        logits_BV[:, [one for one in self.tokenizer.all_special_ids if one != end]] = -torch.inf
        return logits_BV

    def reset_head(self, seed: int) -> None:
        """Nothing: the head is pretrained."""


def _settle(whole: Any, source: Source, told: tuple[str, str] | None) -> None:
    """Settings of generation as the model came with them, and the language that it was tuned for. Words that Whisper was kept from
    writing may be written, as `write` may: transcripts have them; marks may not."""
    from transformers import GenerationConfig

    from .loading import quiet

    made, known = GenerationConfig(), whole.generation_config
    if source.folder.joinpath("generation_config.json").is_file():
        with quiet():
            known = GenerationConfig.from_pretrained(source.folder)
    for name in KEPT:
        if getattr(known, name, None) is not None:
            setattr(made, name, getattr(known, name))
    made.suppress_tokens = [one for one in known.suppress_tokens or () if one >= (made.decoder_start_token_id or 0)] or None
    if told is not None:
        made.language, made.task = f"<|{told[0]}|>", told[1]
    whole.generation_config = made


def prompt(ears: Any, language: str, task: str) -> tuple[int, ...]:
    """The tokens that a transcript begins with: start, language and task where the model knows several, and that no times are asked.

    Raises ModelError for a tokenizer without them, SpecError for a language that is missing or unknown.
    """
    words = ears.tokenizer.get_vocab() if ears.tokenizer is not None else {}
    wanted = ["<|startoftranscript|>", "<|notimestamps|>"]
    if not set(wanted) <= words.keys():
        raise ModelError(
            "the model's tokenizer", expected="the tokens of Whisper", got="none", fix="use a whole Whisper folder", code="no-tokenizer"
        )
    if ears.multilingual:
        known = sorted(word[2:-2] for word in words if word.startswith("<|") and 2 <= len(word[2:-2]) <= 3 and word[2:-2].isalpha())
        if language not in known:
            got = f"{language!r}, which the model does not know" if language else "none"
            raise SpecError(
                "option language", expected="the language that is spoken, such as en, de or zh", got=got,
                fix="--option language=en" if not language else f"it knows {', '.join(known[:12])}...", code="no-language",
            )
        wanted[1:1] = [f"<|{language}|>", f"<|{task}|>"]
    return tuple(words[word] for word in wanted)
