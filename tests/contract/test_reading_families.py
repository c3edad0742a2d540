"""Tasks that point at words, spans and passages meet the contract with encoders whose tokens and templates are not BERT's, and words whose
tags are learned as sequences meet it too."""

import numpy as np
import pytest

from tests.tiny_encoders import FAMILIES, make
from tunesmith import api, testing
from tunesmith.errors import SpecError
from tunesmith.inference import infer
from tunesmith.models.save import load_model, save
from tunesmith.training.loop import train
from tunesmith.training.stages import Work
from tunesmith.training.state import State

TASKS = ("token-classification", "relation-extraction", "extractive-qa", "knowledge-qa")
CHECKS = ("alone is as in a batch", "a stopped run resumes to the same bits", "the saved model answers alike", "toy rows are learned")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    return make(tmp_path_factory.mktemp("families") / request.param, request.param)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("task", TASKS)
def test_task(task, check, model, tmp_path):
    testing.run(check, task, "full", model, tmp_path)


@pytest.mark.parametrize("check", [name for name in testing.CHECKS if name not in ("encoding is pure", "scores are those promised")])
@pytest.mark.parametrize("strategy", ["full", "probe-then-tune"])
def test_sequences(strategy, check, tiny_bert, tmp_path):
    made = testing.ready("token-classification", strategy, tiny_bert, tmp_path)
    chained = api.plan(made.plan.spec.changed({"options.crf": True}))
    assert chained.task.crf
    testing.CHECKS[check](chained, tmp_path)


def test_what_follows_what_is_saved_and_used(tiny_bert, tmp_path):
    made = testing.ready("token-classification", "full", tiny_bert, tmp_path)
    chained = api.plan(made.plan.spec.changed({"options.crf": True}))
    state = State.start(chained)
    work = Work.of(state)
    for _ in train(state, tmp_path / "checkpoints"):
        pass
    assert float(state.model.head.moves_CC.detach().abs().max()) > 0.01
    save(state.model, state.processor, tmp_path / "model")
    model = load_model(tmp_path / "model")
    before = infer(chained.task, model, work.validation.encoded, pad=work.pad)["logits"]
    model.head.paced_CC.data.zero_()
    after = infer(chained.task, model, work.validation.encoded, pad=work.pad)["logits"]
    assert max(abs(a - b).max() for a, b in zip(before, after)) > 1e-3
    assert all(np.allclose(np.exp(row).sum(-1), 1, atol=1e-4) for row in before)


def test_what_sequences_cannot_do_is_refused(tiny_bert, tmp_path):
    spec = testing.ready("token-classification", "full", tiny_bert, tmp_path).plan.spec.changed({"options.crf": True})
    with pytest.raises(SpecError, match="smoothing"):
        api.plan(spec.changed({"options.smoothing": 0.1}))
    with pytest.raises(SpecError, match=r"train\.balance"):
        api.plan(spec.changed({"train.balance": "weights"}))
