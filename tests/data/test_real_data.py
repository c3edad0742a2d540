"""Real data sets, as they lie on people's disks: read right with nothing said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.files import load
from tunesmith.data.profile import Profile

pytestmark = pytest.mark.real

TWO, THREE, FOUR = (tuple(f"column_{i}" for i in range(1, n + 1)) for n in (2, 3, 4))
RTE = ("index", "sentence1", "sentence2", "label")
SICK = ("pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment")
ZIP = "chinese_classification/chnsenticorp_split/data/chnsenticorp/chnsenticorp.zip"
KINDS: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    # file -> rows, names, kinds
    "text_classification/sst2/data/SST2/train.tsv.gz": (6920, TWO, ("text", "integer")),
    "text_classification/sst2/data/SST2/dev.tsv": (872, TWO, ("text", "integer")),
    "text_classification/sst2/data/SST2/test.tsv": (1821, TWO, ("text", "integer")),
    "text_classification/banking77/banking_data/train.csv.gz": (10003, ("text", "category"), ("text", "category")),
    "text_classification/banking77/banking_data/test.csv": (3080, ("text", "category"), ("text", "category")),
    "text_imbalanced/sms_spam/data/sms.tsv": (5574, TWO, ("category", "text")),
    "text_multilabel/goemotions/data/original/train.tsv.gz": (43410, THREE, ("text", "list", "id")),
    "text_multilabel/goemotions/data/original/dev.tsv": (5426, THREE, ("text", "list", "id")),
    "text_multilabel/goemotions/data/original/test.tsv": (5427, THREE, ("text", "list", "id")),
    "text_regression/emobank/corpus/emobank.csv.gz": (
        10062, ("id", "split", "V", "A", "D", "text"), ("id", "category", "number", "number", "number", "text"),
    ),
    "text_regression/stsb/data/stsb-en-train.csv.gz": (5749, THREE, ("text", "text", "number")),
    "text_regression/stsb/data/stsb-en-dev.csv": (1500, THREE, ("text", "text", "number")),
    "text_regression/stsb/data/stsb-en-test.csv": (1379, THREE, ("text", "text", "number")),
    "text_regression/stsb/data/stsb-zh-train.csv": (5749, THREE, ("text", "text", "number")),
    "text_regression/stsb/data/stsb-zh-dev.csv": (1500, THREE, ("text", "text", "number")),
    "text_regression/stsb/data/stsb-zh-test.csv": (1379, THREE, ("text", "text", "number")),
    "sentence_pair/rte/data/RTE/train.tsv.gz": (2127, RTE, ("id", "text", "text", "category")),
    "sentence_pair/rte/data/RTE/dev.tsv": (277, RTE, ("id", "text", "text", "category")),
    "sentence_pair/rte/data/RTE/test.tsv.gz": (3000, RTE[:3], ("id", "text", "text")),
    "sentence_pair/rte/data/RTE/val.tsv": (363, FOUR, ("integer", "text", "text", "category")),
    "sentence_pair/sick/data/sts/sick2014/SICK_train.txt": (4500, SICK, ("id", "text", "text", "number", "category")),
    "sentence_pair/sick/data/sts/sick2014/SICK_trial.txt": (500, SICK, ("id", "text", "text", "number", "category")),
    "sentence_pair/sick/data/sts/sick2014/SICK_test_annotated.txt": (4927, SICK, ("id", "text", "text", "number", "category")),
    f"{ZIP}/train.tsv": (9600, ("label", "text_a"), ("integer", "text")),
    f"{ZIP}/dev.tsv": (1200, ("label", "text_a"), ("integer", "text")),
    f"{ZIP}/test.tsv": (1200, ("label", "text_a"), ("integer", "text")),
}


@pytest.mark.parametrize("file", KINDS)
def test_rows_names_and_kinds(shared: Path, file: str) -> None:
    rows, names, kinds = KINDS[file]
    table = load(shared / file)
    assert (len(table), table.names) == (rows, names)
    assert tuple(column.kind for column in Profile.of(table).columns.values()) == kinds


def test_rte_with_and_without_header_is_one_table(shared: Path) -> None:
    folder = shared / "sentence_pair/rte/data/RTE"
    table = load([folder / "train.tsv.gz", folder / "val.tsv"])
    assert len(table) == 2490 and table.names == RTE and table.place(2489) == "val.tsv, row 363"
    assert set(table.column("label")) == {"entailment", "not_entailment"}


def test_no_text_is_cut_or_joined(shared: Path) -> None:
    """Cells against the lines of the file, where a file has one line a row."""
    path = shared / "text_imbalanced/sms_spam/data/sms.tsv"
    lines = path.read_text("utf-8").split("\n")[:-1]
    rows = load(path).rows()
    assert ["\t".join(row.values()) for row in rows] == lines
    assert sum(row["column_1"] == "spam" for row in rows) == 747


def test_listings_with_sixty_columns(shared: Path) -> None:
    table = load(shared / "tabular_text_regression/airbnb_edinburgh/listings.csv.gz")
    profile = Profile.of(table).columns
    assert len(table) == 5780 and profile["price"].empty == 907
    wanted = {
        "description": "text", "amenities": "list", "accommodates": "integer", "review_scores_rating": "number",
        "host_since": "date", "room_type": "category",
    }
    assert {name: profile[name].kind for name in wanted} == wanted
