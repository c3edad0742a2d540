"""Files side by side: parts of a split are never mixed, shards of one table are one, and texts about it are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.files import load, notes, write, zipped
from tunesmith.data.dataset import read_sources
from tunesmith.errors import DataError
from tunesmith.spec import Data

ROWS = "text,label\na,x\nb,y\n"


def side_by_side(tmp_path: Path, kind: str, files: dict[str, str]) -> Path:
    """The files as a folder or as an archive of the same name."""
    if kind == "zip":
        tmp_path.mkdir(exist_ok=True)
        return zipped(tmp_path / "data.zip", files)
    for name, content in files.items():
        write(tmp_path / "data" / name, content)
    return tmp_path / "data"


@pytest.mark.parametrize("names", [("train.csv", "test.csv"), ("train.csv", "more.csv"), ("a-dev.csv", "a-train.csv", "a-test.csv")])
def test_parts_of_a_split_are_refused_alike_in_folders_and_archives(tmp_path: Path, names: tuple[str, ...]) -> None:
    said = []
    for kind in ("folder", "zip"):
        with pytest.raises(DataError, match="parts of a split") as caught:
            load(side_by_side(tmp_path, kind, dict.fromkeys(names, ROWS)))
        assert caught.value.code == "several-files" and all(name in str(caught.value) for name in names)
        said.append(str(caught.value).replace("data.zip", "data"))
    assert said[0] == said[1]


def test_parts_of_a_split_in_folders_of_an_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="parts of a split"):
        load(zipped(tmp_path / "a.zip", {"all/train/0.csv": ROWS, "all/test/0.csv": ROWS}))
    assert len(load(zipped(tmp_path / "b.zip", {"my test/part-0.csv": ROWS, "my test/part-1.csv": ROWS}))) == 4


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("name", ["part-{}.csv", "train-{}-of-2.csv"])
def test_shards_of_one_part_are_one_table(tmp_path: Path, kind: str, name: str) -> None:
    assert len(load(side_by_side(tmp_path, kind, {name.format(i): ROWS for i in range(2)}))) == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train.csv", "test.csv"), "--test "), (("rows.csv", "rows-dev.csv"), "--validation "), (("train/a.csv", "test/a.csv"), "--test "),
        (("part-0.csv", "part-1.csv"), ""), (("train-0.csv", "train-1.csv"), ""), (("train.csv", "more.csv"), ""),
        (("test/a.csv", "test/b.csv"), ""),
    ],
)
def test_files_that_are_named_together_as_training_rows(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    paths = [str(write(tmp_path / name, ROWS)) for name in names]
    if not said:
        assert len(read_sources(Data(train=paths)).tables["train"]) == 4
        return
    with pytest.raises(DataError, match="parts of a split") as caught:
        read_sources(Data(train=paths))
    assert caught.value.fix.startswith(f"say {said}{paths[1]}")


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("about", ["README.txt", "LICENSE.txt", "NOTICE.txt", "sources of it.txt", "README", "README.md"])
def test_texts_about_a_table_are_passed_over(tmp_path: Path, kind: str, about: str) -> None:
    path = side_by_side(tmp_path, kind, {"rows.csv": ROWS, about: "The rows were collected in May.\n"})
    assert load(path).rows() == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert not about.endswith(".txt") or f"passed over 1 text beside the rows: {about}" in notes(path)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_plain_texts_alone_are_tables(tmp_path: Path, kind: str) -> None:
    path = side_by_side(tmp_path, kind, {"one.txt": ROWS, "two.txt": ROWS, "ReadMe first.txt": "Nothing here.\n"})
    assert len(load(path)) == 4
    assert len(load(side_by_side(tmp_path / "other", kind, {"readme.txt": ROWS}))) == 2


def test_files_with_different_columns_are_both_named_with_them(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(zipped(tmp_path / "a.zip", {"one.csv": ROWS, "two.csv": "text,stars\na,1\nb,2\n"}))
    assert all(said in str(caught.value) for said in ("a.zip/one.csv (text, label)", "a.zip/two.csv", "the columns text, stars"))
