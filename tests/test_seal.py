"""What was changed in a finished run is refused before it answers, and listed byte by byte when asked for."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import make_ready
from tunesmith import api, finish, seal
from tunesmith.errors import ModelError, RunError
from tunesmith.predictor import Predictor
from tunesmith.run import Run
from tunesmith.training.loop import train
from tunesmith.training.state import State


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A sealed run, the report and the second process left out."""
    folder = tmp_path_factory.mktemp("sealed")
    ready = make_ready(folder, tiny_bert, strategy="head-only", epochs=1)
    run, state = Run.create(ready), State.start(ready)
    list(train(state, run.checkpoints))
    finish.save(run, ready, ready.task, state)
    seal.close(run.path, seal.ANSWERS)
    for name in ("report.json", "README.md"):
        (run.path / name).write_text("{}")
    seal.close(run.path, seal.RECORDS)
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints")))


def test_a_whole_run_loads_and_verifies(run: Path) -> None:
    assert api.verify(run) == [] and len(Predictor.load(run).predict(["a good film"])) == 1
    sealed, weights = set(Run(run).read(seal.MANIFEST)), {"model/model.safetensors", "model/head.safetensors"}
    assert weights | {"model/config.json", "model/tokenizer.json", "task.json", "spec.yaml"} <= sealed


def test_fifty_changes_of_one_byte_are_found(run: Path) -> None:
    files, chance = sorted(Run(run).read(seal.MANIFEST)), random.Random(7)
    for number in range(50):
        path = run / files[number % len(files)]
        before = path.read_bytes()
        at = chance.randrange(len(before))
        path.write_bytes(before[:at] + bytes([before[at] ^ 1 << chance.randrange(8)]) + before[at + 1 :])
        assert api.verify(run) == [f"{files[number % len(files)]}: other bytes (sha256)"]
        if files[number % len(files)].startswith(("model/", "task.json")):
            with pytest.raises(ModelError, match="as it was when the run finished") as caught:
                seal.checking(run).require()
            assert caught.value.code == "changed-model"
        path.write_bytes(before)
    assert api.verify(run) == []


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (lambda model: flip(model / "model.safetensors"), "other bytes (sha256)"),
    "head": (lambda model: flip(model / "head.safetensors"), "other bytes (sha256)"),
    "tokenizer": (lambda model: grow(model / "tokenizer.json"), " bytes after "),
    "one file less": (lambda model: (model / "tokenizer_config.json").unlink(), "no such file"),
    "one file more": (lambda model: (model / "chat_template.jinja").write_text("x"), "a file that was not there"),
}


def grow(path: Path) -> None:
    path.write_text(path.read_text() + " ")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_model_does_not_answer(run: Path, change: str) -> None:
    do, words = CHANGES[change]
    do(run / "model")
    with pytest.raises(ModelError) as caught:
        Predictor.load(run)
    assert caught.value.exit_code == 4
    assert caught.value.code == "changed-model" and words in str(caught.value), str(caught.value)
    assert any(words in found for found in api.verify(run))


def test_a_look_that_was_begun_is_the_one_that_counts_once(run: Path) -> None:
    seal.begin(run)
    seal.checking(run).require()
    flip(run / "model" / "model.safetensors")
    with pytest.raises(ModelError):
        seal.checking(run).require()


def test_large_models_are_hashed_when_asked_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "AT_ONCE", 1)
    flip(run / "model" / "model.safetensors")
    seal.checking(run).require()
    assert api.verify(run) == ["model/model.safetensors: other bytes (sha256)"]


def test_files_that_are_never_read_do_not_matter(run: Path) -> None:
    (run / "model" / ".DS_Store").write_bytes(b"x")
    seal.checking(run).require()
    assert api.verify(run) == ["model/.DS_Store: a file that was not there"]


@pytest.mark.parametrize("content", ["[]", '{"model/x": 3}', '{"../x": {"bytes": 1, "sha256": ""}}', "{"])
def test_a_broken_seal_is_an_error(run: Path, content: str) -> None:
    (run / seal.MANIFEST).write_text(content)
    with pytest.raises(RunError):
        seal.checking(run).require()


def test_a_run_that_has_not_ended_has_no_seal(run: Path) -> None:
    (run / seal.MANIFEST).unlink()
    with pytest.raises(RunError, match="finishes it"):
        api.verify(run)
    seal.checking(run).require()


def test_the_command_says_what_changed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tunesmith.cli import main

    assert main(["verify", str(run)]) == 0 and "every file is as it was" in capsys.readouterr().out
    flip(run / "model" / "model.safetensors")
    assert main(["verify", str(run)]) == 4 and capsys.readouterr().out == "model/model.safetensors: other bytes (sha256)\n"
