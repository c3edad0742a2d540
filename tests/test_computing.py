"""A loaded run computes where it is told to, as exactly as it is told to, and says what it cannot do."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.runs import SETTINGS, write_rows
from tunesmith import api, computing
from tunesmith.cli import main
from tunesmith.computing import Computing
from tunesmith.errors import ResourceError, SpecError

TEXTS = ["the film was good", "a poor, cold room service and one more red plot", "nice"]


@pytest.fixture(scope="module")
def run(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("computing")
    rows = write_rows(folder / "rows.csv")
    return api.fit(str(rows), model=str(tiny_bert), runs=str(folder / "runs"), **SETTINGS), rows


@pytest.mark.parametrize(("asked", "got"), [({"device": "gpu"}, "gpu"), ({"precision": "int8"}, "int8")])
def test_other_words_are_named(asked, got, run):
    with pytest.raises(SpecError) as caught:
        api.load(run[0].path, **asked)
    assert caught.value.code == "bad-value" and got in str(caught.value) and next(iter(asked)) in str(caught.value)


def test_cuda_is_taken_where_the_run_had_it_and_it_is_there(monkeypatch):
    model, here = torch.nn.Linear(2, 2), lambda name: SimpleNamespace(device=name, threads=1)
    moved: list[str] = []
    monkeypatch.setattr(model, "to", moved.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = [Computing(asked).place(model, here(trained)) for asked, trained in  # type: ignore[arg-type]
             (("auto", "cuda"), ("auto", "cpu"), ("cpu", "cuda"), ("cuda", "cpu"))]  # fmt: skip
    assert found == ["cuda", "cpu", "cpu", "cuda"] and moved == ["cuda", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Computing().place(model, here("cuda")) == "cpu", "a run from elsewhere answers here, too"
    with pytest.raises(ResourceError) as caught:
        Computing("cuda").place(model, here("cuda"))
    assert caught.value.code == "no-cuda"


def test_no_more_threads_than_cores(monkeypatch):
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(computing, "cores", lambda: 3)
    for threads in (1, 3, 64):
        Computing("cpu").place(torch.nn.Linear(1, 1), SimpleNamespace(device="cpu", threads=threads))  # type: ignore[arg-type]
    assert told == [1, 3, 3]


def test_bf16_answers_nearly_the_same_in_any_company(run):
    exact, narrow = (api.load(run[0].path, precision=precision) for precision in ("fp32", "bf16"))  # type: ignore[arg-type]
    probabilities = [np.array([list(one["probabilities"].values()) for one in found.predict(TEXTS)]) for found in (exact, narrow)]
    apart = np.abs(probabilities[0] - probabilities[1]).max()
    assert 0 < apart < 0.02, "products in half the bits"
    alone = np.array([list(narrow.predict(text)[0]["probabilities"].values()) for text in TEXTS])
    assert np.abs(alone - probabilities[1]).max() < 0.01


def test_a_narrow_answer_is_not_itself_rounded(run):
    """What a head says in bf16 has eight bits, so that most answers would be the same as some other row's."""
    narrow = api.load(run[0].path, precision="bf16").predictor
    scores = narrow.outputs(narrow.read(run[1]))["logits"]
    assert scores.dtype == np.float32 and not np.array_equal(scores, torch.from_numpy(scores).bfloat16().float().numpy())


def test_the_command_line_has_both(run, capsys):
    path, rows = str(run[0].path), str(run[1])
    assert main(["predict", path, TEXTS[0], "--json", "--device", "cpu", "--precision", "bf16"]) == 0
    said = capsys.readouterr().out
    assert main(["predict", path, TEXTS[0], "--json"]) == 0 and capsys.readouterr().out != said
    assert main(["evaluate", path, rows, "--precision", "bf16"]) == 0
    assert "computed in bf16" in capsys.readouterr().out
    assert api.evaluate(path, rows, precision="bf16")["precision"] == "bf16" and api.evaluate(path, rows)["precision"] == "fp32"
    assert main(["predict", path, TEXTS[0], "--precision", "half"]) == 2
    assert "precision: expected fp32 or bf16, got 'half'" in capsys.readouterr().err
