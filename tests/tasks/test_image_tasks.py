"""Images from folder, table and bytes to answers: claims, refusals, epochs that differ, memory that does not grow with the rows."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tunesmith import api, testing
from tunesmith.data import images
from tunesmith.data.dataset import read_sources
from tunesmith.data.table import Table
from tunesmith.errors import DataError, ModelError
from tunesmith.inference import encode
from tunesmith.models.source import processor
from tunesmith.models.vision import load_processor
from tunesmith.planning import choose_task
from tunesmith.predictor import Predictor
from tunesmith.registry import TASKS
from tunesmith.spec import Spec

FAST = {
    "train.epochs": 1, "train.batch": 8, "train.threads": 1, "data.near_duplicates": 0.0, "evaluate.resamples": 100,
    "strategy": "head-only",
}


def labelled(folder, rows: int = 60, seed: int = 0):
    """A folder per label of the task's own toy images."""
    for i, row in enumerate(TASKS.load("image-classification").sample(rows, seed)):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        (folder / row["label"] / f"{i}.png").write_bytes(images.payload(row["image"]))
    return folder


def chosen(path, **options):
    spec = Spec.of({"data": {"train": str(path)}, "options": options})
    return choose_task(spec, read_sources(spec.data))


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_image_classification(tmp_path):
    found = chosen(labelled(tmp_path / "pets"))
    assert found["task"].value == "image-classification" and found["options.image"].value == "image"


def test_tables_with_paths_numbers_and_bytes_find_their_task(tmp_path):
    paths = [f"photos/{i}.jpg" for i in range(40)]
    rows = zip(paths, ("cat", "dog") * 20, (str(i * 1.37) for i in range(40)))
    (tmp_path / "rows.csv").write_text("filename,species,weight\n" + "\n".join(map(",".join, rows)))
    assert chosen(tmp_path / "rows.csv")["task"].value == "image-classification"
    assert chosen(tmp_path / "rows.csv", target="weight")["task"].value == "image-regression"
    data = images.payload(TASKS.load("image-classification").sample(1, 0)[0]["image"])
    nested = pa.array([{"bytes": data, "path": None}] * 40)
    pq.write_table(pa.table({"photo": nested, "label": ["a", "b"] * 20}), tmp_path / "rows.parquet")
    found = chosen(tmp_path / "rows.parquet")
    assert found["task"].value == "image-classification" and found["options.image"].value == "photo"


def test_a_table_of_texts_is_not_taken_for_images(tmp_path):
    rows = [f'"a rather long review number {i} of a film",{"good" if i % 2 else "bad"},img_{i}.png' for i in range(40)]
    (tmp_path / "rows.csv").write_text("text,label,poster\n" + "\n".join(rows))
    assert chosen(tmp_path / "rows.csv")["task"].value == "text-classification"
    assert chosen(tmp_path / "rows.csv", image="poster")["task"].value == "image-classification"


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_bad_image_stops_the_run_before_the_model_is_looked_for(tmp_path):
    folder = labelled(tmp_path / "pets")
    victim = next((folder / "red").iterdir())
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(DataError, match=victim.name) as caught:
        api.plan(api.make_spec(str(folder), model="no/such-model"))
    assert caught.value.code == "damaged-image"


def test_missing_files_are_listed_where_not_one_is_there(tmp_path):
    names = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "rows.csv").write_text(f"image,label\n{names}")
    with pytest.raises(DataError, match="40 rows with no such file.*data.files=FOLDER") as caught:
        api.plan(api.make_spec(str(tmp_path / "rows.csv"), model="no/such-model"))
    assert caught.value.code == "no-such-file" and "row 1" in str(caught.value) and "0.png" in str(caught.value)


@pytest.mark.parametrize("strategy", ["prompt", "prefix", "p-tuning"])
def test_learnt_tokens_need_a_text(tiny_vit, tmp_path, strategy):
    with pytest.raises(ModelError, match="reads images"):
        testing.run("gradients are finite and only where told", "image-classification", strategy, tiny_vit, tmp_path)


# -- encoding ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tiny_vit, tmp_path):
    """Builds a plan over toy rows with these options of the task."""

    def make(task: str = "image-classification", **options):
        path = testing.write_rows(TASKS.load(task).sample(60, 0), tmp_path / "rows.csv")
        spec = api.make_spec(str(path), task=task, model=str(tiny_vit), runs=str(tmp_path / "runs"), **FAST)
        return api.plan(Spec.of({**spec.model_dump(exclude_defaults=True), "options": options}))

    return make


def test_rows_are_held_as_rows_and_not_as_pixels(made):
    ready = made()
    encoded = encode(ready.task, processor(ready.source), ready.data.train)
    assert set(encoded.arrays) == {"target", "row_weight"} and encoded.later is not None
    assert sum(array.nbytes for array in encoded.arrays.values()) < 100 * len(encoded)


