"""Windows hold every token, know its characters, overlap as asked, and never take a user's words for control tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunesmith.parts import tokens, windows

ALPHABET = st.text(st.sampled_from("abgod .,-\n\t北京é😀[SEP]</s>＜"), max_size=60)


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_bert, model_input_names=["input_ids", "token_type_ids", "attention_mask"])


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", bos_token="<|im_start|>")


@pytest.fixture(scope="module")
def unigram() -> PreTrainedTokenizerFast:
    """Its vocabulary lists `</s>` as a piece, as those of T5 and XLM-R do."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -3.0) for piece in ["▁", "a", "b", "<", "/", "s", ">", "北京"])]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def _control(tokenizer: PreTrainedTokenizerFast, window: windows.Window) -> int:
    return sum(int(i) in tokenizer.all_special_ids and int(i) != tokenizer.unk_token_id for i in window.ids_T)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(ALPHABET, min_size=1, max_size=4), pieces=st.booleans(), most=st.integers(12, 30), stride=st.integers(0, 9))
@pytest.mark.parametrize("name", ["bert", "byte_level", "unigram"])
def test_every_character_is_read(
    name: str, request: pytest.FixtureRequest, texts: list[str], pieces: bool, most: int, stride: int
) -> None:
    tokenizer = request.getfixturevalue(name)
    given = [[text[:7], text[7:9], text[9:]] for text in texts] if pieces else texts
    found = windows.cut(tokenizer, given, most=most, stride=stride)
    assert [window.row for window in found] == sorted(window.row for window in found)
    usual = tokenizer.num_special_tokens_to_add(pair=False)
    for row, text in enumerate(texts):
        own = [window for window in found if window.row == row]
        assert own and all(1 <= len(window.ids_T) <= most for window in own)
        assert all(_control(tokenizer, window) <= max(usual, 1) for window in own), "control tokens come from the template alone"
        read = {at for window in own for start, end in window.span_T2[window.part_T == 0] for at in range(start, end)}
        assert {at for at, letter in enumerate(text) if not letter.isspace()} <= read | _dropped(tokenizer, text)


def _dropped(tokenizer: PreTrainedTokenizerFast, text: str) -> set[int]:
    """Characters for which the tokenizer has no token of their own: accents, and what a compatibility form shares."""
    return {at for at, letter in enumerate(text) if not letter.isalnum() and letter not in "[]</>.,-😀"}


def test_windows_overlap_and_know_their_context(bert: PreTrainedTokenizerFast) -> None:
    text = " ".join(["good", "bad", "red", "film", "one"] * 7)
    first, *_, last = found = windows.cut(bert, [text], most=12, stride=4)
    for one, other in zip(found, found[1:]):
        np.testing.assert_array_equal(one.ids_T[-5:-1], other.ids_T[1:5])
    assert first.context_T[0] == windows.FAR and first.context_T.tolist()[1:-1] == list(range(9, -1, -1))
    assert found[1].context_T.tolist()[1:-1] == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]
    assert last.context_T[1] == 0 and last.context_T[-2] == len(last.ids_T) - 3
    assert (windows.cut(bert, ["good film"], most=12, stride=4)[0].context_T == windows.FAR).all(), "nothing was cut"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=ALPHABET, context=ALPHABET, pieces=st.booleans())
@pytest.mark.parametrize("name", ["bert", "byte_level", "unigram"])
def test_pairs_cut_the_second_part_only(
    name: str, request: pytest.FixtureRequest, question: str, context: str, pieces: bool
) -> None:
    tokenizer = request.getfixturevalue(name)
    first, second = ([[one[:5], one[5:]] if pieces else one] for one in (question, context))
    found = windows.cut(tokenizer, first, second, most=20, stride=3)
    usual = tokenizer.num_special_tokens_to_add(pair=True)
    for window in found:
        assert len(window.ids_T) <= 20 and _control(tokenizer, window) <= max(usual, 1)
        np.testing.assert_array_equal(window.ids_T[window.part_T == 0], found[0].ids_T[found[0].part_T == 0])
        assert (window.context_T[window.part_T == 0] == windows.FAR).all()
    read = {at for window in found for start, end in window.span_T2[window.part_T == 1] for at in range(start, end)}
    assert {at for at, letter in enumerate(context) if letter.isalnum()} <= read


def test_spans_are_the_users_own_characters(bert: PreTrainedTokenizerFast, byte_level: PreTrainedTokenizerFast) -> None:
    text = "  good\u200b film,\tnot\ud800 bad  "
    for tokenizer in (bert, byte_level):
        window = windows.cut(tokenizer, [text], most=60, stride=0)[0]
        said = [text[a:b] for a, b in window.span_T2[window.part_T == 0]]
        assert all(part == part.strip() or not part.strip() for part in said)
        assert "good" in "".join(said) and "bad" in "".join(said)
    assert "\ud800" in said, "a lone surrogate keeps its place"


def test_pieces_are_never_joined(unigram: PreTrainedTokenizerFast) -> None:
    whole = windows.cut(unigram, ["北京"], most=20, stride=0)[0]
    apart = windows.cut(unigram, [["北", "京"]], most=20, stride=0)[0]
    assert (0, 2) in [tuple(span) for span in whole.span_T2.tolist()], "as one text it is one token"
    assert {tuple(span) for span in apart.span_T2[apart.part_T == 0].tolist()} == {(0, 1), (1, 2)}


def test_long_first_part_leaves_room(bert: PreTrainedTokenizerFast) -> None:
    found = windows.cut(bert, ["good " * 100], ["bad " * 30 + "film"], most=23, stride=2)
    assert all((window.part_T == 0).sum() == 10 for window in found)
    assert max(window.span_T2[window.part_T == 1].max() for window in found) == 124


def test_lengths_agree_with_one_window(bert: PreTrainedTokenizerFast) -> None:
    texts = ["good film", "", "a red book"]
    whole = windows.cut(bert, texts, most=60, stride=0)
    np.testing.assert_array_equal(windows.lengths(bert, texts), [len(window.ids_T) for window in whole])
    whole = windows.cut(bert, texts, texts, most=60, stride=0)
    np.testing.assert_array_equal(windows.lengths(bert, texts, texts), [len(window.ids_T) for window in whole])


def test_text_without_tokens_gives_one_to_read(byte_level: PreTrainedTokenizerFast) -> None:
    (window,) = windows.cut(byte_level, [""], most=20, stride=0)
    assert len(window.ids_T) == 1 and window.part_T.tolist() == [-1]
    assert window.inputs().keys() == {"input_ids"} and not windows.reads_segments(byte_level)


def test_same_ids_as_the_plain_encoding(bert: PreTrainedTokenizerFast) -> None:
    for text in ("good film, not bad", "a [SEP] b", ""):
        window = windows.cut(bert, [text], most=60, stride=0)[0]
        np.testing.assert_array_equal(window.ids_T, tokens.encode(bert, [text], most=60)[0]["input_ids"])
