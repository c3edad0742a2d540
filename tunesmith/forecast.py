"""What a run will take, added up before it starts, and corrected by its first real steps.

Seconds: rows encoded, frozen layers run once, each stage's passes and steps, validations, and what follows the last step. Bytes: what
this process holds already, the weights with their gradients and moments, and what the largest pass keeps for its way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from .choices import MOST_WORDS, seconds_per_token
from .data.dataset import Dataset
from .errors import TunesmithError
from .facts import Facts
from .memory import held, most_held
from .parts.linear import EXACT
from .spec import Spec
from .strategy import Outline, Stage, Strategy

COLD_START = 5.0
"""Seconds in which a fresh process loads and answers a few rows (the reload gate), and this one imports what trains."""
LATER_BYTES = 100_000_000
"""What imports after planning (SciPy, scikit-learn) and one data set's worth of odds and ends add."""
UNLIKE_BYTES = 240_000_000
"""What lies free between the arrays of batches of unlike shapes, with the compiled products that are kept for these: at least."""
UNLIKE_SHARE = 0.9
"""The same, over what a pass of an encoder keeps."""
RARE = ("translating", "writing", "documents", "head", "alone")
"""Parts that are left out where they are nothing."""
ASSUMES = "a machine with nothing else to do: CPU time is at most the seconds times the threads"
"""Under which conditions the seconds are those of the clock."""
MIXTURES = 3
"""Validations that look for the best mixture of a solved head's and the tuned weights (`training/blend.py`)."""
FROZEN_SHARE = 0.7
"""Cost of forward and backward where weights get no gradient but layers below have adapters: two of three products."""
TWICE = 4 / 3
"""Cost of forward and backward where layers are computed again on the way back, or were once before: four products of three."""
WRITTEN_COST, DECODED_COST = 1.2, 10.0
"""Time that a token takes which is written, one after another, over that of one read among many: by an encoder-decoder, of which a token
that is read costs its share of the target, too, and by a decoder (SmolLM2-135M after prompts of 400 tokens: 30, 19, 15 and 10 where 1, 2,
4 and 8 rows are answered together)."""
SOLVER_STEPS = 600
"""Passes over the features that all L2 strengths of a solved head take together, of which the weakest take the most: some 330 on banking77,
540 on the slots of snips, 883 on the example's 19 labels, 908 on ATIS' slots; nobody knows before."""
SOLVER_SHARE = 0.35
"""Share of the matrix rate that these reach: the products are narrow, and read the features twice a pass."""
WIDE = 2
"""Times as long that products of float64 take, which are asked for where they are small (`linear.EXACT`)."""
SCORE_SECONDS = (2.5e-4, 1.5e-7, 2e-8)
"""Seconds to score once: at all, a row, a row and class; bootstraps repeat it, for the model and three others."""
JUDGING_SECONDS = 30.0
"""Most seconds that the resampling of the test rows takes (`judging.judge.How.seconds`); validation rows get a third."""
SIMPLE_SECONDS = (1.5, 3e-4)
"""Seconds to fit and ask the simple models: at all (their library is imported), and a row."""
TREE_SECONDS = (4e-4, 2e-5, 2.8e-9)
"""Seconds to grow a tree beside them: at all, a column, a column's cell (500 to 10,000 rows of 10 and 50 columns)."""
GATE_ROWS = 64
"""Validation rows that a fresh process answers (`finish.GATE_ROWS`)."""
WORTH = (400, 3)
"""Rows of which each column's worth is told, and how often each column is shuffled (`importance.ROWS`, `TIMES`)."""
STATES, ALONE = 3, 4
"""Numbers a learning weight that a checkpoint holds: itself and two moments; what is best so far is kept beside it, weights alone. And how
often these are written besides, outside of validations."""


@final
@dataclass(frozen=True)
class Forecast:
    """What a run will take from its first event to its report, and the share of it that runs the model."""

    seconds: float
    memory_bytes: int
    parts: Mapping[str, float]
    """Seconds by what they are spent on."""
    assumes: str = ASSUMES

    @property
    def model_seconds(self) -> float:
        """Seconds that scale with the model's own pace."""
        names = ("frozen layers", "training", "validation", "judging passes", "writing", "documents")
        return sum(self.parts.get(name, 0.0) for name in names)


@final
@dataclass(frozen=True)
class Pace:
    """Expected seconds of one optimiser step: what a first real step is compared with."""

    token: float
    step: float


