"""Pictures made: noise that follows from rows, claims, questions, and a run from nothing to its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith
from tests import tiny_pipelines as tiny
from tunesmith import api
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, ModelError, SpecError
from tunesmith.inference import Later
from tunesmith.models.source import find, processor
from tunesmith.parts import making, pictures
from tunesmith.registry import TASKS

TASK = TASKS.load("image-generation")
SMALL = {"train.epochs": 1, "train.threads": 1, "evaluate.resamples": 100, "data.near_duplicates": 0.0}


def images(folder: Path, count: int, bright: Any = lambda at: True) -> list[str]:
    """PNG files of toy pictures, and their names."""
    import base64

    folder.mkdir(parents=True, exist_ok=True)
    rng, names = np.random.default_rng(0), []
    for at in range(count):
        uri = pictures.toy(rng, bright(at))
        (folder / f"{at}.png").write_bytes(base64.b64decode(uri.removeprefix(pictures.PNG)))
        names.append(f"{at}.png")
    return names


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on a folder of pictures and nothing else: the task is found, the model is new."""
    folder = tmp_path_factory.mktemp("run")
    images(folder / "pictures", 40)
    return tunesmith.fit(
        str(folder / "pictures"), runs=str(folder / "runs"), side=8, steps=3, watched_pictures=4, judged_pictures=4,
        **{**SMALL, "train.budget": "30s"},
    )


def test_a_folder_of_pictures_becomes_a_model_that_makes_some(run: Any) -> None:
    spec = run.run.spec
    assert spec.task == "image-generation" and spec.model.startswith("new:8px:") and spec.strategy == "full"
    assert 0 < spec.train.ema < 1
    scores = run.report["parts"]["test"]["scores"]
    assert list(scores) == ["kid", "fid", "denoising_loss", "copies"] and all(one["value"] is not None for one in scores.values())
    assert {rung["name"] for rung in run.report["ladder"]} == {
        "random noise", "each pixel by itself", "training pictures drawn again", "tuned",
    }
    assert run.report["inputs"] == [] and "Inception" in run.report["how_scored"]["kid"]


def test_the_report_shows_what_was_made_while_learning_and_the_nearest_training_picture(run: Any) -> None:
    page = (run.path / "report.html").read_text("utf-8")
    sheets = sorted((run.path / "samples").glob("*.png"))
    assert sheets and page.count("Pictures made at step") == len(sheets)
    assert page.count('<figcaption class="soft">nearest training picture</figcaption>') >= 4
    assert "trained from scratch" in (run.path / "README.md").read_text("utf-8")


def test_asked_again_it_makes_the_same_pictures_and_as_many_as_asked(run: Any) -> None:
    first, again = run.predict("3"), api.load(run.path).predict("3")
    assert first == again and len({one["picture"] for one in first}) == 3
    assert pictures.opened(first[0]["picture"]).shape == (8, 8, 3)
    with pytest.raises(DataError, match="a number of pictures"):
        run.predict("a kite")


def test_it_is_judged_on_other_pictures(run: Any, tmp_path: Path) -> None:
    images(tmp_path / "others", 6)
    found = tunesmith.evaluate(run.path, str(tmp_path / "others"))
    assert found["rows"] == 6 and found["scores"]["kid"]["value"] is not None and found["scores"]["copies"]["value"] is None


