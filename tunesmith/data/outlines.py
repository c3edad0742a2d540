"""What surrounds the objects of a COCO file: polygons, or run lengths, of each image as one JSON cell (`parts/shapes.py` draws them)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def has(value: Mapping[str, Any]) -> bool:
    """Whether the annotations of a file have shapes."""
    return any(isinstance(one, dict) and one.get("segmentation") for one in value["annotations"][:100])


def shape(one: Mapping[str, Any], label: str) -> dict[str, Any]:
    """One annotation's shape, as it stands there: what is wrong with it is found where it is drawn."""
    found = one.get("segmentation")
    what = {"rle": found} if isinstance(found, Mapping) else {"polygons": found}
    return {"label": label, **what, "crowd": bool(one.get("iscrowd", 0))}


def cell(shapes: list[dict[str, Any]]) -> str:
    """An image's shapes as JSON."""
    return json.dumps(shapes, ensure_ascii=False, separators=(",", ":"))
