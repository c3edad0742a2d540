"""Damaged files of every format: a table or a plain refusal comes out, never another error, never a crash."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.files import load, write
from tunesmith.data.profile import Profile
from tunesmith.errors import TunesmithError

FRAME = pa.table({
    "text": [f"text {i} über" for i in range(100)], "label": pa.array([f"l{i % 3}" for i in range(100)]).dictionary_encode(),
    "x": [i / 3 for i in range(100)], "tags": [[str(i)] for i in range(100)],
})
CSV = "\n".join(["text,label,x", *(f'"some, ""text"" {i}",l{i % 3},{i / 4}' for i in range(60))])
LINES = "\n".join(json.dumps({"text": f"t {i} ü", "tags": ["a"], "o": {"k": i}}) for i in range(60))
SPECIAL = b'",\n\r\t;|\\[]{}\0\xff'
TRIES = 40


def _bytes_of(name: str) -> bytes:
    sink = io.BytesIO()
    if name.endswith(".parquet"):
        pq.write_table(FRAME, sink, compression="none" if name.startswith("plain") else "snappy")
    elif name.endswith(".arrow"):
        with pa.ipc.new_file(sink, FRAME.schema) as writer:
            writer.write_table(FRAME)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", CSV)
    elif name.endswith(".xlsx"):
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        book.active.append(["text", "label"])
        book.active.append(["a b", "x"])
        book.save(sink)
    return sink.getvalue()


TEXTS = {
    "a.csv": CSV.encode(), "a.tsv": CSV.replace(",", "\t").encode(), "wide.csv": CSV.encode("utf-16"), "a.jsonl": LINES.encode(),
    "a.json": json.dumps([json.loads(line) for line in LINES.splitlines()]).encode(), "a.csv.gz": gzip.compress(CSV.encode()),
}


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The content with one to twenty bytes changed, lost, doubled or cut off."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        at = draw.randrange(len(data) + 1)
        change = draw.randrange(5)
        if change == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif change == 1:
            data[at : at + 1] = bytes([draw.choice(SPECIAL)])
        elif change == 2:
            del data[at : at + draw.randrange(20)]
        elif change == 3:
            data[at:at] = data[: draw.randrange(50)]
        elif draw.random() < 0.3:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", [*TEXTS, "a.parquet", "plain.parquet", "a.arrow", "a.zip", "a.xlsx"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    content, draw = TEXTS.get(name) or _bytes_of(name), random.Random(name)
    refused = 0
    for _ in range(TRIES):
        path = write(tmp_path / name, mutated(content, draw))
        try:
            table = load(path, bad_rows=draw.choice(["refuse", "skip"]))
            assert len(table.rows()) == len(table.row_ids) == Profile.of(table).rows
        except TunesmithError as error:
            refused += 1
            assert str(error).isprintable() and error.exit_code in (3, 5)
    assert refused
