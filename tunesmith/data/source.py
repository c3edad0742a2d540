"""Files before they are read: what is at a path, what its first bytes say, and what every reader takes and gives."""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ..errors import DataError, listing
from . import tagged
from .table import Part

TEXT_SUFFIXES = (".csv", ".tsv", ".tab", ".psv", ".txt", ".dat")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc", ".arrows")
READABLE = (*TEXT_SUFFIXES, *JSON_SUFFIXES, *tagged.SUFFIXES, ".parquet", *ARROW_SUFFIXES, ".xlsx", ".xlsm")
"""Endings of files with rows, each also with .gz after it."""
WHAT_IS_READ = "CSV, TSV, JSON, JSONL, CoNLL, Parquet, Arrow or Excel (.xlsx), plain, .gz or .zip"
MARKED = re.compile(rb'(?:\xef\xbb\xbf)?\s*\d+\t"[^\t\r\n]*<e1>')
"""How a file of numbered sentences with marked spans begins (SemEval-2010 task 8)."""
TAGGED_BYTES = 1 << 15
"""Bytes by which tagged tokens are told."""

CODE_SUFFIXES = (
    ".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt", ".bin", ".npy", ".npz", ".mdl", ".rds", ".rdata",
    ".mat", ".h5",
)
"""Refused unopened: reading most of them can run code that somebody put there."""

MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "parquet", "a Parquet file"),
    (b"ARROW1", "arrow", "an Arrow file"),
    (b"\xff\xff\xff\xff", "arrow", "an Arrow stream"),
    (b"PK\x03\x04", "zip", "a ZIP or XLSX file"),
    (b"PK\x05\x06", "zip", "an empty ZIP file"),
    (b"\x1f\x8b", "gzip", "a gzip file"),
    (b"FEA1", "", "a Feather file of version 1"),
    (b"\xd0\xcf\x11\xe0", "", "an old Excel (.xls) or Word file"),
    (b"BZh", "", "a bzip2 file"), (b"\xfd7zXZ", "", "an xz file"), (b"7z\xbc\xaf", "", "a 7-Zip file"),
    (b"\x28\xb5\x2f\xfd", "", "a Zstandard file"), (b"Rar!", "", "a RAR file"),
    (b"SQLite format 3", "", "an SQLite database"),
    (b"%PDF", "", "a PDF file"), (b"\x89PNG", "", "a PNG image"), (b"\xff\xd8\xff", "", "a JPEG image"),
    (b"GIF8", "", "a GIF image"), (b"\x7fELF", "", "a program"), (b"\x80\x02", "", "a Python pickle"),
    (b"\x80\x03", "", "a Python pickle"), (b"\x80\x04", "", "a Python pickle"), (b"\x80\x05", "", "a Python pickle"),
)


@dataclass(frozen=True)
class Source:
    """A plain file to read rows from. `name` is what messages call it; `suffix` is lower case, `.gz` taken off."""

    name: str
    path: Path
    suffix: str


@dataclass(frozen=True)
class Skip:
    """A row that was not loaded: its number, where it began in the file, and what was wrong with it."""

    row: int
    line: int
    why: str


@dataclass(frozen=True)
class Loaded:
    """What a reader gives: normalised rows, and all there is to say about how they were read.

    `headed`: the names stand in the file; else they were made up (`column_1`...).
    """

    table: pa.Table
    headed: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[Skip, ...] = ()
    parts: tuple[Part, ...] = field(default=())
    folder: str = ""
    """Where paths in its cells start."""


def locate(path: str) -> Path:
    """The file or folder at a path.

    Raises DataError where there is none (with the nearest names), and for pipes and devices, which could block.
    """
    if "\0" in path or not path:
        raise DataError("data", expected="a path", got=repr(path), fix="give the path of a file", code="bad-path")
    if re.match(r"[A-Za-z][\w+.-]+://", path):
        raise DataError(
            path, expected="a path on this machine", got="an address, and addresses are not fetched",
            fix="download it first, or name a data set of the Hugging Face Hub: hf://owner/name", code="not-fetched",
        )
    found = Path(path).expanduser()
    try:
        mode = os.stat(found).st_mode
    except OSError as error:
        raise _missing(found, error) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(
            path, expected="a file or a folder", got=_mode_name(mode), fix="save the rows in a file and give that",
            code="not-a-file",
        )
    return found


def _mode_name(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device")
    )
    return next((name for test, name in kinds if test(mode)), "something else")


