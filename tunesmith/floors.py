"""The oldest versions of libraries that may read other people's files here: older ones have known holes, or lack what is used.

Asked for by a room when it is imported, from the names of the installed packages' folders: no library is touched, and no file is read.
Sources: CVE-2026-24747 (torch below 2.10), CVE-2026-4372 and CVE-2026-5241 (transformers below 5.3), peft #3090, CVE-2026-40192 and
its kin (Pillow below 12.3), CVE-2023-47248 (pyarrow below 14.0.1), accelerate's `load_custom_state` (1.14 and below), pypdf's
limits on what streams unpack to (`Configuration`, from 7 on).
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from .errors import SpecError

FLOORS = {
    "torch": "2.11",
    "transformers": "5.3.0",
    "accelerate": "1.14.1",
    "peft": "0.21",
    "safetensors": "0.6",
    "pillow": "12.3.0",
    "pyarrow": "18",
    "pypdf": "7.0.0",
}
"""Distribution -> lowest version."""


def require(*names: str) -> None:
    """Raises SpecError (`old-package`, exit code 2) where an installed library is older than its floor; absent ones pass."""
    for name in names:
        found = installed().get(name)
        if found and _key(found) < _key(FLOORS[name]):
            raise SpecError(
                f"the Python package {name!r}",
                expected=f"version {FLOORS[name]} or later, in which known holes are closed",
                got=found,
                fix=f"pip install --upgrade '{name}>={FLOORS[name]}'",
                code="old-package",
            )


@cache
def installed() -> dict[str, str]:
    """Distribution -> version, of all folders that Python imports from (`torch-2.13.0.dist-info`); the first one counts."""
    found: dict[str, str] = {}
    for folder in reversed(sys.path):
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            if entry.endswith(".dist-info"):
                name, _, version = entry.removesuffix(".dist-info").rpartition("-")
                found[name.lower().replace("_", "-")] = version
    return found


def _key(version: str) -> tuple[int, int, int, bool]:
    """What versions are compared by: three numbers; one that only leads up to a release (`rc1`, `.dev3`) stands before it."""
    numbers = [int(part) for part in re.match(r"[\d.]*", version)[0].strip(".").split(".") if part]  # type: ignore[index]
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third, re.match(r"[\d.]*(a|b|c|rc|dev)", version) is None
