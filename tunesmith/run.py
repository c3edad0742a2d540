"""The run folder: all that training, report, predict, serve and export share.

runs/2026-11-21-reviews-a1b2c3/
  spec.yaml plan.yaml task.json data.json env.json events.jsonl looks.jsonl
  checkpoints/   model/   predictions.parquet   report.json report.html README.md
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, final

import yaml

from .disk import append, write_bytes, write_json
from .errors import RunError, nearest
from .spec import Spec
from .training.events import Event
from .trial import chip

if TYPE_CHECKING:
    from .planning import Ready

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "safetensors",
    "pyarrow",
    "numpy",
    "scipy",
    "scikit-learn",
)


@final
class Run:
    """A folder with a spec in it. Writing needs the lock (`with run.locked()`); reading does not."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "spec.yaml").is_file():
            raise _no_run(self.path)

    @classmethod
    def create(cls, ready: Ready) -> Self:
        """A new folder with the spec, the plan, the task, the data's description and the environment."""
        root = Path(ready.plan.spec.runs)
        path = _free_name(root, ready)
        (path / "checkpoints").mkdir(parents=True)
        write_bytes(path / "plan.yaml", _plan_yaml(ready).encode())
        write_json(path / "task.json", {"name": ready.plan.spec.task, "values": ready.task.as_json()})
        write_json(path / "data.json", ready.data.as_json())
        write_json(path / "env.json", environment(ready))
        write_bytes(path / "spec.yaml", ready.asked.dump().encode())
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        """Where training saves."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The finished model's folder."""
        return self.path / "model"

    @property
    def spec(self) -> Spec:
        """What was asked, as decided: no `auto` in it. Runs of before `spec.yaml` was what was asked have the same in both files."""
        plan = self.path / "plan.yaml"
        return Spec.load(plan if plan.is_file() else self.path / "spec.yaml")

    @property
    def finished(self) -> bool:
        """Whether the report and the model card are written, the last thing that `fit` does."""
        return all((self.path / name).is_file() for name in ("report.json", "README.md"))

    def read(self, name: str) -> Any:
        """A JSON file of the folder. Raises RunError where it is missing or damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            raise RunError(
                str(path),
                expected="a file that training writes",
                got="none" if not path.exists() else "something else",
                code="run-incomplete",
                fix=f"`tunesmith resume {self.path}` finishes it",
            ) from None

    def record(self, event: Event) -> None:
        """Append one event as one line. Raises ResourceError when the disk is full."""
        line = json.dumps(event.as_json(), ensure_ascii=False, allow_nan=False)
        append(self.path / "events.jsonl", f"{line}\n".encode())

    def events(self) -> list[dict[str, Any]]:
        """All events that still count: what a resumed run did again replaces the first try."""
        kept: list[dict[str, Any]] = []
        for event in self._lines():
            if event["event"] == "started":
                kept = [e for e in kept if e["event"] == "started" or e.get("step", 0) <= event["step"]]
            kept.append(event)
        return kept

    def mend_events(self) -> None:
        """Drop a last line that was cut by a kill."""
        path = self.path / "events.jsonl"
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n") and content:
            write_bytes(path, content[: content.rfind(b"\n") + 1])

    def locked(self) -> Lock:
        """The right to write: one process at a time. Raises RunError where another one has it."""
        return Lock(self.path)

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.path / "events.jsonl"
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue  # a line cut by a kill


@final
class Lock:
    """An advisory lock that the system lets go of when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: IO[str] | None = None

    def __enter__(self) -> Self:
        import fcntl

        self.file = open(self.folder / ".lock", "a+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.file.close()
            raise RunError(
                str(self.folder),
                expected="a run that no one writes to",
                got="another process at work in it",
                code="run-locked",
                fix="wait for it, or stop it (SIGTERM saves first)",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        assert self.file is not None
        self.file.close()


def runs(root: str | Path) -> list[Run]:
    """Run folders below `root`, newest first."""
    folders = [p for p in Path(root).glob("*") if (p / "spec.yaml").is_file()]
    return [Run(p) for p in sorted(folders, key=lambda p: (p / "spec.yaml").stat().st_mtime, reverse=True)]


def environment(ready: Ready) -> dict[str, Any]:
    """Versions, machine and command: what a replay needs. Environment variables are left out: they may hold secrets."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    train = ready.plan.spec.train
    return {
        "tunesmith": _own_version(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "processor": chip(),
        "cores": os.cpu_count(),
        "device": train.device,
        "threads": train.threads,
        "libraries": versions,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": {
            "name": ready.source.name,
            "digest": ready.source.digest,
            "licence": ready.source.licence,
            "parameters": ready.source.parameters,
            "folder": str(ready.source.folder),
        },
        "translators": [{"name": one.name, "digest": one.digest, "licence": one.source.licence} for one in ready.translators],
    }


def _own_version() -> str:
    try:
        return importlib.metadata.version("tunesmith")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _plan_yaml(ready: Ready) -> str:
    plan = ready.plan
    values = {
        "spec": plan.spec.model_dump(),
        "why": dict(plan.why),
        "strategy_options": plan.spec.strategy_options,
        "forecast": {
            "seconds": plan.forecast.seconds,
            "memory_bytes": plan.forecast.memory_bytes,
            "parts": dict(plan.forecast.parts),
            "assumes": plan.forecast.assumes,
        },
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _free_name(root: Path, ready: Ready) -> Path:
    given = ready.plan.spec.data.train
    name = Path(given if isinstance(given, str) else given[0]).name.split(".")[0]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40] or "run"
    mark = hashlib.sha256(
        f"{ready.plan.spec.dump()}{ready.data.digest}{datetime.datetime.now().isoformat()}".encode()
    ).hexdigest()
    return root / f"{datetime.date.today().isoformat()}-{stem}-{mark[:6]}"


def _no_run(path: Path) -> RunError:
    near = [str(p) for p in path.parent.glob("*") if (p / "spec.yaml").is_file()] if path.parent.is_dir() else []
    fix = nearest(str(path), near) if near else "`tunesmith runs` lists the runs here"
    return RunError(
        str(path),
        expected="a run folder",
        got="no spec.yaml in it" if path.exists() else "nothing",
        fix=fix,
        code="no-run",
    )


def refuse_drift(run: Run, ready: Ready) -> None:
    """Raises RunError where the data or the model differ from those the run began with."""
    before, now = run.read("data.json"), ready.data.as_json()
    if before["digest"] != now["digest"]:
        raise _drift(run, "the data", before["digest"], now["digest"])
    model = run.read("env.json")["model"]
    if model["digest"] != ready.source.digest:
        raise _drift(run, f"the model {model['name']}", model["digest"], ready.source.digest)
    for one, known in zip(ready.translators, run.read("env.json").get("translators", ())):
        if known["digest"] != one.digest:
            raise _drift(run, f"the model {one.name}", known["digest"], one.digest)
    was, here = run.spec.dump(), ready.plan.spec.dump()
    if was != here:
        changed = [f"{a.strip()} -> {b.strip()}" for a, b in zip(was.splitlines(), here.splitlines()) if a != b]
        raise _drift(run, "the settings", was, "; ".join(changed[:3]))


def _drift(run: Run, what: str, was: str, now: str) -> RunError:
    return RunError(
        str(run.path),
        expected=f"{what} as at the start ({was[:16]})",
        got=f"something else ({now[:200]})",
        code="run-drift",
        fix="bring it back, or start a new run with `tunesmith fit`",
    )
