"""What judging takes of memory hardly grows with the rows: peaks of fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from tunesmith.judging.met import met

BEGIN = """
import sys
import numpy as np

rows, rng = int(sys.argv[1]), np.random.default_rng(0)
"""
END = """
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
LABELS = """
from tunesmith.judging.judge import How, Judged, scores
from tunesmith.tasks.text_classification import task

truth = rng.integers(0, 2, rows)
logits = rng.normal(size=(rows, 2)).astype(np.float32)
scores(task(labels=("a", "b")), Judged(None, {"logits": logits}, truth), How(resamples=20))
"""
LARGE = """
from tunesmith.data import arrays, caches

arrays.LARGE_BYTES = caches.LARGE_BYTES = 1 << 17  # so that these rows are as many as millions are otherwise
arrays.PIECE_BYTES = 1 << 16
arrays.STRETCH_BYTES = 1 << 15
""" + LABELS.replace("20", "5")
MANY_LABELS = """
from tunesmith.data.caches import scratch
from tunesmith.memory import let_go
from tunesmith.tasks.text_classification import task

logits = scratch((rows, 300), np.float32)
for start in range(0, rows, 1000):
    logits[start : start + 1000] = rng.normal(size=(1000, 300))
    let_go(logits)
task(labels=tuple(map(str, range(300)))).score({"logits": logits}, rng.integers(0, 300, rows))
"""
PARTS = """
from tunesmith.data.table import Table
from tunesmith.predictor import Predictor

class Counted:
    by_part = lambda self, rows: self
    truth = lambda self, rows: np.zeros(len(rows))
    condense = lambda self, outputs, truth: {"sum": outputs["logits"].sum(1)}

def parts(table, purpose):
    yield slice(0, len(table)), {"logits": np.ones((len(table), 1000), np.float32)}

asked = Predictor(None, Counted(), None, None)
asked.parts = parts
outputs, truth = asked.judged(Table.of({"a": list(range(rows))}))
assert truth is None and outputs["sum"].tolist() == [1000.0] * rows
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("work", "rows", "most"), [(LABELS, 25_000, 180), (LARGE, 30_000, 80), (MANY_LABELS, 10_000, 400), (PARTS, 20_000, 200)],
    ids=["labels", "large", "many", "parts"],
)
def test_four_times_the_rows_take_few_bytes_more_for_each(work, rows, most, tmp_path):
    """In bytes a row. Held whole, resampled rows take some 580 (large ones 150, with positions and what is counted of each row in memory),
    the logits of 300 labels in double precision 4,800, raw outputs 4,000."""
    one, four = (_peak(work, count, tmp_path) for count in (rows, 4 * rows))
    assert (four - one) / (3 * rows) < most


def test_looking_for_rows_that_the_run_met_takes_few_bytes_of_each():
    """`np.isin` sorts them all: 49 bytes a row."""
    ids = np.random.default_rng(0).integers(0, 2**63, 400_000).astype(np.uint64)
    known = np.append(ids[::500], np.uint64(2**64 - 1))
    parts = {"train": {"row_ids": known.astype(">u8").tobytes().hex()}, "validation": {}}
    run = SimpleNamespace(read=lambda name: {"splits": {"parts": parts}})
    tracemalloc.start()
    found = met(SimpleNamespace(run=run, task=SimpleNamespace(files=())), SimpleNamespace(row_ids=ids))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found["train"], np.isin(ids, known)) and not found["validation"].any()
    assert most / len(ids) < 20


def _peak(work: str, rows: int, cache: object) -> float:
    """Bytes of a fresh process at its largest."""
    found = subprocess.run(
        [sys.executable, "-c", BEGIN + work + END, str(rows)], capture_output=True, text=True, check=True,
        env=_environment(cache),
    )
    return float(np.int64(found.stdout.split()[-1])) * 1024


def _environment(cache: object) -> dict[str, str]:
    return os.environ | {"TUNESMITH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
