"""Data sets of the Hub: which files are taken, and what is said where it cannot be reached."""

from __future__ import annotations

import logging
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.data.files import load, write
from tunesmith.data.hub import choose, parse
from tunesmith.errors import DataError

PLAIN = ["README.md", "train.csv", "test.csv", "validation.csv", ".gitattributes", "script.py"]
SHARDS = ["README.md", "data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"]
CONFIGURED = ["en/train.jsonl", "en/test.jsonl", "de/train.jsonl", "de/test.jsonl", "README.md"]
CONVERTED = ["default/train/0000.parquet", "default/test/0000.parquet", "default/train/0001.parquet"]
ONE = ["README.md", "dataset_infos.json", "reviews.tsv.gz"]


@pytest.mark.parametrize(
    ("files", "rest", "chosen"),
    [
        (PLAIN, "", ["train.csv"]),
        (PLAIN, "test.csv", ["test.csv"]),
        (PLAIN, "validation", ["validation.csv"]),
        (SHARDS, "", SHARDS[1:3]),
        (SHARDS, "test", SHARDS[3:]),
        (SHARDS, "data/test-00000-of-00001.parquet", SHARDS[3:]),
        (CONFIGURED, "de", ["de/train.jsonl"]),
        (CONFIGURED, "de/test.jsonl", ["de/test.jsonl"]),
        (CONVERTED, "", ["default/train/0000.parquet", "default/train/0001.parquet"]),
        (CONVERTED, "test", ["default/test/0000.parquet"]),
        (ONE, "", ["reviews.tsv.gz"]),
    ],
)
def test_the_named_file_or_the_training_split(files: list[str], rest: str, chosen: list[str]) -> None:
    assert choose(files, parse(f"hf://owner/name/{rest}")) == chosen


@pytest.mark.parametrize(
    ("files", "rest", "code"),
    [
        (CONFIGURED, "", "several-files"), (CONFIGURED, "test", "several-files"), (PLAIN, "tets.csv", "no-such-file"),
        (["README.md", "script.py"], "", "no-such-file"), (["a/x.csv", "b/y.csv"], "", "several-files"),
    ],
)
def test_what_is_doubtful_or_missing_is_refused(files: list[str], rest: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        choose(files, parse(f"hf://owner/name/{rest}"))
    assert caught.value.code == code


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://owner/..", "hf://owner/name/../../x", "hf://ow ner/name", "hf:///name"])
def test_addresses_need_two_names(address: str) -> None:
    with pytest.raises(DataError) as caught:
        load(address)  # type: ignore[arg-type]
    assert caught.value.code == "bad-address"


def test_addresses() -> None:
    wanted = parse("hf://datasets/owner/na.me/en/train.csv@v1")
    assert (wanted.repo, wanted.rest, wanted.revision) == ("owner/na.me", "en/train.csv", "v1")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache in a folder of the test, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_offline_the_error_says_what_was_tried_and_what_to_do(offline: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("hf://owner/name")  # type: ignore[arg-type]
    message = str(caught.value)
    assert caught.value.code == "hub-unreachable"
    assert all(words in message for words in ("'owner/name'", "give a local file", "OfflineMode"))


def test_offline_what_was_fetched_before_is_read(offline: Path) -> None:
    kept = offline / "datasets--owner--name"
    write(kept / "refs" / "main", "0" * 40)
    write(kept / "snapshots" / ("0" * 40) / "data" / "train.csv", "text,label\na b,x\nc d,y\n")
    table = load("hf://owner/name")  # type: ignore[arg-type]
    assert table.column("label") == ["x", "y"] and table.place(1) == "hf://owner/name/data/train.csv, row 2"


def test_where_there_is_no_network_the_client_is_silent_and_what_it_tries_again_is_not_asked(
    offline: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Listing files is tried six times with waits and a warning each; what a data set is, is asked once, before."""

    def refuse(*_: object, **__: object) -> None:
        logging.getLogger("huggingface_hub.utils._http").warning("no network; retrying in 8 s")
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_, **__: pytest.fail("files were asked for"))
    level = logging.getLogger("huggingface_hub").level
    with pytest.raises(DataError, match="no network.*go online"):
        load("hf://owner/name")  # type: ignore[arg-type]
    assert not caplog.records and logging.getLogger("huggingface_hub").level == level


@pytest.mark.parametrize("address", ["https://x.org/a.csv", "s3://bucket/a.csv", "file:///tmp/a.csv"])
def test_other_addresses_are_not_fetched(address: str) -> None:
    with pytest.raises(DataError) as caught:
        load(address)  # type: ignore[arg-type]
    assert caught.value.code == "not-fetched" and caught.value.place == address and "download it first" in caught.value.fix
