"""Transcripts: edits as jiwer counts them, letters that CTC can write and read off again, forms in which texts are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunesmith.parts import languages, spelling, transcripts

WORDS = "the cat sat on a mat and saw two dogs".split()


def replies(texts):
    return {"reply": transcripts.texts(texts)}


def test_rates_are_those_of_jiwer():
    import jiwer

    rng = np.random.default_rng(0)
    true = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(60)]
    said = [" ".join(w for w in rng.choice(WORDS, rng.integers(1, 9))) if i % 3 else true[i] for i in range(60)]
    found = spelling.score(replies(said), transcripts.texts(true), "none")
    wanted, letters = jiwer.process_words(true, said), jiwer.process_characters(true, said)
    words = wanted.hits + wanted.substitutions + wanted.deletions
    assert found["wer"] == pytest.approx(wanted.wer) and found["cer"] == pytest.approx(letters.cer)
    parts = [found[name] * words for name in ("substituted", "deleted", "inserted")]
    assert parts == pytest.approx([wanted.substitutions, wanted.deletions, wanted.insertions])


def test_condensed_rows_score_as_the_texts_do():
    true, said = transcripts.texts(["one two", "three", "four five six"]), replies(["one", "three", "four fife six seven"])
    small = spelling.condense(said, true, "words")
    assert spelling.score(small, true, "words") == spelling.score(said, true, "words")
    part = {name: value[[0, 2]] for name, value in small.items()}
    assert spelling.score(part, true[[0, 2]], "words")["wer"] == pytest.approx(3 / 5)


def test_without_spaces_between_words_characters_alone_are_counted():
    true, said = transcripts.texts(["今天天气很好", "明天 下雨。"]), replies(["今天天 气不好", "明天下雨"])
    small = spelling.condense(said, true, "words", spaced=False)
    found = spelling.score(said, true, "words", spaced=False)
    assert found == spelling.score(small, true, "words", spaced=False) == {"cer": pytest.approx(1 / 10), "exact_match": 0.5}
    shown = transcripts.grade(said, true, "words", spaced=False)
    assert shown.answer[0] == "今天天气{很→不}好" and shown.right_N.tolist() == [False, True]


@pytest.mark.parametrize(
    ("texts", "spaced"),
    [(["今天天气很好 OK"], False), (["きょうは いい天気です"], False), (["วันนี้อากาศดี"], False), (["ມື້ນີ້ອາກາດດີ"], False),
     (["ថ្ងៃនេះអាកាសធាតុល្អ"], False), (["ယနေ့ ရာသီဥတု သာယာသည်"], False),
     (["오늘 날씨가 좋다"], True), (["we say 好 at times"], True), (["नमस्ते दुनिया"], True), ([], True)],
)  # fmt: skip
def test_scripts_without_spaces_are_known(texts, spaced):
    assert languages.spaceless(texts) is not spaced


def test_answers_and_truths_without_words_are_counted():
    found = spelling.score(replies(["", "well", ""]), transcripts.texts(["two words", "", ""]), "words")
    assert found["wer"] == 1.5 and found["deleted"] == 1 and found["inserted"] == 0.5 and found["exact_match"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [("Hello, World!", "hello world"), ("It’s 'quoted'", "it's quoted"), ("ＦＵＬＬ Straße", "full strasse"), ("a—b", "a b"),
     ("नमस्ते", "नमस्ते"), ("  ...  ", ""), (None, ""), (5, "5")],
)  # fmt: skip
def test_words_in_one_form(text, said):
    assert spelling.normalised(text, "words") == said
    assert spelling.normalised(said, "words") == said, "what is normalised stays as it is"


def test_what_is_spelled_is_read_off_again():
    texts = ["hello all", "a bee", "llama", ""]
    symbols = spelling.vocabulary(texts)
    assert symbols[:2] == ("<pad>", "|") and " " not in symbols
    numbers = {symbol: i for i, symbol in enumerate(symbols)}
    ids = [spelling.spelled(text, numbers) for text in texts]
    between = lambda row, i: [0] if i and row[i - 1] == row[i] else []  # noqa: E731
    frames = [[one for i, symbol in enumerate(row) for one in (*between(row, i), symbol, symbol)] for row in ids]
    logits = torch.full((4, max(map(len, frames)), len(symbols)), -9.0)
    for row, at in enumerate(frames):
        logits[row, torch.arange(len(at)), torch.tensor(at, dtype=torch.long)] = 9.0
    found, sure = spelling.greedy(logits, torch.tensor([len(at) for at in frames]))
    assert [" ".join(word for word, _, _ in spelling.words_of(row, symbols)) for row in found] == texts
    assert (sure > 0.99).all() and [spelling.needed(row) for row in ids] == [11, 6, 6, 0]


def test_the_loss_is_ctcs_and_adds_up():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 12, 6, generator=generator)
    ids = torch.tensor([[1, 2, 2, 3], [4, -100, -100, -100], [5, 1, -100, -100]])
    length = torch.tensor([12, 5, 9])
    whole = spelling.ctc_loss(logits, ids, length)
    parts = [spelling.ctc_loss(logits[i : i + 1, : length[i]], ids[i : i + 1], length[i : i + 1]) for i in range(3)]
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)
    one = torch.nn.functional.ctc_loss(logits[1, :5].log_softmax(-1)[:, None], torch.tensor([[4]]), (5,), (1,), reduction="sum")
    assert float(parts[1]) == pytest.approx(float(one), rel=1e-5)


def test_characters_that_training_did_not_have_are_left_out_and_named(tmp_path):
    from tunesmith.data.table import Table

    symbols = spelling.vocabulary(["abc"])
    numbers = {symbol: i for i, symbol in enumerate(symbols)}
    assert spelling.spelled("abxc", numbers).tolist() == spelling.spelled("abc", numbers).tolist()
    rows = Table.of([{"text": "abc"}, {"text": "abx"}])
    assert [f.code for f in transcripts.strange(rows, ["abc", "abx"], symbols)] == ["unknown-characters"]


def test_edits_are_shown_where_they_are():
    assert spelling.aligned("press the pound key", "press a pound key now") == "press {the→a} pound key [+now]"
    assert spelling.aligned("one two", "one") == "one [-two]" and spelling.aligned("", "what") == "[+what]"


def test_long_sounds_are_cut_where_it_is_quiet_and_nothing_is_lost():
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1, 160_000)
    sound[28_000:29_000] = 0
    cuts = transcripts.windows(sound, 32_000)
    assert cuts[0][0] == 0 and cuts[-1][1] == len(sound) and all(a[1] == b[0] for a, b in zip(cuts, cuts[1:]))
    assert 28_000 <= cuts[0][1] <= 29_000 and all(b - a <= 32_000 for a, b in cuts)
    assert transcripts.windows(sound[:32_000], 32_000) == [(0, 32_000)]
