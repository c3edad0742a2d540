"""Small learnable parts added to a frozen backbone: peft's, and bottlenecks of our own.

Axes: B rows of a batch, T tokens, D features.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import nn

from ..errors import ModelError, SpecError, listing
from .heads import argument_names, bare, evaluating, inputs, pool
from .outline import layer_list, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftConfig

TASK = "FEATURE_EXTRACTION"
WRITER = "CAUSAL_LM"
"""What peft calls a model with its language-model head."""
PAIR = "SEQ_2_SEQ_LM"
"""What peft calls an encoder-decoder with its head."""
PATTERNS = ("target_modules", "feedforward_modules")
"""Settings of peft that are regular expressions over names in the model."""
OUTER = "base_model.model."
"""How the names of an adapter's weights begin in peft's files."""
ATTENTION = ("attention", "self_attn", "attn", "self_attention")
"""Names under which families keep the attention of a layer."""
ACTIVATION = nn.functional.gelu
FAR = 1e-3
"""Largest difference by which padding may change a text's vector before a method counts as unfit for an architecture."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of the CPU inside depend on `seed` alone; outside nothing changes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def linear_targets(model: nn.Module, only: Sequence[str] = (), top: int = 0) -> str:
    """A regular expression, as peft reads it, of the linear maps inside the layers.

    `only`: their names inside a layer, or the last parts of these (`query`, `v_proj`), else all (arXiv 2305.14314); `top`: only
    in that many upper layers. Raises SpecError (`unknown-target`) where a name fits none, ModelError without known layers.
    """
    if hasattr(model, "targets"):
        return str(model.targets(only))
    stacks = _stacks(model)
    inside = sorted({part for _, layers in stacks for block in layers for part, module in block.named_modules() if _linear(module)})
    chosen = sorted({part for wanted in only for part in _named(wanted, inside)}) if only else inside
    ends, found = rf"({'|'.join(re.escape(part) for part in chosen)})", list[str]()
    for name, layers in reversed(stacks):
        which = rf"({'|'.join(map(str, range(len(layers))[-top:]))})" if top else r"\d+"
        found.append(rf"{re.escape(name)}\.{which}")
        if top and top <= len(layers):
            break
        top = max(0, top - len(layers))
    return rf"{found[0]}\.{ends}" if len(found) == 1 else rf"({'|'.join(reversed(found))})\.{ends}"


def _named(wanted: str, inside: Sequence[str]) -> list[str]:
    found = [wanted] if wanted in inside else [part for part in inside if part.endswith(f".{wanted}")]
    if not found:
        raise SpecError(
            "option 'targets'",
            expected="names of linear maps in a layer",
            got=repr(wanted),
            fix=f"this model has {listing(inside, 12)}",
            code="unknown-target",
        )
    return found


def wrap(model: nn.Module, config: PeftConfig, seed: int) -> None:
    """Put peft's wrapper around `model.backbone`, with weights that depend on `seed` alone. Raises ModelError."""
    from peft import get_peft_model

    if is_pair(model):
        config.task_type = PAIR  # type: ignore[assignment]  # peft takes the name for the member
    try:
        with seeded(seed), warnings.catch_warnings():
            # peft 0.21 reads a name that transformers 5.23 has renamed.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            wrapped = get_peft_model(model.backbone, config)
    except (ValueError, TypeError, re.error) as error:
        raise _unfit(model, config, " ".join(str(error).split())) from None
    for part in wrapped.peft_config.values():
        part.base_model_name_or_path = part.revision = None
    model.backbone = wrapped


def inside(model: Any) -> str:
    """Where the decoder stands in the architecture with its head: `model.` in Llama, `transformer.` in GPT-2."""
    if is_pair(model) or _segments(model):
        return ""
    return f"{model.whole.base_model_prefix}."


def around(config: dict[str, Any], model: Any) -> dict[str, Any]:
    """An adapter's settings for the architecture with its head, as `PeftModel.from_pretrained` puts it on one."""
    named = {name: re.escape(inside(model)) + config[name] for name in PATTERNS if isinstance(config.get(name), str)}
    return config | named | {"task_type": PAIR if is_pair(model) else TASK if _segments(model) else WRITER}


