"""What a downloaded model may say. Its JSON is read with limits, and keys that could name code never reach a library.

Three kinds of keys: those that name code are refused (`REFUSED`); declared fields of the architecture's own config class pass;
of the rest numbers, truth values and plain words pass (`norm_rel_ebd: layer_norm` is none of DeBERTa's declared fields), because
what has neither dot nor slash names no module and no repository. Source: the advisories CVE-2026-4372, CVE-2026-5241, peft #2888
and #3085, each of which is a string in a config that became an import or a download.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError, shorten

MAX_JSON_BYTES = 20_000_000
MAX_TEMPLATE_CHARS = 1_000_000

REFUSED = frozenset(
    {"auto_map", "trust_remote_code", "parent_library", "tokenizer_kwargs", "custom_pipelines", "custom_generate"}
)
REFUSED_PATTERN = re.compile(r"^(_attn_implementation|_experts_implementation|megatron_)")
WORD = re.compile(r"[A-Za-z0-9_ +-]{0,64}")
ALWAYS = frozenset(
    {
        "model_type",
        "architectures",
        "id2label",
        "label2id",
        "problem_type",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "rope_scaling",
        "rope_parameters",
        "layer_types",
    }
)
"""Keys that every text config may carry although its class does not declare them (`rope_scaling` was renamed in v5)."""

OURS = frozenset(
    {"return_dict", "output_hidden_states", "output_attentions", "gradient_checkpointing", "torchscript", "use_cache"}
)
"""How a model is run, which is the program's business, not the config's."""
READ_BY_LIBRARIES = (
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "special_tokens_map.json",
    "chat_template.json",
)


def read_json(path: Path, *, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object in a file of bounded size and depth, without doubled keys.

    Raises ModelError (`bad-json`, `file-too-large`).
    """
    if path.stat().st_size > limit:
        raise ModelError(
            str(path),
            expected=f"at most {limit:,} bytes",
            got=f"{path.stat().st_size:,}",
            fix="this is no ordinary file of a model",
            code="file-too-large",
        )
    return parse_json(path.read_bytes(), str(path))


def parse_json(text: bytes, place: str) -> dict[str, Any]:
    """A JSON object, or ModelError."""
    try:
        values = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        why = "brackets nested too deep" if isinstance(error, RecursionError) else shorten(str(error), 120)
        raise ModelError(
            place, expected="a JSON object", got=why, fix="download the model again", code="bad-json"
        ) from None
    if not isinstance(values, dict):
        raise ModelError(
            place, expected="a JSON object", got=type(values).__name__, fix="download the model again", code="bad-json"
        )
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} twice")
    return values


def refuse(values: Mapping[str, Any], place: str) -> None:
    """Raises ModelError (`config-names-code`) where a key, at any depth, could make a library import or download code."""
    for key, value in _walk(values):
        if _names_code(key) and value not in (None, False, "", [], {}) and not (key.startswith("_") and value is True):
            raise ModelError(
                f"{place}, key {key!r}",
                expected="a model that needs no code of its own",
                got=shorten(repr(value)),
                fix="use a model whose architecture is part of transformers",
                code="config-names-code",
            )


def filtered(values: Mapping[str, Any], fields: Iterable[str], place: str) -> dict[str, Any]:
    """The config without what its class does not know, plain values apart. Raises what `refuse` raises."""
    refuse(values, place)
    if values.get("quantization_config"):
        raise ModelError(
            f"{place}, key 'quantization_config'",
            expected="weights in float32, float16 or bfloat16",
            got="quantised weights",
            fix="use the model's unquantised weights",
            code="quantised",
        )
    known = (ALWAYS | set(fields)) - OURS
    return {
        key: value
        for key, value in values.items()
        if key in known or (key not in OURS and not key.startswith("_") and not _names_code(key) and _plain(value))
    }


def _plain(value: Any) -> bool:
    """Whether a value is a number, a truth value, a plain word, or a list of these."""
    if isinstance(value, list):
        return len(value) < 10_000 and all(not isinstance(item, list) and _plain(item) for item in value)
    return isinstance(value, bool | int | float | None) or (isinstance(value, str) and bool(WORD.fullmatch(value)))


def check_folder(folder: Path) -> None:
    """Every small JSON file and chat template of a model's folder, checked by the rules above.

    Raises ModelError. Only the folder's own level is read: sub-folders are other programs' business.
    """
    for name in READ_BY_LIBRARIES:
        path = folder / name
        if path.is_file():
            values = read_json(path)
            refuse(values, str(path))
            check_template(values.get("chat_template"), str(path))
    for path in sorted(folder.glob("*.jinja")):
        if path.stat().st_size > MAX_TEMPLATE_CHARS:
            _refuse_template(str(path), path.stat().st_size)


def check_template(template: object, place: str) -> None:
    """Raises ModelError where a chat template (a text, or a list of named ones) is absurdly long."""
    size = len(json.dumps(template)) if template is not None else 0
    if size > MAX_TEMPLATE_CHARS:
        _refuse_template(f"{place}, key 'chat_template'", size)


def check_adapter(values: Mapping[str, Any], place: str) -> None:
    """Raises ModelError where an adapter's config names code, or a base model by path or address."""
    # peft writes its own default here; it is read only where a megatron_config stands beside it.
    idle = values.get("megatron_core") == "megatron.core" and not values.get("megatron_config")
    refuse({key: value for key, value in values.items() if not (idle and key == "megatron_core")}, place)
    base = values.get("base_model_name_or_path")
    if base and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(base)) or ".." in str(base or ""):
        raise ModelError(
            f"{place}, key 'base_model_name_or_path'",
            expected="a Hub id (`owner/name`)",
            got=shorten(repr(base)),
            fix="write the base model's id there, or null",
            code="adapter-base",
        )


def _refuse_template(place: str, size: int) -> None:
    raise ModelError(
        place,
        expected=f"a chat template of at most {MAX_TEMPLATE_CHARS:,} characters",
        got=f"{size:,}",
        fix="remove it",
        code="template-too-large",
    )


def _names_code(key: str) -> bool:
    return key in REFUSED or bool(REFUSED_PATTERN.match(key))


def _walk(values: Any) -> Iterable[tuple[str, Any]]:
    """Every key with its value, at any depth. A list of its own, not recursion: depth comes from outside."""
    todo = [values]
    while todo:
        here = todo.pop()
        if isinstance(here, Mapping):
            yield from here.items()
            todo += here.values()
        elif isinstance(here, list):
            todo += here
