"""An encoder-decoder with the head it was pretrained with: the likelihood of each token of a target given the source, and writing.

The head's input is caught on its way in, so that logits are made only where they are asked, a chunk at a time; everything before it is
the architecture's own code, wrapped by adapters or not.

Axes: B rows of a batch, T tokens of the source, U tokens of the target, M tokens whose likelihood is asked, D features, V entries of
the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ..errors import ModelError
from .generation import Draws, How, Written
from .heads import START, bare, evaluating
from .language import CHUNK
from .source import Backbone, processor

Batch = Mapping[str, torch.Tensor]
TOLERANCE = 1e-4
"""Largest difference between logits made here and the architecture's own, tried once when the model is made."""
POOLING = "seq2seq"
"""What stands for the kind of pooling in `head.json`: there is none."""
IGNORED = -100
"""Stands in `labels` where there is no token."""
FLOATS = 1 << 25
"""Most logits that are held while writing (rows x beams x vocabulary): 128 MB, a few times over."""
KEPT = ("forced_bos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "bos_token_id", "eos_token_id",
        "pad_token_id", "decoder_start_token_id")  # fmt: skip
"""What is taken of the settings of generation that come with a model: its tokens. Lengths and beams are the user's."""


class _Reached(Exception):
    """The head was reached: what it would make is not asked."""


@final
@dataclass(frozen=True)
class Search:
    """How a target is searched for."""

    most: int = 128
    """Most tokens written."""
    least: int = 0
    """Fewest tokens written before the end."""
    beams: int = 1
    """Texts followed at a time; 1: the likeliest token each time."""
    length_penalty: float = 1.0
    """Sums of log-likelihoods are divided by the length to this power; above 1 longer texts win."""
    no_repeat: int = 0
    """No so many tokens in a row occur twice in a text; 0: they may."""
    first: int | None = None
    """Token that a text begins with (a language)."""
    temperature: float = 0.0
    """0: the likeliest; above, with one text followed: each token is drawn from probabilities at this temperature."""
    seed: int = 0
    """Of the draws; a source's draws depend on it and on the source alone."""