def within(config: Any, model: Any) -> None:
    """The opposite, in place: settings for the decoder alone."""
    config.task_type = TASK
    for name in PATTERNS:
        if isinstance(getattr(config, name, None), str):
            setattr(config, name, getattr(config, name).removeprefix(re.escape(inside(model))))


def renamed(state: Mapping[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    """Weights of an adapter for a model that stands elsewhere; learnt tokens stand outside and keep their names."""
    start = OUTER + old
    return {OUTER + new + n.removeprefix(start) if n.startswith(start) else n: t for n, t in state.items()}


def has_conv1d(model: nn.Module) -> bool:
    """Whether the layers' linear maps are GPT-2's Conv1D, whose weights stand transposed."""
    return any(type(module).__name__ == "Conv1D" for module in bare(model.backbone).modules())


def prompt_sizes(model: nn.Module, tokens: int, *, inside: bool = False) -> dict[str, int]:
    """What peft's prompt methods must know of the backbone, under their own names.

    `inside`: the learnt vectors stand in the layers, not beside the embeddings. Raises SpecError for a senseless number of tokens.
    """
    module, most = bare(model.backbone), model.source.positions
    if model.source.modality != "text":
        raise ModelError(
            f"model {model.source.name!r}",
            expected="a model that reads texts, in which learnt tokens can stand",
            got=f"one that reads {model.source.modality}s",
            fix="use `lora`, `last-k`, `adapters` or `full`",
            code="method-does-not-fit",
        )
    if tokens < 1 or (most and tokens > most // 2):
        raise SpecError(
            "option 'tokens'",
            expected=f"1 to {most // 2 if most else 'a few hundred'}",
            got=str(tokens),
            fix="use fewer",
            code="bad-option",
        )
    if inside and is_pair(model):
        return _kept_sizes(model)
    if inside and "past_key_values" not in argument_names(type(module)):
        raise _unfit(model, "prefix", "an architecture whose layers take no keys and values from elsewhere")
    return {
        "token_dim": model.source.hidden if inside else module.get_input_embeddings().weight.shape[1],
        "num_layers": len(_layers(model)[1]),
        "num_attention_heads": getattr(module.config, "num_attention_heads", 0) or 1,
        "num_transformer_submodules": 1,
    }


def _kept_sizes(model: Any) -> dict[str, int]:
    """The same of the keys and values of an encoder-decoder: those that its decoder keeps of what it has read.

    peft 0.21 deals out the numbers of two layers at a time, the first's keys and values to each layer, and begins anew at the end: with an
    even number of layers, half of them would share what the other half learns, and half of the numbers would be for nothing. With an odd
    one every layer has its own.
    """
    if not hasattr(model, "whole"):
        raise _unfit(model, "prefix", "a decoder that does not write tokens")
    ids_BU = torch.ones(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    with torch.no_grad(), evaluating(model.whole):
        cache = model.whole(input_ids=ids_BU, decoder_input_ids=ids_BU, use_cache=True).past_key_values
    layers = getattr(getattr(cache, "self_attention_cache", None), "layers", ())
    sizes = {tensor.shape[1::2] for layer in layers for tensor in (layer.keys, layer.values)}
    if len(sizes) != 1:
        raise _unfit(model, "prefix", "layers that keep no keys and values, or of unlike sizes")
    heads, each = sizes.pop()
    return {"token_dim": heads * each, "num_layers": len(layers) | 1, "num_attention_heads": heads, "num_transformer_submodules": 2}


def check_virtual(model: nn.Module, method: str) -> None:
    """Raises ModelError (`method-does-not-fit`) where virtual tokens do not work: no answer, no effect, or padding leaks in."""
    module = model.backbone
    ids_BT = torch.tensor([[7, 8, 9, 7, 8], [9, 8, 7, 1, 1]]) % bare(module).config.vocab_size
    mask_BT = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    try:
        with torch.no_grad():
            both = _vectors(model, module, ids_BT, mask_BT)
            alone = _vectors(model, module, ids_BT[1:, :3], mask_BT[1:, :3])
            without = _vectors(model, bare(module), ids_BT, mask_BT)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise _unfit(model, method, f"a failure: {' '.join(str(error).split())[:120]}") from None
    if float((both[1] - alone[0]).abs().max()) > FAR * float(alone.abs().max()):
        raise _unfit(model, method, "padding that changes the result")
    if torch.equal(both, without):
        raise _unfit(model, method, "virtual tokens without any effect")


def _vectors(model: Any, module: nn.Module, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    with evaluating(module):
        batch = {"input_ids": ids_BT, "attention_mask": mask_BT}
        if is_pair(model):
            found_BD: torch.Tensor = model.hidden({**batch, "labels": ids_BT[:, :2]}, module).mean(1)
            return found_BD
        hidden_BTD = module(**inputs(module, batch)).last_hidden_state
    return pool(hidden_BTD, mask_BT, "mean")


@final
class Bottleneck(nn.Module):
    """h + up(gelu(down(h))): starts as the identity, because `up` starts at zero (arXiv 1902.00751)."""

    def __init__(self, features: int, width: int) -> None:
        """`features`: D; `width`: features of the narrow middle."""
        super().__init__()
        self.down, self.up = nn.Linear(features, width), nn.Linear(width, features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        """(B, T, D) to (B, T, D)."""
        return hidden_BTD + self.up(ACTIVATION(self.down(hidden_BTD)))


def add_bottlenecks(model: nn.Module, width: int, places: Literal["layer", "both"], seed: int) -> None:
    """A bottleneck after each layer (arXiv 2005.00052), or after its attention as well (arXiv 1902.00751), as `X.bottleneck`.

    Raises ModelError (`method-does-not-fit`) where layers or their attention cannot be told.
    """
    module = bare(model.backbone)
    module.requires_grad_(False)
    with seeded(seed):
        for block in (block for _, layers in _stacks(model) for block in layers):
            hosts = [block, _attention(model, block)] if places == "both" else [block]
            for host in hosts:
                host.bottleneck = Bottleneck(model.source.hidden, width)
                host.register_forward_hook(_narrowed)
    module.tunesmith_bottlenecks = {"width": width, "places": places}


def _narrowed(host: nn.Module, _: Any, output: Any) -> Any:
    """The host's output through its bottleneck; a tuple's first entry is the hidden state."""
    if isinstance(output, tuple):
        return (host.bottleneck(output[0]), *output[1:])
    return host.bottleneck(output)


def _attention(model: nn.Module, block: nn.Module) -> nn.Module:
    found = next(
        (getattr(block, name) for name in ATTENTION if isinstance(getattr(block, name, None), nn.Module)), None
    )
    if found is None:
        raise _unfit(model, "adapters with places: both", "layers whose attention has an unknown name")
    return found


def is_pair(model: Any) -> bool:
    """Whether it is an encoder-decoder."""
    return getattr(model, "pooling", "") in ("seq2seq", "speech")


def _segments(model: Any) -> bool:
    """Whether it is a model of images with a decoder of its own."""
    return getattr(model, "pooling", "") == "segments"


def _stacks(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    found = stacks(model.backbone)
    if not found:
        raise _unfit(model, "adapters", "no list of layers")
    return found


def _layers(model: nn.Module) -> tuple[str, nn.ModuleList]:
    found = layer_list(model.backbone)
    if found is None:
        raise _unfit(model, "adapters", "no list of layers")
    return found


def _linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _unfit(model: nn.Module, method: Any, got: str) -> ModelError:
    name = method if isinstance(method, str) else getattr(method, "peft_type", type(method).__name__)
    return ModelError(
        f"strategy {str(name).rsplit('.', 1)[-1].lower()!r} on {bare(model.backbone).config.model_type}",
        expected="an architecture that it works with",
        got=got,
        fix="use `lora`, which works with every architecture",
        code="method-does-not-fit",
    )
