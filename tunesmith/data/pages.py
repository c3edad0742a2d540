"""PDF files as text, page by page, read in a process of their own with little memory and little time: a file may be made to harm.

The process is `python -I -c ... tunesmith.data.pages`' `child`: it is given paths, one a line, and says one line of JSON for each. It runs
nothing that a file holds (pypdf only parses), opens no other file, and where it dies the file that it was at is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError

MOST_PAGES = 5_000
MOST_CHARACTERS = 32 << 20
"""Characters of one file."""
MOST_UNPACKED = 32 << 20
"""Bytes of one unpacked stream."""
MEMORY = 768 << 20
"""Address space of the process: about 256 MiB of memory beside what Python itself maps."""
SECONDS = 120
"""Of one file. A page takes some hundredths."""
MOST_BYTES = 256 << 20


def read(paths: Sequence[Path], names: Sequence[str]) -> list[list[str] | DataError]:
    """The pages of each file, or why it is refused. Raises DataError where pypdf is not installed."""
    _require(names)
    found: list[list[str] | DataError] = []
    while len(found) < len(paths):
        found += _some(paths[len(found) :], names[len(found) :])
    return found


def _require(names: Sequence[str]) -> None:
    from importlib.util import find_spec

    if names and find_spec("pypdf") is None:
        raise DataError(
            names[0], expected="the package pypdf, to read PDF files", got="an installation without it",
            fix="pip install 'tunesmith[documents]', or turn the file into text", code="missing-package",
        )


def _some(paths: Sequence[Path], names: Sequence[str]) -> list[list[str] | DataError]:
    """Answers for as many files as one process lived through; of the one at which it died, why."""
    root = str(Path(__file__).parents[2])
    program = f"import sys; sys.path[:0] = {[root, *sys.path[1:]]!r}; from tunesmith.data.pages import child; child()"
    asked = "".join(f"{json.dumps(str(path))}\n" for path in paths)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], input=asked, capture_output=True, text=True, timeout=SECONDS * (len(paths) + 1)
        )
        said = done.stdout
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode() if isinstance(late.stdout, bytes) else (late.stdout or "")
    lines = [line for line in said.split("\n")[:-1] if line]
    found = [_answer(json.loads(line), name) for line, name in zip(lines, names)]
    if len(found) < len(paths):
        found.append(_refused(names[len(found)], f"a file that needs more than {SECONDS} seconds or {MEMORY >> 20} MiB", "pdf-too-heavy"))
    return found


def _answer(said: dict[str, Any], name: str) -> list[str] | DataError:
    return said["pages"] if "pages" in said else _refused(name, said["got"], said["code"])


def _refused(name: str, got: str, code: str) -> DataError:
    fixes = {
        "pdf-encrypted": "save it without a password", "pdf-too-heavy": "print it anew to a plain PDF, cut it, or leave it out",
        "pdf-broken": "open and save it anew, or leave it out", "pdf-script": "print it anew to a plain PDF, or leave it out",
    }
    return DataError(name, expected="a PDF file that can be read", got=got, fix=fixes[code], code=code)


def child() -> None:
    """The process that reads."""
    import resource
    import signal

    from pypdf import overwrite_configuration

    limits = ("zlib", "lzw", "run_length", "brotli", "jbig2", "array_based_stream")
    measures: dict[str, Any] = dict.fromkeys((f"{limit}_maximum_output_length" for limit in limits), MOST_UNPACKED)
    overwrite_configuration(**measures, stream_decoding_work_maximum_length=4 * MOST_UNPACKED, jbig2dec_binary=None)  # no other program
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.read().splitlines():
        signal.alarm(SECONDS)  # nothing handles it: the process ends there
        sys.stdout.write(f"{json.dumps(_one(json.loads(line)))}\n")
        sys.stdout.flush()


def _one(path: str) -> dict[str, Any]:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import LimitReachedError

    logging.disable(logging.CRITICAL)
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return _bad(f"more than {MOST_BYTES >> 20} MiB", "pdf-too-heavy")
        with open(path, "rb") as file:
            reader = PdfReader(file)
            if reader.is_encrypted:
                return _bad("an encrypted one", "pdf-encrypted")
            return _pages(reader) if len(reader.pages) > MOST_PAGES or not _acts(reader) else _bad("one that runs a script", "pdf-script")
    except (LimitReachedError, MemoryError, RecursionError) as error:
        return _bad(f"a stream that unpacks beyond all measure ({type(error).__name__})", "pdf-too-heavy")
    except Exception as error:  # a file of a stranger: whatever its parsing ends in, the next one is to be read
        return _bad(f"a broken one ({type(error).__name__}: {str(error)[:120]})", "pdf-broken")


def _acts(reader: Any) -> bool:
    """Whether the file would run a script or a program in a viewer: when it, a page or a form is opened or touched."""
    root = reader.root_object
    if "/JavaScript" in _part(root, "/Names"):
        return True
    held = [root, *reader.pages]
    held += [note.get_object() for page in reader.pages for note in _part(page, "/Annots") or ()]
    actions = (action for one in held for action in (_part(one, "/OpenAction"), _part(one, "/A"), *_each(_part(one, "/AA"))))
    return any(_part(action, "/S") in ("/JavaScript", "/Launch") for action in actions if isinstance(action, dict))


def _part(held: Any, key: str) -> Any:
    """What stands under a key of a dictionary of the file; nothing where it is none."""
    found = held.get(key) if isinstance(held, dict) else None
    return {} if found is None else found.get_object()


def _each(held: Any) -> list[Any]:
    return [value.get_object() for value in held.values()] if isinstance(held, dict) else []


def _pages(reader: Any) -> dict[str, Any]:
    if len(reader.pages) > MOST_PAGES:
        return _bad(f"{len(reader.pages):,} pages, at most {MOST_PAGES:,} are read", "pdf-too-heavy")
    pages: list[str] = []
    for page in reader.pages:
        pages.append(page.extract_text().encode("utf-8", "replace").decode().replace("\0", ""))
        if sum(map(len, pages)) > MOST_CHARACTERS:
            return _bad(f"more than {MOST_CHARACTERS:,} characters", "pdf-too-heavy")
    return {"pages": pages}


def _bad(got: str, code: str) -> dict[str, Any]:
    return {"got": got, "code": code}