def _missing(path: Path, error: OSError) -> DataError:
    if isinstance(error, PermissionError):
        return DataError(
            str(path), expected="a file that may be read", got="no permission", fix="check its rights",
            code="no-permission",
        )
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    missing = path.relative_to(folder).parts[0] if folder in path.parents else path.name
    names = sorted(os.listdir(folder)) if os.access(folder, os.R_OK) else []
    close = difflib.get_close_matches(missing, names, n=3, cutoff=0.5)
    fix = f"there is {listing(names, 8) or 'nothing'}"
    if close:
        fix = f"did you mean {' or '.join(map(repr, close))}?"
    got = f"no {missing!r} in {str(folder)!r}"
    return DataError(str(path), expected="a file or folder", got=got, fix=fix, code="no-such-file")


def refuse_code(name: str, path: str) -> None:
    """Raises DataError for formats that can run code when they are read: by name, before anything is opened."""
    suffix = Path(path).suffix.lower()
    if suffix in CODE_SUFFIXES:
        raise DataError(
            name, expected=WHAT_IS_READ,
            got=f"a {suffix} file, refused unopened: such files can run code when they are read",
            fix="write the rows as CSV, JSONL or Parquet and give that", code="can-run-code",
        )


def kind_of(source: Source) -> str:
    """`delimited`, `conll`, `semeval`, `json`, `parquet`, `arrow`, `excel`, `zip` or `gzip`: by the first bytes, checked against the name.

    Raises DataError for empty files, for formats that are not read, and where name and content contradict each other.
    """
    refuse_code(source.name, str(source.path))
    head = _head(source)
    if head[257:262] == b"ustar":
        raise DataError(
            source.name, expected=WHAT_IS_READ, got="a tar archive", fix="unpack it first", code="tar-archive"
        )
    found = next(((kind, words) for magic, kind, words in MAGIC if head.startswith(magic)), None)
    if found is None:
        return _text_kind(source, head)
    kind, words = found
    if kind == "zip" and source.suffix in (".xlsx", ".xlsm"):
        return "excel"
    if kind and source.suffix in _SUFFIXES_OF[kind]:
        return kind
    raise _contradiction(source, words)


_SUFFIXES_OF = {
    "parquet": (".parquet", ".pq", ""), "arrow": (*ARROW_SUFFIXES, ""), "zip": (".zip",), "gzip": (".gz",),
}
_BINARY = {
    ".parquet": "a Parquet file", ".pq": "a Parquet file", ".zip": "a ZIP file", ".gz": "a gzip file",
    ".xlsx": "an Excel file", ".xlsm": "an Excel file", ".arrow": "an Arrow file", ".feather": "an Arrow file", ".ipc": "an Arrow file",
    ".arrows": "an Arrow file",
}


def _head(source: Source) -> bytes:
    try:
        with open(source.path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise _missing(source.path, error) from None
    if not head:
        raise DataError(
            source.name, expected="rows", got="an empty file: no rows", fix="check the file", code="empty-file"
        )
    return head


def _text_kind(source: Source, head: bytes) -> str:
    if source.suffix in _BINARY:
        raise DataError(
            source.name, expected=f"{_BINARY[source.suffix]}, as its name says",
            got=f"something else (not {_BINARY[source.suffix]}: it begins with {head[:8]!r})",
            fix="check that the file is whole and named right", code="wrong-magic",
        )
    if source.suffix in JSON_SUFFIXES:
        return "json"
    if MARKED.match(head):
        return "semeval"
    if tagged.named(source.name) or (source.suffix not in (".csv", ".psv") and _is_tagged(source)):
        return "conll"
    if source.suffix in TEXT_SUFFIXES:
        return "delimited"
    return "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "delimited"


def _is_tagged(source: Source) -> bool:
    """Whether the first lines hold tagged tokens. What is no UTF-8 is told by its name only."""
    with open(source.path, "rb") as file:
        head = file.read(TAGGED_BYTES)
    whole = head[: head.rfind(b"\n") + 1] if len(head) == TAGGED_BYTES else head
    return tagged.looks(whole.decode("utf-8-sig", "replace"))


def _contradiction(source: Source, words: str) -> DataError:
    fix = f"name it after what it is, or save it as {source.suffix or 'CSV'}"
    if words.startswith("an old Excel"):
        fix = "open it and save it as .xlsx or CSV"
    elif "pickle" in words:
        fix = "it is refused because it can run code; write the rows as CSV, JSONL or Parquet"
    elif not any(words == known for _, kind, known in MAGIC if kind):
        fix = f"give {WHAT_IS_READ}"
    expected = f"{source.suffix.lstrip('.').upper()}, as its name says" if source.suffix in READABLE else WHAT_IS_READ
    return DataError(source.name, expected=expected, got=f"a file that is {words}", fix=fix, code="wrong-format")
