"""Tables with pictures: an encoder of their own, empty cells, files that are not there, and what pictures are worth to the answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny_images import make
from tunesmith import api, testing
from tunesmith.errors import DataError, ModelError

FAST = {"data.near_duplicates": 0.0, "train.threads": 1, "evaluate.resamples": 100}


def _shops(folder: Path, n: int = 120, seed: int = 0, gaps: float = 0.1) -> Path:
    """Shops whose takings follow from their size, their kind and how red their picture is; some have none."""
    rng = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        red, size, kind = rng.uniform(), int(rng.integers(10, 90)), rng.choice(["tea", "books", "bread"])
        shade = np.array([255 * red, 120, 255 * (1 - red)]) + rng.normal(0, 20, (24, 24, 3))
        Image.fromarray(shade.clip(0, 255).astype(np.uint8)).save(folder / "photos" / f"{seed}-{i}.png")
        photo = "" if rng.random() < gaps else f"photos/{seed}-{i}.png"
        row = {"size": size, "kind": kind, "beds": int(rng.integers(1, 4)), "since": f"20{10 + i % 12}-0{1 + i % 9}-11", "photo": photo}
        price = 60 + 0.8 * size + 60 * (red - 0.5) * bool(photo)
        rows.append(row | {"text": f"a shop near the park, number {i}", "price": round(price, 2)})
    path = folder / "shops.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tiny_vit: Path) -> Any:
    folder = tmp_path_factory.mktemp("shops")
    settings = FAST | {"train.epochs": 3.0, "train.lr": 1e-2, "image_model": str(tiny_vit)}
    return api.fit(str(_shops(folder)), model=str(tiny_bert), runs=str(folder / "runs"), **settings)


def test_pictures_are_read_and_said_to_be(run: Any) -> None:
    plan, ledger = (run.run.path / "plan.yaml").read_text("utf-8"), json.dumps(run.run.read("data.json")["ledger"])
    assert "task: mixed" in plan and "photo" in plan and "tiny-vit" in plan
    assert "column 'photo': pictures, read by the image encoder" in ledger and "without one, and a flag" in ledger


def test_the_picture_lowers_the_error_and_the_report_says_by_how_much(run: Any) -> None:
    report = run.run.read("report.json")
    rungs = {rung["name"]: rung["scores"]["r2"]["value"] for rung in report["ladder"]}
    assert rungs["tuned"] > rungs["trees on the table"] + 0.3 and rungs["probe"] > rungs["trees on the table"] + 0.3
    assert 0.1 < rungs["linear on the pictures"] < rungs["tuned"]
    worth = {one["name"]: one for one in report["columns"]}
    assert worth["photo"]["fall"] > 10 * abs(worth["beds"]["fall"]) and "image encoder" in worth["photo"]["read"]
    assert any(one["pictures"].get("photo", "").startswith("data:image") for one in report["worst"] + report["right"])


def test_a_request_gives_a_path_bytes_or_no_picture(run: Any, tmp_path: Path) -> None:
    Image.new("RGB", (24, 24), (250, 120, 5)).save(tmp_path / "red.png")
    Image.new("RGB", (30, 20), (5, 120, 250)).save(tmp_path / "blue.png")
    row = {"size": 50, "kind": "tea", "beds": 2, "since": "2012-03-11", "text": "a shop"}
    photos = [str(tmp_path / "red.png"), (tmp_path / "red.png").read_bytes(), str(tmp_path / "blue.png"), None, ""]
    red, same, blue, none, empty = (run.predict([row | {"photo": photo}])[0]["value"] for photo in photos)
    assert red == same > none == empty > blue
    assert run.predict([row])[0] == {**run.predict([row | {"photo": None}])[0], "remarks": "not given, taken as empty: photo"}
    with pytest.raises(DataError, match="gone.png"):
        run.predict([row | {"photo": str(tmp_path / "gone.png")}])


def test_the_saved_encoders_load_plainly(run: Any) -> None:
    from transformers import AutoModel

    model, seeing = AutoModel.from_pretrained(run.run.model), AutoModel.from_pretrained(run.run.model / "pictures")
    assert model.config.model_type == "bert" and seeing.config.model_type == "vit"


def test_a_labelled_file_elsewhere_finds_its_own_pictures(run: Any, tmp_path: Path) -> None:
    found = api.evaluate(run.path, _shops(tmp_path, 30, 7))
    assert found["rows"] == 30 and found["scores"]["r2"]["value"] > 0.3


def _plan(path: Path, model: Path, **settings: Any) -> Any:
    return api.plan(api.make_spec(str(path), model=str(model), runs=str(path.parent), **FAST | settings))


def test_a_missing_or_damaged_file_is_refused_by_row_and_path(tiny_bert: Path, tiny_vit: Path, tmp_path: Path) -> None:
    path = _shops(tmp_path, 40, gaps=0)
    (tmp_path / "photos/0-9.png").write_bytes((tmp_path / "photos/0-9.png").read_bytes()[:300])
    with pytest.raises(DataError, match=r"row 10: .*0-9\.png.*damaged"):
        _plan(path, tiny_bert, image_model=str(tiny_vit))
    (tmp_path / "photos/0-4.png").unlink()
    with pytest.raises(DataError, match=r"row 5: .*0-4\.png.*no such file.*1 further error"):
        _plan(path, tiny_bert, image_model=str(tiny_vit))


def test_a_picture_encoder_that_is_none_is_refused_with_a_way_out(tiny_bert: Path, tmp_path: Path) -> None:
    path = _shops(tmp_path, 40)
    with pytest.raises(ModelError, match="options.leave_out"):
        _plan(path, tiny_bert, image_model=str(tiny_bert))
    made = _plan(path, tiny_bert, leave_out=["photo"], image_model="nothing")
    assert made.source.picture is None and "photo" not in made.task.columns(made.task.inputs)


@pytest.mark.parametrize(
    ("strategy", "check"),
    [
        ("head-only", "cached is as uncached"), ("head-only", "alone is as in a batch"), ("head-only", "sums add up"),
        ("last-k", "a stopped run resumes to the same bits"), ("lora", "the saved model answers alike"),
    ],
)
def test_tables_with_pictures_meet_the_contract(strategy: str, check: str, tiny_bert: Path, tiny_vit: Path, tmp_path: Path) -> None:
    settings = {"task": "mixed", "strategy": strategy, "image_model": str(tiny_vit), "train.epochs": 1.0, "train.dropout": 0.0}
    options = {"strategy_options": {"k": 1}} if strategy == "last-k" else {}
    testing.CHECKS[check](_plan(_shops(tmp_path, 48), tiny_bert, **settings, **options), tmp_path)


def test_both_encoders_are_tuned_from_the_same_depth(tiny_bert: Path, tmp_path: Path) -> None:
    from tunesmith.training.state import State

    eyes = make(tmp_path / "resnet", "resnet")
    made = _plan(_shops(tmp_path, 48), tiny_bert, strategy="last-k", image_model=str(eyes), strategy_options={"k": 1})
    learning = set(State.start(made).carried)
    assert any(name.startswith("sight.module.") for name in learning) and any(name.startswith("backbone.") for name in learning)
    assert not any(name.startswith("sight.module.embedder") for name in learning)


def test_bytes_in_cells_and_several_columns_are_read_side_by_side(tiny_bert: Path, tiny_vit: Path, tmp_path: Path) -> None:
    import pandas as pd
    import torch

    from tunesmith.inference import collate
    from tunesmith.training.stages import Work
    from tunesmith.training.state import State

    table = pd.read_csv(_shops(tmp_path, 40, gaps=0.2))
    read = [(tmp_path / path).read_bytes() if isinstance(path, str) else None for path in table.pop("photo")]
    table["front"], table["back"] = read, read[::-1]
    table.to_parquet(tmp_path / "shops.parquet")
    made = _plan(tmp_path / "shops.parquet", tiny_bert, image_model=str(tiny_vit))
    assert made.task.images == ("front", "back") and made.plan.spec.task == "mixed"
    state = State.start(made)
    state.model.eval()
    batch = collate(made.task, Work.of(state).train.encoded, range(12), 0)
    assert batch["pixel_values"].shape == (12, 2, 3, 32, 32) and 0 < batch["seen"].sum() < 24
    with torch.no_grad():
        features_BE = state.model.features(batch)
    width = state.model.sight.source.hidden + 1
    parts_BKI = features_BE[:, 32 : 32 + 2 * width].unflatten(1, (2, width))
    assert torch.equal(parts_BKI[..., -1], batch["seen"].float()) and not parts_BKI[batch["seen"] == 0].any()
    (name, where), = made.task.apart().items()
    assert name == "linear on the pictures" and torch.equal(features_BE[:, where], parts_BKI.flatten(1))
