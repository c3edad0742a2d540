"""Masks from folder and table to answers: claims, refusals with file names, whole runs on images of mixed sizes, masks as files."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from tests.tasks.test_image_tasks import chosen
from tunesmith import api
from tunesmith.cli.predict import answer_file
from tunesmith.data import images
from tunesmith.errors import DataError
from tunesmith.parts import masks
from tunesmith.registry import TASKS

SETTINGS = {
    "train.epochs": 1, "train.batch": 8, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100,
    "strategy": "head-only",
}


def scenes(folder, rows: int = 40, colour: bool = False):
    """images/ and masks/ of the toy rows, every other one in portrait and larger."""
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True)
    for i, row in enumerate(TASKS.load("image-segmentation").sample(rows, 0)):
        size = (32, 32) if i % 2 else (30, 51)
        images.rgb(row["image"]).resize(size).save(folder / "images" / f"scene{i}.png")
        mask = Image.fromarray(masks.unpacked(row["mask"])).resize(size, 0)
        if colour:
            mask = Image.fromarray(np.array([(0, 0, 9), (200, 10, 0)], np.uint8)[np.asarray(mask)])
        mask.save(folder / "masks" / f"scene{i}_mask.png")
    return folder


def size_of(path):
    with Image.open(path) as image:
        return image.size


def refused(folder, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(folder), model="no/such-model", **{f"options.{name}": value for name, value in options.items()}))
    return caught.value


def test_folders_and_tables_of_masks_find_their_task(tmp_path):
    found = chosen(scenes(tmp_path / "a"))
    assert found["task"].value == "image-segmentation" and found["options.mask"].value == "mask"
    rows = [f"images/scene{i}.png,masks/scene{i}_mask.png" for i in range(40)]
    (tmp_path / "a" / "rows.csv").write_text("photo,annotation\n" + "\n".join(rows))
    assert chosen(tmp_path / "a" / "rows.csv")["options.mask"].value == "annotation"
    assert chosen(tmp_path / "a" / "rows.csv")["options.image"].value == "photo"


def test_class_lists_beside_the_folders_are_no_rows(tmp_path):
    (scenes(tmp_path / "a") / "class_dict.csv").write_text("name,r,g,b\na,0,0,0\nb,1,1,1\n")
    assert chosen(tmp_path / "a")["task"].value == "image-segmentation"


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("mask-size", lambda path: Image.new("L", (31, 32)).save(path)),
        ("unknown-class", lambda path: Image.new("L", size_of(path), 9).save(path)),
        ("empty-mask", lambda path: Image.new("L", size_of(path), 255).save(path)),
        ("lossy-mask", lambda path: Image.new("L", size_of(path)).save(path, "JPEG")),
        ("damaged-image", lambda path: path.write_bytes(path.read_bytes()[:40])),
        ("empty-image", lambda path: path.unlink()),
    ],
)
def test_a_bad_mask_is_refused_by_name_before_the_model_is_looked_for(tmp_path, code, spoil):
    folder = scenes(tmp_path / "a")
    spoil(folder / "masks" / "scene7_mask.png")
    error = refused(folder, names=["ground", "thing"])
    assert error.code == code and "scene7" in str(error)


def test_an_unknown_colour_is_refused(tmp_path):
    folder = scenes(tmp_path / "a", colour=True)
    (tmp_path / "map.csv").write_text("name,r,g,b\nground,0,0,9\nthing,200,10,0\n")
    Image.new("RGB", (32, 32), (1, 2, 3)).save(folder / "masks" / "scene7_mask.png")
    error = refused(folder, label_map=str(tmp_path / "map.csv"))
    assert error.code == "unknown-class" and "#010203" in str(error) and "scene7" in str(error)


def test_a_missing_mask_is_called_a_mask_and_other_files_are_named(tmp_path):
    folder = scenes(tmp_path / "a", rows=20)
    (folder / "images" / "photo.heic").write_bytes(b"")
    (folder / "masks" / "more").mkdir()
    (folder / "masks" / "more" / "x.png").write_bytes(b"")
    said = [entry.why for entry in api.check(api.make_spec(str(folder))).data.ledger.entries]
    assert any("photo.heic" in why for why in said) and any("more/x.png" in why for why in said)
    (folder / "masks" / "scene3_mask.png").unlink()
    assert "column 'mask'" in str(refused(folder))


def test_masks_of_no_image_are_refused(tmp_path):
    folder = scenes(tmp_path / "a", rows=4)
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_name(f"other{path.name}"))
    assert refused(folder).code == "no-masks"


def test_a_run_learns_answers_and_writes_masks_as_large_as_the_images(tiny_vit, tmp_path):
    folder = scenes(tmp_path / "a", colour=True)
    result = api.fit(str(folder), model=str(tiny_vit), runs=str(tmp_path / "runs"), **SETTINGS)
    report = result.report
    assert report["names"] == ["#000009", "#c80a00"] and report["metric"] == "miou"
    ladder = {rung["name"]: rung["scores"]["miou"]["value"] for rung in report["ladder"]}
    assert ladder["tuned"] > ladder["usual class of a place"] and "probe" in ladder
    shown = report["worst"][0]["pictures"]
    assert {"truth", "answer"} <= shown.keys() and shown["truth"].startswith("data:image/jpeg")
    assert 'class="picture pair"' in (result.path / "report.html").read_text("utf-8")
    names = [f"scene{i}.png" for i in range(40)]
    answer_file(result.predictor, str(folder / "images"), f"{tmp_path}/out/", replace=False, quiet=True)
    assert all(size_of(tmp_path / "out" / name) == size_of(folder / "images" / name) for name in names)
    with open(tmp_path / "out" / "answers.csv", newline="") as file:
        assert [row["predicted_mask"] for row in csv.DictReader(file)] == names
    lines = [f"images/scene{i}.png,masks/scene{i}_mask.png" for i in range(40)]
    (folder / "rows.csv").write_text("image,mask\n" + "\n".join(lines))
    again = api.evaluate(result.path, folder / "rows.csv")
    assert again["rows"] == 40 and again["scores"]["miou"]["value"] > ladder["usual class of a place"]
