"""Archives, models and adapters that must not be used: refused with the name of what is wrong, with nothing run or written outside."""

# ruff: noqa: E501  sentences are written whole, as a user reads them
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cases.conftest import as_csv, rows, write
from tests.cases.test_tables import matches
from tests.data.files import zipped

ROWS = as_csv(rows())
Header = dict[str, Any]


# -- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["../evil.csv", "/tmp/tunesmith-evil.csv", "../out-evil/x.csv", "a/../../evil.csv", "C:/evil.csv", "..\\evil.csv"])
def test_52_a_member_outside_refuses_the_whole_archive(refused, here: Path, member: str) -> None:
    zipped(here / "a.zip", {"good.csv": ROWS, member: ROWS})
    message = refused("fit", "a.zip", exit=3, code="zip-slip")
    assert matches("a.zip…: expected …, got …; …", message) and not Path("/tmp/tunesmith-evil.csv").exists(), message


def test_53_a_link_and_a_file_through_it(refused, here: Path) -> None:
    zipped(here / "a.zip", {"good.csv": ROWS, "link": "/tmp", "link/tunesmith-evil.csv": ROWS}, link="link")
    message = refused("fit", "a.zip", exit=3, code="zip-link")
    assert "link" in message and not Path("/tmp/tunesmith-evil.csv").exists()


def test_54_a_bomb(refused, here: Path) -> None:
    zipped(here / "a.zip", {"rows.csv": bytes(40 << 20)})
    assert refused("fit", "a.zip", exit=3, code="zip-bomb").startswith("a.zip")


# -- models -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(here: Path, tiny_bert: Path) -> Path:
    """A model folder of one's own, next to good data."""
    write("a.csv", ROWS)
    return Path(shutil.copytree(tiny_bert, here / "m"))


def tensors(change: Callable[[Header, bytes], tuple[Header, bytes]]) -> Callable[[bytes], bytes]:
    """A change of a safetensors file's header and data."""

    def apply(content: bytes) -> bytes:
        size = int.from_bytes(content[:8], "little")
        header, data = change(json.loads(content[8 : 8 + size]), content[8 + size :])
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data

    return apply


def named(header: Header, part: str) -> str:
    return next(name for name in header if part in name)


def overlap(header: Header, data: bytes) -> tuple[Header, bytes]:
    one, other = [name for name in header if name != "__metadata__"][:2]
    header[other] = dict(header[one])
    return header, data


