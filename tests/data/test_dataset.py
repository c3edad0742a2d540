"""The one door: files to parts, every row accounted for, digests that mean the content, JSON that can be read back."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data import planted
from tunesmith import spec
from tunesmith.data.cut import PARTS
from tunesmith.data.dataset import Dataset, Sources, arrange, load, read_sources
from tunesmith.data.finding import Finding
from tunesmith.data.ledger import Ledger
from tunesmith.data.profile import Profile
from tunesmith.data.table import Table
from tunesmith.errors import DataError, SpecError


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return str(path)


def rows_of(n: int, seed: int = 0) -> list[dict[str, Any]]:
    return [{k: row[k] for k in ("text", "label", "stars")} for row in planted.clean(n, seed)]


def of(rows: list[dict[str, Any]], **options: Any) -> Dataset:
    table = Table.of(rows, "train.csv")
    sources = Sources({"train": table}, Profile.of(table), Ledger())
    return arrange(sources, spec.Data(**options), inputs=["text"], targets=["label"], kind="label", seed=0)


def test_from_files_to_parts(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.csv", rows_of(300)), write(tmp_path / "b.csv", rows_of(60, 1))
    data = load(spec.Data(train=train, test=test), ["text"], ["label"], "label", 0)
    assert len(data.test) == 60 and sum(len(data.part(p)) for p in PARTS) == 360
    assert data.test.place(0).endswith("b.csv, row 1") and data.train.place(0).split(",")[0].endswith("a.csv")
    assert data.profile.rows == 300 and data.splits.how.value == "files"
    assert json.loads(json.dumps(data.as_json(), allow_nan=False)) == data.as_json()


def test_sources_are_read_once_and_know_their_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows_of(100))
    sources = read_sources(spec.Data(train=path))
    assert sources.name.endswith("a.csv") and set(sources.profile.columns) == {"text", "label", "stars"}
    Path(path).unlink()
    arranged = arrange(sources, spec.Data(train=path), inputs=["text"], targets=["label"], kind="label", seed=0)
    assert sum(len(arranged.part(p)) for p in PARTS) == 100


def test_load_refuses_errors_and_arrange_keeps_them(tmp_path: Path) -> None:
    rows = rows_of(60)
    rows[2]["label"] = ""
    options = spec.Data(train=write(tmp_path / "a.csv", rows))
    with pytest.raises(DataError, match="row 3: expected a label in every row"):
        load(options, ["text"], ["label"], "label", 0)
    kept = arrange(read_sources(options), options, inputs=["text"], targets=["label"], kind="label", seed=0)
    assert kept.findings[0].code == "empty-label"


def test_a_missing_column_or_file_is_named(tmp_path: Path) -> None:
    options = spec.Data(train=write(tmp_path / "a.csv", rows_of(30)))
    with pytest.raises(DataError, match="did you mean 'label'"):
        load(options, ["text"], ["lable"], "label", 0)
    with pytest.raises(SpecError, match=r"data\.train"):
        read_sources(spec.Data())


def test_every_row_is_in_a_part_or_in_the_ledger() -> None:
    rows = rows_of(200)
    for i in range(0, 200, 9):
        rows[i]["text" if i % 2 else "label"] = None
    data = of(rows, empty="drop", limit=120)
    kept = {data.part(p).place(i) for p in PARTS for i in range(len(data.part(p)))}
    gone = {place for entry in data.ledger.entries if entry.action == "dropped" for place in entry.rows}
    assert len(kept) == 120 and not kept & gone and kept | gone == {f"train.csv, row {i + 1}" for i in range(200)}


def test_a_limit_draws_by_content() -> None:
    rows = rows_of(300)
    few, more, turned = of(rows, limit=60), of(rows, limit=120), of(rows[::-1], limit=60)

    def ids(data: Dataset) -> set[int]:
        return {int(i) for part in PARTS for i in data.part(part).row_ids}

    assert len(ids(few)) == 60 and ids(few) < ids(more) and ids(few) == ids(turned)


def test_the_digest_changes_with_the_content_and_with_nothing_else() -> None:
    rows = rows_of(100)
    same, changed = of(rows), of([row | {"text": row["text"] + "!"} if i == 50 else row for i, row in enumerate(rows)])
    assert of(rows).digest == same.digest != changed.digest
    numbers = [row | {"stars": str(row["stars"])} for row in rows]
    assert of(numbers).digest == same.digest, "5 and '5' are one content"


def test_data_json_holds_the_row_ids_of_every_part() -> None:
    data = of(rows_of(150))
    parts = data.as_json()["splits"]["parts"]
    for name in PARTS:
        ids = np.frombuffer(bytes.fromhex(parts[name]["row_ids"]), ">u8")
        assert np.array_equal(ids, data.part(name).row_ids) and parts[name]["rows"] == len(ids)


def test_findings_of_a_task_join_in_rank_and_are_not_repeated() -> None:
    data = of(rows_of(100))
    more = [Finding("note", "x", "a"), Finding("error", "y", "expected b, got c", ("train.csv, row 1",))]
    joined = data.with_findings(more).with_findings(more)
    assert joined.findings[0].code == "y" and len(joined.findings) == len(data.findings) + 2
    assert joined.findings[0].place == "train.csv, row 1" and joined.findings[0].expected == "b" and joined.findings[0].got == "c"


def test_pairs_are_judged_together() -> None:
    rows = [{"a": row["text"], "b": f"claim {i}", "label": row["label"]} for i, row in enumerate(planted.clean(80, 0))]
    rows.append(rows[0] | {"b": "another claim altogether of many other words than before and then some more of them"})
    table = Table.of(rows, "pairs.csv")
    sources = Sources({"train": table}, Profile.of(table), Ledger())
    data = arrange(sources, spec.Data(near_duplicates=0.0), inputs=["a", "b"], targets=["label"], kind="label", seed=0)
    assert data.splits.duplicates.exact == 0, "one equal text of two does not make a duplicate"


# -- real data ----------------------------------------------------------------------------------------------------------


def same_words(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def lines(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def chnsenticorp(folder: Path) -> tuple[list[str], list[str]]:
    with zipfile.ZipFile(folder / "chinese_classification/chnsenticorp_split/data/chnsenticorp/chnsenticorp.zip") as archive:
        parts = [archive.read(f"{part}.tsv").decode().splitlines()[1:] for part in ("train", "test")]
    return tuple([line.split("\t", 1)[1] for line in part] for part in parts)  # type: ignore[return-value]


def banking77(folder: Path) -> tuple[list[str], list[str]]:
    home = folder / "text_classification/banking77/banking_data"
    with gzip.open(home / "train.csv.gz", "rt") as train, (home / "test.csv").open() as test:
        return [row["text"] for row in csv.DictReader(train)], [row["text"] for row in csv.DictReader(test)]


def sst2(folder: Path) -> tuple[list[str], list[str]]:
    home = folder / "text_classification/sst2/data/SST2"
    return [row[0] for row in lines(home / "train.tsv.gz")], [row[0] for row in lines(home / "test.tsv")]


def goemotions(folder: Path) -> tuple[list[str], list[str]]:
    home = folder / "text_multilabel/goemotions/data/original"
    return [row[0] for row in lines(home / "train.tsv.gz")], [row[0] for row in lines(home / "test.tsv")]


@pytest.mark.real
@pytest.mark.parametrize(("read", "told"), [(chnsenticorp, 335), (banking77, 25), (sst2, 2), (goemotions, 109)])
def test_the_known_leaks_of_real_sets_are_found(shared: Path, read: Any, told: int) -> None:
    train, test = read(shared)
    seen = {same_words(text) for text in train}
    known = {i for i, text in enumerate(test) if same_words(text) in seen}
    assert len(known) == told
    both = {"train": train, "test": test}
    tables = {part: Table.of({"text": texts, "y": list(map(float, range(len(texts))))}) for part, texts in both.items()}
    sources = Sources(tables, Profile.of(tables["train"]), Ledger())
    data = arrange(sources, spec.Data(), inputs=["text"], targets=["y"], kind="number", seed=0)
    assert known <= set(data.splits.leaked_test.tolist())
    assert abs(data.splits.leaked_exact - told) <= 0.02 * told


@pytest.mark.real
def test_the_known_duplicates_of_sms_spam_are_found(shared: Path) -> None:
    rows = [{"label": row[0], "text": row[1]} for row in lines(shared / "text_imbalanced/sms_spam/data/sms.tsv")]
    data = of(rows)
    found = data.splits.duplicates
    assert abs(found.exact - 444) <= 1 and found.near >= 30
    assert not len(data.splits.leaked_test)
