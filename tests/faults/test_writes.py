"""Every write, sync, rename and removal of a save fails once, or is the last thing that the process does: what was saved before stays.

The method is SQLite's: count the operations of one undisturbed save, then let the n-th fail, for every n.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import pytest
import torch

from tunesmith import disk
from tunesmith.errors import ResourceError
from tunesmith.run import Run
from tunesmith.training import checkpoint
from tunesmith.training.events import Adjusted

FILES = {"model": {"a": torch.arange(12.0)}, "optimizer": {"b": torch.ones(3)}, "ema": {}}
CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate")


class Killed(BaseException):
    """The process ends here. Nothing of the project may catch it."""


@final
class Faults:
    """Counts operations on files below a folder; the `at`-th fails (`full`) or is the last one."""

    def __init__(self, at: int, full: bool) -> None:
        self.at, self.full, self.count, self.dead = at, full, 0, False

    def step(self, partial: Callable[[], None] = lambda: None) -> None:
        if self.dead:
            raise Killed
        self.count += 1
        if self.count == self.at:
            partial()
            self.dead = not self.full
            raise OSError(errno.ENOSPC, "No space left on device") if self.full else Killed


@final
class File:
    """An open file whose writes count; a write that fails has written its first half."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self._file, self._faults = file, faults

    def write(self, content: Any) -> int:
        half = lambda: (self._file.write(content[: len(content) // 2]), self._file.flush())  # noqa: E731
        self._faults.step(half)
        return int(self._file.write(content))

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def injected(at: int, *, full: bool) -> Iterator[Faults]:
    """Faults in what the project's own code does to files; removals that clean up after a full disk work, as they would."""
    faults = Faults(at, full)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            real = getattr(os, name)

            def call(*args: Any, real: Any = real, name: str = name, **kwargs: Any) -> Any:
                if not (full and name in ("unlink", "rmdir", "ftruncate")):
                    faults.step()
                return real(*args, **kwargs)

            patch.setattr(os, name, call)
        patch.setattr(disk, "open", lambda *a, **k: File(builtins.open(*a, **k), faults), raising=False)
        yield faults


def attempts(do: Callable[[], object], *, full: bool) -> Iterator[int]:
    """Do it with the first operation failing, then the second, until none is left to fail; gives the number of each."""
    for at in range(1, 200):
        with injected(at, full=full) as faults:
            try:
                do()
            except (Killed, ResourceError) as error:
                assert isinstance(error, ResourceError) == full
                if isinstance(error, ResourceError):
                    assert error.exit_code == 5 and "a full disk" in str(error) and " free)" in str(error), str(error)
        yield at
        if faults.count < at:
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("full", [True, False], ids=["full disk", "killed"])
@pytest.mark.parametrize("name", ["last-00000007-0", "last-00000009-0"], ids=["the same name", "a new name"])
def test_a_checkpoint_is_whole_or_the_one_before_is(tmp_path: Path, full: bool, name: str) -> None:
    before = checkpoint.write(tmp_path / "last-00000007-0", FILES, {"step": 7})
    tried = 0
    for tried in attempts(lambda: checkpoint.write(tmp_path / name, FILES, {"step": 9}), full=full):
        checkpoint.recover(tmp_path)
        found, passed = checkpoint.newest_whole(checkpoint.steps_saved(tmp_path, "last"))
        assert found is not None and not passed, f"operation {tried}"
        assert checkpoint.read(found)[1]["step"] in (7, 9)
        if full:
            assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")], "what was begun is taken away"
        shutil.rmtree(tmp_path)
        before = checkpoint.write(tmp_path / "last-00000007-0", FILES, {"step": 7})
    assert tried > 10 and before.exists()


@pytest.mark.parametrize("full", [True, False], ids=["full disk", "killed"])
def test_a_file_is_replaced_or_stays(tmp_path: Path, full: bool) -> None:
    path = tmp_path / "report.json"
    disk.write_json(path, {"old": 1})
    for tried in attempts(lambda: disk.write_json(path, {"new": 2}), full=full):
        assert path.read_text() in ('{\n "old": 1\n}\n', '{\n "new": 2\n}\n'), f"operation {tried}"


def test_a_log_on_a_full_disk_keeps_its_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("{}\n")
    run = Run(tmp_path)
    run.record(Adjusted(1, "first", "why"))
    before = (tmp_path / "events.jsonl").read_bytes()
    for _ in attempts(lambda: run.record(Adjusted(2, "second", "why")), full=True):
        lines = (tmp_path / "events.jsonl").read_bytes()
        assert lines.startswith(before) and lines.endswith(b"\n") and len(lines.splitlines()) in (1, 2)
    assert [event["what"] for event in run.events()] == ["first", "second"]


def test_a_log_cut_by_a_kill_is_mended(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("{}\n")
    run = Run(tmp_path)
    run.record(Adjusted(1, "first", "why"))
    for _ in attempts(lambda: run.record(Adjusted(2, "second", "why")), full=False):
        run.mend_events()
        assert [event["what"] for event in run.events()] in (["first"], ["first", "second"])


def test_no_room_is_told_before_the_first_step(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.runs import make_ready
    from tunesmith import api
    from tunesmith.training.room import checkpoint_bytes
    from tunesmith.training.state import State

    ready = make_ready(tmp_path, tiny_bert)
    need = int(2.2 * checkpoint_bytes(State.start(ready)))
    spec = ready.plan.spec
    monkeypatch.setattr(disk, "free_bytes", lambda path: need - 1)
    says = r"of free disk for checkpoints .2\.2 times one of them., got .*; free some space, or name a folder on another disk"
    with pytest.raises(ResourceError, match=says) as caught:
        next(api.fit_events(spec))
    assert caught.value.exit_code == 5 and not (tmp_path / "runs").exists()
    monkeypatch.setattr(disk, "free_bytes", lambda path: need)
    events = api.fit_events(spec)
    next(events)
    events.close()


def test_the_room_asked_for_is_that_of_a_real_checkpoint(tmp_path: Path, tiny_bert: Path) -> None:
    from tests.runs import make_ready
    from tunesmith.training.loop import train
    from tunesmith.training.room import checkpoint_bytes
    from tunesmith.training.state import State

    for optimizer in ("adamw", "sgd"):
        folder = tmp_path / optimizer
        folder.mkdir()
        state = State.start(make_ready(folder, tiny_bert, strategy="full", optimizer=optimizer, save_every=1, epochs=1))
        for event in train(state, folder / "c"):
            if type(event).__name__ == "Saved" and "last-" in event.path:
                break
        written = sum(path.stat().st_size for path in checkpoint.steps_saved(folder / "c", "last")[-1].glob("*.safetensors"))
        assert 0.6 * written <= checkpoint_bytes(state) <= 1.7 * written, optimizer


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.runs import make_ready
    from tunesmith.training import cache
    from tunesmith.training.loop import train
    from tunesmith.training.state import State

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ready = make_ready(tmp_path, tiny_bert, strategy="head-only", epochs=1)
    monkeypatch.setattr(os, "posix_fallocate", full)
    events = list(train(State.start(ready), tmp_path / "c"))
    told = [event for event in events if getattr(event, "what", "") == "no activation cache"]
    assert told and "a full disk" in told[0].why and events[-1].reason == "complete"
    assert not list(cache.folder().glob("*")), "nothing half-written is left"



@pytest.fixture
def trained(tmp_path: Path, tiny_bert: Path) -> tuple[Any, Any, Any]:
    """A run whose model was saved once, and another model to be saved there."""
    from tests.runs import make_ready
    from tunesmith import finish
    from tunesmith.training.state import State

    ready = make_ready(tmp_path, tiny_bert)
    run, state = Run.create(ready), State.start(ready)
    finish.save(run, ready, ready.task, state)
    with torch.no_grad():
        state.model.head.bias += 1
    return run, ready, state


def _saved(run: Run) -> dict[str, bytes]:
    return {path.relative_to(run.model).as_posix(): path.read_bytes() for path in run.model.rglob("*") if path.is_file()}


def _leaves_a_whole_model(run: Run, before: dict[str, bytes]) -> None:
    """The model of before, to the byte, or one that loads; nothing else beside it."""
    from tunesmith.models.save import load_model, load_processor

    disk.recover(run.path)
    if _saved(run) != before:
        assert load_model(run.model).head.bias.min() > 0.5 and load_processor(run.model)


@pytest.mark.parametrize("limit", [0, 100, 1000, 3000, 10_000, 60_000])
def test_what_libraries_cannot_write_leaves_the_saved_model_whole(trained: tuple[Any, Any, Any], limit: int) -> None:
    """A real limit of the system on every file: safetensors, tokenizers and transformers fail in their own words."""
    import resource
    import signal

    from tunesmith import finish

    run, ready, state = trained
    before = _saved(run)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        with pytest.raises(ResourceError) as caught:
            finish.save(run, ready, ready.task, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.exit_code == 5 and caught.value.code == "disk-full" and str(run.model) in str(caught.value)
    assert "that can be written" in str(caught.value) and " free)" in str(caught.value)
    assert _saved(run) == before and not list(run.path.glob(".model*")), "nothing half-written is left"
    finish.save(run, ready, ready.task, state)
    assert _saved(run) != before


@pytest.mark.parametrize("full", [True, False], ids=["full disk", "killed"])
def test_a_model_is_saved_whole_or_the_one_before_stays(trained: tuple[Any, Any, Any], full: bool) -> None:
    from tunesmith import finish

    run, ready, state = trained
    before, tries = _saved(run), []
    for tried in attempts(lambda: finish.save(run, ready, ready.task, state), full=full):
        _leaves_a_whole_model(run, before)
        tries.append(tried)
    assert len(tries) > 15
