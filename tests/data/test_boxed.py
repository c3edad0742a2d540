"""Folders of images with boxes: COCO, VOC and YOLO of one scene are one table; hostile and broken files are refused by name and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tunesmith.data import xml_tree
from tunesmith.data.ledger import Ledger
from tunesmith.data.read import read
from tunesmith.errors import DataError
from tunesmith.parts import boxes
from tunesmith.spec import Data

SCENES = {
    "a": ((80, 60), [("cat", (8, 6, 40, 30)), ("dog", (40, 30, 80, 60))]), "b": ((50, 100), []),
    "c": ((64, 64), [("dog", (0, 0, 64, 32))]),
}
"""Name -> width and height, and boxes by their corners."""
NAMES = ["cat", "dog"]
LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>'


def pictures(folder: Path, place: str = "images") -> Path:
    (folder / place).mkdir(parents=True, exist_ok=True)
    for name, (size, _) in SCENES.items():
        Image.new("RGB", size, (90, 120, 60)).save(folder / place / f"{name}.png")
    return folder


def xml(name: str) -> str:
    (width, height), marks = SCENES[name]
    sides = lambda box: "".join(f"<{s}>{v}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box))  # noqa: E731
    objects = "".join(f"<object><name>{label}</name><bndbox>{sides(box)}</bndbox></object>" for label, box in marks)
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>"


def voc(folder: Path) -> Path:
    pictures(folder, "JPEGImages")
    (folder / "Annotations").mkdir()
    for name in SCENES:
        (folder / "Annotations" / f"{name}.xml").write_text(xml(name))
    return folder


def coco(folder: Path, file: str = "annotations/instances_all.json") -> Path:
    pictures(folder)
    marks = [(at, label, box) for at, (_, found) in enumerate(SCENES.values()) for label, box in found]
    value = {
        "images": [{"id": i, "file_name": f"{n}.png", "width": s[0][0], "height": s[0][1]} for i, (n, s) in enumerate(SCENES.items())],
        "annotations": [
            {"id": n, "image_id": at, "category_id": NAMES.index(label) + 1, "bbox": [x, y, X - x, Y - y], "iscrowd": 0}
            for n, (at, label, (x, y, X, Y)) in enumerate(marks)
        ],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(NAMES)],
    }
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(value))
    return folder


def yolo(folder: Path) -> Path:
    pictures(folder)
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    for name, ((w, h), found) in SCENES.items():
        lines = [f"{NAMES.index(k)} {(x + X) / 2 / w} {(y + Y) / 2 / h} {(X - x) / w} {(Y - y) / h}" for k, (x, y, X, Y) in found]
        if lines:
            (folder / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def seen(path: Path | str) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """Boxes by the image's name."""
    found = {}
    for row in read(str(path), Data(), Ledger()).rows():
        name = Path(row["image"]).stem
        found[name] = [(box.label, tuple(round(side, 6) for side in box.corners)) for box in boxes.read(row["boxes"], SCENES[name][0])]
    return found


@pytest.mark.parametrize("form", [voc, coco, yolo])
def test_every_form_of_a_folder_says_the_same(tmp_path, form):
    table = read(str(form(tmp_path / "data")), Data(), Ledger())
    assert all((tmp_path / "data" / cell).is_file() for cell in table.column("image"))
    assert table.place(0).endswith("a.png") and table.folder(0) == str(tmp_path / "data")
    assert seen(tmp_path / "data") == {name: [(label, box) for label, box in found] for name, (_, found) in SCENES.items()}


def test_a_coco_file_beside_its_images_is_read_as_a_file_and_one_with_an_underscore_with_its_folder(tmp_path):
    folder = coco(tmp_path / "a", "all.json")
    assert seen(folder / "all.json")["a"] == [("cat", (8, 6, 40, 30)), ("dog", (40, 30, 80, 60))]
    assert seen(coco(tmp_path / "b", "_annotations.coco.json"))["c"] == [("dog", (0, 0, 64, 32))]


ANNOTATIONS = [(voc, "Annotations/a.xml"), (coco, "annotations/instances_all.json"), (yolo, "labels/a.txt")]


@pytest.mark.parametrize(("form", "file"), ANNOTATIONS)
@pytest.mark.parametrize("way", ["pipe", "link out", "dead link"])
def test_annotations_that_are_no_files_of_the_folder_are_refused_without_waiting(tmp_path, form, file, way):
    folder = form(tmp_path / "data")
    beside = (folder / file).with_stem("more" if form is coco else "b")
    beside.unlink(missing_ok=True)
    if way == "pipe":
        os.mkfifo(beside)
    else:
        secret = tmp_path / "secret"
        secret.write_text("root:x:0:0")
        beside.symlink_to(secret if way == "link out" else tmp_path / "nothing")
    with pytest.raises(DataError) as caught:
        read(str(folder), Data(), Ledger())
    assert caught.value.code == "not-a-file" and beside.name in caught.value.place and "root" not in str(caught.value)


@pytest.mark.parametrize("way", ["pipe", "link out"])
def test_a_folder_whose_only_label_file_is_no_file_of_it_is_yolo_s_all_the_same(tmp_path, way):
    labels = yolo(tmp_path / "data") / "labels"
    for file in labels.iterdir():
        file.unlink()
    if way == "pipe":
        os.mkfifo(labels / "a.txt")
    else:
        (tmp_path / "secret").write_text("0 .5 .5 .1 .1")
        (labels / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError) as caught:
        read(str(tmp_path / "data"), Data(), Ledger())
    assert caught.value.code == "not-a-file" and "a.txt" in caught.value.place


