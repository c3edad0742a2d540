"""Files that lie side by side, in a folder or an archive, or are named together: which hold rows of one table, which belong to other
parts of the data, and which are only read by people."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from ..errors import DataError, listing
from .finding import count
from .ledger import Ledger

SPLITS = re.compile(r"(^|[^a-z])(train|training|test|testing|dev|val|valid|validation|eval)([^a-z]|$)", re.IGNORECASE)
"""File names that say which part of the data they are."""
_ABOUT = re.compile(r"(?i)(readme|licen[cs]e|notice|copying|copyright|authors|changelog|citation)([^a-z].*)?")
"""Names of texts about the data. They and other plain texts (.txt) beside files of another ending are no table."""
_BY_NAME = "give the files by name (training rows, --validation, --test), such as "


def left_over(folder: Path, taken: Collection[Path]) -> list[str]:
    """What lies below a folder and is none of the files taken from it, as a note with names: a file that nobody reads is not hidden.

    Linked folders may lead anywhere: they are named, and not looked into. Hidden files are nobody's rows.
    """
    found = list[str]()
    for place, below, files in os.walk(folder):
        here, shown = Path(place), [name for name in sorted(below) if not name.startswith(".")]
        linked = [name for name in shown if (here / name).is_symlink()]
        below[:] = [name for name in shown if name not in linked]
        others = [name for name in sorted(files) if not name.startswith(".") and here / name not in taken]
        found += [(here / name).relative_to(folder).as_posix() for name in (*others, *linked)]
    return [f"passed over {count(len(found), 'other file')}: {listing(found)}"] if found else []


def part_of(name: str) -> str:
    """`train`, `validation` (also dev) or `test` (also eval), where a name says so; else nothing."""
    found = SPLITS.search(name)
    return {"tr": "train", "te": "test", "ev": "test"}.get(found[2].lower()[:2], "validation") if found else ""


def parts(paths: Sequence[str]) -> list[str]:
    """The part that each of several paths says it is: by its name, else by the folders in which it lies apart from the others."""
    pieces = [PurePath(path).parts for path in paths]
    shared = len(os.path.commonprefix(pieces))
    return [_part(path[min(shared, len(path) - 1) :]) for path in pieces]


def _part(pieces: Sequence[str]) -> str:
    *folders, name = pieces
    return next(filter(None, map(part_of, [name.partition(".")[0], *reversed(folders)])), "")


def one_table(place: str, paths: Sequence[str], ledger: Ledger) -> list[str]:
    """Those of the files side by side that hold the rows of one table; texts about it are passed over, and noted.

    Raises DataError where they are of several kinds, or parts of a split that should not be mixed.
    """
    passed = _texts_about(paths)
    kept = [path for path in paths if path not in passed]
    kinds, found = sorted(set(map(_ending, kept))), parts(kept)
    if len(set(found)) > 1 or len(kinds) > 1:
        first = kept[found.index("train") if "train" in found else 0]
        why = "parts of a split" if len(set(found)) > 1 else f"files of several kinds ({listing(kinds)})"
        raise DataError(
            place, expected="files that belong to one table", got=f"{why}: {listing(kept)}", fix=f"{_BY_NAME}{place}/{first}",
            code="several-files",
        )
    if passed:
        ledger.note(f"{place}: passed over {count(len(passed), 'text')} beside the rows: {listing(passed)}")
    return kept


def _texts_about(paths: Sequence[str]) -> list[str]:
    """Plain texts called README, LICENSE or the like; beside files of another ending all that are no part of a split."""
    texts = [path for path in paths if _ending(path) == "txt"]
    beside = len(texts) < len(paths)
    names = [(path, PurePath(path).name.partition(".")[0]) for path in texts]
    found = [path for path, name in names if _ABOUT.fullmatch(name) or beside and not part_of(name)]
    return found if len(found) < len(paths) else []


def _ending(path: str) -> str:
    return path.lower().removesuffix(".gz").rpartition(".")[2]


def refuse_held_out(paths: Sequence[str]) -> None:
    """Raises DataError where files that were named together, all as training rows, say that some of them are kept for testing."""
    said = parts(paths)
    apart = [(path, part) for path, part in zip(paths, said) if part in ("validation", "test")]
    if len(set(said)) > 1 and apart:
        fix = " ".join(f"--{part} {path}" for path, part in apart[:2])
        raise DataError(
            "data", expected="files that belong to one table", got=f"parts of a split: {listing(paths)}",
            fix=f"say {fix} (or rename a file that is no such part)", code="several-files",
        )