def extra(header: Header, data: bytes) -> tuple[Header, bytes]:
    header["extra.weight"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
    return header, data + bytes(8)


def turned(header: Header, data: bytes) -> tuple[Header, bytes]:
    header[named(header, "word_embeddings")]["shape"].reverse()
    return header, data


def renamed(header: Header, data: bytes) -> tuple[Header, bytes]:
    header["other"] = header.pop(named(header, "layer.1.attention.output.dense.weight"))
    return header, data


def nan(header: Header, data: bytes) -> tuple[Header, bytes]:
    at = header[named(header, "layer.1.attention.output.dense.weight")]["data_offsets"][0]
    return header, data[:at] + b"\x00\x00\xc0\x7f" + data[at + 4 :]


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[:-100], "m/model.safetensors: expected 86,656 bytes of tensors, got 86,556 in the file; download or save the file again"),
    "cut in the header": (lambda content: content[:100], "m/model.safetensors: expected a header of at most …, got … of 100 bytes; …"),
    "a header of 2^63": (lambda content: (2**63).to_bytes(8, "little") + content[8:], "m/model.safetensors: expected a header of at most …, got 9,223,372,036,854,775,808 of …; …"),
    "overlap": (tensors(overlap), "m/model.safetensors, tensor '…': expected bytes from … on, got from 0 (overlap); …"),
    "extra": (tensors(extra), "…: expected only tensors of the architecture, got tensor 'extra.weight'…; config and weights do not belong together: …"),
    "shape": (tensors(turned), "…: expected tensor 'embeddings.word_embeddings.weight' of shape [75, 32], got [32, 75]; …"),
    "missing": (tensors(renamed), "…: expected tensor 'encoder.layer.1.attention.output.dense.weight', got none…; …"),
    "not finite": (tensors(nan), "m, tensor 'encoder.layer.1.attention.output.dense.weight': expected numbers, got NaN or infinity in 1 of 1,024 places; …"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_55_damaged_weights_name_the_tensor(refused, model: Path, damage: str) -> None:
    change, sentence = DAMAGES[damage]
    path = model / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    message = said(refused, model)
    assert matches(sentence, message), message


def said(refused, model: Path) -> str:
    """What fine-tuning this model ends in: exit code 4, and nothing left behind."""
    return refused("fit", "a.csv", "--model", model.name, exit=4, seconds=30)


def test_55_a_tokenizer_of_another_model(refused, model: Path) -> None:
    path = model / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"]["apple"] = 9_999
    path.write_text(json.dumps(values))
    message = refused("fit", "a.csv", "--model", "m", exit=4, code="tokenizer-beyond-model", seconds=30)
    assert matches("the tokenizer in m: expected ids below 75, …, got 9,999 for 'apple'; …", message), message


def test_56_a_pickle_of_weights(refused, model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04\x95\x10\x00")
    assert said(refused, model).startswith("m, file 'pytorch_model.bin': expected weights as model.safetensors, got a pickle, which can run code when read; ")


@pytest.mark.parametrize(("key", "value"), [("auto_map", {"AutoModel": "x.Y"}), ("trust_remote_code", True), ("_attn_implementation_internal", "evil/kernels")])
def test_56_configs_that_name_code(refused, model: Path, key: str, value: Any) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    message = said(refused, model)
    assert message.startswith(f"m/config.json, key '{key}': expected a model that needs no code of its own, got "), message


def test_a_name_that_leads_nowhere_says_where_it_looked(refused, model: Path) -> None:
    message = refused("fit", "a.csv", "--model", "no-such-model", exit=4, code="model-not-found", seconds=30)
    assert matches("model 'no-such-model': expected a folder, an installed package or a Hub id, got nothing; looked in: the folder …; the installed package …; the Hub's cache …; pass a …folder, or run `pip install …` …", message), message


# -- a finished run ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished LoRA run."""
    from tests.tiny_models import bert
    from tunesmith import api

    folder = tmp_path_factory.mktemp("lora")
    (folder / "a.csv").write_text(ROWS)
    model = bert(folder / "m")
    settings = {"strategy": "lora", "epochs": 1, "batch": 32, "threads": 1, "runs": str(folder / "runs"), "resamples": 100}
    return api.fit(str(folder / "a.csv"), model=str(model), **settings).path


def copy_of(run: Path, here: Path) -> Path:
    return Path(shutil.copytree(run, here / "run"))


def test_57_an_adapter_of_another_rank(refused, here: Path, lora: Path) -> None:
    run = copy_of(lora, here)
    path = run / "model" / "adapter" / "adapter_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"r": 3}))
    message = refused("predict", "run", "a text", exit=4, seconds=30)
    assert f"[{values['r']}, 32]" in message and "[3, 32]" in message, message


def test_57_an_adapter_on_another_base(refused, here: Path, lora: Path) -> None:
    from tests.tiny_models import bert

    run = copy_of(lora, here)
    other = bert(here / "other", seed=1, width=64)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(other / name, run / "model" / name)
    message = refused("predict", "run", "a text", exit=4, seconds=30)
    assert "expected tensor " in message and "of shape [" in message and "32]" in message and "64]" in message, message


def test_57_an_adapters_folder_is_no_model_to_start_from(refused, here: Path, lora: Path) -> None:
    run = copy_of(lora, here)
    write("a.csv", ROWS)
    shutil.move(run / "model" / "adapter", here / "m")
    path = here / "m" / "adapter_config.json"
    for base, told in ((None, "got an adapter alone; pass its base (the model that it was trained on)"),
                       ("owner/name", "got an adapter of 'owner/name' alone; pass its base (--model owner/name)")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": base}))
        message = said(refused, here / "m")
        assert told in message and "merge" in message, message


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(here: Path, tiny_bert: Path) -> tuple[Path, list[Path]]:
    """A run that was left in the middle, and its two checkpoints, oldest first."""
    from tests.runs import events_until, write_rows
    from tunesmith import api
    from tunesmith.training import checkpoint
    from tunesmith.training.events import Step

    data = write_rows(here / "rows.csv", n=64)
    settings = {"strategy": "full", "epochs": 2, "batch": 8, "lr": 1e-3, "threads": 1, "runs": str(here / "runs"), "save_every": 2, "resamples": 100}
    run = Path(events_until(api.fit_events(api.make_spec(str(data), model=str(tiny_bert), **settings)), Step, 5))
    return run, checkpoint.steps_saved(run / "checkpoints", "last")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_58_a_flipped_bit_falls_back_to_the_checkpoint_before_and_says_so(tunesmith, stopped) -> None:
    run, (older, newer) = stopped
    flip(newer / "model.safetensors")
    said = tunesmith("resume", run, "--json")
    assert said.code == 0, said.err
    passed = [e for e in said.json if e.get("what") == "checkpoint passed over"]
    assert [e["why"] for e in passed] == [f"{newer.name} is damaged: went back to the one before"]


def test_58_an_optimizer_of_another_step_is_passed_over(stopped) -> None:
    from tunesmith import api

    run, (older, newer) = stopped
    shutil.copy(older / "optimizer.safetensors", newer / "optimizer.safetensors")
    events = api.resume_events(run)
    assert next(events).what == "checkpoint passed over"
    events.close()


def test_58_no_whole_checkpoint_is_refused(refused, stopped) -> None:
    run, saved = stopped
    for folder in saved:
        flip(folder / "model.safetensors")
    message = refused("resume", run, exit=4, code="no-whole-checkpoint", seconds=30)
    assert message == f"{run / 'checkpoints'}: expected one whole checkpoint, got 2 damaged; restore one from a backup, or start again with `tunesmith fit`"