def forecast(spec: Spec, facts: Facts, strategy: Strategy, data: Dataset, classes: int) -> Forecast:
    """Time and memory of the whole run. `classes`: outputs of the head."""
    stages = _stages(strategy, facts.source.layers, facts.above.step > 0)
    descending = [stage for stage in stages if not stage.solve]
    rows = {part: len(data.part(part)) for part in ("train", "validation", "calibration", "test")}
    parts = {
        "reading": sum(rows.values()) * facts.encoding,
        "translating": facts.translating,
        "frozen layers": _frozen(spec, facts, stages, rows),
        "solving": sum(_solving(facts, rows, classes) for stage in stages if stage.solve),
        "training": sum(_training(spec, facts, stage, strategy, rows["train"]) for stage in descending),
        "validation": sum(_validating(spec, facts, stage, rows) for stage in descending) + _mixing(facts, strategy, stages, rows),
        "head": sum(_head_steps(spec, facts, stage, rows["train"]) for stage in descending),
        "saving": sum(_saving(spec, facts, stage, strategy) for stage in stages),
        "judging passes": _read(facts) * _judged(facts, rows),
        "writing": (DECODED_COST if facts.source.decoder else WRITTEN_COST) * _token(facts) * facts.written,
        "documents": _token(facts) * facts.afterwards,
        "judging": COLD_START + _judging(spec, rows, 1 if facts.units > facts.examples else classes) + _table(spec, facts, rows),
    }
    parts["validation"] += rows["validation"] * _read(facts, True) if facts.did and descending else 0.0
    # A model of its own for each target learns as this one does, and answers the test rows.
    learned = sum(parts[name] for name in ("solving", "training", "validation", "saving"))
    parts["alone"] = facts.singles * (learned + _read(facts) * rows["test"])
    rounded = {name: round(seconds, 2) for name, seconds in parts.items() if seconds or name not in RARE}
    return Forecast(round(sum(rounded.values()), 1), _memory(spec, facts, stages, strategy), rounded)


def sketch(layers: int, adapter: bool, beside: bool = False) -> Outline:
    """A model of one weight a layer: enough to ask a strategy how deep its stages learn. `beside`: something stands beside its head."""
    depths = {"backbone.embeddings.weight": 0, **{f"backbone.layer.{i}.weight": i for i in range(1, layers + 1)}}
    depths |= {f"backbone.layer.{i}.bias": i for i in range(1, layers + 1)}
    added = {f"backbone.layer.{i}.lora_A.weight": i for i in range(1, layers + 1)} if adapter else {}
    head = {"head.weight": layers + 2, "head.bias": layers + 2}
    head |= {"beside.weight": layers + 2} if beside else {}
    return Outline({**depths, **added, **head}, layers, frozenset(added))


def descends(strategy: Strategy, layers: int) -> bool:
    """Whether some stage takes optimiser steps, where heads whose optimum is known are solved."""
    return any(not stage.solve for stage in _stages(strategy, layers))


def _stages(strategy: Strategy, layers: int, beside: bool = False) -> Sequence[Stage]:
    """The strategy's stages on the sketch; where it asks for weights by names that only the real model has, as if all learned."""
    shape = sketch(layers, strategy.adapter, beside)
    try:
        return strategy.stages(shape)
    except TunesmithError:
        return (Stage("all weights", dict.fromkeys(shape.at_least(0), 1.0)),)


def pace(facts: Facts, spec: Spec, strategy: Strategy, stage: Stage) -> Pace:
    """What a step of a stage should cost, a token and at all."""
    upper = _upper(stage, facts)
    token = seconds_per_token(facts) * upper * (FROZEN_SHARE if strategy.adapter else 1.0)
    token *= TWICE if spec.train.gradient_checkpointing == "on" or _joined(spec, facts) else 1.0
    below = 0.0 if _cached(spec, stage, facts) else (facts.trial.reading if facts.trial else token / 3) * (1 - upper)
    update = _learning(facts, stage, strategy) * (facts.trial.update if facts.trial else 1e-8)
    return Pace((token + below) * facts.padding, update)


def _joined(spec: Spec, facts: Facts) -> bool:
    """Whether each pass is made twice: first for the vectors of a whole batch, whose rows a joint loss compares (`training/joint.py`)."""
    return facts.joint and int(spec.train.batch) * facts.tokens > int(spec.train.micro_tokens)


def corrected(planned: Forecast, elapsed: float, done: float, ratio: float) -> float:
    """Seconds of the whole run, known that steps take `ratio` times what was planned.

    `elapsed`: seconds so far; `done`: share of the planned training that is behind us (0 to 1).
    """
    parts = planned.parts
    to_come = (parts["training"] + parts["validation"]) * (1 - done)
    ahead = ratio * (to_come + parts["judging passes"] + sum(parts.get(name, 0.0) for name in ("writing", "documents", "alone")))
    return round(elapsed + ahead + parts["saving"] * (1 - done) + parts["judging"], 1)