def test_pictures_go_to_a_folder(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tunesmith.cli.predict import command

    assert command(str(run.path), ["2"], out=f"{tmp_path / 'made'}/") == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["answers.csv", "row-1.png", "row-2.png"]
    assert command(str(run.path), ["1"]) == 0
    assert "a picture of" in capsys.readouterr().out.splitlines()[-1]


def test_what_is_kept_does_not_hold_the_training_pictures(run: Any) -> None:
    saved = json.loads((run.path / "task.json").read_text("utf-8"))["values"]
    assert "known" not in saved and str(run.path.parents[1]) not in json.dumps(saved)


def test_the_pipeline_of_a_run_loads_plainly(run: Any) -> None:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(run.path / "model", local_files_only=True)
    assert type(pipe).__name__ == "DDIMPipeline" and pipe.unet.config.sample_size == 8


# -- noise ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def easel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return processor(find(str(tiny.pixels(tmp_path_factory.mktemp("models") / "m")), "diffusion"))


def fitted(**options: Any) -> Any:
    return TASK(**options).settle(labels=("day", "night") if options.get("label") else (), frame=8, ways=("flip",))


def test_noise_follows_from_seed_epoch_and_row_alone(easel: Any) -> None:
    table = Table.of(TASK.sample(12, 0))
    rows = lambda drawn: Later(fitted(label="label"), easel, table, drawn)  # noqa: E731
    one, other = rows((3, 5)).examples(range(12)), rows((3, 5)).examples([11, 4])
    for name in ("noise", "level", "painted", "label"):
        assert np.array_equal(one[4][name], other[1][name]) and np.array_equal(one[11][name], other[0][name])
    again, later = rows((3, 5)).examples([4])[0], rows((3, 6)).examples([4])[0]
    assert np.array_equal(one[4]["noise"], again["noise"]) and not np.array_equal(one[4]["noise"], later["noise"])
    assert one[4]["noise"].shape == (1, 3, 8, 8) and one[4]["noise"].std() > 0.8


def test_held_out_rows_see_the_same_noise_each_time_at_every_quarter_of_the_schedule(easel: Any) -> None:
    rows = TASK.sample(6, 0)
    first, again = (fitted().encode(rows, easel) for _ in range(2))
    assert all(np.array_equal(a["noise"], b["noise"]) and np.array_equal(a["start"], b["start"]) for a, b in zip(first, again))
    assert all(((one["level"] // 250) == np.arange(4)).all() for one in first)
    assert not np.array_equal(first[0]["noise"], first[1]["noise"])


def test_labels_are_forgotten_at_the_asked_rate_and_pictures_mirrored_half_the_time(easel: Any) -> None:
    table = Table.of(TASK.sample(200, 0))
    found = Later(fitted(label="label", forgotten=0.25), easel, table, (0, 0)).examples(range(200))
    forgotten = np.mean([one["label"] == 2 for one in found])
    assert 0.15 < forgotten < 0.35
    plain = fitted(label="label").encode(table.rows(), easel)
    same = np.mean([np.array_equal(a["painted"], b["painted"]) for a, b in zip(found, plain)])
    assert 0.35 < same < 0.65


def test_pictures_are_cut_to_their_middle_and_transparency_is_laid_on_white(easel: Any) -> None:
    import io

    from PIL import Image

    wide = np.zeros((10, 30, 4), np.uint8)
    wide[:, 10:20] = (200, 0, 0, 255)
    packed = io.BytesIO()
    Image.fromarray(wide).save(packed, "PNG")
    assert (pictures.square(packed.getvalue(), 8)[:, 2:6] == (200, 0, 0)).all()
    wide[:] = 0
    packed = io.BytesIO()
    Image.fromarray(wide).save(packed, "PNG")
    assert (pictures.square(packed.getvalue(), 8) == 255).all()


# -- what is asked, and of which tables -------------------------------------------------------------------------------


def test_labels_are_asked_by_name_and_equal_questions_are_told_apart() -> None:
    task = fitted(label="label")
    assert task.questions(["day", "night", "day"]) == [
        {"label": "day", "sample": 0}, {"label": "night", "sample": 0}, {"label": "day", "sample": 1},
    ]
    with pytest.raises(DataError, match="did you mean 'night'"):
        task.questions(["nigt"])
    with pytest.raises(SpecError, match="one of them"):
        TASK(label="a", caption="b")


def claim(rows: list[dict[str, Any]], **named: Any) -> Any:
    return TASK.claim(Profile.of(Table.of(rows)), named)


def test_a_table_is_claimed_only_where_nothing_is_to_be_answered_about_the_pictures() -> None:
    names = [f"{at}.png" for at in range(30)]
    captions = [f"a {at % 7} legged cat on mat {at}" for at in range(30)]
    alone = claim([{"image": name} for name in names])
    said = claim([{"image": name, "caption": text} for name, text in zip(names, captions)])
    labelled = [{"image": name, "label": "ab"[at % 2]} for at, name in enumerate(names)]
    assert alone.sure > 0.5 and said.sure > 0.5 and said.columns["caption"].value == "caption"
    assert claim(labelled).sure < 0.1 and claim(labelled).columns["label"].value == "label"
    assert TASKS.load("image-classification").claim(Profile.of(Table.of(labelled)), {}).sure > claim(labelled).sure
    assert claim(labelled, label="").columns.keys() == {"image"}
    assert claim([{"text": "a"}]) is None


def test_rows_without_what_they_show_are_named() -> None:
    table = Table.of([{"image": "a.png", "caption": "a cat"}, {"image": "b.png", "caption": " "}], name="rows.csv")
    (found,) = TASK(caption="caption").check(table)
    assert found.code == "empty-condition" and found.rows == ("rows.csv, row 2",)


def test_a_new_model_is_as_large_as_the_time_allows_and_learns_as_a_whole(tmp_path: Path, easel: Any) -> None:
    make = lambda side, widths: type("R", (), {"name": f"{side}:{widths}"})  # noqa: E731
    short, long = (making.recipe(64, False, seconds, 5e10, make) for seconds in (60.0, 36_000.0))
    assert short.value.startswith("16:") and long.value.startswith("64:") and "the images have 64" in long.why
    images(tmp_path / "p", 12)
    spec = api.make_spec(str(tmp_path / "p"), model="new:8px:8-16", strategy="lora", runs=str(tmp_path), **SMALL)
    from tunesmith.training.state import State

    with pytest.raises(SpecError, match="all weights to learn"):
        State.start(api.plan(spec))


def test_captions_and_models_that_read_none_do_not_meet(easel: Any) -> None:
    with pytest.raises(ModelError, match="a model that reads captions"):
        making.takes(easel, "caption", "")
    making.takes(easel, "", "label")


def test_mirrors_are_left_out_where_words_would_lie() -> None:
    assert making.ways("auto", ("an arrow pointing left",))[0] == ()
    assert making.ways("auto", ("a cat",))[0] == ("flip",) and making.ways("none", ())[0] == ()
