"""Rows kept as tokens: the same arrays, the same training, never a stale or a damaged entry."""

import numpy as np
import pytest

from tests.runs import fingerprint, make_ready
from tunesmith.data import caches
from tunesmith.inference import Ragged, encode
from tunesmith.models.source import processor
from tunesmith.training import kept
from tunesmith.training.loop import train
from tunesmith.training.state import State


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of other tests, and few rows are enough."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "FEW", 1)


def entries():
    """Kept folders."""
    return sorted((caches.root() / "tokens").glob("*"))


def same(one, other):
    """Whether two sets of encoded rows hold the same."""
    flat = lambda e: {n: (a.values, a.starts) if isinstance(a, Ragged) else (a,) for n, a in e.arrays.items()}  # noqa: E731
    a, b = flat(one), flat(other)
    parts = [(x, y) for name in a for x, y in zip(a[name], b[name], strict=True)]
    rest = [(one.lengths_N, other.lengths_N), (one.row_N, other.row_N)]
    return a.keys() == b.keys() and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in [*parts, *rest])


def test_what_is_read_is_what_was_encoded(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert)
    args = (ready.task, processor(ready.source), ready.data.train)
    plain, first = encode(*args), kept.encoded(*args)
    assert same(plain, first) and len(entries()) == 1
    assert same(plain, kept.encoded(*args)) and len(entries()) == 1


def test_training_from_kept_rows_gives_the_same_bits(tmp_path, tiny_bert, monkeypatch):
    found = []
    for few in (10**9, 1, 1):  # encoded, kept, read
        monkeypatch.setattr(kept, "FEW", few)
        state = State.start(make_ready(tmp_path, tiny_bert, strategy="full", epochs=1))
        folder = tmp_path / f"c{len(found)}"
        list(train(state, folder))
        found.append(fingerprint(state, folder))
    assert entries() and found[0] == found[1] == found[2]


def test_other_settings_rows_and_tokenisers_are_other_entries(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert)
    reader = processor(ready.source)
    kept.encoded(ready.task, reader, ready.data.train)
    kept.encoded(ready.task.settle(tokens_kept=4), reader, ready.data.train)
    kept.encoded(ready.task, reader, ready.data.validation)
    reader.add_tokens(["[new]"])
    kept.encoded(ready.task, reader, ready.data.train)
    assert len(entries()) == 4


def test_a_damaged_entry_is_made_anew(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert)
    args = (ready.task, processor(ready.source), ready.data.train)
    kept.encoded(*args)
    file = entries()[0] / "input_ids.values.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert same(encode(*args), kept.encoded(*args)) and file.read_bytes() != bytes(content)


def test_a_full_disk_keeps_nothing_and_stops_nothing(tmp_path, tiny_bert, monkeypatch):
    ready = make_ready(tmp_path, tiny_bert)
    args = (ready.task, processor(ready.source), ready.data.train)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.np, "save", full)
    assert same(encode(*args), kept.encoded(*args))
    assert not entries()