# -- seconds ----------------------------------------------------------------------------------------------------------


def _token(facts: Facts, learning: bool = False) -> float:
    """Seconds a token that the whole model reads; `learning`: in the precision in which it learns, where what is judged is in float32."""
    if facts.trial:
        return (facts.trial.reading if learning else facts.trial.forward) * facts.headed
    return seconds_per_token(facts) / 3


def _read(facts: Facts, learning: bool = False, share: float = 1.0) -> float:
    """Seconds a row that the model, or a share of its layers, reads, once it is read itself where it is not held."""
    return share * _token(facts, learning) * facts.tokens * facts.filling + facts.fetching


def _lowest(stage: Stage, layers: int) -> int:
    depths = sketch(layers, True, True).depths
    return min((depths[name] for name in stage.rates if name in depths), default=0 if not stage.solve else layers + 2)


def _upper(stage: Stage, facts: Facts) -> float:
    """Share of the layers through which gradients go."""
    layers = facts.source.layers
    return min(1.0, max(0.0, (layers + 1 - max(1, _lowest(stage, layers))) / layers))


def _cached(spec: Spec, stage: Stage, facts: Facts) -> bool:
    return spec.train.cache != "off" and _lowest(stage, facts.source.layers) >= 2


def _frozen(spec: Spec, facts: Facts, stages: Sequence[Stage], rows: Mapping[str, int]) -> float:
    """Each depth of cut is computed once for training and validation rows; the probe beside a tuned model needs the deepest, too.
    A stage that descends on images that change does so for several views of each."""
    seen = rows["train"] + rows["validation"]
    once = {1 - _upper(stage, facts) for stage in stages if stage.solve or _cached(spec, stage, facts)}
    once |= {1.0} if spec.evaluate.baselines and facts.probed else set()
    changed = [1 - _upper(stage, facts) for stage in stages if not stage.solve and _cached(spec, stage, facts)] if facts.augments else []
    view = sum(_read(facts, True, share) + facts.changing - facts.fetching for share in changed)
    again = (int(spec.train.views) - 1) * view * rows["train"] if changed else 0.0
    return sum(_read(facts, True, share) for share in once) * seen + again


def _solving(facts: Facts, rows: Mapping[str, int], classes: int) -> float:
    """Two products with the features a pass, and two with the triangle that makes the curvature even."""
    width, vectors = facts.source.hidden, rows["train"] * facts.units
    wide = WIDE if vectors * width * classes <= EXACT else 1
    return SOLVER_STEPS * (4 * vectors + 2 * width) * width * classes * wide / (SOLVER_SHARE * facts.flops)


def _training(spec: Spec, facts: Facts, stage: Stage, strategy: Strategy, rows: int) -> float:
    cost, epochs = pace(facts, spec, strategy, stage), float(spec.train.epochs) * stage.share
    steps = epochs * rows * facts.examples / int(spec.train.batch)
    fetched = 0.0 if _cached(spec, stage, facts) else facts.changing
    return steps * cost.step + epochs * rows * (cost.token * facts.tokens + fetched)


def _validating(spec: Spec, facts: Facts, stage: Stage, rows: Mapping[str, int]) -> float:
    times = float(spec.train.epochs) * stage.share * float(spec.train.evaluations)
    if _cached(spec, stage, facts):
        return times * rows["validation"] * (_read(facts, True, _upper(stage, facts)) - facts.fetching)
    return times * rows["validation"] * _read(facts, True)


def _head_steps(spec: Spec, facts: Facts, stage: Stage, rows: int) -> float:
    """Of a head that is learned alone, on vectors that are there."""
    steps = float(spec.train.epochs) * stage.share * rows * facts.examples / int(spec.train.batch)
    return facts.above.step * steps if _upper(stage, facts) == 0 else 0.0


def _saving(spec: Spec, facts: Facts, stage: Stage, strategy: Strategy) -> float:
    """After each validation a checkpoint and, while it gets better, the best weights beside it; weights alone before the stage (twice) and
    in the end: the last ones and a mixture; and the model."""
    if stage.solve:
        return 0.0
    times = float(spec.train.epochs) * stage.share * float(spec.train.evaluations)
    written = (times * (STATES + 1) + ALONE) * _learning(facts, stage, strategy) + _weights(facts)
    return 4 * written * facts.keeping


