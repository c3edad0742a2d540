"""Encoder-decoders of several families, and one made of an encoder: likelihoods, writing and saved folders are transformers' own."""

import logging
import re

import pytest
import torch

from tests.tiny_models import bert
from tests.tiny_pairs import pair
from tunesmith.errors import ModelError
from tunesmith.models import adapters, pairs, seq2seq
from tunesmith.models.outline import outline
from tunesmith.models.save import load_model, save
from tunesmith.models.source import find, load, processor

FAMILIES = ("t5", "bart", "marian", "mbart", "m2m_100", "bert")
TEXTS = ["the film was good", "we loved it so and read the blue book again"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Gives a model by its family, with two rows of unlike length, once each."""
    known, root = {}, tmp_path_factory.mktemp("pairs")

    def make(family):
        if family not in known:
            folder = bert(root / family, layers=1) if family == "bert" else pair(root / family, family)
            source = find(str(folder))
            model = seq2seq.Seq2Seq(load(source, form="seq2seq"))
            model.reset_head(0)
            ids = processor(source)(TEXTS, padding=True, return_tensors="pt")
            labels = torch.tensor([[9, 10, 1, -100, -100], [9, 8, 12, 11, 1]])
            known[family] = model.eval(), {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"], "labels": labels}
        return known[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_are_those_of_the_architecture(family, made):
    model, batch = made(family)
    asked = batch["labels"] >= 0
    with torch.no_grad():
        logits = model.whole(**{k: batch[k] for k in ("input_ids", "attention_mask")},
                             decoder_input_ids=seq2seq.shifted(model.whole, batch["labels"])).logits  # fmt: skip
        expected = torch.nn.functional.cross_entropy(logits[asked], batch["labels"][asked], reduction="none")
        found = model(batch)
    torch.testing.assert_close(found[asked], expected, atol=1e-5, rtol=1e-5)
    assert not found[~asked].any()


@pytest.mark.parametrize("family", ["marian", "mbart"])
def test_drawn_tokens_are_as_frequent_as_the_model_says_and_each_rows_own(family, made):
    model, batch = made(family)
    ids, mask = batch["input_ids"][1:], batch["attention_mask"][1:]
    draw = lambda rows, seed, **how: model.write(  # noqa: E731
        batch["input_ids"][rows], batch["attention_mask"][rows], {"most": 3, "temperature": 1.0, "seed": seed} | how
    )
    assert draw(slice(0, 2), 3) == [draw(slice(0, 1), 3)[0], draw(slice(1, 2), 3)[0]] == draw(slice(0, 2), 3)
    assert draw(slice(0, 2), 4, temperature=1e-4) == model.write(batch["input_ids"], batch["attention_mask"], {"most": 3})
    with torch.no_grad():
        start = torch.full((1, 1), model.whole.config.decoder_start_token_id)
        p_V = model.whole(input_ids=ids, attention_mask=mask, decoder_input_ids=start).logits[0, -1].softmax(-1)
    likely, count = p_V.argsort(descending=True)[: len(p_V) // 2], 200
    first = [one.ids[0] if one.ids else -1 for seed in range(count) for one in draw(slice(1, 2), seed, most=1)]
    expected, found = float(p_V[likely].sum()), sum(token in set(likely.tolist()) for token in first) / count
    assert len(set(first)) > 20 and abs(found - expected) < 4 * (expected * (1 - expected) / count) ** 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_told_and_written_alike_alone_and_in_a_batch(family, made):
    model, batch = made(family)
    how = {"most": 6, "beams": 2, "no_repeat": 2}
    alone = {name: value[:1] for name, value in batch.items()}
    short = int(alone["attention_mask"].sum())
    alone = {name: value[:, :short] if name != "labels" else value for name, value in alone.items()}
    with torch.no_grad():
        torch.testing.assert_close(model(batch)[:1], model(alone), atol=1e-5, rtol=1e-5)
    together = model.write(batch["input_ids"], batch["attention_mask"], how)
    assert together[:1] == model.write(alone["input_ids"], alone["attention_mask"], how)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_saved_folder_is_the_same_here_and_in_plain_transformers(family, made, tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    model, batch = made(family)
    save(model, model.tokenizer, tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(model(batch), again(batch))
    logging.getLogger("transformers").setLevel(logging.ERROR)
    plain, info = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = {name: batch[name] for name in ("input_ids", "attention_mask")}
    theirs = plain.generate(**ids, max_new_tokens=6, num_beams=2, early_stopping=True).tolist()
    ours = again.write(*ids.values(), {"most": 6, "beams": 2})
    ends = plain.generation_config.eos_token_id
    assert [list(one.ids) for one in ours] == [[i for i in row[1:][: (row[1:] + [ends]).index(ends)]] for row in theirs]


@pytest.mark.parametrize(("family", "layers"), [("t5", 2), ("bart", 2), ("bert", 1)])
def test_weights_stand_by_depth_encoder_below_decoder_and_new_ones_on_top(family, layers, tmp_path):
    folder = bert(tmp_path / "m", layers=layers) if family == "bert" else pair(tmp_path / "m", family, layers=layers)
    model = seq2seq.Seq2Seq(load(find(str(folder)), form="seq2seq"))
    shape = outline(model)
    assert shape.layers == 2 * layers
    last = re.compile(rf"(block|layers|encoder\.layer)\.{layers - 1}\.")
    tops = {name: depth for name, depth in shape.depths.items() if last.search(name) and "cross" not in name}
    assert {depth for name, depth in tops.items() if ".encoder." in name and "decoder" not in name} == {layers}
    assert {depth for name, depth in tops.items() if ".decoder." in name} == {2 * layers}
    new = [name for name, depth in shape.depths.items() if depth == 2 * layers + 2]
    assert all("crossattention" in name or "cls" in name for name in new) and bool(new) == (family == "bert")


def test_new_weights_follow_from_the_seed_alone(made):
    model, _ = made("bert")
    named = dict(model.whole.named_parameters())
    before = {name: named[name].detach().clone() for name in model.fresh}
    torch.manual_seed(5)
    model.reset_head(0)
    assert all(torch.equal(named[name], tensor) for name, tensor in before.items())
    model.reset_head(1)
    assert any(not torch.equal(named[name], tensor) for name, tensor in before.items())
    model.reset_head(0)


def test_smoothing_counts_while_training_alone(made):
    model, batch = made("t5")
    plain = model(batch).sum()
    model.smoothing = 0.2
    try:
        assert torch.equal(model(batch).sum(), plain)
        smoothed = model.train()(batch).sum()
        asked = batch["labels"] >= 0
        logits = model.logits(model.hidden(batch)[asked])
        expected = torch.nn.functional.cross_entropy(logits, batch["labels"][asked], label_smoothing=0.2, reduction="sum")
        torch.testing.assert_close(smoothed, expected, atol=1e-4, rtol=1e-5)
    finally:
        model.smoothing = 0.0
        model.eval()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # peft 0.21 reads a name that transformers renamed
def test_an_adapter_on_both_stacks_loads_in_plain_peft(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    from tunesmith.strategies.lora import Lora

    source = find(str(pair(tmp_path / "base", "t5")))
    model = seq2seq.Seq2Seq(load(source, form="seq2seq"))
    Lora(rank=2).shape(model, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    save(model, processor(source), tmp_path / "saved")
    ids = torch.tensor([[9, 10, 11, 1]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    base = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    plain = PeftModel.from_pretrained(base, tmp_path / "saved" / "adapter").eval()
    assert plain.active_peft_config.task_type == adapters.PAIR
    with torch.no_grad():
        expected = plain(input_ids=ids, decoder_input_ids=seq2seq.shifted(base, ids)).logits[0]
        found = model.eval().logits(model.hidden(batch)[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert {name.split(".lora_")[0].split(".")[3] for name, _ in model.named_parameters() if "lora_A" in name} == {"encoder", "decoder"}


@pytest.mark.parametrize("family", ["t5", "bart", "marian", "mbart", "m2m_100", "bert"])
def test_factors_stand_in_both_stacks_and_are_folded_in(family, tmp_path):
    from tunesmith.models.merging import merged
    from tunesmith.strategies.ia3 import IA3

    made = bert(tmp_path / "base", layers=1) if family == "bert" else pair(tmp_path / "base", family)
    model = seq2seq.Seq2Seq(load(find(str(made)), form="seq2seq")).eval()
    ids = torch.tensor([[9, 10, 11, 1]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 1:]}
    before = model(batch)
    IA3().shape(model, 0)
    named = [name for name, _ in model.named_parameters() if "ia3_l" in name]
    assert sorted(".decoder." in name for name in named) == [False] * 3 + [True] * 5, "the decoder looks at the encoder as well"
    assert torch.equal(model.eval()(batch), before), "new factors are 1"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ia3_l" in name:
                parameter.mul_(5)
    after = model(batch)
    assert not torch.allclose(after, before, atol=1e-3)
    torch.testing.assert_close(merged(model).eval()(batch), after, atol=1e-5, rtol=1e-5)


def test_learnt_tokens_stand_before_the_source_in_likelihoods_writing_and_the_saved_folder(tmp_path):
    from tunesmith.strategies.prompt import Prompt

    source = find(str(pair(tmp_path / "base", "bart")))
    model = seq2seq.Seq2Seq(load(source, form="seq2seq"))
    ids = processor(source)(TEXTS, padding=True, return_tensors="pt")
    batch = {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"], "labels": torch.tensor([[9, 10, 1], [9, 8, 1]])}
    before = model.eval()(batch)
    Prompt(tokens=3).shape(model, 0)
    after = model.eval()(batch)
    assert not torch.allclose(after, before, atol=1e-6)
    written = model.write(batch["input_ids"], batch["attention_mask"], {"most": 5, "beams": 2})
    alone = {name: value[:1] for name, value in batch.items()}
    assert written[:1] == model.write(alone["input_ids"], alone["attention_mask"], {"most": 5, "beams": 2})
    save(model, processor(source), tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(again(batch), after) and again.write(batch["input_ids"], batch["attention_mask"], {"most": 5, "beams": 2}) == written


def _with_prefix(folder, family, layers):
    from tunesmith.strategies.prefix import Prefix

    base = bert(folder, layers=layers) if family == "bert" else pair(folder, family, layers=layers)
    model = seq2seq.Seq2Seq(load(find(str(base)), form="seq2seq"))
    model.reset_head(0)
    Prefix(tokens=3).shape(model, 0)
    ids = processor(model.source)(TEXTS, padding=True, return_tensors="pt")
    labels = torch.tensor([[9, 10, 1, -100, -100], [9, 8, 12, 11, 1]])
    return model.eval(), {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"], "labels": labels}


def _learnt(model):
    (table,) = [parameter for name, parameter in model.named_parameters() if "prompt_encoder" in name]
    return table


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_learnt_keys_and_values_are_to_each_layer_of_the_decoder_what_tokens_before_would_be(family, layers, tmp_path):
    model, batch = _with_prefix(tmp_path, family, layers)
    first, rest = torch.tensor([[9, 10, 11]]), torch.tensor([[8, 12, 13, 9]])
    source = {name: batch[name][1:] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        whole = model.whole(**source, decoder_input_ids=torch.cat([first, rest], 1), use_cache=True)
        kept = whole.past_key_values.self_attention_cache.layers
        planes = _learnt(model).view(3, 2 * (layers | 1), *kept[0].keys.shape[1::2])
        for at, layer in enumerate(kept):
            for number, states in enumerate((layer.keys, layer.values)):
                planes[:, (4 * at + number) % planes.shape[1]] = states[0, :, :3].transpose(0, 1)
        found = model.backbone(**source, decoder_input_ids=rest, use_cache=False).logits
    torch.testing.assert_close(found, whole.logits[:, 3:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_learns_in_every_layer_and_stands_before_what_is_written_saved_and_computed_again(family, tmp_path):
    from contextlib import nullcontext

    from tunesmith.models.recompute import recomputing

    model, batch = _with_prefix(tmp_path / "base", family, 2)
    table = _learnt(model)
    with torch.no_grad():
        table.mul_(0.5)
    after = model(batch)
    after.sum().backward()
    learnt, table.grad = table.grad, None
    reached = learnt.view(3, 3, 2, -1).abs().sum((0, 3)).bool().all(1)
    assert reached.tolist() == [True, False, True] and all(p.grad is None for p in model.parameters())
    with recomputing(model, nullcontext):
        model(batch).sum().backward()
    torch.testing.assert_close(table.grad, learnt, atol=1e-5, rtol=1e-4)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    for row, one in enumerate(model.write(ids, mask, {"most": 5, "least": 5})):
        said = torch.tensor([one.ids])
        scores = model.logits(model.hidden({"input_ids": ids[row : row + 1], "attention_mask": mask[row : row + 1], "labels": said})[0])
        scores[:, model.whole.generation_config.eos_token_id] = -torch.inf
        assert scores.argmax(-1).tolist() == list(one.ids)
    written = model.write(ids, mask, {"most": 5, "beams": 3})
    assert written[:1] == model.write(ids[:1], mask[:1], {"most": 5, "beams": 3})
    save(model, processor(model.source), tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert torch.equal(again(batch), after) and again.write(ids, mask, {"most": 5, "beams": 3}) == written


def test_a_saved_prefix_of_an_encoder_decoder_answers_in_plain_peft(tmp_path):
    import warnings

    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    model, batch = _with_prefix(tmp_path / "base", "bart", 2)
    save(model, processor(model.source), tmp_path / "saved")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        plain = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved"), tmp_path / "saved" / "adapter").eval()
        ids = {name: batch[name][1:] for name in ("input_ids", "attention_mask")}
        said = batch["labels"][1:]
        expected = plain(**ids, decoder_input_ids=seq2seq.shifted(model.whole, said)).logits[0]
        found = model.logits(model.hidden({**ids, "labels": said})[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_encoder_that_cannot_attend_across_is_refused(tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    folder = bert(tmp_path / "m", layers=1)
    DistilBertModel(DistilBertConfig(vocab_size=60, dim=16, n_layers=1, n_heads=2, hidden_dim=24)).save_pretrained(folder)
    with pytest.raises(ModelError) as caught:
        pairs.warm(folder, None)
    assert caught.value.code == "unsuitable-architecture" and "BERT" in str(caught.value)
