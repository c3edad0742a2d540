"""A language model keeps its head: the same likelihoods, files that plain transformers and peft read, text that is written on exactly."""

import warnings

import pytest
import torch

from tests.tiny_models import writer
from tunesmith.errors import ModelError
from tunesmith.models import generation, language, merging, save, source
from tunesmith.models.language import Language
from tunesmith.models.outline import outline
from tunesmith.models.prefix import cut
from tunesmith.registry import STRATEGIES

ROWS = [[1, 40, 41, 42, 43, 44], [1, 50, 51], [1, 60, 61, 62]]
FAMILIES = [("llama", True), ("llama", False), ("gpt2", True), ("qwen2", False)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("writers")
    return {(family, tied): writer(root / f"{family}-{tied}", family, tied=tied) for family, tied in FAMILIES}


def _make(folder, strategy="full", **options):
    found = source.find(str(folder))
    model = Language(source.load(found, form="language"))
    STRATEGIES.load(strategy).build(options, strategy).shape(model, 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval(), source.processor(found)


def _batch(rows=ROWS, learn_from=1):
    ids, mask = generation._padded(rows, torch.device("cpu"))
    learn = mask.clone()
    learn[:, :learn_from] = 0
    return {"input_ids": ids, "attention_mask": mask, "learn": learn}


def _reference(whole, row):
    """Summed nats of a row's tokens after the first, by transformers' own logits."""
    logits = whole(torch.tensor([row])).logits[0].log_softmax(-1)
    return -sum(float(logits[i, row[i + 1]].detach()) for i in range(len(row) - 1))


@pytest.mark.parametrize("key", FAMILIES)
def test_likelihoods_are_those_of_the_architecture_row_by_row(folders, key):
    model, _ = _make(folders[key])
    nll = model(_batch()).sum(1).tolist()
    assert nll == pytest.approx([_reference(model.whole, row) for row in ROWS], abs=1e-4)


def test_only_asked_tokens_count(folders):
    model, _ = _make(folders["llama", True])
    whole, later = model(_batch()), model(_batch(learn_from=2))
    assert torch.equal(later[:, :2], torch.zeros(3, 2)) and torch.allclose(later[:, 2:], whole[:, 2:], atol=1e-6)


def test_chunks_change_neither_likelihood_nor_gradient(folders, monkeypatch):
    found = []
    for chunk in (512, 2):
        monkeypatch.setattr(language, "CHUNK", chunk)
        model, _ = _make(folders["qwen2", False])
        model(_batch()).sum().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("key", FAMILIES)
def test_a_saved_folder_loads_in_plain_transformers_with_its_head(folders, key, tmp_path):
    from transformers import AutoModelForCausalLM

    model, processor = _make(folders[key])
    save.save(model, processor, tmp_path)
    plain, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()) and type(plain) is type(model.whole)
    batch = _batch()
    expected = model.logits(model.features(batch))
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    assert torch.equal(plain.eval()(**given).logits, expected)
    again = save.load_model(tmp_path)
    assert torch.equal(again(batch), model(batch)) and again.tied == model.tied == key[1]


@pytest.mark.parametrize("strategy", ["lora", "dora", "ia3", "vera", "prompt", "prefix"])
@pytest.mark.parametrize("key", [("llama", True), ("gpt2", True)])
def test_a_saved_adapter_loads_in_plain_peft(strategy, key, folders, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model, processor = _make(folders[key], strategy)
    save.save(model, processor, tmp_path)
    batch = _batch()
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path), tmp_path / "adapter").eval()
        logits = plain(**given).logits[:, -6:]
    seen = batch["attention_mask"].bool()
    assert torch.allclose(logits[seen], model.logits(model.features(batch))[seen], atol=1e-4)
    assert torch.equal(save.load_model(tmp_path)(batch), model(batch))


@pytest.mark.parametrize("strategy", ["lora", "dora", "ia3", "vera"])
def test_merging_changes_nothing(strategy, folders):
    model, _ = _make(folders["llama", True], strategy)
    assert torch.allclose(merging.merged(model)(_batch()), model(_batch()), atol=1e-4)


def test_an_untied_head_stands_with_the_top_and_a_tied_one_with_the_embeddings(folders):
    untied, tied = (outline(_make(folders["llama", way])[0]) for way in (False, True))
    assert untied.depths["head.weight"] == 3 and "head.weight" not in tied.depths
    assert untied.head == tied.head == ()


def test_a_cut_gives_the_same_likelihoods(folders):
    model, _ = _make(folders["llama", True])
    model.cut = cut(model, 1)
    batch = _batch()
    assert torch.allclose(model({**batch, "hidden_BTD": model.cut.below(batch)}), model(batch), atol=1e-5)


@pytest.mark.parametrize("strategy", ["full", "lora", "prompt", "prefix", "p-tuning", "adapters"])
@pytest.mark.parametrize("key", [("llama", True), ("gpt2", True)])
def test_text_is_written_as_if_each_row_were_computed_anew(strategy, key, folders):
    model, _ = _make(folders[key], strategy)
    written = generation.write(model, ROWS, generation.How(most=6))
    for row, found in zip(ROWS, written, strict=True):
        ids = list(row)
        for _ in range(6):
            batch = _batch([ids])
            ids.append(int(model.logits(model.features(batch)[:, -1]).argmax()))
        assert list(found.ids) == ids[len(row) :] and not found.stopped


def test_writing_greedily_is_what_transformers_writes(folders):
    model, _ = _make(folders["llama", True])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = model.whole.generate(torch.tensor([ROWS[0]]), max_new_tokens=8, do_sample=False, eos_token_id=[], use_cache=True)
    assert list(generation.write(model, ROWS, generation.How(most=8))[0].ids) == plain[0, 6:].tolist()


def test_an_end_token_ends_and_is_left_out(folders):
    model, _ = _make(folders["llama", True])
    free = generation.write(model, ROWS[:1], generation.How(most=6))[0].ids
    end = free[3]
    found = generation.write(model, ROWS, generation.How(most=6, ends=frozenset({end})))[0]
    assert found.ids == free[: free.index(end)] and found.stopped
    early = generation.write(model, ROWS[:1], generation.How(most=6), ended=lambda ids: len(ids) == 2)[0]
    assert early.ids == free[:2] and early.stopped


def test_draws_depend_on_the_prompt_and_the_seed_alone(folders):
    model, _ = _make(folders["llama", True])
    how = generation.How(most=6, temperature=1.5, seed=3)
    together, alone = generation.write(model, ROWS, how), [generation.write(model, [row], how)[0] for row in ROWS]
    assert together == alone
    assert together != generation.write(model, ROWS, generation.How(most=6, temperature=1.5, seed=4))
    narrow = generation.How(most=6, temperature=1.5, top_p=1e-6)
    assert generation.write(model, ROWS, narrow) == generation.write(model, ROWS, generation.How(most=6))


def test_an_encoder_is_no_language_model(tiny_bert):
    with pytest.raises(ModelError) as caught:
        source.load(source.find(str(tiny_bert)), form="language")
    assert caught.value.code == "unsuitable-architecture"


def test_a_folder_without_its_untied_head_is_refused(folders, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["llama", False], tmp_path / "headless")
    state = {n: t for n, t in load_file(folder / "model.safetensors").items() if n != "lm_head.weight"}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="lm_head"):
        source.load(source.find(str(folder)), form="language")