def _judged(facts: Facts, rows: Mapping[str, int]) -> int:
    """Rows read once the weights are final: by the tuned model, by the untouched one under the probe, by the process that loads what was
    saved, and for the columns' worth."""
    seen, worth = rows["validation"] + 2 * rows["calibration"] + 2 * rows["test"], WORTH[0] if facts.columns else 0
    return seen + min(GATE_ROWS, rows["validation"]) + min(worth, rows["validation"])


def _table(spec: Spec, facts: Facts, rows: Mapping[str, int]) -> float:
    """Each column's worth, and the trees on them."""
    most, times = WORTH
    told = (1 + times * facts.columns) * min(most, rows["validation"]) * facts.above.asking if facts.columns else 0.0
    (count, columns), (once, a_column, a_cell) = facts.trees, TREE_SECONDS
    return told + (count * (once + columns * (a_column + a_cell * rows["train"])) if spec.evaluate.baselines else 0.0)


def _mixing(facts: Facts, strategy: Strategy, stages: Sequence[Stage], rows: Mapping[str, int]) -> float:
    blended = not strategy.adapter and any(stage.solve for stage in stages) and not all(stage.solve for stage in stages)
    return MIXTURES * rows["validation"] * _read(facts, True) if blended else 0.0


def _judging(spec: Spec, rows: Mapping[str, int], classes: int) -> float:
    """Intervals, by bootstrap, of every score on validation and test rows, and the simple models. `classes`: 1 where answers are counted
    once, whatever their kinds are (entities)."""
    once, a_row, a_class = SCORE_SECONDS
    each = {part: once + rows[part] * (a_row + a_class * classes) for part in ("test", "validation")}
    draws = spec.evaluate.resamples
    scored = min(JUDGING_SECONDS, 4 * draws * each["test"]) + min(JUDGING_SECONDS / 3, draws * each["validation"])
    simple, more = SIMPLE_SECONDS
    return scored + (simple + more * sum(rows.values()) if spec.evaluate.baselines else 0.0)


# -- bytes ------------------------------------------------------------------------------------------------------------


def _weights(facts: Facts) -> int:
    """Weights that are held."""
    return facts.trial.whole if facts.trial and facts.trial.whole else facts.source.parameters


def _learning(facts: Facts, stage: Stage, strategy: Strategy) -> float:
    """Number of weights that a stage changes."""
    if strategy.adapter:
        return 0.01 * _weights(facts)
    body = facts.trial.body if facts.trial else facts.source.parameters
    words = (_weights(facts) - body) * (facts.words if facts.words <= MOST_WORDS else 1.0)
    return body * _upper(stage, facts) + (words if _lowest(stage, facts.source.layers) == 0 else 0)


def _logits(entries: int, learned: float) -> float:
    """Bytes of the logits that are held at a time, with their logarithms and their gradient."""
    from .models.language import CHUNK

    return 3 * 4 * entries * min(CHUNK, learned)


def _memory(spec: Spec, facts: Facts, stages: Sequence[Stage], strategy: Strategy) -> int:
    """Bytes at the peak: weights, gradients, moments; or another model beside the tuned: the untouched one, a translator."""
    upper = max((_upper(stage, facts) for stage in stages if not stage.solve), default=0.0)
    learning = max((_learning(facts, stage, strategy) for stage in stages if not stage.solve), default=0.0)
    kept = facts.trial.kept if facts.trial else 34 * 4 * facts.source.hidden * facts.source.layers
    if spec.train.gradient_checkpointing == "on":  # each layer's input, and all of one layer
        kept = kept / facts.source.layers + 4 * facts.source.hidden * facts.source.layers
    tokens = max(facts.longest, min(int(spec.train.micro_tokens), int(spec.train.batch) * facts.longest))
    training = 3 * 4 * learning + kept * tokens * max(upper, 1 / facts.source.layers)
    entries, share = facts.asked
    training += _logits(entries, share * tokens) if entries else 0
    beside = 4 * max(_weights(facts), facts.translator)  # the untouched model after training, a translator before
    # Vectors of words are gathered from those of tokens, which lie in a file; those of whole rows are read from there.
    words = 2 * 4 * facts.rows * facts.units * facts.source.hidden if facts.units > facts.examples and any(s.solve for s in stages) else 0
    lying = 0.0 if facts.source.decoder or facts.source.modality != "text" else UNLIKE_SHARE * kept * tokens * upper
    unlike = max(UNLIKE_BYTES, lying) if facts.tokens < facts.longest * facts.examples else 0
    left = facts.trial.left if facts.trial else 0  # compiled products of the trial, of which there will be no more
    return int(max(most_held(), held() + LATER_BYTES + max(0, unlike - left) + 4 * _weights(facts) + max(training, beside, words)))
