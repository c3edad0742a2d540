"""A checkpoint is whole or it is not there."""

import errno
import json
import os
import random
import shutil

import pytest
import torch

from tunesmith.errors import ModelError, ResourceError
from tunesmith.training import checkpoint

TENSORS = {"model": {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3)}, "optimizer": {}}
VALUES = {"step": 7, "best": None}


def saved(folder):
    return checkpoint.write(folder / "last-00000007-0", TENSORS, VALUES)


def test_what_is_written_is_read(tmp_path):
    tensors, values = checkpoint.read(saved(tmp_path))
    assert values == VALUES and tensors["optimizer"] == {}
    assert all(torch.equal(tensors["model"][k], v) for k, v in TENSORS["model"].items())
    assert [p.name for p in tmp_path.iterdir()] == ["last-00000007-0"], "nothing else is left behind"


def mutations(folder, other):
    """(name, function that damages the checkpoint) for every way in which a file can be off; `other`: a checkpoint of another step."""
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        for at in sorted({size * part // 16 for part in range(16)} | {1, size - 1}):
            yield f"{path.name} cut at {at}", lambda p=path, n=at: p.write_bytes(p.read_bytes()[:n])
        for at in random.Random(path.name).sample(range(size), min(32, size)):
            yield f"{path.name} bit {at}", lambda p=path, n=at: flip(p, n)
        yield f"{path.name} longer", lambda p=path: p.write_bytes(p.read_bytes() + b"x")
        yield f"{path.name} missing", lambda p=path: p.unlink()
        yield f"{path.name} a folder", lambda p=path: (p.unlink(), p.mkdir())
        yield f"{path.name} a dangling link", lambda p=path: (p.rename(p.with_suffix(".x")), p.symlink_to("nowhere"))
        yield f"{path.name} a link to another step's", lambda p=path: (p.unlink(), p.symlink_to(other / p.name))
        if path.read_bytes() != (other / path.name).read_bytes():
            yield f"{path.name} of another step", lambda p=path: p.write_bytes((other / p.name).read_bytes())
        if os.geteuid():
            yield f"{path.name} unreadable", lambda p=path: p.chmod(0)
    yield "only begun", lambda: folder.rename(folder.with_name(f".{folder.name}.tmp"))
    yield "without a manifest, and half a new one", lambda: (folder / "manifest.json").rename(folder / ".manifest.json.tmp")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


def test_no_damage_is_loaded_and_the_one_before_is_found(tmp_path):
    """At least 200 damages: none is loaded silently, each falls back to the newest whole checkpoint."""
    other = {"model": {"a.weight": torch.ones(3, 4), "a.bias": torch.zeros(3)}, "optimizer": {"b": torch.zeros(2)}}
    older = checkpoint.write(tmp_path / "last-00000003-0", other, {"step": 3})
    path = saved(tmp_path)
    whole = {file.name: file.read_bytes() for file in path.iterdir()}
    refused = []
    for name, damage in mutations(path, older):
        damage()
        found, passed = checkpoint.newest_whole(checkpoint.steps_saved(tmp_path, "last"))
        if found == path:  # a bit of the manifest that says the same in JSON: what is read is what was saved
            assert name.startswith("manifest.json bit") and same(*checkpoint.read(path)), name
        else:
            assert found == older and passed == ([path] if path.exists() else []), name
            refused.append(name)
        shutil.rmtree(tmp_path / f".{path.name}.tmp", ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for file, content in whole.items():
            (path / file).write_bytes(content)
    assert len(refused) >= 200 and len(set(refused)) == len(refused)


def same(tensors, values):
    """Whether this is what `saved` saved."""
    return values == VALUES and all(torch.equal(tensors["model"][k], v) for k, v in TENSORS["model"].items())


def test_a_file_of_another_step_is_refused(tmp_path):
    path, other = (
        saved(tmp_path),
        checkpoint.write(tmp_path / "other", {"model": {"a.weight": torch.ones(3, 4)}}, VALUES),
    )
    (other / "model.safetensors").replace(path / "model.safetensors")
    with pytest.raises(ModelError, match="model.safetensors"):
        checkpoint.read(path)


def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path):
    path = saved(tmp_path)
    (tmp_path / "secret").write_bytes(b"x")
    entry = {"bytes": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    (path / "manifest.json").write_text(json.dumps({"state.json": entry, "../secret": entry}))
    (path / "state.json").write_bytes(b"x")
    with pytest.raises(ModelError, match="secret"):
        checkpoint.read(path)


def test_a_full_disk_leaves_the_old_one_whole(tmp_path, monkeypatch):
    """ENOSPC at every write and sync of a save, one after the other."""
    path = saved(tmp_path)
    real = os.fsync
    for failing in range(1, 6):
        calls = []

        def fsync(handle, failing=failing, calls=calls):
            calls.append(handle)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            checkpoint.write(path, TENSORS, {"step": 8})
        except ResourceError as error:
            assert "full disk" in str(error) and error.exit_code == 5
        else:
            assert len(calls) < failing
        monkeypatch.setattr(os, "fsync", real)
        assert checkpoint.read(path)[1]["step"] in (7, 8)
        assert not list(tmp_path.glob(".*.tmp"))


def test_json_is_replaced_at_once(tmp_path):
    path = tmp_path / "task.json"
    checkpoint.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoint.write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
