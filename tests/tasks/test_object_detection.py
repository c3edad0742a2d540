"""Boxes from folders and tables to answers: claims, refusals by file, mending in the ledger, a whole run whose answers are in pixels."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny_detectors
from tests.data.test_boxed import coco, voc, yolo
from tests.tasks.test_image_tasks import chosen
from tunesmith import api
from tunesmith.cli.predict import answer_file
from tunesmith.data import images
from tunesmith.errors import DataError, ModelError, SpecError
from tunesmith.inference import encode
from tunesmith.models.source import load, processor
from tunesmith.parts import scenes
from tunesmith.registry import TASKS
from tunesmith.report.text import summary

SETTINGS = {"train.epochs": 2, "train.batch": 8, "train.threads": 1, "evaluate.resamples": 100, "strategy": "full", "train.lr": 1e-3}
LINE = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


def lines(folder, rows: int = 40, spoil=None):
    """Toy rows as files, every other one in portrait and larger, with a table of a box on each line; images without boxes have none."""
    (folder / "shots").mkdir(parents=True)
    told = []
    for i, row in enumerate(TASKS.load("object-detection").sample(rows, 0)):
        width, height = (32, 32) if i % 2 else (48, 80)
        images.rgb(row["image"]).resize((width, height)).save(folder / "shots" / f"shot{i}.png")
        scale = np.array([width / 32, height / 32] * 2)
        marks = [(box["label"], *(np.array(box["box"]) * scale).tolist()) for box in row["boxes"]] or [("", None, None, None, None)]
        told += [(f"shots/shot{i}.png", width, height, *mark) for mark in marks]
    if spoil:
        spoil(told)
    with open(folder / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([LINE, *told])
    return folder / "rows.csv"


def refused(path, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        api.plan(api.make_spec(str(path), model="no/such-model", **{f"options.{name}": value for name, value in options.items()}))
    return caught.value


@pytest.mark.parametrize("form", [voc, coco, yolo])
def test_folders_of_boxes_find_their_task(tmp_path, form):
    found = chosen(form(tmp_path / "a"))
    assert found["task"].value == "object-detection" and found["options.boxes"].value == "boxes"


def test_tables_of_boxes_find_their_task(tmp_path):
    found = chosen(lines(tmp_path / "a", 4))
    assert found["task"].value == "object-detection" and found["options.corners"].value == ["xmin", "ymin", "xmax", "ymax"]
    assert found["options.image"].value == "filename" and found["options.label"].value == "class"
    cells = [json.dumps([{"label": "a", "box": [1, 1, 9, 9]}]), "[]", json.dumps([{"label": "b", "box": [2, 2, 5, 5]}])]
    with open(tmp_path / "cells.csv", "w", newline="") as file:
        csv.writer(file).writerows([("photo", "objects"), *((f"p{i}.jpg", cell) for i, cell in enumerate(cells))])
    found = chosen(tmp_path / "cells.csv")
    assert found["task"].value == "object-detection" and found["options.boxes"].value == "objects"


def change(at: int, **values):
    """A change of one line of the table."""

    def spoil(told):
        row = dict(zip(LINE, told[at])) | values
        told[at] = tuple(row.values())

    return spoil


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("swapped-box", change(5, xmin=20, xmax=10)),
        ("outside-box", change(5, xmax=500)),
        ("empty-box", change(5, xmin=10, xmax=10)),
        ("bad-number", change(5, xmin="left")),
        ("no-class", change(5, **{"class": ""})),
        ("size-differs", change(5, width=640)),
        ("no-such-file", change(5, filename="shots/gone.png")),
    ],
)
def test_a_bad_box_is_refused_by_row_before_the_model_is_looked_for(tmp_path, code, spoil):
    error = refused(lines(tmp_path / "a", 12, spoil))
    assert error.code == code and "rows.csv, row 6" in str(error)


def test_a_class_outside_the_names_is_refused_and_mending_is_written_down(tmp_path):
    path = lines(tmp_path / "a", 12)
    assert refused(path, names=["red", "green"]).code == "unknown-class"
    path = lines(tmp_path / "b", 40, change(5, xmax=500))
    found = api.check(api.make_spec(str(path), **{"options.broken": "mend"}))
    said = [entry for entry in found.data.ledger.entries if "mended" in entry.why]
    assert len(said) == 1 and "rows.csv, row 6" in str(said[0].rows[0])


def test_an_encoder_with_fixed_places_takes_no_other_size(tmp_path, tiny_vit):
    with pytest.raises(SpecError, match="side"):
        api.plan(api.make_spec(str(lines(tmp_path / "a")), model=str(tiny_vit), **{"options.side": 64}))


def test_a_detector_as_an_encoder_of_another_task_is_refused(tmp_path):
    from tests.tiny_detectors import make

    (tmp_path / "a").mkdir()
    for i in range(40):
        Image.new("RGB", (32, 32), (i, 2 * i, 90)).save(tmp_path / "a" / f"{i}.png")
    (tmp_path / "a" / "rows.csv").write_text("image,label\n" + "\n".join(f"{i}.png,{'ab'[i % 2]}" for i in range(40)))
    with pytest.raises(ModelError):
        api.fit(str(tmp_path / "a" / "rows.csv"), model=str(make(tmp_path / "m", "rt_detr")), runs=str(tmp_path / "runs"))


def test_a_detector_learns_two_images_by_heart_on_the_whole_way_from_file_to_score(tmp_path):
    """The classic fault is a mAP of 0 under a loss that falls: boxes in another form or frame, classes off by one."""
    ready = api.plan(api.make_spec(str(lines(tmp_path / "a")), model=str(tiny_detectors.make(tmp_path / "m", "rt_detr"))))
    wide_N = scenes.sizes(ready.data.train.column("filename"))[:, 1]
    task, rows = ready.task, ready.data.train.take([int(np.flatnonzero(wide_N == width)[0]) for width in (32, 48)])
    torch.manual_seed(0)
    model = task.model(load(ready.source, form=task.form), 0.0).train()
    batch = task.collate(encode(task, processor(ready.source), rows).examples(range(2)), 0)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    for _ in range(80):
        optimizer.zero_grad()
        (task.loss(model, batch) / task.weight(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        outputs = {name: value.numpy() for name, value in task.outputs(model.eval(), batch).items()}
    scores = task.score(outputs, task.truth(rows))
    assert scores["map_50"] > 0.4 and scores["map"] > 0.2


def test_a_run_that_finds_nothing_says_whether_it_knows_its_own_images(tiny_vit, tmp_path):
    result = api.fit(str(lines(tmp_path / "a")), model=str(tiny_vit), runs=str(tmp_path / "runs"), **SETTINGS | {"train.epochs": 1})
    assert result.report["parts"]["validation"]["scores"]["map_50"]["value"] < 0.05
    told = result.report["by_heart"]
    assert "has not learned its own training images" in told and "4 were taken" in told and told in summary(result.report)
    assert told in (result.run.path / "report.html").read_text("utf-8")
    assert told in (result.run.path / "README.md").read_text("utf-8").replace("\\", "")


def test_a_run_learns_answers_in_pixels_and_judges_by_coco(tiny_vit, tmp_path):
    path = lines(tmp_path / "a")
    result = api.fit(str(path), model=str(tiny_vit), runs=str(tmp_path / "runs"), **SETTINGS)
    report = result.report
    assert report["metric"] == "map" and {"usual box", "whole image", "tuned"} == {rung["name"] for rung in report["ladder"]}
    assert {one["label"] for one in report["per_label"]} == {"red", "blue"}
    shown = report["worst"][0]["pictures"]
    assert {"truth", "answer"} <= shown.keys() and shown["truth"].startswith("data:image/jpeg")
    assert any(finding["code"] == "no-boxes" for finding in result.run.read("data.json")["findings"])
    answers = result.predict([str(tmp_path / "a" / "shots" / f"shot{i}.png") for i in range(40)])
    for i, answer in enumerate(answers):
        width, height = (32, 32) if i % 2 else (48, 80)
        for box in answer["boxes"]:
            left, top, right, bottom = box["box"]
            assert 0 <= left <= right <= width and 0 <= top <= bottom <= height and 0 <= box["confidence"] <= 1
        assert answer["count"] == len(answer["boxes"])
    answer_file(result.predictor, str(tmp_path / "a" / "shots"), str(tmp_path / "out.csv"), replace=False, quiet=True)  # a folder: `image`
    with open(tmp_path / "out.csv", newline="") as file:
        told = [json.loads(row["predicted_boxes"]) for row in csv.DictReader(file)]
    assert len(told) == 40
    again = api.evaluate(result.path, path)
    assert again["rows"] == 40 and set(again["scores"]) == {"map", "map_50", "map_75", "mar_100"}
