"""Every task with every strategy meets every check of `tunesmith.testing`."""

import pytest

from tunesmith import testing
from tunesmith.registry import STRATEGIES, TASKS

SETTINGS = {"pattern": {"patterns": [r"layer\.1\."]}, "last-k": {"k": 1}}
"""Options that a strategy needs, or that make it do more on a model of two layers."""
MAIN = ("full", "probe-then-tune", "lora", "last-k", "prompt")
"""Strategies that every task meets; the first task meets all of them."""


PAIRED = {
    "translation": ("full", "prefix"), "summarisation": ("lora",), "audio-classification": ("probe-then-tune", "lora"),
    "speech-recognition": ("full",), "image-segmentation": ("probe-then-tune",), "multi-task": ("probe-then-tune",),
    "knowledge-qa": ("lora",), "preference": ("lora",), "unpaired-preference": ("lora",),
    "image-multilabel": ("probe-then-tune",), "image-regression": ("probe-then-tune",),
    "speech-synthesis": ("full",), "image-generation": ("lora",), "object-detection": ("full", "last-k"),
}
"""Strategies that these tasks meet: they take long, and their code is the same as others' (image-classification meets all)."""
NEVER = {("prompt", "image"), ("prompt", "audio")}
"""Strategies that are refused for a modality (`tests/tasks/test_image_tasks.py`): learnt tokens need a text to stand in."""

FEW = ["encoding is pure", "sums add up", "half the bits answer too", "scores are those promised", "what is kept scores alike"]
"""Checks that do not depend on the strategy: once a task is enough."""


@pytest.fixture
def model_of(tiny_bert, tiny_llama, tiny_vit, tiny_wav2vec2, tiny_t5, tiny_warm, tiny_voice, tiny_denoiser):
    """Gives the tiny model that a task is for: of those that encoder-decoders do, one such, and an encoder made into one."""
    pairs = {"translation": tiny_t5, "summarisation": tiny_warm, "image-generation": tiny_denoiser}
    by_modality = {"image": tiny_vit, "audio": tiny_wav2vec2, "voice": tiny_voice}
    usual = lambda kind: tiny_llama if kind.writes else by_modality.get(kind.modality, tiny_bert)  # noqa: E731
    return lambda task: pairs[task] if task in pairs else usual(TASKS.load(task))


@pytest.mark.parametrize("check", FEW)
@pytest.mark.parametrize("task", TASKS.names())
def test_task(task, check, tmp_path, model_of):
    _run(check, task, "full", model_of(task), tmp_path)


@pytest.mark.parametrize("check", [name for name in testing.CHECKS if name not in FEW])
@pytest.mark.parametrize(
    ("task", "strategy"),
    [
        (t, s) for t in TASKS.names() for s in STRATEGIES.names()
        if (t == "text-classification" or s in PAIRED.get(t, MAIN)) and (s, TASKS.load(t).modality) not in NEVER
    ],
)
def test_pair(task, strategy, check, tmp_path, model_of):
    _run(check, task, strategy, model_of(task), tmp_path)


def _run(check, task, strategy, model, folder):
    try:
        testing.run(check, task, strategy, model, folder, SETTINGS.get(strategy))
    except testing.Exempt as reason:
        pytest.skip(str(reason))