@final
class Seq2Seq(nn.Module):
    """Encoder, decoder and head: `model(batch)` -> nll_BU, in nats, of each token of `labels` (B, U), 0 where these are negative."""

    keeps_head = True
    """The head came with the model: it is saved with it."""
    per_token = True
    pooling = POOLING
    cuttable = False
    """Two stacks of layers with an attention across: there is no one place to cut."""

    def __init__(self, backbone: Backbone, dropout: float = 0.0, smoothing: float = 0.0) -> None:
        """`backbone`: loaded with `form="seq2seq"`; `smoothing`: share of the probability spread over all tokens while training
        (arXiv 1512.00567). Raises ModelError (`unsuitable-head`) where the head cannot be told apart.
        """
        super().__init__()
        self.backbone: Any = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.source, self.spare = backbone.source, backbone.spare
        self.fresh = backbone.fresh
        self.smoothing = smoothing
        self.cut = None
        _settle(self.whole, backbone.source)
        _sound(self)

    @property
    def whole(self) -> Any:
        """The architecture's own model (`T5ForConditionalGeneration`), without adapters."""
        return bare(self.backbone)

    @property
    def head(self) -> Any:
        """The map to the vocabulary."""
        return self.whole.get_output_embeddings()

    @cached_property
    def tokenizer(self) -> Any:
        """The model's own, for turning what it writes into text."""
        return processor(self.source)

    def forward(self, batch: Batch) -> torch.Tensor:
        """(B, U) nats of each token of `labels`; while training, of the smoothed targets."""
        labels_BU = batch["labels"]
        asked_BU = labels_BU >= 0
        nll_BU = torch.zeros(labels_BU.shape, dtype=torch.float32, device=labels_BU.device)
        if not bool(asked_BU.any()):
            return nll_BU
        hidden_MD, target_M = self.hidden(batch)[asked_BU], labels_BU[asked_BU]
        parts = zip(hidden_MD.split(CHUNK), target_M.split(CHUNK), strict=True)
        if len(hidden_MD) <= CHUNK:
            nll_BU[asked_BU] = self._nll(hidden_MD, target_M)
        else:
            nll_BU[asked_BU] = torch.cat([checkpoint(self._nll, part_MD, part_M, use_reentrant=False) for part_MD, part_M in parts])
        return nll_BU

    def hidden(self, batch: Batch, module: nn.Module | None = None) -> torch.Tensor:
        """(B, U, D): what the head reads of each place of the target. `module`: another wrapper of the same weights."""
        found: list[torch.Tensor] = []

        def stop(_: nn.Module, args: tuple[Any, ...]) -> None:
            found.append(args[0])
            raise _Reached

        handle = self.head.register_forward_pre_hook(stop)
        ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
        try:
            (module or self.backbone)(**ids, decoder_input_ids=shifted(self.whole, batch["labels"]), use_cache=False)
        except _Reached:
            pass
        finally:
            handle.remove()
        return found[0]

    def logits(self, hidden_MD: torch.Tensor) -> torch.Tensor:
        """(M, V) float32."""
        found_MV = self.head(hidden_MD)
        bias_1V = getattr(self.whole, "final_logits_bias", None)
        return (found_MV if bias_1V is None else found_MV + bias_1V).float()

    def write(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, how: Mapping[str, Any]) -> list[Written]:
        """What the model makes of each source; `how`: the fields of a `Search`. The same alone and in a batch."""
        search = Search(**how)
        rows = max(1, FLOATS // (search.beams * self.head.weight.shape[0]))
        found: list[Written] = []
        for part_BT, mask in zip(ids_BT.split(rows), mask_BT.split(rows), strict=True):
            width = int(mask.sum(1).max())
            found += self._write(part_BT[:, :width], mask[:, :width], search)
        return found

    def _write(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, search: Search) -> list[Written]:
        from .loading import quiet

        settings, drawn = _generation(self.whole.generation_config, search), _drawn(ids_BT, mask_BT, search)
        with quiet(), evaluating(self), torch.no_grad():
            made_BU = self.backbone.generate(input_ids=ids_BT, attention_mask=mask_BT, generation_config=settings, logits_processor=drawn)
        return [_written(ids_U, settings) for ids_U in made_BU.tolist()]

    def _nll(self, hidden_MD: torch.Tensor, target_M: torch.Tensor) -> torch.Tensor:
        smoothing = self.smoothing if self.training else 0.0
        return cross_entropy(self.logits(hidden_MD), target_M, reduction="none", label_smoothing=smoothing)

    def reset_head(self, seed: int) -> None:
        """New weights for what pretraining did not have (the attention across, where two encoders were joined)."""
        generator = torch.Generator().manual_seed(seed)
        named = dict(self.whole.named_parameters())
        with torch.no_grad():
            for name in self.fresh:
                _start(name, named[name], generator)


def shifted(whole: Any, labels_BU: torch.Tensor) -> torch.Tensor:
    """(B, U) what the decoder reads: the targets one place later, as the architecture does it."""
    known_BU = labels_BU.clone()
    own = getattr(whole, "prepare_decoder_input_ids_from_labels", None)
    if own is not None:
        found: torch.Tensor = own(known_BU)
        return found
    moved_BU = known_BU.roll(1, 1)
    moved_BU[:, 0] = whole.config.decoder_start_token_id
    return moved_BU.masked_fill(moved_BU == IGNORED, whole.config.pad_token_id)


def _start(name: str, tensor: torch.Tensor, generator: torch.Generator) -> None:
    if tensor.dim() < 2:
        tensor.fill_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
    elif ".predictions.transform." in name or name.endswith("lm_head.dense.weight"):
        torch.nn.init.eye_(tensor)  # square: what the layers say reaches the table of words as it is
    else:
        tensor.copy_(torch.empty(tensor.shape).normal_(0.0, START, generator=generator))


def _settle(whole: Any, source: Any) -> None:
    """Settings of generation: the tokens that came with the model, nothing else."""
    from transformers import GenerationConfig

    from .loading import quiet

    config, made = whole.config, GenerationConfig()
    known = whole.generation_config
    if source.folder.joinpath("generation_config.json").is_file():
        with quiet():
            known = GenerationConfig.from_pretrained(source.folder)
    for name in KEPT:
        value = getattr(known, name, None)
        setattr(made, name, getattr(config, name, None) if value is None else value)
    if config.decoder_start_token_id is None:
        config.decoder_start_token_id = made.decoder_start_token_id
    whole.generation_config = made


def _generation(known: Any, search: Search) -> Any:
    """The settings with this search."""
    made = copy.deepcopy(known)
    made.max_new_tokens, made.max_length, made.do_sample, made.use_cache = search.most, None, False, True
    made.num_beams, made.early_stopping = search.beams, search.beams > 1
    made.length_penalty = search.length_penalty if search.beams > 1 else None
    made.min_new_tokens, made.no_repeat_ngram_size = search.least or None, search.no_repeat or None
    made.forced_bos_token_id = search.first if search.first is not None else made.forced_bos_token_id
    return made


@final
class _Drawn:
    """Leaves of all tokens the one that is drawn, so that the likeliest is it: every row has random numbers of its own, where those of
    transformers are a batch's."""

    def __init__(self, sources: Sequence[Sequence[int]], search: Search) -> None:
        self._draws = Draws(sources, How(temperature=search.temperature, seed=search.seed))

    def __call__(self, ids_BU: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        """Scores that are -inf but for one token of each row."""
        token_B1 = self._draws.choose(scores_BV.float())[:, None]
        return torch.full_like(scores_BV, -torch.inf).scatter(1, token_B1, 0.0)


def _drawn(ids_BT: torch.Tensor, mask_BT: torch.Tensor, search: Search) -> Any:
    from transformers import LogitsProcessorList

    if not search.temperature:
        return None
    assert search.beams == 1, "beams follow the likeliest texts"
    return LogitsProcessorList([_Drawn([ids_T[mask_T > 0].tolist() for ids_T, mask_T in zip(ids_BT, mask_BT)], search)])


def _written(ids_U: Sequence[int], settings: Any) -> Written:
    """A row without its first token and what follows its end."""
    known = settings.eos_token_id
    ends = set(known if isinstance(known, list) else [known])
    ids = ids_U[1:]
    at = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return Written(tuple(ids[:at]), at < len(ids))


def _sound(model: Seq2Seq) -> None:
    """Raises ModelError where logits made here are not the architecture's, tried on a few tokens."""
    whole, device = model.whole, next(model.parameters()).device
    ids_BT = (torch.arange(5, device=device) + 3)[None] % model.head.weight.shape[0]
    batch = {"input_ids": ids_BT, "attention_mask": torch.ones_like(ids_BT), "labels": ids_BT[:, :4]}
    with evaluating(whole), torch.no_grad():
        ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
        wanted_UV = whole(**ids, decoder_input_ids=shifted(whole, batch["labels"]), use_cache=False).logits[0].float()
        found_UV = model.logits(model.hidden(batch)[0])
    if found_UV.shape != wanted_UV.shape or float((found_UV - wanted_UV).abs().max()) > TOLERANCE:
        raise ModelError(
            model.source.name,
            expected="an encoder-decoder with a head on its last vectors",
            got=f"{type(whole).__name__}, whose logits are made otherwise",
            fix="use a model such as T5, BART, Marian, mBART or NLLB",
            code="unsuitable-head",
        )
