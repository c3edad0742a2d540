"""The 48 hostile artefacts, each made on the spot in a folder that holds honest data, models and runs.

A try says what is put where, what a user then does, and how it must end: refused with one of these exit codes, or `0`: what lies
there is never read, and the answer is the one without it.
"""

# ruff: noqa: E501  one artefact a line
from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.make import (
    Make,
    _head,
    _hole,
    _long_header,
    _overflow,
    _overlap,
    _past_the_end,
    _twice,
    aliases,
    both,
    extended,
    index,
    instead,
    npy,
    npz,
    pickle_bomb,
    put,
    setting,
    tar,
    template,
    tensors,
    torch_zip,
    zipped,
)
from tests.hostile.watch import CANARY

Words = tuple[str, ...]

DATA, SPEC, MODEL = (3,), (2,), (4,)
FIT: Words = ("fit", "a.csv", "--model", "m", "--set", "train.threads=1")
CHAT: Words = ("fit", "chat.jsonl", "--model", "w", "--task", "dialogue", "--set", "train.threads=1")
PREDICT: Words = ("predict", "run", "a good film")
ADAPTED: Words = ("predict", "lora", "a good film")
RESUME: Words = ("resume", "stopped")


@dataclass(frozen=True)
class Try:
    """One way in which an artefact may reach the program."""

    make: Make
    words: Words
    exits: tuple[int, ...]
    code: str = ""
    """The error's stable name, where one is expected."""


SAYS = "{% for m in messages %}{{ m['role'] + ':' + m['content'] }}{% endfor %}"
SSTI = SAYS + "{{ cycler.__init__.__globals__.os.system('touch " + CANARY + "') }}"
ENDLESS = SAYS + "{% for a in range(999999999) %}{% for b in range(999999999) %}{% endfor %}{% endfor %}"
OBJECT = f"data:\n  train: a.csv\nmodel: !!python/object/apply:os.system ['touch {CANARY}']\n"
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
MODULE = put(f"{CANARY}.py", f"import os\nopen('{CANARY}', 'w')  # {CANARY}\n")




def adapter(**values: Any) -> Make:
    """Keys of an adapter's config, and a module that they could import."""
    return both(MODULE, setting("lora/model/adapter/adapter_config.json", **values))


def unread(*names: str) -> list[Try]:
    """Pickles beside what is read: in a model to start from, in a finished model and in checkpoints. Never opened."""
    files = both(*(put(f"{place}/{name}", pickle_bomb()) for name in names for place in ("run/model", "lora/model/adapter")))
    return [Try(files, PREDICT, (0,)), Try(files, ADAPTED, (0,)), Try(_in_checkpoints(*names), RESUME, (0,))]


def _in_checkpoints(*names: str) -> Make:
    def make(folder: Path) -> None:
        for saved in (folder / "stopped/checkpoints").iterdir():
            for name in names:
                (saved / name).write_bytes(pickle_bomb())

    return make


def alone(name: str, content: bytes | None = None) -> list[Try]:
    """A model whose weights are in this file alone, to start from and in a finished run."""
    made = content or pickle_bomb()
    return [
        Try(instead(f"m/{name}", made, "m/model.safetensors"), FIT, MODEL, "pickled-weights"),
        Try(instead(f"run/model/{name}", made, "run/model/model.safetensors"), PREDICT, MODEL, "pickled-weights"),
    ]


def data(name: str, content: bytes, code: str = "", *, asked: bool = False) -> list[Try]:
    """A data file to learn from; `asked`: and one to answer."""
    more = [Try(put(name, content), ("predict", "run", "--file", name), DATA, code)] if asked else []
    return [Try(put(name, content), ("fit", name), DATA, code), *more]


def _in_adapter(folder: Path) -> None:
    instead("lora/model/adapter/adapter_model.bin", pickle_bomb(), "lora/model/adapter/adapter_model.safetensors")(folder)


def _pickled_tokenizer(folder: Path) -> None:
    for path in (folder / "m").glob("*"):
        if path.name.startswith(("tokenizer", "vocab", "special")):
            path.unlink()
    put("m/tokenizer.pkl", pickle_bomb())(folder)


def _through_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "m/pipe.safetensors")


SEVEN = b"7z\xbc\xaf\x27\x1c\x00\x04" + pickle_bomb()
OUT = f"../{CANARY}.csv"
ROWS = b"text,label\n" + b"".join(b"a good film number %d,%s\n" % (i, (b"yes", b"no")[i % 2]) for i in range(40))
SLIP = ("good.csv", ROWS), (OUT, ROWS)
ABSOLUTE = ("good.csv", ROWS), (f"/tmp/{CANARY}.csv", ROWS)
THROUGH = ("link", b"/tmp"), (f"link/{CANARY}.csv", ROWS)

