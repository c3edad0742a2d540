"""A run folder, gathered for its report: every file read once, what is missing left empty, nothing invented."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError
from ..judging.looks import looks
from ..plain_yaml import read_yaml
from ..spec import fields_of
from . import show
from .plain import recipe

PARTS = ("train", "validation", "calibration", "test")
TOLD = ("task.json", "model/head.json", "model/config.json", "model/adapter/adapter_config.json")
"""Files of a run from which its model is told in plain libraries."""
SHEETS = "samples"
"""Folder of a run with what was made at each validation (`training/loop.py`)."""
KINDS = {".png": "image/png", ".wav": "audio/wav"}
"""What a validation may leave to be looked at or heard."""
SHOWN_SHEETS = 12
FINDING = {"level": "note", "code": "", "message": "", "rows": [], "fix": ""}
ENTRY = {"action": "", "why": "", "count": 0, "rows": []}
COLUMN = {"kind": "", "distinct": None, "empty": 0, "role": ""}
ADJUSTED = {"step": 0, "what": "", "why": ""}
FINISHED = {"reason": "", "best_step": 0, "best_stage": "", "seconds": None}
"""What a file may leave out, so that the page need not ask."""


def story(run_dir: str | Path) -> dict[str, Any]:
    """Everything that the page and the model card tell. Raises RunError where there is no `report.json`."""
    folder = Path(run_dir)
    report = _whole(_json(folder / "report.json"))
    if not report:
        raise RunError(
            str(folder), expected="a finished run with report.json", got="none", code="run-unfinished",
            fix=f"`tunesmith resume {folder}` finishes it",
        )
    plan = read_yaml(folder / "plan.yaml") if (folder / "plan.yaml").is_file() else {}
    events, env = _events(folder / "events.jsonl"), _json(folder / "env.json")
    return {
        "name": folder.resolve().name, "path": str(run_dir), "report": report, "events": events, "env": _flat(env),
        "model": {"name": "", "licence": ""} | (env.get("model") or {}), "plan": choices(plan), "others": defaults(plan),
        "data": data(_json(folder / "data.json"), plan), "cost": cost(plan, report, events), "looks": looks(folder),
        "sheets": sheets(folder / SHEETS, events), "plain": recipe(show.visible(run_dir), *map(_json, (folder / name for name in TOLD))),
        "adjusted": [ADJUSTED | e for e in events if e.get("event") == "adjusted"],
        "finished": FINISHED | _last(events, "finished"), "started": {"learning": None} | _last(events, "started"),
    }


def _whole(report: dict[str, Any]) -> dict[str, Any]:
    """The report with what those of earlier versions leave out."""
    if not report:
        return {}
    late = {"by_degree": False, "how_scored": {}, "columns": [], "sharing": [], "sections": [], "chosen_by": report.get("metric")}
    return late | report | {"ladder": [{"oracle": False} | rung for rung in report.get("ladder") or []]}


def choices(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every decided setting: `path`, `value`, `why`, what was asked for last."""
    why = plan.get("why") or {}
    rows = [{"path": path, "value": _at(plan.get("spec") or {}, path), "why": reason} for path, reason in why.items()]
    return sorted(rows, key=lambda row: row["why"] == "as asked")


def defaults(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings that nothing had to decide: `path`, `value`, `help`."""
    spec, why = plan.get("spec") or {}, plan.get("why") or {}
    return [
        {"path": path, "value": _at(spec, path), "help": info.description or ""}
        for path, info in fields_of().items() if path not in why and _at(spec, path) not in (None, "", {}, [])
    ]


def data(found: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """`data.json` as the page shows it: `parts`, `how`, `duplicates`, `findings`, `ledger`, `columns`, `name`, `digest`."""
    splits, duplicates = found.get("splits") or {}, found.get("duplicates") or {}
    sizes, how = splits.get("parts") or {}, splits.get("how") or {}
    return {
        "parts": [{"part": part, "rows": _count(sizes[part])} for part in PARTS if part in sizes],
        "how": {"value": "", "why": ""} | (dict(how) if isinstance(how, Mapping) else {"value": str(how)}),
        "duplicates": {key: _count(duplicates[key]) for key in ("exact", "near") if key in duplicates},
        "findings": [FINDING | one for one in found.get("findings") or []],
        "ledger": [ENTRY | one for one in found.get("ledger") or []], "columns": _columns(found),
        "inputs": [str(name) for name in found.get("inputs") or []], "name": _file_name(plan), "digest": found.get("digest") or "",
    }


def cost(plan: Mapping[str, Any], report: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was forecast and what it took: seconds of the run, bytes of memory; None where not known.

    `corrected`: seconds that the run was said to take when its first real steps were done. `cpu`: CPU seconds that it took, of all its
    processes; other work on the machine adds to the seconds, and to these hardly.
    """
    forecast, measured = plan.get("forecast") or {}, report.get("measured") or {}
    finished = _last(events, "finished")
    return {
        "seconds": (forecast.get("seconds"), measured.get("training_seconds", finished.get("seconds"))),
        "corrected": _last(events, "forecast").get("seconds"),
        "cpu": measured.get("training_cpu_seconds"),
        "memory": (forecast.get("memory_bytes"), measured.get("peak_memory_bytes")),
        "finished": measured.get("finished", ""),
    }


def sheets(folder: Path, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was made at a dozen validations at most, from first to last: `step`, `stage`, `made` (a picture or a sound, as a `data:`
    address), `scores`."""
    found = sorted(path for path in folder.iterdir() if path.suffix in KINDS) if folder.is_dir() else []
    if len(found) > SHOWN_SHEETS:
        found = [found[round(at * (len(found) - 1) / (SHOWN_SHEETS - 1))] for at in range(SHOWN_SHEETS)]
    scored = {(one.get("step"), str(one.get("stage")).replace(" ", "-")): one.get("scores") or {} for one in events}
    made = []
    for path in found:
        step, _, stage = path.stem.partition("-")
        shown = f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
        number = int(step) if step.isdigit() else 0
        made.append({"step": number, "stage": stage, "made": shown, "scores": scored.get((number, stage), {})})
    return made


def _file_name(plan: Mapping[str, Any]) -> str:
    """The training file without its folders."""
    file = _at(plan.get("spec") or {}, "data.train") or ""
    first = file[0] if isinstance(file, list) and file else file
    return re.split(r"[/\\]", str(first or ""))[-1]


def _columns(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    roles = {name: "input" for name in found.get("inputs") or []} | {name: "target" for name in found.get("targets") or []}
    return [
        COLUMN | value | {"name": name, "role": roles.get(name, "")} for name, value in (found.get("columns") or {}).items()
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{above}{key} ")
        else:
            words = " ".join(map(str, value)) or "none" if isinstance(value, list) else "" if value is None else str(value)
            found.append((f"{above}{key}".replace("_", " "), words))
    return found


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _count(value: Any) -> int:
    if isinstance(value, Mapping) and "rows" in value:
        return _count(value["rows"])
    return value if isinstance(value, int) else len(value) if isinstance(value, (list, dict)) else 0


def _last(events: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    return next((dict(e) for e in reversed(events) if e.get("event") == kind), {})


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _events(path: Path) -> list[dict[str, Any]]:
    """Events that still count: what a resumed run did again replaces the first try."""
    kept: list[dict[str, Any]] = []
    for event in _lines(path):
        if event.get("event") == "started":
            kept = [e for e in kept if e.get("event") == "started" or e.get("step", 0) <= event.get("step", 0)]
        kept.append(event)
    return kept


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a line cut by a kill
        if isinstance(event, dict):
            yield event
