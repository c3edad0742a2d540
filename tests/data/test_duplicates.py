"""Duplicates: what counts as equal, recall on planted pairs, no false pairs, order, bounds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tunesmith.data import duplicates, shingles

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 7)) for i in range(3000)]


def sentence(draw: random.Random, n: int) -> list[str]:
    return draw.choices(WORDS, k=n)


def edited(words: list[str], draw: random.Random, at_least: float) -> list[str] | None:
    """The words with random edits, as many as leave them similar enough; None where one edit is too many."""
    best = None
    for _ in range(6):
        changed = list(best or words)
        place = draw.choice([0, len(changed) - 1, draw.randrange(len(changed))])
        changed[place] = draw.choice(WORDS)
        if plain_jaccard(words, changed) < at_least:
            break
        best = changed
    return best


def plain_jaccard(one: list[str], two: list[str]) -> float:
    a, b = ({tuple(w[i : i + 3]) for i in range(len(w) - 2)} for w in (one, two))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("same", [
    ("A quiet, exact film.", "a quiet exact film"), ("Straße", "STRASSE"), ("ｆｕｌｌ width", "full width"), ("a\u00a0 b\t c", "a b c"),
    ("这个酒店很好！", "这个酒店很好。"), ("so\u00adft ❤", "soft ❤️"), (":)", " :)  "),
])
def test_equal_but_for_case_width_space_and_punctuation(same: tuple[str, str]) -> None:
    found = duplicates.find([same[0], "something else", same[1]], 0)
    assert found.group_N.tolist() == [0, 1, 0] and found.exact == 1 and found.near == 0


@pytest.mark.parametrize("apart", [(":)", ":("), ("not bad", "bad"), ("हिन्दी में", "हनद म"), ("", "a"), ("12", "1 2")])
def test_what_differs_stays_apart(apart: tuple[str, str]) -> None:
    assert duplicates.find(list(apart), 0.8).group_N.tolist() == [0, 1]


def test_recall_of_planted_near_duplicates_at_the_threshold() -> None:
    draw, texts, pairs = random.Random(0), list[str](), list[tuple[int, int]]()
    while len(pairs) < 600:
        words = sentence(draw, draw.randint(8, 60))
        twin = edited(words, draw, 0.8)
        if twin is not None:
            pairs.append((len(texts), len(texts) + 1))
            texts += [" ".join(words), " ".join(twin)]
        texts.append(" ".join(sentence(draw, draw.randint(3, 40))))
    found = duplicates.find(texts, 0.8)
    recall = np.mean([found.group_N[a] == found.group_N[b] for a, b in pairs])
    assert recall >= 0.95
    allowed = {frozenset(pair) for pair in pairs}
    groups = [np.flatnonzero(found.group_N == g) for g in np.flatnonzero(np.bincount(found.group_N) > 1)]
    assert all(frozenset(group.tolist()) in allowed for group in groups), "rows were joined that are not similar"


def test_recall_in_a_script_without_spaces() -> None:
    draw, texts = random.Random(1), list[str]()
    for _ in range(200):
        text = "".join(chr(draw.randint(0x4E00, 0x6E00)) for _ in range(80))
        texts += [text, text[:-3] + "很好的"]
    found = duplicates.find(texts, 0.8)
    assert np.mean(found.group_N[::2] == found.group_N[1::2]) >= 0.95 and found.near >= 190


def test_similarity_is_the_true_jaccard_of_word_trigrams() -> None:
    draw = random.Random(2)
    for _ in range(50):
        words = sentence(draw, 20)
        other = edited(words, draw, 0.1) or words
        assert duplicates.jaccard(" ".join(words), " ".join(other)) == pytest.approx(plain_jaccard(words, other))


def test_pieces_equal_a_plain_loop() -> None:
    draw, seen = random.Random(3), dict[str, int]()
    texts = [shingles.words("".join(draw.choices("ab é好🙂.", k=draw.randint(0, 40)))) for _ in range(500)]
    found = shingles.pieces(texts)
    for i, text in enumerate(texts):
        words = text.split()
        unspaced = text.count("好") > shingles.UNSPACED * len(text)
        if len(words) < shingles.SHORT or unspaced:
            plain = [text[j : j + 5] for j in range(max(1, len(text) - 4))] if text else []
        else:
            plain = [" ".join(words[j : j + 3]) for j in range(len(words) - 2)]
        hashes = found.hash_S[found.start_N[i] : found.start_N[i + 1]].tolist()
        assert len(hashes) == len(plain)
        assert all(seen.setdefault(piece, number) == number for piece, number in zip(plain, hashes, strict=True))
    assert len(set(seen.values())) == len(seen), "two pieces share a hash"


def test_order_and_company_do_not_matter() -> None:
    draw = random.Random(4)
    texts = [" ".join(sentence(draw, 30)) for _ in range(100)]
    texts += [text + " end" for text in texts[:40]] + texts[:10]
    order = draw.sample(range(len(texts)), len(texts))
    plain, shuffled = duplicates.find(texts, 0.8), duplicates.find([texts[i] for i in order], 0.8)
    assert (plain.exact, plain.near) == (shuffled.exact, shuffled.near) == (10, 40)
    together = plain.group_N[order]
    assert np.array_equal(together[:, None] == together, shuffled.group_N[:, None] == shuffled.group_N)
    assert np.array_equal(plain.key_N[order], shuffled.key_N)


def test_a_crowd_of_equal_neighbours_is_one_group() -> None:
    texts = [f"your parcel with the number {i} has been sent and will arrive at your door within three working days from "
             "now so please be at home to take it in and do not forget to sign" for i in range(3000)]
    found = duplicates.find(texts, 0.8)
    assert found.group_N.max() == 0 and found.near == len(texts) - 1 and found.examples


def test_bounds_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{i} " + "word " * 100 for i in range(20)]
    monkeypatch.setattr(duplicates, "LARGE", 10)
    monkeypatch.setattr(duplicates, "CHARACTERS", 1000)
    assert "first 200 characters" in duplicates.find(texts, 0.8).note
    monkeypatch.setattr(duplicates, "MAX_EDGES", 3)
    assert "candidate pairs" in duplicates.find([f"{i} " + " ".join(WORDS[:50]) for i in range(20)], 0.8).note


def test_nothing_and_next_to_nothing() -> None:
    assert len(duplicates.find([], 0.8).group_N) == 0
    assert duplicates.find([""], 0.8).group_N.tolist() == [0]
    assert duplicates.find(["", " ", "\t"], 0.8).exact == 2


def test_bands_miss_few_at_their_threshold() -> None:
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.99):
        count, rows = duplicates.bands(threshold)
        assert count * rows <= duplicates.HASHES and (1 - threshold**rows) ** count <= duplicates.MISSED + 1e-9