def test_an_epoch_is_a_function_of_seed_epoch_and_row(made):
    ready = made()
    encoded = encode(ready.task, processor(ready.source), ready.data.train)
    one, again, other = (encoded.at(0, epoch).examples([3, 1, 4]) for epoch in (1, 1, 2))
    alone = encoded.at(0, 1).examples([1])[0]
    same = [np.array_equal(a["pixel_values"], b["pixel_values"]) for a, b in zip(one, again)]
    assert all(same) and np.array_equal(one[1]["pixel_values"], alone["pixel_values"])
    assert any(not np.array_equal(a["pixel_values"], b["pixel_values"]) for a, b in zip(one, other))
    shuffled = encode(ready.task, processor(ready.source), ready.data.train.take(np.arange(len(encoded))[::-1]))
    mirrored = shuffled.at(0, 1).examples([len(encoded) - 2])[0]
    assert np.array_equal(alone["pixel_values"], mirrored["pixel_values"])


def test_blends_count_both_labels_and_add_up(made):
    import torch

    from tunesmith.models.source import load

    ready = made(augment=["mixup", "cutmix"])
    encoded = encode(ready.task, processor(ready.source), ready.data.train).at(0, 0)
    model = ready.task.model(load(ready.source), 0.0).eval()
    batches = [ready.task.collate(encoded.examples(part), 0) for part in (range(8), range(3), range(3, 8))]
    whole, *parts = [float(ready.task.loss(model, batch).detach()) for batch in batches]
    assert abs(whole - sum(parts)) < 1e-4 and abs(ready.task.weight(batches[0]) - 8) < 1e-5
    assert not torch.equal(batches[0]["target"], batches[0]["other_target"])


def test_a_number_of_a_blend_lies_between(made):
    ready = made("image-regression", augment=["mixup"])
    encoded = encode(ready.task, processor(ready.source), ready.data.train)
    low, high = encoded.arrays["target"].min(), encoded.arrays["target"].max()
    blended = np.array([example["target"] for example in encoded.at(0, 0).examples(range(20))])
    assert (blended >= low - 1e-6).all() and (blended <= high + 1e-6).all()
    assert not np.allclose(blended, encoded.arrays["target"][:20])


@pytest.mark.parametrize("family", ["dinov2", "convnext", "efficientnet"])
def test_a_number_is_told_of_the_whole_image(family, tmp_path):
    """Processors that cut the middle out do not hide the edges of an image in which something is counted."""
    from tests.tiny_images import SIDE, make

    reader = load_processor(make(tmp_path / family, family))
    task = TASKS.load("image-regression").build({}, "image-regression").fit(Table.of(TASKS.load("image-regression").sample(8, 0)))
    seen = []
    for edge in (0, 255):
        pixel_HW = np.full((60, 100), 90, np.uint8)
        pixel_HW[:, :4] = edge
        packed = io.BytesIO()
        Image.fromarray(pixel_HW).save(packed, "PNG")
        seen.append(task.encode([{"image": images.address(packed.getvalue())}], reader)[0]["pixel_values"])
    assert seen[0].shape == (3, SIDE, SIDE) and np.abs(seen[0] - seen[1]).max() > 0.5


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tiny_vit, tmp_path_factory):
    root = tmp_path_factory.mktemp("image-run")
    result = api.fit(str(labelled(root / "pets", 80)), model=str(tiny_vit), runs=str(root / "runs"), **FAST)
    return root, result


def test_a_folder_becomes_a_run_with_pictures_in_its_report(run):
    root, result = run
    report = json.loads((result.path / "report.json").read_text())
    assert {rung["name"] for rung in report["ladder"]} >= {"majority", "colours, edges + linear", "tuned"}
    shown = [*report["worst"], *report["right"]]
    assert shown and all(one["pictures"]["image"].startswith("data:image/jpeg;base64,") for one in shown)
    page = (result.path / "report.html").read_text()
    assert page.count("<img src=\"data:image/jpeg") == len([*report["worst"], *report["right"][:4]])


def test_every_way_of_asking_gives_the_same_answer(run, tmp_path):
    root, result = run
    path = next((root / "pets" / "red").iterdir())
    data = path.read_bytes()
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    answers = [result.predict(asked)[0] for asked in (str(path), [path], [data], [{"image": address}], [{"image": {"bytes": data}}])]
    assert all(answer["label"] == answers[0]["label"] for answer in answers)
    folder = tmp_path / "new"
    folder.mkdir()
    Image.open(io.BytesIO(data)).save(folder / "a.png")
    assert result.predict(result.read(folder))[0]["label"] == answers[0]["label"]


def test_predict_refuses_what_training_refuses(run, tmp_path):
    (tmp_path / "x.png").write_text("<svg></svg>")
    with pytest.raises(DataError, match="SVG"):
        run[1].predict(str(tmp_path / "x.png"))
    with pytest.raises(DataError, match="no such file"):
        run[1].predict("missing.png")


def test_a_labelled_folder_is_evaluated(run, tmp_path):
    _, result = run
    found = api.evaluate(result.path, labelled(tmp_path / "more", 30, seed=5))
    assert found["scores"]["accuracy"]["value"] > 0.9
    other = Predictor(result.run, result.predictor.task.settle(image="shot", label="kind"), result.predictor.model, None)
    assert set(other.read(tmp_path / "more").names) == {"shot", "kind"}
