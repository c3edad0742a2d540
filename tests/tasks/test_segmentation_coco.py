"""COCO files as masks: the same truth as mask files, one map of classes, crowds left out, bad shapes and files refused by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.parts.test_shapes import _lengths, _packed
from tunesmith import api
from tunesmith.data import images
from tunesmith.errors import DataError
from tunesmith.parts import masks
from tunesmith.registry import TASKS

OPTIONS = {"task": "image-segmentation", "train.threads": 1, "data.near_duplicates": 0.0}


def scenes(folder: Path, rows: int = 30, **spoil: Any) -> Path:
    """Toy rows as COCO has them: half with polygons, half with run lengths, packed and plain; a crowd on the first image."""
    (folder / "pictures").mkdir(parents=True)
    found: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "thing"}, {"id": 9, "name": "other"}]}
    for i, row in enumerate(TASKS.load("image-segmentation").sample(rows, 0)):
        images.rgb(row["image"]).save(folder / "pictures" / f"{i}.png")
        mask_HW = masks.unpacked(row["mask"]) == 1
        (top, left), (bottom, right) = np.argwhere(mask_HW).min(0).tolist(), (np.argwhere(mask_HW).max(0) + 1).tolist()
        lengths = _lengths(mask_HW)
        shape: Any = [[left, top, right, top, right, bottom, left, bottom]]
        if i % 2:
            shape = {"size": [32, 32], "counts": _packed(lengths) if i % 4 == 1 else lengths}
        found["images"].append({"id": 100 + i, "file_name": f"{i}.png", "width": 32, "height": 32})
        found["annotations"].append({"id": i, "image_id": 100 + i, "category_id": 9 if i % 3 else 7, "segmentation": shape, "iscrowd": 0})
    found["annotations"].append({
        "id": 999, "image_id": 100, "category_id": 7, "segmentation": {"size": [32, 32], "counts": [0, 1024]}, "iscrowd": 1,
    })
    for key, value in spoil.items():
        at, _, name = key.partition("_")
        found["annotations"][int(at[1:])][name] = value
    (folder / "pictures" / "_annotations.coco.json").write_text(json.dumps(found))
    return folder


def _plan(folder: Path, model: Path, **more: Any) -> Any:
    return api.plan(api.make_spec(str(folder), model=str(model), runs=str(folder / "runs"), **OPTIONS | more))


def test_shapes_are_the_masks_that_they_were_made_of(tiny_vit: Path, tmp_path: Path) -> None:
    made = _plan(scenes(tmp_path), tiny_vit)
    assert made.task.labels == ("background", "other", "thing") and made.plan.spec.options["names"] == ["background", "other", "thing"]
    wanted = {i: masks.unpacked(row["mask"]) for i, row in enumerate(TASKS.load("image-segmentation").sample(30, 0))}
    for part in ("train", "validation", "test"):
        table = made.data.part(part)
        for cell, truth in zip(table.column("image"), made.task.truth(table)):
            i = int(Path(cell["path"]).stem)
            expected = np.where(wanted[i] == 1, 1 if i % 3 else 2, masks.VOID if i == 0 else 0)
            assert np.array_equal(masks.unpacked(truth), expected), i
    assert any("drawn as masks" in entry.why for entry in made.data.ledger.entries)


def test_boxes_beside_shapes_leave_the_choice_to_the_user(tiny_vit: Path, tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    path = folder / "pictures" / "_annotations.coco.json"
    value = json.loads(path.read_text())
    for one in value["annotations"]:
        one["bbox"] = [0, 0, 5, 5]
    path.write_text(json.dumps(value))
    assert _plan(folder, tiny_vit).task.labels == ("background", "other", "thing")


@pytest.mark.parametrize(
    ("code", "spoil", "said"),
    [
        ("short-polygon", {"a4_segmentation": [[1, 1, 2, 2]]}, "4.png"),
        ("outside-polygon", {"a4_segmentation": [[1, 1, 2, 2, 99, 3]]}, "(99, 3)"),
        ("not-coco", {"a4_category_id": 3}, "annotation 5"),
        ("not-coco", {"a4_image_id": 3}, "annotation 5"),
        ("bad-runs", {"a4_segmentation": {"size": [32, 32], "counts": [3]}}, "4.png"),
    ],
)
def test_bad_shapes_are_refused_by_row(code: str, spoil: dict[str, Any], said: str, tiny_vit: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as found:
        _plan(scenes(tmp_path, **spoil), tiny_vit)
    assert found.value.code == code and said in str(found.value)


def test_bad_shapes_are_left_out_where_that_is_asked_for(tiny_vit: Path, tmp_path: Path) -> None:
    made = _plan(scenes(tmp_path, a4_segmentation=[[1, 1, 2, 2]]), tiny_vit, **{"data.bad_rows": "skip"})
    assert sum(len(made.data.part(part)) for part in ("train", "validation", "calibration", "test")) == 29
    assert any(entry.action == "skipped" and "4.png" in str(entry.rows) for entry in made.data.ledger.entries)


def test_pictures_that_are_missing_or_of_another_size_are_refused_by_path(tiny_vit: Path, tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    Image.new("RGB", (30, 32)).save(folder / "pictures" / "8.png")
    with pytest.raises(DataError, match=r"8\.png.*32 x 32") as found:
        _plan(folder, tiny_vit)
    assert found.value.code == "mask-size"
    (folder / "pictures" / "8.png").unlink()
    with pytest.raises(DataError, match=r"8\.png"):
        _plan(folder, tiny_vit)
