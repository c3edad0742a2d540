"""What a model's folder says of itself, read from its small files and its weights' headers: nothing is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ModelError
from . import tensors
from .allow import read_json

OFFSET_POSITIONS = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "mpnet",
        "longformer",
        "data2vec-text",
        "xmod",
        "esm",
        "ibert",
        "roberta-prelayernorm",
    }
)
"""Families that count positions from pad_token_id + 1: of 514 positions 512 can be used."""
DECODERS = frozenset(
    {
        "gpt2",
        "gptj",
        "gpt_neo",
        "gpt_neox",
        "gpt_bigcode",
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen3",
        "qwen2_moe",
        "qwen3_moe",
        "gemma",
        "gemma2",
        "gemma3_text",
        "phi",
        "phi3",
        "opt",
        "bloom",
        "falcon",
        "smollm3",
        "olmo",
        "olmo2",
        "stablelm",
        "mpt",
        "starcoder2",
        "codegen",
        "granite",
        "cohere",
        "cohere2",
        "exaone4",
        "nemotron",
        "persimmon",
        "glm",
        "glm4",
        "helium",
        "deepseek_v3",
    }
)
SIZES = ("vocab_size", "hidden_size", "d_model", "n_embd", "dim", "intermediate_size", "d_ff")
README_BYTES = 200_000
MAX_INDEX_BYTES = 32_000_000
"""Of an index of shards: three times what 90,000 tensors take."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".mdl", ".npz")
"""How files end that hold weights in a form which can run code."""


def first(values: Mapping[str, Any], *names: str) -> int:
    """The first of these settings that is a whole number, else 0."""
    return next((values[name] for name in names if type(values.get(name)) is int), 0)


def layers(config: Mapping[str, Any]) -> int:
    """Number of layers."""
    return first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")


def hidden(config: Mapping[str, Any]) -> int:
    """Width of a token's vector."""
    return first(config, "hidden_size", "d_model", "n_embd", "dim")


def is_pair(config: Mapping[str, Any]) -> bool:
    """Whether it is an encoder with a decoder that attends to it."""
    return bool(config.get("is_encoder_decoder")) or config.get("model_type") == "encoder-decoder"


def flat(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of two models joined into one, the settings of the first, by which texts are read; else the config as it is."""
    half = config.get("encoder")
    joined = config.get("model_type") == "encoder-decoder" and isinstance(half, Mapping)
    return {**half, "model_type": half.get("model_type"), "architectures": []} if joined and half else config


def is_decoder(config: Mapping[str, Any]) -> bool:
    """Whether a token sees only what stands before it, so that the last one has seen everything."""
    names = config.get("architectures") or []
    causal = any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    return config.get("model_type") in DECODERS or bool(config.get("is_decoder")) or causal


def positions(config: Mapping[str, Any]) -> int:
    """Most tokens that the architecture can place, special ones included; 0: no fixed limit."""
    most = first(config, "max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    if config.get("model_type") in OFFSET_POSITIONS and most:
        pad = config.get("pad_token_id")
        most -= (pad if type(pad) is int else 1) + 1
    return most


def max_length(folder: Path, config: Mapping[str, Any]) -> int:
    """Most tokens of a text: the least of what positions, tokenizer and sentence-transformers settings allow; at least 512 else."""
    tokenizer = _optional(folder / "tokenizer_config.json").get("model_max_length")
    sentence = _optional(folder / "sentence_bert_config.json").get("max_seq_length")
    limits = [
        limit
        for limit in (positions(config), tokenizer, sentence)
        if isinstance(limit, int | float) and 0 < limit < 1e7
    ]
    return int(min(limits, default=512))


def pooling(folder: Path, config: Mapping[str, Any]) -> str:
    """`mean`, `cls` or `last`: as sentence-transformers settings say, else `last` for decoders, `mean` for encoders."""
    said = _optional(folder / "1_Pooling" / "config.json")
    modes = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "last"}
    for key, mode in modes.items():
        if said.get(key) is True:
            return mode
    if said.get("pooling_mode") in {"mean", "cls"}:
        return str(said["pooling_mode"])
    return "last" if is_decoder(config) else "mean"


def licence(folder: Path) -> str:
    """The licence that the model card names, `` where it names none."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        text = file.read(README_BYTES).decode("utf-8", "replace")
    front = re.match(r"---\n(.*?)\n---", text, re.S)
    line = re.search(r"^license:\s*[\"']?([\w.+-]+)", front[1], re.M) if front else None
    return line[1] if line else ""


def weights(folder: Path) -> tuple[Path, ...]:
    """The safetensors files that together hold the model. Raises ModelError where there are none, or where an index misleads."""
    if found := named(folder, "model", folder):
        return found
    raise _no_weights(folder)


def named(folder: Path, stem: str, home: Path) -> tuple[Path, ...]:
    """`STEM.safetensors`, or the files that `STEM.safetensors.index.json` names; none where there is neither. `home`: a folder that no
    link may leave. Raises ModelError."""
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if single.exists() or single.is_symlink():
        return (tensors.within(single, home),)
    if not index.exists():
        return ()
    values = read_json(tensors.within(index, home), limit=MAX_INDEX_BYTES)
    return tuple(tensors.shards(folder, _mapping(values, str(index)), str(index), home))


def headers(files: Iterable[Path]) -> dict[str, tensors.Entry]:
    """Tensor name -> entry over all shards. Raises ModelError for a broken file or a tensor that is in two of them."""
    found: dict[str, tensors.Entry] = {}
    for file in files:
        part = tensors.header(file)
        twice = found.keys() & part.keys()
        if twice:
            raise ModelError(
                f"{file}, tensor {min(twice)!r}",
                expected="each tensor in one file",
                got="it is in two",
                fix="download the model again",
                code="bad-safetensors",
            )
        found |= part
    return found


def check_sizes(config: Mapping[str, Any], entries: Mapping[str, tensors.Entry], place: str) -> None:
    """Raises ModelError (`config-lies`) where the config promises more than the weights hold, before anything is allocated."""
    longest = max((side for entry in entries.values() for side in entry.shape), default=0)
    promised = {name: (first(config, name), longest) for name in SIZES} | {
        "number of layers": (layers(config), len(entries))
    }
    for name, (size, most) in promised.items():
        if size > most:
            raise ModelError(
                f"{place}, key {name!r}",
                expected=f"at most {most:,}, as the weights have it",
                got=f"{size:,}",
                fix="config and weights do not belong together: download the model again",
                code="config-lies",
            )


def digest(files: Iterable[Path]) -> str:
    """sha256 over the files' names and contents. A file is hashed once per process as long as size and time stay."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda path: path.name):
        status = file.stat()
        total.update(f"{file.name}\0{_file_digest(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _mapping(values: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    mapping = values.get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise ModelError(place, expected="a weight_map", got="none", fix="download the model again", code="bad-index")
    return mapping


def _no_weights(folder: Path) -> ModelError:
    pickles = sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(PICKLES))
    if not pickles:
        return ModelError(
            str(folder),
            expected="model.safetensors",
            got="no weights",
            fix="use a model that has model.safetensors",
            code="no-weights",
        )
    return ModelError(
        f"{folder}, file {pickles[0]!r}",
        expected="weights as model.safetensors",
        got="a pickle, which can run code when read",
        fix="ask the author for safetensors, or convert it where nothing can be lost: "
        "`AutoModel.from_pretrained(folder).save_pretrained(new_folder)`",
        code="pickled-weights",
    )
