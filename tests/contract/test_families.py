"""Each architecture that is named in public learns from a file, stops and goes on to the same bits, and is saved and read back."""

import pytest

from tests.tiny_models import reader, writer
from tests.tiny_pairs import pair
from tunesmith import testing

FAMILIES = {
    **{family: ("text-classification", reader) for family in ("bert", "roberta", "deberta-v2", "modernbert")},
    **{family: ("translation", pair) for family in ("t5", "bart", "marian")},
    **{family: ("text-generation", writer) for family in ("llama", "qwen2", "gpt2")},
}
CHECKS = [
    "toy rows are learned",
    "a stopped run resumes to the same bits",
    "the saved model answers alike",
    "alone is as in a batch",
]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Gives the family's tiny model, made once."""
    known, root = {}, tmp_path_factory.mktemp("families")

    def make(family):
        if family not in known:
            known[family] = FAMILIES[family][1](root / family, family)
        return known[family]

    return make


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, check, tmp_path, model_of):
    testing.run(check, FAMILIES[family][0], "full", model_of(family), tmp_path)
