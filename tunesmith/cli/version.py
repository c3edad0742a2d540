"""Print the versions of Tunesmith and of what it stands on.

Example: tunesmith version --json
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from ._flags import Json

PACKAGES = (
    "tunesmith",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "pyarrow",
    "numpy",
    "scikit-learn",
    "pydantic",
)


def command(*, json: Json = False) -> int:
    """Version."""
    from ._show import print_json

    found = {name: _version(name) for name in PACKAGES} | {
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    if json:
        print_json(found)
    else:
        print("\n".join(f"{name} {value}" for name, value in found.items()))
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
