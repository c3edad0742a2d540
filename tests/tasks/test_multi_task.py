"""Several targets on one encoder: kinds found, rows that lack some, heads as the single tasks have them, a run from file to answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs import write_lines
from tunesmith import api
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError
from tunesmith.inference import encode
from tunesmith.parts import jointly, several
from tunesmith.predictor import Predictor
from tunesmith.tasks.multi_task import HEADLINE, MultiTask
from tunesmith.tasks.text_classification import TextClassification
from tunesmith.testing import write_rows
from tunesmith.training.batches import drawn_rows

NAMES = ("intent", "tone", "slots")
FAST = {"data.near_duplicates": 0.0, "train.threads": 1, "evaluate.resamples": 100}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Any:
    folder = tmp_path_factory.mktemp("several")
    path = write_rows(MultiTask.sample(160, 0), folder / "orders.csv")
    settings = FAST | {"options.target": "intent,tone,slots", "options.singly": True, "options.weights": "learned", "options.sampling": 2.0}
    settings |= {"train.epochs": 2.0, "train.lr": 3e-3}
    return api.fit(str(path), model=str(tiny_bert), runs=str(folder / "runs"), **settings)


def _fitted(rows: list[dict[str, Any]], **options: Any) -> tuple[MultiTask, Table]:
    table = Table.of(rows)
    kinds = tuple(several.kind_of(table, Profile.of(table), "text", name).value for name in options["target"])
    return MultiTask(kinds=kinds, **options).fit(table), table


# -- a run ------------------------------------------------------------------------------------------------------------


def test_targets_that_are_named_choose_the_task_and_their_kinds_have_reasons(run: Any) -> None:
    plan = (run.run.path / "plan.yaml").read_text("utf-8")
    assert "task: multi-task" in plan and run.run.read("task.json")["values"]["kinds"] == ["class", "number", "tags"]
    assert "a tag for each word" in plan and "one label of" in plan


def test_each_target_has_its_scores_and_the_headline_is_their_mean(run: Any) -> None:
    report = run.run.read("report.json")
    scores = {name: one["value"] for name, one in report["parts"]["test"]["scores"].items()}
    heads = [scores["intent macro_f1"], max(0.0, scores["tone r2"]), scores["slots entity_f1"]]
    assert next(iter(scores)) == HEADLINE and scores[HEADLINE] == pytest.approx(np.mean(heads))
    assert all(report["parts"]["test"]["scores"][name]["low"] is not None for name in ("intent macro_f1", "tone spearman"))


def test_the_report_says_of_each_target_whether_sharing_helped(run: Any) -> None:
    report = run.run.read("report.json")
    assert [one["target"] for one in report["sharing"]] == list(NAMES)
    assert all(one["ours"] - one["theirs"] == pytest.approx(one["difference"]["value"]) for one in report["sharing"])
    page = (run.run.path / "report.html").read_text("utf-8")
    assert all(f"{name}: sharing" in page for name in NAMES) and not (run.run.path / "singly").exists()


def test_a_row_that_cannot_be_judged_is_named(run: Any, tmp_path: Path) -> None:
    rows = MultiTask.sample(6, 1)
    rows[2]["slots"] = rows[2]["slots"][1:]
    with pytest.raises(DataError, match=r"more\.csv, row 3.*column 'slots': expected"):
        api.evaluate(run.path, write_rows(rows, tmp_path / "more.csv"))


def test_files_with_targets_of_their_own_are_learned_and_judged_together(tmp_path: Path, tiny_bert: Path) -> None:
    """Each file is a data set: what it does not have is missing in its rows, and a column that is no target is still wanted in all."""
    rows = [row | {"moods": ["glad", "sad"][: 1 + at % 2]} for at, row in enumerate(MultiTask.sample(80, 0)) if row["tone"] != ""]
    own = {"a.jsonl": ("intent", "slots"), "b.jsonl": ("tone",), "c.jsonl": ("moods",)}
    for at, (name, kept) in enumerate(own.items()):
        write_lines(tmp_path / name, [{key: row[key] for key in ("text", *kept)} for row in rows[at::3]])
    test = write_lines(tmp_path / "test.jsonl", [{"text": f"{row['text']} {at}", "tone": row["tone"]} for at, row in enumerate(rows[:9])])
    paths, names = [str(tmp_path / name) for name in own], ["intent", "tone", "slots", "moods"]
    settings = FAST | {"data.train": paths, "data.test": str(test), "options.target": names, "train.epochs": 1.0, "task": "multi-task"}
    run = api.fit(None, model=str(tiny_bert), runs=str(tmp_path / "runs"), strategy="lora", **settings)
    assert run.scores["tone mse"] > 0 and sum("has no column" in one["why"] for one in run.run.read("data.json")["ledger"]) == 11
    for path, name in zip(paths, ("intent accuracy", "tone mse", "moods micro_f1"), strict=True):
        known = {score for score, found in api.evaluate(run.path, path)["scores"].items() if found["value"] is not None}
        assert name in known and len({score.split()[0] for score in known} - {HEADLINE}) == len(own[Path(path).name])
    with pytest.raises(DataError, match="b.jsonl: expected the columns of a.jsonl"):
        api.check(api.make_spec(None, **settings | {"task": "text-classification", "options.target": ()}))


def test_predict_answers_all_targets_as_the_run_did(run: Any) -> None:
    found = Predictor.load(run.run.path).predict(["please play some3 jazz kindly"])[0]
    assert set(found) == set(NAMES) and found["intent"]["label"] in ("play", "buy")
    assert isinstance(found["tone"]["value"], float) and "entities" in found["slots"]
    assert json.dumps(found)


def test_noise_is_learned_and_comes_back_with_the_model(run: Any) -> None:
    noise_K = Predictor.load(run.run.path).model.noise_K
    assert noise_K.shape == (3,) and bool((noise_K != 0).all())


# -- rows -------------------------------------------------------------------------------------------------------------


def test_kinds_are_told_from_cells() -> None:
    rows = [
        {"text": f"a b c{i}", "one": "xy"[i % 2], "number": i / 7, "any": ["p", "q"][: i % 3], "tags": ["O", "O", "B-x"],
         "spans": [{"start": 0, "end": 1, "label": "x"}]}
        for i in range(60)
    ]
    table = Table.of(rows)
    found = [several.kind_of(table, Profile.of(table), "text", name).value for name in ("one", "number", "any", "tags", "spans")]
    assert found == ["class", "number", "labels", "tags", "spans"]


def test_a_target_that_no_kind_fits_is_refused() -> None:
    table = Table.of([{"text": f"a b c d {i}", "free": f"some long words that say much about row {i}"} for i in range(60)])
    with pytest.raises(DataError, match="column 'free'"):
        several.kind_of(table, Profile.of(table), "text", "free")


def test_what_a_row_lacks_neither_teaches_nor_is_judged() -> None:
    rows = [{"text": f"good {i}" if i % 2 else f"bad {i}", "label": "gb"[i % 2], "mark": float(i % 2) * 3 + i / 50} for i in range(40)]
    lacking = [{**row, "label": None} if i % 4 == 0 else row for i, row in enumerate(rows)]
    task, table = _fitted(lacking, target=("label", "mark"))
    truth = task.truth(table)
    assert [row["label"] is None for row in truth] == [i % 4 == 0 for i in range(40)]
    logits = np.array([[i % 2, 1 - i % 2] for i in range(40)], np.float64) * np.where(np.arange(40) % 4 == 0, -9, 9)[:, None]
    named = {"label: logits": logits if task.parts[0].labels[0] == "b" else logits[:, ::-1], "mark: numbers": np.zeros((40, 1))}
    scores = task.score(named, truth)
    assert scores["label accuracy"] == 1.0 and scores["mark r2"] < 0 and scores[HEADLINE] == 0.5
    assert task.rests_on(task.condense(named, truth))["label accuracy"] == 30


def test_condensed_outputs_score_alike_for_any_rows() -> None:
    rows = [{"text": f"w{i}", "label": "gb"[i % 2], "mark": i / 5} for i in range(30)]
    task, table = _fitted(rows, target=("label", "mark"))
    rng, truth = np.random.default_rng(0), task.truth(table)
    outputs = {"label: logits": rng.standard_normal((30, 2)), "mark: numbers": rng.standard_normal((30, 1))}
    some_N = rng.integers(0, 30, 30)
    take = lambda found: {name: value[some_N] for name, value in found.items()}  # noqa: E731
    one, other = task.score(take(outputs), truth[some_N]), task.score(take(task.condense(outputs, truth)), truth[some_N])
    assert one == other


def test_a_target_without_rows_has_no_score_and_is_left_out_of_the_mean() -> None:
    rows = [{"text": f"w{i}", "label": "gb"[i % 2], "mark": i / 5} for i in range(20)]
    task, _ = _fitted(rows, target=("label", "mark"))
    test = Table.of([{**row, "mark": None} for row in rows])
    outputs = {"label: logits": np.zeros((20, 2)), "mark: numbers": np.zeros((20, 1))}
    scores = task.score(outputs, task.truth(test))
    assert np.isnan(scores["mark r2"]) and scores[HEADLINE] == scores["label macro_f1"]


# -- one head each ----------------------------------------------------------------------------------------------------


def test_a_solved_head_is_that_of_the_single_task() -> None:
    rng = np.random.default_rng(0)
    rows = [{"text": f"w{i}", "label": "gb"[i % 2] if i % 5 else None, "mark": i / 5} for i in range(60)]
    task, table = _fitted(rows, target=("label", "mark"))
    features_ND, encoded = rng.standard_normal((60, 4)), _Rows(60)
    encoded.arrays["pooled_D"] = features_ND
    found = task.solve(*task.units(encoded, task.truth(table)), 1e-2)  # type: ignore[arg-type]
    kept = several.having(table, "label")
    alone = TextClassification(text="text", label="label").fit(table.take(kept))
    single = alone.solve(features_ND[kept], alone.truth(table.take(kept)), 1e-2)
    first = len(single.bias_C)
    np.testing.assert_allclose(found.weight_CD[:first], single.weight_CD, atol=1e-5)
    assert found.weight_CD.shape == (first + 1, 4)


class _Rows:
    def __init__(self, rows: int) -> None:
        self.row_N, self.arrays = np.arange(rows), {}


@pytest.mark.parametrize("how", ["mean", "cls", "last"])
def test_texts_are_pooled_as_the_model_pools_them(how: str) -> None:
    import torch

    from tunesmith.models.heads import pool

    hidden_BTD = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask_BT = torch.tensor([[1, 1, 1], [1, 1, 0]])
    flat = hidden_BTD[mask_BT.bool()].numpy()
    np.testing.assert_allclose(several.pooled(flat, np.array([0, 3, 5]), how), pool(hidden_BTD, mask_BT, how).numpy(), atol=1e-6)


def test_words_and_texts_of_a_row_in_windows_count_once(tiny_bert: Path) -> None:
    from tunesmith.models.source import find, processor

    words = [f"w{i}" for i in range(80)]
    rows = [{"text": words, "tags": ["B-x" if i == 70 else "O" for i in range(80)], "label": "gb"[at % 2]} for at in range(4)]
    task = MultiTask(target=("tags", "label"), kinds=("tags", "class"), max_tokens=32).fit(Table.of(rows))
    reader = processor(find(str(tiny_bert)))
    task = task.suit(Table.of(rows), reader, 64, "none")
    encoded = encode(task, reader, Table.of(rows))
    assert len(encoded) > 4
    weight_N = np.bincount(encoded.row_N, np.asarray(encoded.arrays["row_weight_1"]))
    tagged_N = [sum((encoded.arrays["tags_0"][at] >= 0).sum() for at in np.flatnonzero(encoded.row_N == row)) for row in range(4)]
    np.testing.assert_allclose(weight_N, 1.0)
    assert tagged_N == [80] * 4
    outputs = {"label: logits": np.arange(len(encoded) * 2, dtype=float).reshape(-1, 2)}
    mean_NC = several.mean_of_rows(outputs["label: logits"], encoded.row_N)
    np.testing.assert_allclose(mean_NC[1], outputs["label: logits"][encoded.row_N == 1].mean(0))


# -- sampling and options ---------------------------------------------------------------------------------------------


def test_temperature_draws_rare_targets_more_often_and_epochs_stay_as_long() -> None:
    known_NK = np.array([[True, False]] * 90 + [[False, True]] * 10)
    shares = []
    for temperature in (1.0, 2.0, 1000.0):
        group_N, goal_G = several.goals(known_NK, temperature)
        drawn = drawn_rows(group_N, goal_G, 0, 0)
        assert len(drawn) == goal_G.sum() and abs(len(drawn) - 100) <= 1
        shares.append(float((drawn >= 90).mean()))
    assert shares[0] == 0.1 and shares[1] == pytest.approx(0.25, abs=0.01) and shares[2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"weights": (1.0,)}, {"kinds": ("class",)}, {"sampling": 0.5}, {"weights": (1.0, -1.0)},
        {"kinds": ("tags", "class"), "text_pair": "b"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        MultiTask(target=("x", "y"), **options)


def test_a_number_that_never_changes_is_refused_in_training_rows_alone() -> None:
    rows = [{"text": f"row {n}", "kind": "ab"[n % 2], "size": 7} for n in range(4)]
    task = MultiTask(target=("kind", "size"), kinds=("class", "number"))
    assert not [f for f in task.check(Table.of(rows[:2])) if f.level == "error"]
    with pytest.raises(DataError, match="column 'size', got only 7"):
        task.fit(Table.of(rows))


def test_bad_numbers_are_named_by_row_and_missing_ones_only_counted() -> None:
    rows = [{"text": f"w{i}", "label": "gb"[i % 2], "mark": "1,5" if i == 3 else "" if i == 4 else str(i)} for i in range(20)]
    found = MultiTask(target=("label", "mark"), kinds=("class", "number")).check(Table.of(rows))
    assert [one.level for one in found if one.level == "error"] == ["error"]
    assert any("row 4" in str(one.rows) for one in found if one.level == "error")
    assert any(one.code == "target-missing" and "1 of 20" in one.message for one in found)


def test_numbers_alone_are_left_to_regression() -> None:
    rows = [{"text": f"some words in row {i}", "a": i / 7, "b": i / 3, "c": "xy"[i % 2]} for i in range(60)]
    profile = Profile.of(Table.of(rows))
    claims = [MultiTask.claim(profile, {"target": names}) for names in (("a", "b"), ("a", "c"), ("a",))]
    assert claims[0] and claims[0].sure < 0.9 and claims[1] and claims[1].sure > 0.9 and claims[2] is None
    assert MultiTask.claim(profile, {}).sure < 0.1  # type: ignore[union-attr]


def test_baselines_of_all_targets_stand_together() -> None:
    each = [{"majority": {"logits": np.zeros(2)}, "TF-IDF": {"logits": np.ones(2)}}, {"mean": {"numbers": np.zeros(2)}}]
    found = jointly.ladder(("a", "b"), each)
    assert list(found) == ["majority, mean", "TF-IDF, mean"] and set(found["TF-IDF, mean"]) == {"a: logits", "b: numbers"}
