"""Who learns how fast: the stages of each strategy on a model of three layers, and options that make no sense."""

import dataclasses

import pytest

from tests.models import tiny
from tunesmith.errors import ModelError, SpecError
from tunesmith.models.adapters import linear_targets
from tunesmith.models.outline import outline
from tunesmith.registry import STRATEGIES


@pytest.fixture(scope="module")
def shape():
    return outline(tiny.pooled("bert"))


def _stages(shape, name, **options):
    return STRATEGIES.load(name).build(options, name).stages(shape)


def _depths(shape, stage):
    return {shape.depths[name] for name in stage.rates}


def test_full_is_everything_at_one_rate(shape):
    (stage,) = _stages(shape, "full")
    assert set(stage.rates) == set(shape.depths) and set(stage.rates.values()) == {1.0}


def test_head_only_is_solved(shape):
    (stage,) = _stages(shape, "head-only")
    assert set(stage.rates) == {"head.weight", "head.bias"} and stage.solve
    assert not _stages(shape, "head-only", solve=False)[0].solve


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_last_k_leaves_the_rest_frozen(shape, k):
    (stage,) = _stages(shape, "last-k", k=k)
    assert _depths(shape, stage) == {5, *range(4 - k, 4)}


def test_pattern_takes_what_matches_and_the_head(shape):
    (stage,) = _stages(shape, "pattern", patterns=[r"layer\.1\..*LayerNorm", r"query\.bias$"])
    backbone = set(stage.rates) - {"head.weight", "head.bias"}
    assert all("LayerNorm" in name or name.endswith("query.bias") for name in backbone) and len(backbone) == 4 + 3
    assert {"head.weight", "head.bias"} < set(stage.rates)


def test_layer_wise_decays_by_depth(shape):
    (stage,) = _stages(shape, "layer-wise", decay=0.5)
    by_depth = {shape.depths[name]: rate for name, rate in stage.rates.items()}
    assert by_depth == {0: 0.125, 1: 0.25, 2: 0.5, 3: 1.0, 5: 1.0}


def test_gradual_adds_layers_from_the_top(shape):
    stages = _stages(shape, "gradual", steps=3)
    assert [min(_depths(shape, stage)) for stage in stages] == [5, 3, 2, 0]
    assert [stage.name for stage in stages] == ["head", "layers 3 to 3", "layers 2 to 3", "all weights"]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert [min(_depths(shape, stage)) for stage in _stages(shape, "gradual", steps=99)] == [5, 3, 2, 0]
    assert [min(_depths(shape, stage)) for stage in _stages(shape, "gradual", steps=1)] == [5, 0]


def test_probe_then_tune_solves_then_tunes(shape):
    probe, tune = _stages(shape, "probe-then-tune", decay=0.9)
    assert probe.solve and probe.share == 0 and set(probe.rates) == {"head.weight", "head.bias"}
    assert set(tune.rates) == set(shape.depths) and tune.share == 1 and not tune.solve


def test_bitfit_is_biases_and_the_head(shape):
    (stage,) = _stages(shape, "bitfit")
    assert set(stage.rates) == {name for name in shape.depths if name.endswith("bias")} | {"head.weight"}


def test_bitfit_says_no_where_there_are_no_biases():
    with pytest.raises(ModelError, match="without|biases"):
        _stages(outline(tiny.pooled("llama")), "bitfit")


BAD = [
    ("last-k", {"k": 4}),
    ("last-k", {"k": -1}),
    ("pattern", {}),
    ("pattern", {"patterns": ["("]}),
    ("pattern", {"patterns": ["no such name"]}),
    ("lora", {"variant": "best"}),
    ("lora", {"rank": 0}),
    ("lora", {"dropout": 1.0}),
    ("lora", {"targets": ["no_such_map"]}),
    ("dora", {"rank": -1}),
    ("vera", {"rank": 0}),
    ("ia3", {"targets": ["no_such_map"]}),
    ("adapters", {"width": 0}),
    ("adapters", {"places": "everywhere"}),
    ("prompt", {"tokens": 0}),
    ("prefix", {"tokens": 30}),
    ("p-tuning", {"tokens": -2}),
    ("layer-wise", {"decay": 0.0}),
    ("gradual", {"steps": 0}),
    ("probe-then-tune", {"decay": 1.5}),
    ("lora", {"rank": "eight"}),
    ("lora", {"rank": 8.5}),
    ("lora", {"targets": "query"}),
    ("lora", {"alpha": float("nan")}),
    ("pattern", {"patterns": [1]}),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=str)
def test_senseless_options_are_refused_in_words(name, options):
    model = tiny.pooled("bert")
    with pytest.raises(SpecError) as caught:
        strategy = STRATEGIES.load(name).build(options, name)
        strategy.shape(model, 0)
        strategy.stages(outline(model))
    assert "option" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_is_documented_and_has_a_rate(name):
    made_by = STRATEGIES.load(name)
    assert STRATEGIES.help(name).endswith(".") or ":" in STRATEGIES.help(name)
    assert 1e-5 <= made_by.lr <= 0.1 and dataclasses.is_dataclass(made_by())
    with pytest.raises(SpecError, match="unknown|expected an option"):
        made_by.build({"no_such_option": 1}, name)


def test_targets_are_all_linear_maps_of_the_layers_or_those_named():
    import re

    model = tiny.pooled("bert")
    names = [name for name, module in model.backbone.named_modules() if type(module).__name__ == "Linear"]
    everything, top = linear_targets(model), linear_targets(model, top=1)
    assert all(re.fullmatch(everything, name) for name in names) and len(names) == 18
    assert [name for name in names if re.fullmatch(top, name)] == [name for name in names if ".layer.2." in name]
    queries = linear_targets(model, ["query", "output.dense"])
    chosen = [name for name in names if re.fullmatch(queries, name)]
    assert len(chosen) == 6 and not any("attention.output" in name for name in chosen)
    assert not re.fullmatch(everything, "pooler.dense")


def test_ia3_on_an_unknown_family_wants_names():
    model = tiny.pooled("albert")
    with pytest.raises(ModelError, match="targets"):
        STRATEGIES.load("ia3")().shape(model, 0)
    STRATEGIES.load("ia3").build({"targets": ["key", "value"], "feedforward": "ffn_output"}, "ia3").shape(model, 0)
    assert outline(model).adapters


@pytest.mark.parametrize(
    "family", ["roberta", "distilbert", "modernbert", "deberta-v2", "mpnet", "gpt2", "qwen2", "electra", "albert", "t5"]
)
@pytest.mark.parametrize("name", ["lora", "adapters", "vera"])
def test_structural_adapters_fit_every_family(family, name):
    model, batch = tiny.pooled(family).eval(), tiny.batch()
    before = model(batch)
    STRATEGIES.load(name)().shape(model, 0)
    shape = outline(model)
    assert shape.adapters and {shape.depths[adapter] for adapter in shape.adapters} <= set(range(1, shape.layers + 1))
    assert (model.eval()(batch) - before).abs().max() < 1e-5


@pytest.mark.parametrize(
    "family", ["roberta", "distilbert", "modernbert", "deberta-v2", "mpnet", "gpt2", "qwen2", "electra"]
)
def test_ia3_knows_the_common_families(family):
    model = tiny.pooled(family)
    STRATEGIES.load("ia3")().shape(model, 0)
    assert len(outline(model).adapters) >= 6
