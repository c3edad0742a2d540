"""The seal of a finished run: size and sha256 of what answers, in `manifest.json`, written once the reload gate has passed.

What was changed since then is refused before it answers. The files are hashed on a thread of their own while the libraries are
imported, so that a cold prediction waits little for it. A seal tells change, not forgery: whoever may write the files may write it too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

from .disk import measured, write_json
from .errors import ModelError, RunError

MANIFEST = "manifest.json"
ANSWERS = ("model", "task.json")
"""What answers are made of: checked whenever a run is loaded."""
RECORDS = ("spec.yaml", "plan.yaml", "data.json", "env.json", "predictions.parquet", "report.json")
"""What the report rests on: checked by `tunesmith verify`."""
AT_ONCE = 1 << 30
"""Bytes of files up to which all are hashed when a run is loaded; of larger ones the size is compared there, all of it by `verify`."""
READ = (".json", ".safetensors", ".jinja", ".txt", ".model")
"""How files end that libraries look for in a model's folder: a new one of these may change answers, others are never read."""
_begun: dict[str, Check] = {}


@final
class Check:
    """Looks at what answers, on a thread; `require` waits for it."""

    def __init__(self, run: Path) -> None:
        self._run, self._found, self._error = run, [], None  # type: tuple[Path, list[str], Exception | None]
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises ModelError (`changed-model`) where a file is not as it was when the run finished."""
        self._thread.join()
        if self._error:
            raise self._error
        if self._found:
            raise ModelError(
                str(self._run / self._found[0].partition(":")[0]),
                expected="the file as it was when the run finished",
                got=self._found[0].partition(": ")[2],
                fix=f"bring it back, or finish the run anew; `tunesmith verify {self._run}` lists what changed",
                code="changed-model",
            )

    def _look(self) -> None:
        try:
            self._found = list(_changes(self._run, ANSWERS, AT_ONCE))
        except Exception as error:  # it is told in the thread that asks
            self._error = error


def begin(run: str | Path) -> None:
    """Start looking at a run that will be loaded."""
    _begun[str(run)] = Check(Path(run))


def checking(run: str | Path) -> Check:
    """The look that was begun, or a new one."""
    return _begun.pop(str(run), None) or Check(Path(run))


def close(run: Path, names: Sequence[str]) -> None:
    """Add files and whole folders to the seal of a run."""
    found = _read(run) if (run / MANIFEST).is_file() else {}
    found |= {name: measured(run / name) for name in _files(run, names)}
    write_json(run / MANIFEST, found)


def open_again(run: Path) -> None:
    """Take the seal off: the files are about to change."""
    (run / MANIFEST).unlink(missing_ok=True)


def changes(run: Path) -> list[str]:
    """Every change since the run finished, as `file: what`. Raises RunError where the run has no seal."""
    if not (run / MANIFEST).is_file():
        raise RunError(
            str(run), expected=f"a finished run with its {MANIFEST}", got="none",
            fix=f"`tunesmith resume {run}` finishes it", code="no-seal",
        )
    return list(_changes(run, (*ANSWERS, *RECORDS)))


def whole(run: Path) -> bool:
    """Whether a run was sealed to the end, and what answers is as it was then."""
    return (run / MANIFEST).is_file() and "report.json" in _read(run) and not any(_changes(run, ANSWERS))


def _changes(run: Path, names: Sequence[str], most: float = float("inf")) -> Iterator[str]:
    if not (run / MANIFEST).is_file():
        return
    sealed = {name: entry for name, entry in _read(run).items() if name.split("/")[0] in names}
    for name, entry in sealed.items():
        path = run / name
        if path.is_symlink() or not path.is_file():
            yield f"{name}: no such file"
        elif path.stat().st_size != entry["bytes"]:
            yield f"{name}: {path.stat().st_size:,} bytes after {entry['bytes']:,}"
    whole = sum(entry["bytes"] for entry in sealed.values()) <= most
    for name, entry in sealed.items():
        path = run / name
        if path.is_file() and path.stat().st_size == entry["bytes"] and (whole or entry["bytes"] < most / 64):
            if measured(path)["sha256"] != entry["sha256"]:
                yield f"{name}: other bytes (sha256)"
    new = [name for name in _files(run, names) if name.startswith("model/") and name not in sealed]
    yield from (f"{name}: a file that was not there" for name in new if most == float("inf") or name.lower().endswith(READ))


def _files(run: Path, names: Sequence[str]) -> list[str]:
    """Files of these names, those in folders among them, relative to the run."""
    found = [path for name in names for path in ((run / name).rglob("*") if (run / name).is_dir() else [run / name])]
    return sorted(path.relative_to(run).as_posix() for path in found if path.is_file())


def _read(run: Path) -> dict[str, Any]:
    from .run import Run

    found = Run(run).read(MANIFEST)
    sound = isinstance(found, dict) and all(
        isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str) for entry in found.values()
    )
    if not sound or any(".." in name.split("/") or name.startswith("/") for name in found):
        raise RunError(
            str(run / MANIFEST), expected="names, sizes and hashes", got="something else", fix="finish the run anew", code="bad-seal"
        )
    return dict(found)
