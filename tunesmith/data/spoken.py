"""Folders of sounds with what is said in them: a text beside each sound, or a file of lines for a folder of sounds (LibriSpeech).

    a.flac a.txt            the transcript has the sound's name
    84-1.trans.txt          lines of `name text`, for the sounds of its own folder
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from ..errors import DataError, listing, shorten
from .cells import normalise
from .sounds import SUFFIXES
from .source import Loaded
from .table import Part

LINES = ".trans.txt"
BESIDE = (".txt", ".lab", ".normalized.txt")
DEEPEST = 4
"""Folders below the given one that are looked into."""
MOST_FILES = 1_000_000
MOST_BYTES = 64 << 20
"""Bytes of one file of transcripts."""
MOSTLY = 0.5
"""Share of the sounds that must have a transcript for the folder to be one of speech; the others are then listed as empty."""


def transcribed(folder: Path, name: str) -> Loaded | None:
    """Columns `audio` and `text`, in order of the paths; None where the sounds have no transcripts.

    Raises DataError where a transcript cannot be read, or a line names a sound that is not there.
    """
    sounds, lines = _found(folder)
    if not sounds:
        return None
    said = {path: text for file in lines for path, text in _lines(file, folder, name)}
    for path in sounds:
        beside = next((path.with_name(path.stem + end) for end in BESIDE if path.with_name(path.stem + end).is_file()), None)
        if path not in said and beside is not None:
            said[path] = " ".join(_text(beside, f"{name}/{beside.relative_to(folder).as_posix()}").split())
    if len(said) < MOSTLY * len(sounds):
        return None
    paths = [path.relative_to(folder).as_posix() for path in sounds]
    columns = {"audio": pa.array(paths, pa.large_string()), "text": pa.array([said.get(p) or None for p in sounds], pa.large_string())}
    parts = tuple(Part(f"{name}/{path}", 1, single=True, folder=str(folder)) for path in paths)
    return Loaded(normalise(pa.table(columns)), True, (f"a folder of {len(paths):,} sounds with transcripts",), (), parts)


def _found(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sounds and the files of lines in a folder and below, links left out."""
    sounds, lines, seen = list[Path](), list[Path](), 0
    for place, below, names in os.walk(folder):
        here = Path(place)
        deep = len(here.relative_to(folder).parts)
        below[:] = sorted(one for one in below if not one.startswith(".")) if deep < DEEPEST else []
        seen += len(names)
        if seen > MOST_FILES:
            break
        kept = [here / one for one in sorted(names) if not one.startswith((".", "_"))]
        sounds += [path for path in kept if path.suffix.lower() in SUFFIXES]
        lines += [path for path in kept if path.name.endswith(LINES)]
    return sounds, lines


def _lines(file: Path, folder: Path, name: str) -> list[tuple[Path, str]]:
    shown = f"{name}/{file.relative_to(folder).as_posix()}"
    found, there = [], {path.stem: path for path in file.parent.iterdir() if path.suffix.lower() in SUFFIXES}
    for number, line in enumerate(_text(file, shown).splitlines(), 1):
        key, _, text = line.strip().partition(" ")
        if key and key not in there:
            got = f"{shorten(key)!r}, among {listing(sorted(there), 3) or 'no sounds'}"
            fix = "put the sound there, or take the line out"
            raise DataError(f"{shown}, line {number}", expected="the name of a sound in this folder", got=got, fix=fix, code="no-such-file")
        found += [(there[key], text.strip())] if key else []
    return found


def _text(path: Path, shown: str) -> str:
    if path.is_symlink() or path.stat().st_size > MOST_BYTES:
        got = "a link" if path.is_symlink() else f"{path.stat().st_size / 2**20:,.0f} MiB"
        raise DataError(shown, expected="a plain file of transcripts", got=got, fix="put the file itself there", code="not-a-file")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        got, fix = f"byte {error.object[error.start]:#04x} at {error.start:,}", "save it as UTF-8"
        raise DataError(shown, expected="text in UTF-8", got=got, fix=fix, code="bad-encoding") from None
