"""Tunesmith: bring data and a task; get back a fine-tuned model you can trust.

>>> import tunesmith
>>> run = tunesmith.fit("reviews.csv", label="stars")           # doctest: +SKIP
>>> run.scores["macro_f1"], run.predict(["A quiet, exact film."])    # doctest: +SKIP

Names are imported when they are first used, so that `import tunesmith` costs milliseconds.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import check as check
    from .api import compare as compare
    from .api import evaluate as evaluate
    from .api import fit as fit
    from .api import load as load
    from .api import plan as plan
    from .api import resume as resume
    from .api import runs as runs
    from .api import verify as verify
    from .errors import DataError as DataError
    from .errors import DivergedError as DivergedError
    from .errors import ModelError as ModelError
    from .errors import ResourceError as ResourceError
    from .errors import RunError as RunError
    from .errors import SpecError as SpecError
    from .errors import TunesmithError as TunesmithError
    from .export.merge import merge as merge
    from .spec import Spec as Spec
    from .strategy import Strategy as Strategy
    from .task import Task as Task

for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    # PyTorch's CPU library keeps a compiled product for each shape of batch it has met, 1,024 of them: a gigabyte after a few hundred
    # batches in bf16, for nothing, since layers of one batch share theirs. Read at the first product, so it is said before all else.
    os.environ.setdefault(_name, "128")

_HOMES = {
    **dict.fromkeys(("check", "compare", "evaluate", "fit", "load", "plan", "resume", "runs", "verify"), "api"),
    **dict.fromkeys(
        ("DataError", "DivergedError", "ModelError", "ResourceError", "RunError", "SpecError", "TunesmithError"),
        "errors",
    ),
    "merge": "export.merge",
    "Spec": "spec",
    "Strategy": "strategy",
    "Task": "task",
}

__all__ = [
    "DataError",
    "DivergedError",
    "ModelError",
    "ResourceError",
    "RunError",
    "Spec",
    "SpecError",
    "Strategy",
    "Task",
    "TunesmithError",
    "check",
    "compare",
    "evaluate",
    "fit",
    "load",
    "merge",
    "plan",
    "resume",
    "runs",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tunesmith.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
