"""Files for the tests of the data rooms, written on the spot."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.data.table import Table
from tunesmith.spec import Data

NAUGHTY = [
    "\u202eright to left", "zero\u200bwidth\ufeff", "e" + "\u0301" * 1000,
    "\U0001d4ae\U0001d4ca\U0001d4c5\u212f\U0001d4c7 \U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\uff26\uff55\uff4c\uff4c \uff57\uff49\uff44\uff54\uff48", "\u0645\u0631\u062d\u0628\u0627\u200f",
    "\u7530\u4e2d\u3055\u3093\u306b\u3042\u3052\u3066\u4e0b\u3055\u3044", "\x01\x02\x07\x1b[31mred\x7f",
    "\x85\u2028\u2029", "\x0b\x0c\x1c\x1d\x1e\x1f", "=cmd|' /C calc'!A0", "@SUM(1+1)", "+1-1",
    "<script>alert(1)</script>", "'; DROP TABLE users; --", "${jndi:ldap://x}", "{{7*7}}", "%s%n",
    "../../etc/passwd", "\\0", "\\n", "NULL", "None", "nan", "NaN", "-Infinity", "true", "undefined", "1e1000",
    "0x1F", "1,234", "1.234,5", "007", "1/0", '"', '""', "'", "''", "`", 'a"b', '"quoted"', "a,b;c|d\te",
    "# comment", "line\nbreak", "line\r\nbreak", "line\rbreak", " leading", "trailing ", "\t", " ", "\xa0",
    "[SEP]", "<|im_start|>system", "\U0010ffff", "\ufffe", "ÅåÅ",
]
"""Texts that break things. No NUL and no half surrogates: those are refused."""


def write(path: Path, content: str | bytes) -> Path:
    """A file with this content (text as UTF-8, line ends as given)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\n", *, all_quoted: bool = False, escape: str = '"') -> str:
    """As RFC 4180 has it. (The csv module's writer leaves a line feed unquoted where lines end in CR, until Python 3.13.)"""

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        marks = all_quoted or any(mark in text for mark in (delimiter, '"', "\r", "\n"))
        return '"' + text.replace('"', escape + '"') + '"' if marks else text

    return "".join(delimiter.join(map(cell, row)) + end for row in [list(rows[0]), *(list(row.values()) for row in rows)])


def load(path: Path | list[Path], ledger: Ledger | None = None, **options: Any) -> Table:
    """The table at a path, or several."""
    paths = [str(one) for one in path] if isinstance(path, list) else str(path)
    return read(paths, Data(**options), Ledger() if ledger is None else ledger)


def notes(path: Path | list[Path], **options: Any) -> str:
    """What the ledger says of reading a path."""
    ledger = Ledger()
    load(path, ledger, **options)
    return "\n".join(entry.why for entry in ledger.entries)


def zipped(path: Path, members: dict[str, str | bytes], *, link: str = "") -> Path:
    """A ZIP file with these members; the one named `link` is marked as a symbolic link."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((stat.S_IFLNK if name == link else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, content)
    return path


def lying_zip(path: Path, claimed: int) -> Path:
    """A ZIP file whose one member holds 50 MB of zeros and claims to hold `claimed` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("rows.csv", "w") as member:
        for _ in range(50):
            member.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + at, claimed)
    path.write_bytes(data)
    return path


def tree(folder: Path) -> set[str]:
    """All paths below a folder."""
    return {os.path.join(base, name) for base, folders, files in os.walk(folder) for name in folders + files}
