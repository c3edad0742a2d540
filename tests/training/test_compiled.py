"""Layers compiled while they learn give the steps they would give as they are; where they cannot be compiled, that is said in time."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.tiny_models import bert
from tunesmith import choices, testing
from tunesmith.errors import SpecError
from tunesmith.models import compiled
from tunesmith.models.outline import stacks
from tunesmith.registry import STRATEGIES
from tunesmith.spec import Spec, Train
from tunesmith.training.events import Adjusted, Step
from tunesmith.training.loop import train
from tunesmith.training.stages import Work, gradient_of
from tunesmith.training.state import State

SAID = ("`torch.jit.script_method`:DeprecationWarning", "The .grad attribute of a Tensor:UserWarning")
"""What PyTorch's compiler warns of itself: its own import, and its own look at what comes into a layer."""
pytestmark = [pytest.mark.filterwarnings(f"ignore:{what}") for what in SAID]
MISSING = compiled.hindrance(Train(), "cpu", False)
compiles = pytest.mark.skipif(MISSING is not None, reason=f"compiling asks for {MISSING[0]}" if MISSING else "")


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("one-layer"), layers=1)


@pytest.fixture
def traced(monkeypatch):
    """All of compiling but the machine code: seconds instead of a minute and more."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")


@pytest.fixture
def broken(monkeypatch):
    def give_up(*_):
        raise NotImplementedError("no machine code today")

    monkeypatch.setattr(compiled, "BACKEND", give_up)


def _ready(model, folder, compile="on", **settings):
    folder.mkdir(exist_ok=True)
    return testing.ready("text-classification", "full", model, folder, compile=compile, epochs=1, **settings)


def _step(made):
    state = State.start(made)
    state.enter_stage()
    state.model.train()
    found = gradient_of(state, Work.of(state), np.arange(8))
    return state, found.loss, {name: p.grad for name, p in state.model.named_parameters()}


@compiles
def test_a_step_has_the_same_loss_and_gradient(one_layer, tmp_path, traced):
    _, loss, expected = _step(_ready(one_layer, tmp_path / "plain", "off"))
    state, found, gradient = _step(_ready(one_layer, tmp_path / "compiled"))
    assert state.model.compiled is not None
    assert found == pytest.approx(loss, abs=1e-5) and gradient.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(gradient[name], value, atol=1e-5), name


@compiles
def test_a_run_resumes_and_its_layers_are_as_they_were_outside_of_steps(one_layer, tmp_path, traced):
    made = _ready(one_layer, tmp_path, dropout=0.2, save_every=2)
    whole, names = list(train(State.start(made), tmp_path / "whole")), set(State.start(_ready(one_layer, tmp_path, "off")).weights())
    state = State.start(made)
    events = train(state, tmp_path / "cut")
    before = [event.loss for event in events if isinstance(event, Step) and _ended(state, event)]
    assert state.total < sum(isinstance(event, Step) for event in whole) and set(state.weights()) == names
    assert not any(compiled.MADE in vars(block) for _, blocks in stacks(state.model.backbone) for block in blocks)
    after = [event.loss for event in train(State.resume(made, tmp_path / "cut")[0], tmp_path / "cut") if isinstance(event, Step)]
    assert before + after == pytest.approx([event.loss for event in whole if isinstance(event, Step)], abs=1e-5)


def _ended(state, event):
    """Ask for the end after the third step."""
    state.stop_asked = event.step >= 3
    return True


@compiles
def test_where_layers_do_not_compile_what_was_asked_is_refused_before_the_first_step(one_layer, tmp_path, broken):
    state = State.start(_ready(one_layer, tmp_path))
    with pytest.raises(SpecError, match="train.compile: on: expected layers that compile, got .*no machine code today"):
        list(train(state, tmp_path / "checkpoints"))
    assert state.total == 0


@compiles
def test_where_layers_do_not_compile_what_was_chosen_is_told_and_left(one_layer, tmp_path, broken):
    """What a plan for CUDA chooses by itself, tried here."""
    made = dataclasses.replace(_ready(one_layer, tmp_path), asked=Spec())
    events = list(train(State.start(made), tmp_path / "checkpoints"))
    told = [event for event in events if isinstance(event, Adjusted) and event.what == "layers are not compiled"]
    assert len(told) == 1 and "no machine code today" in told[0].why and any(isinstance(event, Step) for event in events)


def test_without_a_compiler_it_is_refused_by_the_plan(one_layer, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SpecError, match=r"train.compile: on: expected a C\+\+ compiler .*, got none; install one, or leave"):
        _ready(one_layer, tmp_path)


@pytest.mark.parametrize("beside", [{"gradient_checkpointing": "on"}, {"processes": 2}])
def test_what_it_does_not_go_with_is_refused_by_the_plan(one_layer, tmp_path, beside):
    with pytest.raises(SpecError, match=f"train.compile: on: expected .*, got train.{next(iter(beside))}"):
        _ready(one_layer, tmp_path, **beside)


def test_a_model_without_layers_is_refused_where_it_is_asked_for():
    assert compiled.layers(torch.nn.Linear(2, 2), asked=False) is None
    with pytest.raises(SpecError, match="a model whose layers can be told, got Linear"):
        compiled.layers(torch.nn.Linear(2, 2), asked=True)


def test_rows_that_are_compared_are_not_compiled():
    with pytest.raises(SpecError, match="compared with each other"):
        compiled.require(Train(compile="on"), "cpu", joint=True)


@pytest.mark.parametrize(
    ("cuda", "rows", "triton", "value", "said"),
    [
        (False, 10**6, True, "off", "half a minute"),
        (True, 1_000, True, "off", "s of training"),
        (True, 10**6, True, "on", "not measured on a GPU"),
        (True, 10**6, False, "off", "triton"),
    ],
)
def test_auto(cuda, rows, triton, value, said, monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda name: object() if triton else None)
    monkeypatch.setattr("shutil.which", lambda name: name)
    source = SimpleNamespace(parameters=100_000_000)
    facts = SimpleNamespace(cuda=cuda, rows=rows, joint=False, tokens=100.0, epochs=3.0, trial=None, flops=1e11, source=source)
    found = choices.choose_compile(Train(), facts, STRATEGIES.load("full")())
    assert found.value == value and said in found.why
