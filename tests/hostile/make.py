"""Pickles, archives, tensors, configs and templates that do harm, made by hand."""


from __future__ import annotations

import io
import json
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.watch import CANARY

Make = Callable[[Path], None]


def pickle_bomb() -> bytes:
    """What runs `touch tunesmith_canary` when it is unpickled, written by hand: protocol 0, `os.system`."""
    return f"cposix\nsystem\n(S'touch {CANARY}'\ntR.".encode()


def put(name: str, content: bytes | str) -> Make:
    """A file with this content."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def instead(name: str, content: bytes, of: str) -> Make:
    """A file in the place of another one."""

    def make(folder: Path) -> None:
        (folder / of).unlink()
        put(name, content)(folder)

    return make


def setting(path: str, **values: Any) -> Make:
    """A JSON file with these keys besides its own."""

    def make(folder: Path) -> None:
        old = json.loads((folder / path).read_text()) if (folder / path).is_file() else {}
        (folder / path).write_text(json.dumps(old | values))

    return make


def torch_zip() -> bytes:
    """A file as `torch.save` writes it: a ZIP with a pickle in it."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_bomb())
        archive.writestr("archive/version", "3\n")
    return sink.getvalue()


def npy() -> bytes:
    """An array of objects: a header, then a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle_bomb()


def npz() -> bytes:
    """Such an array in a ZIP."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("x.npy", npy())
    return sink.getvalue()


def tar(*members: tuple[str, bytes], links: tuple[tuple[str, bytes, str], ...] = (), device: str = "") -> bytes:
    """A tar archive; `links`: (name, kind, target)."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, kind, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        if device:
            info = tarfile.TarInfo(device)
            info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
            archive.addfile(info)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def zipped(*members: tuple[str, bytes], mode: int = 0, special: str = "") -> bytes:
    """A ZIP archive; the member `special` is no plain file but of this mode."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((mode if name == special else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, content)
    return sink.getvalue()


def extended(suffix: str) -> Make:
    """A table whose column is of pyarrow's extension type that once was unpickled on reading (CVE-2023-47248)."""

    def make(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        marks = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle_bomb()}
        texts = pa.array([f"a good film number {i}" for i in range(40)])
        schema = pa.schema([pa.field("text", pa.string(), metadata=marks), pa.field("label", pa.string())])
        table = pa.table([texts, pa.array(["yes", "no"] * 20)], schema=schema)
        if suffix == "parquet":
            pq.write_table(table, folder / "x.parquet")
        else:
            with pa.OSFile(str(folder / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                writer.write_table(table)

    return make


def tensors(change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any] | bytes, bytes]], path: str = "m/model.safetensors") -> Make:
    """A safetensors file with a changed header or other bytes."""

    def make(folder: Path) -> None:
        content = (folder / path).read_bytes()
        size = int.from_bytes(content[:8], "little")
        header, data = change(json.loads(content[8 : 8 + size]), content[8 + size :])
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (folder / path).write_bytes(len(text).to_bytes(8, "little") + text + data)

    return make


def _names(header: dict[str, Any]) -> list[str]:
    return [name for name in header if name != "__metadata__"]


def _overlap(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    one, other = _names(header)[:2]
    return header | {other: dict(header[one])}, data


def _hole(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    last = max(_names(header), key=lambda name: header[name]["data_offsets"][1])
    header[last]["data_offsets"] = [offset + 16 for offset in header[last]["data_offsets"]]
    return header, data + bytes(16)


def _twice(header: dict[str, Any], data: bytes) -> tuple[bytes, bytes]:
    text, name = json.dumps(header), _names(header)[0]
    return f"{text[:-1]}, {json.dumps(name)}: {json.dumps(header[name])}}}".encode(), data


def _past_the_end(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    last = max(_names(header), key=lambda name: header[name]["data_offsets"][1])
    header[last]["data_offsets"][1] += 1 << 40
    return header, data


def _overflow(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    header[_names(header)[0]]["shape"] = [1 << 31, 1 << 31, 4]
    return header, data


def _head(number: int) -> Make:
    """A header that says it is so long."""

    def make(folder: Path) -> None:
        path = folder / "m/model.safetensors"
        path.write_bytes(number.to_bytes(8, "little") + path.read_bytes()[8:])

    return make


def _long_header(folder: Path) -> None:
    """A file whose header really is of 101 MB."""
    path = folder / "m/model.safetensors"
    text = b'{"__metadata__": {"x": "' + b"a" * 101_000_000 + b'"}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def index(names: Callable[[], Iterator[str]], prepare: Make = lambda folder: None) -> Make:
    """A model in shards, of these files."""

    def make(folder: Path) -> None:
        (folder / "m/model.safetensors").rename(folder / "m/part.safetensors")
        prepare(folder)
        mapping = {f"tensor.{i}": name for i, name in enumerate(names())}
        (folder / "m/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": mapping}))

    return make


def template(text: str) -> Make:
    """A chat template that says the conversation, and more."""

    def make(folder: Path) -> None:
        path = folder / "w/tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": text}))
        jinja = folder / "w/chat_template.jinja"
        if jinja.exists():
            jinja.write_text(text)

    return make


def aliases(levels: int) -> str:
    """Nine to the power of `levels` values in a few lines."""
    lines = (f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, levels))
    return "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(lines)


def both(*makers: Make) -> Make:
    """One after the other."""

    def make(folder: Path) -> None:
        for one in makers:
            one(folder)

    return make
