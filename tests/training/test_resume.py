"""A run that is stopped anywhere and resumed ends in the same bits, having seen the same rows in the same order."""

from __future__ import annotations

import hashlib
import itertools

import pytest

import tunesmith
from tests.runs import SETTINGS, events_until, fingerprint, make_ready, write_rows
from tunesmith import api, choices
from tunesmith.models import vocabulary
from tunesmith.run import Run
from tunesmith.training.events import Finished, Step
from tunesmith.training.loop import train
from tunesmith.training.state import State


def train_through(ready, folder, stops):
    """Train with an ask to stop after each of `stops` steps, resuming every time; returns (fingerprint, rows and losses)."""
    seen, stops = [], iter([*stops, None])
    while True:
        state, _ = State.resume(ready, folder)
        stop = next(stops)
        for event in train(state, folder):
            if isinstance(event, Step):
                seen.append((event.step, event.loss, event.tokens))
                state.stop_asked = stop is not None and event.step >= stop
            if isinstance(event, Finished) and event.reason != "stopped":
                return fingerprint(state, folder), seen


STRATEGIES = ["probe-then-tune", "lora", "last-k", "gradual"]
VARIANTS = {
    "plain": {},
    "accumulation": {"micro_tokens": 40},
    "averaged": {"ema": 0.9},
    "oversampled": {"balance": "oversample"},
    "bf16": {"precision": "bf16"},
}
CASES = [*itertools.product(STRATEGIES, [name for name in VARIANTS if name != "bf16"]), ("probe-then-tune", "bf16"), ("last-k", "bf16")]


@pytest.mark.parametrize(("strategy", "variant"), CASES)
def test_stopped_anywhere_resumes_to_the_same_bits(tmp_path, tiny_bert, strategy, variant):
    ready = make_ready(tmp_path, tiny_bert, strategy=strategy, train=VARIANTS[variant])
    whole, seen = train_through(ready, tmp_path / "whole", [])
    last = seen[-1][0]
    per_epoch = -(-len(ready.data.train) // int(ready.plan.spec.train.batch))
    places = {"mid-epoch": per_epoch // 2, "epoch edge": per_epoch, "before the end": last - 1}
    for name, step in places.items():
        again, other = train_through(ready, tmp_path / name.replace(" ", "-"), [step])
        assert again == whole, name
        assert other == seen, "the same rows in the same order with the same losses"
    many, other = train_through(ready, tmp_path / "many", range(1, last, max(1, last // 10)))
    assert (many, other) == (whole, seen)


def test_with_unused_words_left_alone_too(tmp_path, tiny_bert, monkeypatch):
    monkeypatch.setattr(choices, "MOST_WORDS", 0.99)
    ready = make_ready(tmp_path, tiny_bert, strategy="probe-then-tune")
    whole, seen = train_through(ready, tmp_path / "whole", [])
    assert train_through(ready, tmp_path / "again", [3, seen[-1][0] - 1]) == (whole, seen)
    state, _ = State.resume(ready, tmp_path / "again")
    assert vocabulary.parted(state.model), "the checkpoint says which words are trained"


def test_killed_ten_times_within_one_epoch(tmp_path, tiny_bert):
    """Left between two checkpoints, ten times in the first epoch: steps are done again, and the end is the same to the bit."""
    ready = make_ready(tmp_path, tiny_bert, strategy="full", batch=4, epochs=1, train={"save_every": 2})
    whole, seen = train_through(ready, tmp_path / "whole", [])
    folder, done, last = tmp_path / "killed", {}, seen[-1][0]
    assert last >= 12
    for kill in range(1, 11):
        state, passed = State.resume(ready, folder)
        assert not passed
        for event in train(state, folder):  # closed without a word, as by a kill: nothing is saved on the way out
            if isinstance(event, Step):
                done[event.step] = (event.step, event.loss, event.tokens)
                if event.step > kill:
                    break
    again, rest = train_through(ready, folder, [])
    done |= {step[0]: step for step in rest}
    assert again == whole and [done[step] for step in sorted(done)] == seen


def test_same_seed_same_bits_and_another_seed_others(tmp_path, tiny_bert):
    hashes = [
        train_through(make_ready(tmp_path, tiny_bert, train={"seed": s}), tmp_path / f"{i}", [])[0]
        for i, s in enumerate((0, 0, 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_changed_data_is_not_resumed(tmp_path, tiny_bert):
    data = write_rows(tmp_path / "rows.csv")
    spec = api.make_spec(str(data), model=str(tiny_bert), runs=str(tmp_path / "runs"), **SETTINGS)
    run = Run(events_until(api.fit_events(spec), Step))
    data.write_text(data.read_text().replace("good", "bad", 1))
    with pytest.raises(tunesmith.RunError, match="the data as at the start") as caught:
        list(api.resume_events(run.path))
    assert caught.value.exit_code == 2


def test_a_flipped_bit_falls_back_to_the_checkpoint_before(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert, train={"save_every": 2})
    whole, _ = train_through(ready, tmp_path / "whole", [])
    folder = tmp_path / "torn"
    events_until(train(State.start(ready), folder), Step, count=7)
    newest = sorted(folder.glob("last-*"))[-1]
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (newest / "model.safetensors").write_bytes(bytes(content))
    state, passed = State.resume(ready, folder)
    assert passed == [newest] and 0 < state.total < 7
    list(train(state, folder))
    assert fingerprint(state, folder) == whole


def test_no_whole_checkpoint_is_an_error(tmp_path, tiny_bert):
    ready = make_ready(tmp_path, tiny_bert, train={"save_every": 2})
    folder = tmp_path / "torn"
    events_until(train(State.start(ready), folder), Step, count=5)
    for path in folder.glob("last-*/manifest.json"):
        path.write_text("{}")
    for path in folder.glob("last-*/state.json"):
        path.unlink()
    with pytest.raises(tunesmith.ModelError, match="damaged"):
        State.resume(ready, folder)


def test_hash_is_of_everything(tmp_path, tiny_bert):
    """The fingerprint that the tests above compare does see a single changed weight."""
    ready = make_ready(tmp_path, tiny_bert)
    state = State.start(ready)
    list(train(state, tmp_path / "c"))
    before = fingerprint(state, tmp_path / "c")
    next(state.model.parameters()).data.view(-1)[0] += 1e-6
    assert fingerprint(state, tmp_path / "c") != before
    assert len(before) == hashlib.sha256().digest_size * 2
