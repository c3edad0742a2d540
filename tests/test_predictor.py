"""Answers that are told while they are written are, at their end, those that are told at once."""

import json
from types import SimpleNamespace

import pytest
import torch

from tests.tiny_models import writer
from tunesmith import api, testing
from tunesmith.cli import predict as command
from tunesmith.errors import SpecError
from tunesmith.models import source
from tunesmith.models.language import Language
from tunesmith.parts import writing
from tunesmith.predictor import Predictor
from tunesmith.registry import TASKS

ASKED = ["was the film good", "really", "no 5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return writer(tmp_path_factory.mktemp("writer") / "llama")


def _predictor(folder, task="dialogue", **options):
    """A writer with wild weights: its texts are bytes of all kinds, half characters and stops among them."""
    found = source.find(str(folder))
    model = Language(source.load(found, form="language"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    processor = source.processor(found)
    ends = {"ends": (2,)} if task == "dialogue" else {}
    made = TASKS.load(task).build({"max_new_tokens": 40, **options}, task).settle(limit=128, **ends)
    return Predictor(None, made, model.eval(), processor)


@pytest.mark.parametrize("task", ["dialogue", "text-generation"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "seed": 4}, {"temperature": 2.0, "stop": ("ee", "a", " t")}])
def test_pieces_together_are_the_answer(task, options, folder):
    predictor, pieces = _predictor(folder, task, **options), 0
    for asked in ASKED:
        stream = predictor.stream(asked)
        found = list(stream)
        assert stream.answer == predictor.predict([asked])[0] and "".join(found) == stream.answer["text"]
        pieces += len(found)
    assert pieces > 6 or "stop" in options, "the text comes in pieces"


def test_it_ends_where_the_model_ends(folder):
    free = _predictor(folder, "text-generation")
    encoded = free.task.set_for("answering").encode([{"text": ASKED[0]}], free.processor)[0]
    ids = free.model.write([encoded["input_ids"].tolist()], {"most": 40})[0].ids
    end = next(token for token in ids[3:] if token not in ids[:3])
    seen = []
    for written in free.model.stream(encoded["input_ids"].tolist(), {"most": 40, "ends": frozenset([end])}):
        seen.append(written)
    assert seen[-1].stopped and seen[-1].ids == ids[: ids.index(end)] and len(seen) == ids.index(end) + 1


@pytest.mark.parametrize(
    ("before", "now", "stop", "sure"),
    [("a", "ab", (), "a"), ("ab", "ab\ufffd", (), "ab"), ("it '", "it's", (), "it"), ("a\nUs", "a\nUse", ("\nUser:",), "a"),
     ("a\nUser: x", "a\nUser: xy", ("\nUser:",), "a"), ("abab", "ababc", ("abc",), "ab")],
)  # fmt: skip
def test_only_what_stays_is_told(before, now, stop, sure):
    assert writing._sure(before, now, stop) == sure


def test_dropping_a_stream_leaves_the_model_as_it_was(folder):
    predictor = _predictor(folder)
    predictor.model.train()
    next(iter(predictor.stream(ASKED[0])))
    torch.ones(1, requires_grad=True).sum().backward()
    assert predictor.model.training and not torch.is_inference_mode_enabled()


def test_a_task_that_does_not_write_says_so(run_of_labels):
    for autocast in (None, torch.autocast("cpu", torch.bfloat16)):
        run_of_labels.autocast = autocast
        with pytest.raises(SpecError, match="ask without --stream") as caught:
            run_of_labels.stream("a film")
        assert caught.value.code == "no-stream"


def test_answers_in_bf16_come_whole(folder):
    predictor = _predictor(folder)
    predictor.run = SimpleNamespace(spec=SimpleNamespace(task="dialogue"))
    assert predictor.streams
    predictor.autocast = torch.autocast("cpu", torch.bfloat16)
    with pytest.raises(SpecError, match="leave --precision out"):
        predictor.stream("a film")
    assert not predictor.streams and predictor.predict(["a film"])[0]["text"]


@pytest.fixture
def run_of_labels():
    return Predictor(SimpleNamespace(spec=SimpleNamespace(task="text-classification")), TASKS.load("text-classification")(), None, None)


def test_the_command_shows_pieces(folder, monkeypatch, capsys, tmp_path):
    predictor = _predictor(folder, "text-generation", temperature=1.0)
    monkeypatch.setattr(api, "load", lambda path, **how: predictor)
    for name in ("begin", "answer_only"):
        monkeypatch.setattr(f"tunesmith.{'seal' if name == 'begin' else 'models.light'}.{name}", lambda run: None)
    answer = predictor.predict([ASKED[0]])[0]
    assert command.command(str(tmp_path), [ASKED[0]], stream=True, json=True) == 0
    *pieces, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(one["piece"] for one in pieces) == answer["text"] and last == answer and len(pieces) > 3
    command.command(str(tmp_path), [ASKED[0]], stream=True)
    said = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in said.out) and "max_new_tokens" in said.err
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    there = SimpleNamespace(predictor=predictor)
    cases = ((["a"], False), (["a", "b"], False), (["a"], True))
    told = [command._streams(there, asked, None, as_json=as_json) for asked, as_json in cases]
    assert told == [True, False, False], "a terminal is shown the answer to one question as it comes"
    with pytest.raises(SpecError) as caught:
        command.command(str(tmp_path), ASKED, stream=True)
    assert caught.value.code == "many-asked"


@pytest.mark.parametrize(
    ("task", "family", "cut"),
    [
        *[(name, "bert", 1) for name in ("text-classification", "text-multilabel", "text-regression", "embedding", "summarisation")],
        *[(name, "t5", 1) for name in ("translation", "summarisation")], ("multi-task", "bert", 0), ("token-classification", "bert", 0),
        *[(name, "llama", 1) for name in ("dialogue", "text-generation", "preference", "unpaired-preference", "translation")],
    ],
)
def test_rows_that_are_cut_are_counted_and_those_read_in_windows_are_not(task, family, cut, folder, tiny_bert, tiny_t5, tmp_path):
    made = testing.ready(task, "full", {"llama": folder, "bert": tiny_bert, "t5": tiny_t5}[family], tmp_path)
    asker = Predictor(None, made.task, None, source.processor(made.source))
    if task == "token-classification":
        asked = [["good"] * 300, ["good", "film"]]
    else:
        asked = ["good " * 300, "good film"]
    asked = [{"text": text, "anchor": text, "document": text, "source": text, "prompt": text, "tokens": text} for text in asked]
    if task == "dialogue":
        asked = [{"messages": row["text"]} for row in asked]
    assert asker.cut(asker.table(asked)) == cut and asker.cut(asker.table(asked[1:])) == 0
