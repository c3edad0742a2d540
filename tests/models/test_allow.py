"""What a config may say: no code, no paths, no absurd sizes; honest configs pass unchanged."""

import json

import pytest

from tunesmith.errors import ModelError
from tunesmith.models import allow

REFUSED = [
    {"auto_map": {"AutoModel": "evil.Model"}},
    {"trust_remote_code": True},
    {"_attn_implementation_internal": "evil/kernels"},
    {"_attn_implementation": "evil/kernels:flash"},
    {"_experts_implementation": "evil/kernels"},
    {"parent_library": "os"},
    {"megatron_core": "os"},
    {"megatron_config": {"a": 1}},
    {"tokenizer_kwargs": {"trust_remote_code": True}},
    {"custom_pipelines": {"a": {"impl": "evil.Pipeline"}}},
    {"text_config": {"deep": [{"trust_remote_code": True}]}},
]


@pytest.mark.parametrize("values", REFUSED, ids=lambda values: next(iter(values)))
def test_keys_that_name_code_are_refused_by_name(values):
    with pytest.raises(ModelError) as caught:
        allow.filtered({"model_type": "bert", **values}, set(), "config.json")
    assert caught.value.code == "config-names-code" and caught.value.exit_code == 4
    assert "config.json, key '" in str(caught.value)


@pytest.mark.parametrize("value", [None, False, {}, ""])
def test_an_empty_switch_is_harmless_and_left_out(value):
    values = allow.filtered(
        {"trust_remote_code": value, "auto_map": value, "_attn_implementation_autoset": True}, set(), "x"
    )
    assert values == {}


def test_known_keys_and_plain_values_pass_names_of_modules_and_files_do_not():
    good = {
        "hidden_size": 4,
        "rope_scaling": {"factor": 2.0},
        "norm_rel_ebd": "layer_norm",
        "sizes": [1, 2],
        "known": "a.b/c",
    }
    bad = {
        "a": "os.system",
        "b": "owner/repo",
        "c": "../x",
        "d": {"nested": 1},
        "e": "x:y",
        "f": [["deep"]],
        "_private": "word",
    }
    assert allow.filtered({**good, **bad}, {"hidden_size", "known"}, "x") == good


def test_how_a_model_answers_is_not_the_configs_business():
    values = {"return_dict": False, "output_hidden_states": True, "gradient_checkpointing": True, "torchscript": True}
    assert allow.filtered(values, set(values), "x") == {}


def test_quantised_weights_are_refused():
    with pytest.raises(ModelError, match="quantised"):
        allow.filtered({"quantization_config": {"load_in_4bit": True}}, set(), "x")


@pytest.mark.parametrize(
    "text",
    [b"", b"[1]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"{'a': 1}"],
    ids=["empty", "list", "doubled", "bytes", "deep list", "deep object", "python"],
)
def test_bad_json_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ModelError) as caught:
        allow.read_json(tmp_path / "config.json")
    assert caught.value.code == "bad-json" and len(str(caught.value)) < 500


def test_a_huge_file_is_refused_unread(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(allow.MAX_JSON_BYTES + 1)
    with pytest.raises(ModelError) as caught:
        allow.read_json(tmp_path / "config.json")
    assert caught.value.code == "file-too-large"


@pytest.mark.parametrize("where", ["tokenizer_config.json", "chat_template.json", "chat_template.jinja"])
def test_an_absurd_chat_template_is_refused(where, tmp_path):
    template = "{{ x }}" * (allow.MAX_TEMPLATE_CHARS // 5)
    (tmp_path / where).write_text(template if where.endswith("jinja") else json.dumps({"chat_template": template}))
    with pytest.raises(ModelError) as caught:
        allow.check_folder(tmp_path)
    assert caught.value.code == "template-too-large"


def test_a_tokenizer_that_names_code_is_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}')
    with pytest.raises(ModelError, match="auto_map"):
        allow.check_folder(tmp_path)


@pytest.mark.parametrize(
    "base", ["/etc/passwd", "http://169.254.169.254/", "../up", "a/../../b", "file:///x", "C:\\x", "a b"]
)
def test_an_adapters_base_is_a_hub_id_or_nothing(base):
    with pytest.raises(ModelError) as caught:
        allow.check_adapter({"base_model_name_or_path": base}, "adapter_config.json")
    assert caught.value.code == "adapter-base"


@pytest.mark.parametrize("base", [None, "", "bert-base-uncased", "owner/name-1.5_x"])
def test_honest_adapter_configs_pass(base):
    allow.check_adapter(
        {"base_model_name_or_path": base, "megatron_config": None, "megatron_core": "megatron.core"}, "x"
    )


def test_megatron_is_refused_where_it_would_be_read():
    with pytest.raises(ModelError):
        allow.check_adapter({"megatron_config": {"a": 1}, "megatron_core": "megatron.core"}, "x")
