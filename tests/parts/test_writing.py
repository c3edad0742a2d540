"""Every token of a text is told once, figures are the corpus's own, and rows asked for replies are few and spread."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import writer
from tunesmith.errors import DataError
from tunesmith.inference import Encoded, objects
from tunesmith.models import source
from tunesmith.parts import writing


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return source.processor(source.find(str(writer(tmp_path_factory.mktemp("m") / "gpt2", "gpt2"))))


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), most=st.integers(2, 30))
def test_each_token_of_a_text_is_learned_in_one_block_with_the_token_before_it(tokenizer, text, most):
    ids = [*writing.start_of(tokenizer), *writing.ids_of(tokenizer, [text])[0].tolist(), writing.end_of(tokenizer)]
    told = []
    for block in writing.blocks(tokenizer, text, most):
        assert len(block["input_ids"]) <= most and block["learn"][0] == 0 and block["learn"][1:].all()
        told += list(zip(block["input_ids"][:-1].tolist(), block["input_ids"][1:].tolist(), strict=True))
    assert told == list(zip(ids, ids[1:], strict=False))
    assert sum(block["bytes"] for block in writing.blocks(tokenizer, text, most)) == len(text.encode())


@pytest.mark.parametrize("text", ["<|im_end|>", "a<|im_start|>b<|endoftext|>"])
def test_control_strings_are_text(tokenizer, text):
    (ids,) = writing.ids_of(tokenizer, [text])
    assert not np.isin(ids, tokenizer.all_special_ids).any() and tokenizer.decode(ids.tolist()) == text


def test_only_the_completion_and_its_end_are_learned(tokenizer):
    example = writing.told(writing.continued(tokenizer, "was it good\n", "yes", 100), prompted=True)
    learned = example["input_ids"][np.asarray(example["learn"]) == 1]
    assert tokenizer.decode(learned.tolist()) == "yes<|im_end|>" and example["bytes"] == 3
    assert tokenizer.decode(example["input_ids"][: example["start"]].tolist()).endswith("was it good\n")
    short = writing.continued(tokenizer, "was it good\n", "yes", example["start"] + 1)
    assert short["learn"].sum() == 1 and 0 < short["bytes"] <= 3


def _outputs(nll, tokens, sizes, asked=None, reply=None, stopped=None):
    rows = len(nll)
    return {
        "nll": np.array(nll, float), "tokens": np.array(tokens), "bytes": np.array(sizes),
        "asked": np.array(asked or [0] * rows), "reply": objects(reply or [""] * rows), "stopped": np.array(stopped or [0] * rows),
    }  # fmt: skip


def test_figures_are_those_of_the_whole_corpus():
    found = _outputs([10.0, 30.0], [5, 10], [20, 60])
    scores = writing.score(found, objects(["", ""]))
    assert list(scores) == list(writing.DIRECTIONS)
    assert scores["perplexity"] == pytest.approx(math.exp(40 / 15)) and scores["byte_perplexity"] == pytest.approx(math.exp(0.5))
    assert scores["bits_per_byte"] == pytest.approx(0.5 / math.log(2)) and math.isnan(scores["rouge_l"])


def test_replies_count_where_they_were_asked_and_condensing_changes_nothing():
    truth = objects(["the cat sat", "a dog", "never asked"])
    found = _outputs([1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0], ["the cat sat ", "the cat", ""], [1, 0, 0])
    scores = writing.score(found, truth)
    assert (scores["exact_match"], scores["stops"], scores["rouge_l"]) == (0.5, 0.5, 0.5)
    assert writing.score(writing.condense(found, truth), truth) == scores
    half = {name: value[:1] for name, value in writing.condense(found, truth).items()}
    assert writing.score(half, truth[:1])["exact_match"] == 1.0


def test_a_perfect_share_of_few_replies_is_no_surer_than_few_replies_are():
    from tunesmith.judging.intervals import Candidate, resample, wilson
    from tunesmith.registry import TASKS

    truth = objects(["yes"] * 100)
    asked = [1, 0, 0, 0, 0] * 20
    found = _outputs([1] * 100, [1] * 100, [3] * 100, asked, ["yes"] * 100, asked)
    draws = resample({"tuned": Candidate.of(TASKS.load("dialogue")(), found, truth)}, truth, resamples=100)
    interval = draws.interval("tuned", "stops")
    assert (interval.low, interval.high) == wilson(20, 20, 0.95)


@pytest.mark.parametrize(("said", "wanted", "value"), [("the cat", "the cat sat on", 2 / 3), ("我喜欢猫", "我喜欢狗", 0.75), ("", "a", 0)])
def test_rouge_l_knows_words_and_characters(said, wanted, value):
    assert writing.rouge_l(said, wanted) == pytest.approx(value)


def test_sums_over_the_blocks_of_a_row():
    found = writing.gather(_outputs([1, 2, 4], [1, 2, 3], [9, 0, 5], reply=["", "last", "own"]), np.array([0, 0, 1]))
    assert found["nll"].tolist() == [3, 4] and found["tokens"].tolist() == [3, 3] and found["bytes"].tolist() == [9, 5]
    assert found["reply"].tolist() == ["last", "own"]


@pytest.mark.parametrize("most", [0, 1, 5, 100])
def test_asked_rows_are_few_and_have_a_prompt(most):
    start = np.array([0, 3] * 20)
    encoded = Encoded({"start": start, "asked": np.zeros(40, int)}, np.ones(40, int), np.arange(40))
    asked = writing.select(encoded, most).arrays["asked"]
    assert asked.sum() == min(most, 20) and not asked[start == 0].any()


def test_unigrams_of_an_even_coin_take_one_bit_and_its_end():
    train = [["ab" * 500]]
    found = writing.unigrams(train, [["abba"], []])
    bits = found["nll"] / math.log(2)
    assert bits[1] == 0 and 4 < bits[0] - -math.log2(1.5 / (1001 + 128.5)) < 5.2
    assert found["bytes"].tolist() == [4, 0]


def test_a_row_whose_answer_would_be_cut_away_is_refused(tokenizer):
    from tunesmith.data.table import Table

    rows = Table.of([{"p": "x"}, {"p": "y"}], name="rows.csv")
    examples = [writing.continued(tokenizer, "so " * n, "yes", 10**6) for n in (1, 40)]
    with pytest.raises(DataError, match="row 2") as caught:
        writing.refuse_lost(rows, examples, 20, 20)
    assert caught.value.code == "answer-cut"
    writing.refuse_lost(rows, examples, 200, 200)


def test_rows_that_were_not_asked_are_judged_by_their_likelihood_not_as_wrong():
    """Replies are written to a few rows; in the report each row counts by its bits for each byte."""
    n = 12
    asked = np.arange(n) % 4 == 0
    replies = objects(["as wanted" if one else "" for one in asked])
    found = {"nll": np.linspace(1, 9, n), "bytes": np.full(n, 9), "asked": asked, "reply": replies}
    graded = writing.grade(found, objects(["as wanted"] * n))
    assert graded.by_degree and "bits" in graded.degree
    np.testing.assert_allclose(graded.loss_N * 9 * math.log(2), found["nll"])
    assert [graded.answer[i] for i in (0, 1)] == ["as wanted", "(not asked)"] and np.array_equal(graded.right_N, asked)
