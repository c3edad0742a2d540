"""Words that no training row has are left out of the optimiser's work, and nothing else changes."""

import pytest
import torch

from tests.runs import make_ready
from tunesmith import choices
from tunesmith.models import vocabulary
from tunesmith.models.heads import Pooled
from tunesmith.models.source import find, load
from tunesmith.training import words
from tunesmith.training.events import Adjusted
from tunesmith.training.loop import train
from tunesmith.training.stages import Work
from tunesmith.training.state import State

PART = "unused words left alone"


@pytest.fixture(autouse=True)
def any_share(monkeypatch):
    """The tiny model knows few words more than its rows have."""
    monkeypatch.setattr(choices, "MOST_WORDS", 0.99)


def trained(ready, folder):
    """The state at its best, and what was said on the way."""
    state = State.start(ready)
    before = state.model.get_submodule(vocabulary.name_of(state.model)).weight.detach().clone()
    said = [event.what for event in train(state, folder) if isinstance(event, Adjusted)]
    state.load_best(folder)
    return state, before, said


def used(state):
    ids = Work.of(state).train.encoded.arrays["input_ids"].values
    return torch.unique(torch.tensor(ids.tolist()))


@pytest.mark.parametrize("strategy", ["full", "probe-then-tune", "gradual"])
def test_the_same_is_learned_as_with_all_words(tmp_path, tiny_bert, monkeypatch, strategy):
    ready = make_ready(tmp_path, tiny_bert, strategy=strategy, train={"weight_decay": 0.0})
    apart, _, said = trained(ready, tmp_path / "apart")
    monkeypatch.setattr(words, "part", lambda *_: iter(()))
    whole, _, other = trained(ready, tmp_path / "whole")
    assert PART in said and PART not in other
    assert apart.best.step == whole.best.step and not vocabulary.parted(apart.model)
    here, there = dict(apart.model.named_parameters()), dict(whole.model.named_parameters())
    assert here.keys() == there.keys()
    assert all(torch.allclose(here[name], there[name], atol=1e-5) for name in here)


def test_words_of_no_row_stay_as_they_came_and_others_move(tmp_path, tiny_bert):
    state, before, said = trained(make_ready(tmp_path, tiny_bert, strategy="full"), tmp_path / "c")
    after = state.model.get_submodule(vocabulary.name_of(state.model)).weight.detach()
    seen = torch.zeros(len(before), dtype=bool)
    seen[used(state)] = True
    assert PART in said and torch.equal(after[~seen], before[~seen])
    assert (after[seen] != before[seen]).any(1).float().mean() > 0.9


@pytest.mark.parametrize("strategy", ["lora", "last-k", "bitfit"])
def test_nothing_is_parted_where_the_embedding_does_not_learn(tmp_path, tiny_bert, strategy):
    state = State.start(make_ready(tmp_path, tiny_bert, strategy=strategy))
    state.enter_stage()
    assert not list(words.part(state, Work.of(state))) and not vocabulary.parted(state.model)


def test_other_words_are_answered_and_never_trained(tmp_path, tiny_bert):
    state = State.start(make_ready(tmp_path, tiny_bert, strategy="full"))
    name = vocabulary.name_of(state.model)
    whole, ids = state.model.get_submodule(name), torch.tensor([[1, 5, 7, 9]])
    before = whole(ids)
    vocabulary.part(state.model, name, torch.tensor([0, 1, 7]))
    apart = state.model.get_submodule(name)
    assert torch.equal(apart.eval()(ids), before) and apart.weight.shape[0] == 3
    with pytest.raises(IndexError):
        apart.train()(ids)
    vocabulary.join(state.model)
    assert torch.equal(state.model.get_submodule(name).weight, whole.weight)


def test_what_reads_no_words_has_none_to_leave_out(tiny_wav2vec2):
    assert vocabulary.name_of(Pooled(load(find(str(tiny_wav2vec2), "audio")), 2)) is None