def test_links_within_the_folder_are_files_of_it_and_a_pipe_of_names_is_none(tmp_path):
    folder = yolo(tmp_path / "data")
    (folder / "labels" / "a.txt").rename(folder / "kept.dat")
    (folder / "labels" / "a.txt").symlink_to(folder / "kept.dat")
    os.mkfifo(folder / "a.yaml")
    assert len(seen(folder)["a"]) == 2


@pytest.mark.parametrize(
    ("form", "file", "says"),
    [
        (voc, "JPEGImages/more.png", "1 image without an XML file: JPEGImages/more.png"),
        (coco, "images/more.png", "1 image that no list names: images/more.png"),
        (yolo, "labels/more.txt", "1 text file without an image: labels/more.txt"),
    ],
)
def test_what_has_no_other_half_is_passed_over_by_name(tmp_path, form, file, says):
    folder, ledger = form(tmp_path / "data"), Ledger()
    (folder / file).write_bytes((folder / ("labels/a.txt" if form is yolo else f"{file.partition('/')[0]}/a.png")).read_bytes())
    assert len(read(str(folder), Data(), ledger)) == len(SCENES)
    assert any(entry.why.endswith(f"passed over {says}") for entry in ledger.entries)


def test_parts_of_a_split_become_a_column(tmp_path):
    for part in ("train", "valid"):
        pictures(tmp_path / "a" / part)
        (tmp_path / "a" / part / "labels").mkdir()
        (tmp_path / "a" / part / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    table = read(str(tmp_path / "a"), Data(), Ledger())
    assert sorted(set(table.column("split"))) == ["train", "validation"] and len(table) == 6


def test_outlines_become_the_boxes_around_them(tmp_path):
    folder = yolo(tmp_path / "a")
    (folder / "labels" / "b.txt").write_text("1 0.1 0.2 0.5 0.2 0.3 0.6\n")
    assert seen(folder)["b"] == [("dog", (5, 20, 25, 60))]


@pytest.mark.parametrize(
    ("line", "says"), [("0 0.5 x 0.1 0.1", "numbers"), ("7 0.5 0.5 0.1 0.1", "class from 0 to 1"), ("0 0.5 0.5 0.1", "width, height")]
)
def test_a_bad_line_is_named(tmp_path, line, says):
    folder = yolo(tmp_path / "a")
    (folder / "labels" / "c.txt").write_text("0 0.5 0.5 0.1 0.1\n" + line)
    with pytest.raises(DataError, match=r"labels/c\.txt, line 2") as caught:
        read(str(folder), Data(), Ledger())
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (LAUGHS, "unsafe-xml"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>', "unsafe-xml"),
        ('<!DOCTYPE a SYSTEM "http://evil.example/a.dtd"><annotation/>', "unsafe-xml"),
        ("<annotation>" * 40 + "</annotation>" * 40, "unsafe-xml"),
        ("<annotation>" + "<a/>" * 100_001 + "</annotation>", "unsafe-xml"),
        ("<annotation><object></annotation>", "bad-xml"),
        ("<annotation>&undeclared;</annotation>", "bad-xml"),
        ("<annotation><object><name>cat</name></object></annotation>", "not-voc"),
        ("<annotation><object><bndbox/></object></annotation>", "not-voc"),
        ("<annotation><object><name>a</name><bndbox><xmin>left</xmin></bndbox></object></annotation>", "not-voc"),
    ],
)
def test_hostile_and_broken_annotations_are_refused_by_name(tmp_path, document, code):
    folder = voc(tmp_path / "a")
    (folder / "Annotations" / "b.xml").write_text(document)
    with pytest.raises(DataError, match=r"b\.xml") as caught:
        read(str(folder), Data(), Ledger())
    assert caught.value.code == code


def test_an_annotation_of_absurd_size_is_not_read(tmp_path):
    path = tmp_path / "a.xml"
    with open(path, "wb") as file:
        file.truncate(xml_tree.MOST_BYTES + 1)
    with pytest.raises(DataError, match="8 MiB"):
        xml_tree.read(path, "a.xml")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda v: v["annotations"][0].update(image_id=99), "annotation 1"),
        (lambda v: v["annotations"][1].update(category_id=None), "annotation 2"),
        (lambda v: v["annotations"][1].update(bbox=[1, 2, 3]), "annotation 2"),
        (lambda v: v["images"][1].update(id=0), "image 2"),
        (lambda v: v["categories"].append({"id": 9}), "category 3"),
    ],
)
def test_a_coco_entry_that_cannot_be_right_is_named(tmp_path, spoil, says):
    path = coco(tmp_path / "a", "all.json") / "all.json"
    value = json.loads(path.read_text())
    spoil(value)
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=says) as caught:
        read(str(path), Data(), Ledger())
    assert caught.value.code == "not-coco"


def test_several_lists_that_are_no_parts_of_a_split_are_not_mixed(tmp_path):
    folder = coco(tmp_path / "a")
    (folder / "annotations" / "instances_more.json").write_bytes((folder / "annotations" / "instances_all.json").read_bytes())
    with pytest.raises(DataError, match="instances_more"):
        read(str(folder), Data(), Ledger())


@pytest.mark.real
def test_the_raccoons_are_200_images_with_217_boxes(shared):
    table = read(str(shared / "object_detection" / "raccoon"), Data(), Ledger())
    assert len(table) == 200 and sum(map(len, table.column("boxes"))) == 217
