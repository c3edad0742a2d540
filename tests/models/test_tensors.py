"""Files that no honest program wrote are refused by their header alone, with the tensor's name."""

import json
import os
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models import tensors

TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
TYPES += (torch.float16, torch.bfloat16, torch.float32, torch.float64)
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def _file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def _entry(start, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


HOSTILE = {
    "header of 2^63 bytes": dict(header=b"{}", length=2**63),
    "header of 101 MB said": dict(header=b"{}", length=101_000_000),
    "header longer than the file": dict(header={"a": F32}, data=b"", length=10_000),
    "overlap": dict(header={"a": _entry(0, 8), "b": _entry(4, 12)}, data=bytes(12)),
    "hole": dict(header={"a": _entry(0, 8), "b": _entry(12, 20)}, data=bytes(20)),
    "hole at the start": dict(header={"a": _entry(4, 12)}, data=bytes(12)),
    "bytes left over": dict(header={"a": F32}, data=bytes(9)),
    "cut short": dict(header={"a": F32}, data=bytes(7)),
    "offset past the end": dict(header={"a": _entry(0, 2**40)}, data=bytes(8)),
    "doubled name": dict(header=b'{"a": %s, "a": %s}' % ((json.dumps(F32).encode(),) * 2), data=bytes(8)),
    "unknown type": dict(header={"a": _entry(0, 8, dtype="PICKLE")}, data=bytes(8)),
    "sizes that overflow": dict(header={"a": _entry(0, 8, shape=[2**62, 4])}, data=bytes(8)),
    "negative size": dict(header={"a": _entry(0, 8, shape=[-2])}, data=bytes(8)),
    "backward offsets": dict(header={"a": _entry(8, 0, shape=[2])}, data=bytes(8)),
    "fractional size": dict(header={"a": _entry(0, 8, shape=[2.0])}, data=bytes(8)),
    "size of true": dict(header={"a": _entry(0, 4, shape=[True])}, data=bytes(4)),
    "no offsets": dict(header={"a": {"dtype": "F32", "shape": [2]}}, data=bytes(8)),
    "a list": dict(header=b"[]"),
    "no JSON": dict(header=b"\xff\xfe"),
    "brackets 100,000 deep": dict(header=b'{"a":' + b"[" * 100_000),
    "shape says more than the bytes": dict(header={"a": _entry(0, 8, shape=[3])}, data=bytes(8)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(case, tmp_path):
    with pytest.raises(ModelError) as caught:
        tensors.header(_file(tmp_path / "model.safetensors", **HOSTILE[case]))
    assert caught.value.exit_code == 4 and caught.value.code in {"bad-safetensors", "bad-json"}


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_stump_is_refused(size, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(size))
    with pytest.raises(ModelError):
        tensors.header(path)


def test_the_message_names_the_tensor(tmp_path):
    header = {"fine": _entry(0, 8), "bad.weight": _entry(4, 12)}
    with pytest.raises(ModelError, match=r"tensor '?bad\.weight'?.*overlap"):
        tensors.header(_file(tmp_path / "model.safetensors", header, bytes(12)))


def test_honest_files_are_read_as_written(tmp_path):
    state = {
        "a": torch.randn(3, 4),
        "b": torch.arange(5),
        "c": torch.randn(2).to(torch.bfloat16),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
    }
    path = tmp_path / "model.safetensors"
    save_file(state, path, {"format": "pt"})
    entries = tensors.header(path)
    assert {name: entry.shape for name, entry in entries.items()} == {name: tuple(t.shape) for name, t in state.items()}
    again = tensors.read(path)
    assert all(torch.equal(again[name], state[name]) and again[name].dtype == state[name].dtype for name in state)


def test_read_tensors_outlive_their_file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    state = tensors.read(path)
    path.write_bytes(b"")
    assert state["a"].sum() == 1000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 200), byte=st.integers(0, 255))
def test_a_flipped_header_byte_is_refused_or_harmless(tmp_path, where, byte):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2, 3), "b": torch.ones(4)}, path)
    content = bytearray(path.read_bytes())
    content[where % (len(content) - 40)] = byte
    path.write_bytes(content)
    try:
        entries = tensors.header(path)
    except ModelError:
        return
    assert sum(entry.end - entry.start for entry in entries.values()) == 40


@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/passwd", "sub/x.safetensors", "..\\x.safetensors", "model.bin", "", "."]
)
def test_an_index_cannot_leave_its_folder(name, tmp_path):
    with pytest.raises(ModelError) as caught:
        tensors.shards(tmp_path, {"a": name}, "index")
    assert caught.value.code == "bad-index"


def test_an_index_of_a_million_shards_is_refused_at_once(tmp_path):
    with pytest.raises(ModelError, match="at most"):
        tensors.shards(tmp_path, {str(n): f"{n}.safetensors" for n in range(10**6)}, "index")


def test_an_index_to_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "model-1.safetensors")
    with pytest.raises(ModelError) as caught:
        tensors.shards(tmp_path, {"a": "model-1.safetensors"}, "index")
    assert caught.value.code == "not-a-file"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError) as caught:
        tensors.within(folder / "model.safetensors", folder)
    assert caught.value.code == "outside-folder"


def test_links_of_the_hubs_cache_are_followed(tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "1", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "x").write_bytes(b"x")
    (snapshot / "config.json").symlink_to(blobs / "x")
    assert tensors.within(snapshot / "config.json", snapshot).read_bytes() == b"x"
    (tmp_path / "outside").write_bytes(b"x")
    (snapshot / "model.safetensors").symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError):
        tensors.within(snapshot / "model.safetensors", snapshot)


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3)], ids=str)
def test_pieces_are_what_the_library_reads(tmp_path, shape):
    made = {str(kind): (torch.arange(6)[: torch.Size(shape).numel()].reshape(shape) % 2).to(kind) for kind in TYPES}
    (tmp_path / "a.safetensors").write_bytes(b"".join(tensors.pieces(made)))
    found, own = load_file(tmp_path / "a.safetensors"), tensors.read(tmp_path / "a.safetensors")
    assert all(torch.equal(own[name], tensor) and own[name].dtype == tensor.dtype for name, tensor in found.items())
    assert found.keys() == made.keys() == tensors.header(tmp_path / "a.safetensors").keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in made.items())


def test_pieces_of_a_tensor_that_is_laid_out_otherwise(tmp_path):
    tensor = torch.arange(12.0).reshape(3, 4).T.requires_grad_()
    (tmp_path / "a.safetensors").write_bytes(b"".join(tensors.pieces({"a": tensor})))
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], tensor)


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(ModelError, match="nowhere.safetensors"):
        tensors.read(tmp_path / "nowhere.safetensors")
