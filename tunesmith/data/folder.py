"""Folders: one subfolder per label with a text, an image or a sound in each file, sounds with transcripts, or the shards of one table."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ..errors import DataError, listing, shorten
from ..spec import Data
from . import boxed, masked
from .beside import SPLITS, left_over, one_table
from .cells import normalise
from .encoding import MAX_LINE, open_text
from .images import SUFFIXES as IMAGES
from .ledger import Ledger
from .sounds import SUFFIXES as SOUNDS
from .source import READABLE, Loaded, Skip, Source
from .spoken import transcribed
from .table import Part

TEXTS = (".txt", ".text", ".md")


def shards(folder: Path, name: str, ledger: Ledger) -> list[Path]:
    """The files with rows that lie directly in a folder, to be read as one table; none where it is no such folder.

    Raises DataError where they are of several kinds, or parts of a split that should not be mixed.
    """
    files = [path for path in _entries(folder) if path.name.lower().removesuffix(".gz").endswith((*READABLE, ".zip"))]
    labels = _labels(folder)
    if masked.folders(folder) and masked.only_maps(files) or boxed.kind(folder):
        return []
    if _media(folder, labels)[1] and (labels or any(path.suffix.lower() in SOUNDS for path in _entries(folder))):
        files = [path for path in files if path.suffix.lower() not in TEXTS]  # labels.csv beside images/; a read-me is none
    elif labels:
        files = []
    if not files:
        return []
    kept = one_table(name, [path.name for path in files], ledger)
    return [path for path in files if path.name in kept]


def load(folder: Path, name: str, options: Data) -> Loaded:
    """Columns `text` and `label`: each subfolder's name is the label of the texts (.txt) in it, in order of the names. Of images or
    sounds: columns `image` or `audio`, the paths, and `label`; without subfolders the paths alone. Of sounds with transcripts: `audio`
    and `text`. Of images with boxes or masks: `boxed`, `masked`.

    Raises DataError where there are no texts, or one is no text; with `bad_rows: skip` such are left out and listed.
    """
    paired = boxed.load(folder, name) or masked.load(folder, name)
    if paired is not None:
        return paired
    labels = _labels(folder)
    what, media = _media(folder, labels)
    said = transcribed(folder, name) if what == "audio" or not labels else None
    if said is not None:
        return said
    if media:
        return _of_files(folder, name, what, media, labels)
    if not labels:
        raise DataError(
            name, expected=f"a folder per label with images, sounds or {listing(TEXTS)} files, or files with rows",
            got=f"a folder with {_contents(folder)}", fix=_nested(folder) or "give the file with the rows", code="nothing-to-read",
        )
    texts: list[tuple[str, str, str]] = []
    skipped: list[Skip] = []
    files = [path for label in labels for path in _entries(label) if path.suffix.lower() in TEXTS]
    for path in files:
        _add(path, f"{name}/{path.parent.name}/{path.name}", path.parent.name, options, texts, skipped)
    if not texts:
        raise DataError(name, expected="texts", got="none that could be read", fix="check the files", code="no-rows")
    return _loaded(texts, skipped, left_over(folder, set(files)), len(labels))


def _media(folder: Path, labels: Sequence[Path]) -> tuple[str, list[Path]]:
    """`image` or `audio`, and the files of a folder per label, or of a folder alone; none where there are more texts than of these.

    A sound's transcript beside it is no text of its own.
    """
    files = [path for place in labels or [folder] for path in _entries(place)]
    texts = [path for path in files if path.suffix.lower() in TEXTS]
    images, sounds = ([path for path in files if path.suffix.lower() in endings] for endings in (IMAGES, SOUNDS))
    if len(sounds) > len(images):
        said = {path.with_suffix("") for path in sounds}
        return ("audio", sounds) if len(sounds) > sum(path.with_suffix("") not in said for path in texts) else ("", [])
    return ("image", images) if len(images) > len(texts) else ("", [])


def _of_files(folder: Path, name: str, what: str, media: Sequence[Path], labels: Sequence[Path]) -> Loaded:
    """Paths from the folder on, with the names of their subfolders; the files are opened later, all of them."""
    paths = [path.relative_to(folder).as_posix() for path in media]
    columns = {what: pa.array(paths, pa.large_string())}
    if labels:
        columns["label"] = pa.array([path.parent.name for path in media], pa.large_string())
    many = "images" if what == "image" else "sounds"
    notes = [f"a folder per label: {len(labels):,} labels, {len(paths):,} {many}" if labels else f"a folder of {len(paths):,} {many}"]
    notes += left_over(folder, set(media))
    parts = tuple(Part(f"{name}/{path}", 1, single=True, folder=str(folder)) for path in paths)
    return Loaded(pa.table(columns), True, tuple(notes), (), parts)


def _nested(folder: Path) -> str:
    """Advice where a folder holds a folder for each part of the data."""
    parts = [p for p in folder.iterdir() if p.is_dir() and SPLITS.search(p.name) and _labels(p)]
    if not parts:
        return ""
    train = next((p for p in parts if "train" in p.name.lower()), parts[0])
    return f"give {train.name}/ of it, and the others with --validation and --test"


def _add(
    path: Path, shown: str, label: str, options: Data, texts: list[tuple[str, str, str]], skipped: list[Skip]
) -> None:
    try:
        texts.append((shown, _text(path, shown, options.encoding), label))
    except DataError as error:
        if options.bad_rows != "skip":
            raise
        skipped.append(Skip(len(texts) + len(skipped) + 1, 0, f"{shown}: expected {error.expected}, got {error.got}"))


def _loaded(texts: list[tuple[str, str, str]], skipped: list[Skip], passed: list[str], labels: int) -> Loaded:
    names, cells, given = zip(*texts)
    columns = [pa.array(cells, pa.large_string()), pa.array(given, pa.large_string())]
    table = normalise(pa.table(columns, names=["text", "label"]))
    notes = [f"a folder per label: {labels:,} labels, a text in each file", *passed]
    return Loaded(table, True, tuple(notes), tuple(skipped), tuple(Part(name, 1, single=True) for name in names))


def _text(path: Path, shown: str, encoding: str) -> str:
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "no plain file"
        raise DataError(shown, expected="a plain file", got=kind, fix="put the file itself there", code="not-a-file")
    size = path.stat().st_size
    if size > MAX_LINE:
        raise DataError(
            shown, expected=f"a text of at most {MAX_LINE >> 20} MiB", got=f"{size / 2**20:,.0f} MiB", fix="cut it",
            code="field-over-limit",
        )
    return open_text(Source(shown, path, path.suffix.lower()), encoding).all() if size else ""


def _entries(folder: Path) -> list[Path]:
    """Files and links of a folder, hidden ones left out, in the order of their names (2 before 10)."""
    found = [path for path in folder.iterdir() if not path.name.startswith((".", "_")) and not path.is_dir()]
    return sorted(found, key=lambda path: _natural(path.name))


def _labels(folder: Path) -> list[Path]:
    """Subfolders that hold texts. A linked folder may lead anywhere, so it is none."""
    below = [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    holding = [p for p in below if any(file.suffix.lower() in (*TEXTS, *IMAGES, *SOUNDS) for file in p.iterdir())]
    return sorted(holding, key=lambda p: _natural(p.name))


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.findall(r"[0-9]+|[^0-9]+", name)]


def _contents(folder: Path) -> str:
    return listing(sorted(shorten(path.name) for path in folder.iterdir()), 6) or "nothing in it"