ARTEFACTS: dict[str, list[Try]] = {
    # a pickle in
    "pytorch_model.bin": alone("pytorch_model.bin", torch_zip()),
    "model.pt": alone("model.pt", torch_zip()),
    "pth": alone("weights.pth"),
    "ckpt": alone("epoch=3.ckpt", torch_zip()),
    "pkl": data("rows.pkl", pickle_bomb(), "can-run-code", asked=True),
    "joblib": data("rows.joblib", pickle_bomb(), "can-run-code"),
    "npy of objects": [*data("rows.npy", npy(), "can-run-code"), *data("rows.csv", npy())],
    "npz": [*data("rows.npz", npz(), "can-run-code"), *data("rows.zip", npz())],
    "optimizer.pt": unread("optimizer.pt"),
    "scheduler.pt": unread("scheduler.pt"),
    "rng_state.pth": unread("rng_state.pth", "rng_state_0.pth"),
    "training_args.bin": unread("training_args.bin"),
    "custom_checkpoint_0.pkl": unread("custom_checkpoint_0.pkl"),
    "hidden .mdl": [*alone(".mdl"), *unread(".mdl")],
    "tokenizer .pkl": [Try(_pickled_tokenizer, FIT, MODEL, "no-tokenizer"), *unread("tokenizer.pkl")],
    "adapter_model.bin": [Try(_in_adapter, ADAPTED, MODEL), *unread("adapter_model.bin")],
    "parquet/arrow extension type": [Try(extended(kind), ("check", f"x.{kind}"), (0, 3)) for kind in ("parquet", "arrow")],
    "7z- or tar-wrapped .pt": [
        *alone("pytorch_model.bin", SEVEN), *alone("pytorch_model.bin", tar(("model.pt", torch_zip()))),
        *data("rows.tar", tar(("model.pt", torch_zip())), "tar-archive"), *data("rows.7z", SEVEN), *data("rows.tar.gz", gzip.compress(tar(("model.pt", torch_zip())))),
        *data("rows.zip", zipped(("model.pt", torch_zip())), "can-run-code"),
    ],
    # configs
    "auto_map": [
        Try(both(MODULE, setting(f"m/{file}", auto_map={key: f"{CANARY}.Thing"})), FIT, MODEL, "config-names-code")
        for file, key in (("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer"))
    ] + [Try(both(MODULE, setting("run/model/config.json", auto_map={"AutoModel": f"{CANARY}.Thing"})), PREDICT, MODEL, "config-names-code")],
    "nested trust_remote_code": [Try(setting("m/config.json", text_config={"deep": [{"trust_remote_code": True}]}), FIT, MODEL, "config-names-code")],
    "_attn_implementation_internal": [
        Try(setting("m/config.json", **{key: f"evil/{CANARY}"}), FIT, MODEL, "config-names-code")
        for key in ("_attn_implementation_internal", "_attn_implementation", "_experts_implementation")
    ],
    "adapter parent_library": [Try(adapter(auto_mapping={"base_model_class": "Thing", "parent_library": CANARY}), ADAPTED, MODEL, "config-names-code")],
    "megatron_core": [Try(adapter(megatron_core=CANARY, megatron_config={"a": 1}), ADAPTED, MODEL, "config-names-code")],
    "tokenizer_kwargs": [Try(adapter(tokenizer_kwargs={"trust_remote_code": True}), ADAPTED, MODEL, "config-names-code")],
    "chat template SSTI": [Try(template(SSTI), CHAT, (3, 4))],
    "chat template endless loop": [Try(template(ENDLESS), CHAT, (3, 4))],
    "100 MB chat template": [
        Try(put("w/chat_template.jinja", SAYS + "x" * 100_000_000), CHAT, MODEL, "template-too-large"),
        Try(lambda folder: setting("w/tokenizer_config.json", chat_template="x" * 100_000_000)(folder), CHAT, MODEL),
    ],
    "YAML !!python/object/apply": [
        Try(put("spec.yaml", OBJECT), ("fit", "spec.yaml"), SPEC, "bad-yaml"),
        Try(lambda folder: None, ("fit", "a.csv", "--set", f"model=!!python/object/apply:os.system ['touch {CANARY}']"), (2, 4)),
        Try(lambda folder: None, ("fit", "a.csv", "--set", f"train.lr=!!python/object/apply:os.system ['touch {CANARY}']"), SPEC),
        Try(lambda folder: None, ("fit", "a.csv", "--option", f"x=!!python/object/apply:os.system ['touch {CANARY}']"), SPEC),
        Try(put("run/plan.yaml", OBJECT), PREDICT, SPEC, "bad-yaml"),
    ],
    "YAML alias bomb": [
        Try(put("spec.yaml", aliases(11)), ("fit", "spec.yaml"), SPEC, "unknown-key"), Try(put("spec.yaml", aliases(200)), ("fit", "spec.yaml"), SPEC, "yaml-aliases"),
    ],
    "JSON depth 100,000": [
        Try(put("m/config.json", DEEP), FIT, MODEL, "bad-json"), Try(put("m/tokenizer_config.json", DEEP), FIT, MODEL, "bad-json"),
        Try(put("run/task.json", DEEP), PREDICT, (2, 4)), Try(put("run/model/head.json", DEEP), PREDICT, MODEL, "bad-json"),
        *data("rows.jsonl", f'{{"text": {DEEP}}}\n'.encode()), Try(put("spec.yaml", "a: " + "[" * 100_000), ("fit", "spec.yaml"), SPEC, "bad-yaml"), Try(lambda folder: None, ("fit", "a.csv", "--set", "train.lr=" + "[" * 100_000), SPEC),
        Try(put("m/tokenizer.json", DEEP), FIT, MODEL), Try(put("stopped/data.json", DEEP), RESUME, SPEC),
    ],
    "base_model_name_or_path = /etc/passwd": [
        Try(adapter(base_model_name_or_path="/etc/passwd"), ADAPTED, MODEL, "adapter-base"),
        Try(lambda folder: None, ("fit", "a.csv", "--model", "/etc/passwd"), MODEL, "model-is-file"),
        Try(setting("run/model/head.json", base="/etc/passwd"), PREDICT, (0,)),
    ],
    "base_model_name_or_path = http://169.254.169.254/": [
        Try(adapter(base_model_name_or_path="http://169.254.169.254/"), ADAPTED, MODEL, "adapter-base"),
        Try(lambda folder: None, ("fit", "a.csv", "--model", "http://169.254.169.254/"), MODEL, "model-not-found"),
        Try(lambda folder: None, ("fit", "http://169.254.169.254/rows.csv"), DATA),
    ],
    # safetensors
    "header 2^63": [Try(_head(2**63), FIT, MODEL, "bad-safetensors"), Try(_head(2**64 - 1), FIT, MODEL, "bad-safetensors")],
    "101 MB header": [Try(_long_header, FIT, MODEL, "bad-safetensors")],
    "overlap": [Try(tensors(_overlap), FIT, MODEL, "bad-safetensors"), Try(tensors(_overlap, "run/model/head.safetensors"), PREDICT, MODEL)],
    "hole": [Try(tensors(_hole), FIT, MODEL, "bad-safetensors")],
    "duplicate key": [Try(tensors(_twice), FIT, MODEL), Try(tensors(_twice, "lora/model/adapter/adapter_model.safetensors"), ADAPTED, MODEL)],
    "offset past end": [Try(tensors(_past_the_end), FIT, MODEL, "bad-safetensors")],
    "dtype overflow": [Try(tensors(_overflow), FIT, MODEL, "bad-safetensors")],
    "weight_map ../": [
        Try(index(lambda name=name: iter([name])), FIT, MODEL, "bad-index") for name in ("../run/model/model.safetensors", "/etc/passwd", "..\\part.safetensors")
    ],
    "weight_map to a named pipe": [Try(index(lambda: iter(["pipe.safetensors"]), _through_a_pipe), FIT, MODEL, "not-a-file")],
    "index naming 10^6 shards": [
        Try(index(lambda: (f"part-{i}.safetensors" for i in range(10**6))), FIT, MODEL, "file-too-large"),
        Try(index(lambda: (f"part-{i}.safetensors" for i in range(10**5))), FIT, MODEL, "bad-index"),
    ],
    # archives: ZIP is read; tar, which could carry the same, is not read at all
    "member ../": [*data("x.zip", zipped(*SLIP), "zip-slip", asked=True), *data("x.tar", tar(*SLIP), "tar-archive"), *data("x.tar.gz", gzip.compress(tar(*SLIP)), "tar-archive"), *data("x.csv", tar(*SLIP), "tar-archive")],
    "absolute member": [*data("x.zip", zipped(*ABSOLUTE), "zip-slip"), *data("x.tar", tar(*ABSOLUTE), "tar-archive")],
    "symlink, then a write through it": [
        *data("x.zip", zipped(*THROUGH, special="link", mode=stat.S_IFLNK), "zip-link", asked=True),
        *data("x.tar", tar(THROUGH[1], links=(("link", tarfile.SYMTYPE, "/tmp"),)), "tar-archive"),
    ],
    "hard link": [*data("x.tar", tar(("rows.csv", ROWS), links=(("link.csv", tarfile.LNKTYPE, "/etc/passwd"),)), "tar-archive")],
    "device node": [
        *data("x.zip", zipped(("rows.csv", ROWS), ("null", b""), special="null", mode=stat.S_IFCHR), "zip-link"),
        *data("x.tar", tar(("rows.csv", ROWS), device="null"), "tar-archive"),
    ],
    "42.zip-like": [*data("x.zip", zipped(("rows.csv", bytes(60 << 20))), "zip-bomb", asked=True), *data("x.csv.gz", gzip.compress(bytes(60 << 20)))],
}  # fmt: skip


NEEDS = {"m": ("a.csv", "m"), "w": ("chat.jsonl", "w"), "run": ("run",), "lora": ("lora",), "stopped": ("a.csv", "m", "stopped")}


def clean(folder: Path, honest: Path, one: Try) -> None:
    """A folder with copies of what a try needs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = {part for word in one.words for part in NEEDS.get(word, ())} | {"a.csv"}
    both_runs = ("lora", "run") if one.words in (PREDICT, ADAPTED) or "m" in wanted else ()
    for name in sorted(wanted | set(both_runs)):
        copy = shutil.copytree if (honest / name).is_dir() else shutil.copy
        copy(honest / name, folder / name)
