"""What can be said of a spec from its words alone, before data, libraries or models are looked at."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import SpecError, nearest
from .registry import STRATEGIES, TASKS, Registry
from .spec import Spec


def refuse_words(spec: Spec) -> None:
    """Raises SpecError for a task or strategy that there is not, and for a budget that is no time."""
    for registry, name in ((TASKS, spec.task), (STRATEGIES, spec.strategy)):
        if name != "auto":
            _refuse_unknown(registry, name)
    seconds_of(spec.train.budget)


def _refuse_unknown(registry: Registry, name: str) -> None:
    names = registry.names()
    if name not in names and not (name.endswith(".py") and Path(name).is_file()):
        kind = registry.kind
        raise SpecError(kind, expected=f"the name of a {kind}", got=repr(name), fix=nearest(name, names), code=f"unknown-{kind}")


def seconds_of(text: str) -> float | None:
    """`90s`, `10m`, `1.5h` -> seconds; nothing -> None. Raises SpecError."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text)
    if match and match[2] and float(match[1]):
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    fix = "write a number and its unit" if not match else "add the unit" if not match[2] else "say more than nothing"
    raise SpecError("train.budget", expected="a time such as 90s, 10m or 2h", got=repr(text), fix=fix, code="bad-budget")
