"""BLEU, chrF and ROUGE from counts of rows are those of the libraries on the texts."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from tunesmith.parts import overlap

SAID = ["the cat sat on the mat .", "a dog", "", "猫 在 这里", "one two three four five six", "die Katze schläft heute"]
WANTED = [
    ["the cat is on the mat ."], ["the dog barks"], ["nothing said"], ["猫在那里"], ["one two three four six five"], ["die Katze schläft"],
]
MORE = [[*refs, f"{refs[0]} indeed"] for refs in WANTED]


@pytest.mark.parametrize("tokeniser", ["13a", "char", "zh"])
@pytest.mark.parametrize("wanted", [WANTED, MORE])
def test_bleu_is_sacrebleus(tokeniser, wanted):
    theirs = BLEU(tokenize=tokeniser)
    expected = theirs.corpus_score(SAID, [list(refs) for refs in zip(*wanted)])
    assert overlap.bleu(overlap.bleu_rows(SAID, wanted, tokeniser).sum(0)) == pytest.approx(expected.score, abs=1e-9)
    assert overlap.signatures(len(wanted[0]), tokeniser)["bleu"] == theirs.get_signature().format()


@pytest.mark.parametrize("wanted", [WANTED, MORE])
def test_chrf_is_sacrebleus(wanted):
    theirs = CHRF()
    expected = theirs.corpus_score(SAID, [list(refs) for refs in zip(*wanted)])
    assert overlap.chrf(overlap.chrf_rows(SAID, wanted).sum(0)) == pytest.approx(expected.score, abs=1e-9)
    assert overlap.signatures(len(wanted[0]), "13a")["chrf"] == theirs.get_signature().format()


def test_rows_add_up_to_any_set_of_rows():
    rows = overlap.chrf_rows(SAID, WANTED)
    some = [0, 4, 4, 5]
    expected = CHRF().corpus_score([SAID[i] for i in some], [[WANTED[i][0] for i in some]]).score
    assert overlap.chrf(rows[some].sum(0)) == pytest.approx(expected)


def test_rouge_takes_the_best_reference_of_each_score():
    one, other = ["the cat sat on the mat"], ["a dog barks at night"]
    both = overlap.rouge_rows(["the cat sat at night"], [[one[0], other[0]]], False)
    each = [overlap.rouge_rows(["the cat sat at night"], [refs], False) for refs in (one, other)]
    assert np.array_equal(both, np.maximum(*each)) and both[0, 0] > 0


def test_rouge_reads_chinese_by_characters_and_stems_where_asked():
    assert overlap.rouge_rows(["猫在这里"], [["猫在那里"]], False)[0, 0] == pytest.approx(0.75)
    plain, stemmed = (overlap.rouge_rows(["the runners were running"], [["runners run"]], stem)[0, 0] for stem in (False, True))
    assert stemmed > plain


@pytest.mark.parametrize(
    ("language", "text", "tokeniser"),
    [
        ("en", "hello", "13a"), ("zh_CN", "x", "zh"), ("jpn_Jpan", "x", "char"), ("", "これ は ペン です", "char"),
        ("", "这是一支笔", "zh"), ("", "ok", "13a"),
    ],
)
def test_the_tokeniser_follows_the_language(language, text, tokeniser, monkeypatch):
    monkeypatch.setattr(overlap, "_has_mecab", lambda code: False)
    assert overlap.tokeniser_for(language, [text])[0] == tokeniser
