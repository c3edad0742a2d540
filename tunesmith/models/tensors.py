"""Safetensors files, checked before a library reads them: 8 bytes of header length, a JSON header, then the tensors' bytes.

The format (https://github.com/huggingface/safetensors) allows no hole, no overlap and no doubled name; a file that breaks this
was not written by an honest program.
"""

from __future__ import annotations

import itertools
import json
import math
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, shorten
from .allow import parse_json

if TYPE_CHECKING:
    import torch

MAX_HEADER_BYTES = 100_000_000
MAX_SHARDS = 2_000
BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
}

CODES = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.int16": "I16",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int32": "I32",
    "torch.float32": "F32",
    "torch.int64": "I64",
    "torch.uint16": "U16",
    "torch.uint32": "U32",
    "torch.uint64": "U64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
    "torch.float64": "F64",
}
"""What the format calls PyTorch's types."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its type's name (`F32`), its shape, and where its bytes lie after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def header(path: Path) -> dict[str, Entry]:
    """Tensor name -> entry, from the header alone.

    Raises ModelError (`bad-safetensors`) with the tensor's name where the file is cut, overlaps, or lies about its size.
    """
    _regular(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > MAX_HEADER_BYTES or 8 + length > size:
            raise _bad(
                path, f"a header of at most {MAX_HEADER_BYTES:,} bytes inside the file", f"{length:,} of {size:,} bytes"
            )
        values = parse_json(file.read(length), str(path))
    entries = {name: _entry(path, name, value) for name, value in values.items() if name != "__metadata__"}
    _contiguous(path, entries, size - 8 - length)
    return entries


def read(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checked file, read into memory of its own one after the other: a mapped file would count as memory beside what
    lies free. Raises ModelError."""
    import torch

    types, found = {code: getattr(torch, name.removeprefix("torch.")) for name, code in CODES.items()}, {}
    entries = sorted(header(path).items(), key=lambda item: item[1].start)
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        for name, entry in entries:  # end to end, as the header was checked to say
            found[name] = torch.empty(entry.shape, dtype=types[entry.dtype])
            file.readinto(_as_bytes(found[name]))
    return found


def write(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """A file of these tensors, one after the other: no second copy of all of them is made. Two names of one tensor are written twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(pieces(tensors))


def pieces(tensors: Mapping[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a file of these tensors: its header, then one after the other, each made when it is asked for.

    Larger elements come first and the header is filled up with spaces to eight bytes, so that every tensor lies at a multiple of its
    element's size, as the library's own writer has it.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    ends = list(itertools.accumulate((tensors[name].nbytes for name in names), initial=0))
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}} | {
        name: {"dtype": CODES[str(tensors[name].dtype)], "shape": list(tensors[name].shape), "data_offsets": [start, end]}
        for name, start, end in zip(names, ends, ends[1:])
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        if tensors[name].numel():
            yield _as_bytes(tensors[name])


def _as_bytes(tensor: torch.Tensor) -> memoryview:
    import torch

    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def shards(folder: Path, weight_map: Mapping[str, Any], place: str, home: Path | None = None) -> list[Path]:
    """The files that an index names, in the alphabet's order. `home`: the folder that no link may leave; this one, where it is not said.

    Raises ModelError (`bad-index`) for a name that leaves the folder, is no regular file, or is not there.
    """
    names = sorted({str(name) for name in weight_map.values()})
    if len(names) > MAX_SHARDS:
        raise _bad_index(place, f"at most {MAX_SHARDS:,} files", f"{len(names):,}")
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise _bad_index(place, "names of safetensors files in the same folder", repr(name))
    return [within(folder / name, home or folder) for name in names]


def within(path: Path, folder: Path) -> Path:
    """The path, once it is sure that it is a regular file in the folder. Raises ModelError (`outside-folder`, `no-such-file`).

    A link is followed only inside the folder, or, in a Hub cache, inside the model's own `models--owner--name`.
    """
    if not path.exists():
        raise _missing(path)
    root = folder.resolve()
    cached = (at.parent for at in root.parents if at.name == "snapshots" and at.parent.name.startswith("models--"))
    home = next(cached, root)
    if not path.resolve().is_relative_to(home):
        raise ModelError(
            str(path),
            expected="a file inside the model's folder",
            got=f"a link to {path.resolve()}",
            fix="copy the file there",
            code="outside-folder",
        )
    _regular(path)
    return path


def _regular(path: Path) -> None:
    if not path.exists():
        raise _missing(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelError(
            str(path), expected="a regular file", got="a pipe, folder or device", fix="remove it", code="not-a-file"
        )


def _missing(path: Path) -> ModelError:
    pickles = [name for name in (path.with_suffix(".bin"), path.with_name("pytorch_model.bin")) if name.exists()]
    got = f"{pickles[0].name} alone, a pickle, which can run code when read" if pickles else "none"
    fix = "ask the author for safetensors" if pickles else "download or save the model again"
    return ModelError(str(path), expected="a file", got=got, fix=fix, code="no-such-file")


def _entry(path: Path, name: str, value: Any) -> Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        whole = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, end))
        count = math.prod(shape)
    except (KeyError, TypeError, ValueError):
        raise _bad(path, "dtype, shape and data_offsets", shorten(repr(value)), name) from None
    if dtype not in BITS or not whole or len(shape) > 16:
        raise _bad(path, "a known type, whole sizes and offsets", shorten(repr(value)), name)
    if (end - start) * 8 != count * BITS[dtype]:
        raise _bad(path, f"{count * BITS[dtype] // 8:,} bytes for {dtype} {list(shape)}", f"{end - start:,}", name)
    return Entry(dtype, shape, start, end)


def _contiguous(path: Path, entries: Mapping[str, Entry], size: int) -> None:
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != at:
            raise _bad(
                path,
                f"bytes from {at:,} on",
                f"from {entry.start:,} ({'overlap' if entry.start < at else 'hole'})",
                name,
            )
        at = entry.end
    if at != size:
        raise _bad(path, f"{at:,} bytes of tensors", f"{size:,} in the file")


def _bad(path: Path, expected: str, got: str, tensor: str = "") -> ModelError:
    place = f"{path}, tensor {shorten(tensor)!r}" if tensor else str(path)
    return ModelError(place, expected=expected, got=got, fix="download or save the file again", code="bad-safetensors")


def _bad_index(place: str, expected: str, got: str) -> ModelError:
    return ModelError(
        f"{place}, key 'weight_map'", expected=expected, got=got, fix="download the model again", code="bad-index"
    )
