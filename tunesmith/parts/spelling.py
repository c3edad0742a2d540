"""Transcripts: brought to one form, spelled in characters for CTC, and compared word by word and letter by letter.

Axes: N rows, B rows of a batch, T frames, U characters, V symbols, W windows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ResourceError
from ..task import Outputs, Truth

if TYPE_CHECKING:
    import torch

Normaliser = Literal["words", "none"]
DIRECTIONS: Mapping[str, bool] = {
    "wer": False, "cer": False, "substituted": False, "deleted": False, "inserted": False, "exact_match": True,
}  # fmt: skip
BY_LETTERS: Mapping[str, bool] = {"cer": False, "exact_match": True}
"""Scores of languages that are written without spaces between words."""
BLANK = "<pad>"
"""CTC's symbol for nothing; also what fills short rows. Its id is 0."""
BETWEEN = "|"
"""What stands for the space between words, as Wav2Vec2CTCTokenizer writes it."""
SAID = {
    "words": "lower case, Unicode NFKC, everything but letters, digits, marks and apostrophes taken for a space",
    "none": "spaces at the ends taken off, several made one; nothing else",
}
"""What each normaliser does, in words."""
LEAST_FRAMES = 1


def normalised(text: Any, how: str) -> str:
    """A transcript in the form in which it is compared (and, for CTC, learned)."""
    words = "" if text is None else str(text)
    if how == "none":
        return " ".join(words.split())
    words = unicodedata.normalize("NFKC", words).casefold().replace("’", "'")
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c == "'" else " " for c in words)
    return " ".join(word.strip("'") for word in kept.split() if word.strip("'"))


# -- characters -------------------------------------------------------------------------------------------------------


def vocabulary(texts: Sequence[str]) -> tuple[str, ...]:
    """The symbols of these transcripts: the blank first, the mark between words, then the characters in their order."""
    seen = {character for text in texts for character in text} - {" "}
    return (BLANK, BETWEEN, *sorted(seen - {BETWEEN}))


def spelled(text: str, symbols: Mapping[str, int]) -> np.ndarray:
    """(U,) ids of a transcript's characters; those that training did not have are left out."""
    known = [symbols.get(BETWEEN if c == " " else c) for c in text]
    return np.array([one for one in known if one], np.int64)


def needed(ids_U: np.ndarray) -> int:
    """Frames without which CTC cannot write these: one for each, and a blank between two of a kind."""
    return len(ids_U) + int((ids_U[1:] == ids_U[:-1]).sum())


def ctc_loss(logits_BTV: torch.Tensor, ids_BU: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
    """Sum over the batch of nats of the transcripts (arXiv cs/0605: Graves et al. 2006); ids below 0 are padding.

    A row that has become too short for its transcript counts nothing (`zero_infinity`): such rows are refused before training, and
    augmentation leaves as many frames as are needed.
    """
    from torch.nn.functional import ctc_loss, log_softmax

    log_TBV = log_softmax(logits_BTV.float(), -1).transpose(0, 1)
    kept_BU = ids_BU >= 0
    # Targets end to end: padding inside them would be a symbol.
    found: torch.Tensor = ctc_loss(
        log_TBV, ids_BU[kept_BU], length_B, kept_BU.sum(1), blank=0, reduction="sum", zero_infinity=True
    )
    return found


def greedy(logits_BTV: torch.Tensor, length_B: torch.Tensor) -> tuple[list[list[tuple[int, int]]], torch.Tensor]:
    """Of each row the likeliest symbol of each frame, repeats and blanks left out: [(symbol, frame)]; and how sure, 0 to 1 (B,).

    How sure: the probability of the likeliest symbols, averaged (geometrically) over the row's frames.
    """
    import torch

    best_BT, id_BT = logits_BTV.float().log_softmax(-1).max(-1)
    inside_BT = torch.arange(best_BT.shape[1], device=best_BT.device) < length_B[:, None]
    sure_B = ((best_BT * inside_BT).sum(1) / length_B.clamp(min=1)).exp()
    rows = []
    for ids_T, length in zip(id_BT.cpu().numpy(), length_B.tolist(), strict=True):
        ids_T = ids_T[:length]
        new_T = (ids_T != np.concatenate([[0], ids_T[:-1]])) & (ids_T != 0)
        rows.append([(int(ids_T[at]), int(at)) for at in np.flatnonzero(new_T)])
    return rows, sure_B


def words_of(found: Sequence[tuple[int, int]], symbols: Sequence[str]) -> list[tuple[str, int, int]]:
    """(word, its first frame, its last) of symbols at frames."""
    words, letters = list[tuple[str, int, int]](), list[tuple[str, int]]()
    for symbol, frame in [*((symbols[i], at) for i, at in found), (BETWEEN, -1)]:
        if symbol != BETWEEN:
            letters.append((symbol, frame))
        elif letters:
            words.append(("".join(letter for letter, _ in letters), letters[0][1], letters[-1][1]))
            letters = []
    return words


# -- scores -----------------------------------------------------------------------------------------------------------


def compared(text: Any, how: str, spaced: bool = True) -> str:
    """A transcript in the form in which it is compared; of languages that put no space between words without any."""
    found = normalised(text, how)
    return found if spaced else "".join(found.split())


def condense(outputs: Outputs, truth: Truth, how: str, spaced: bool = True) -> Outputs:
    """Counts of each row: edits of words by kind, words, edits of characters, characters; replies beside them."""
    said, true = ([compared(text, how, spaced) for text in texts] for texts in (outputs["reply"], truth))
    word_N4, letter_N2 = np.zeros((len(true), 4)), np.zeros((len(true), 2))
    for row, (answer, wanted) in enumerate(zip(said, true, strict=True)):
        substituted, deleted, inserted, _ = edits(wanted.split(), answer.split())
        word_N4[row] = substituted, deleted, inserted, len(wanted.split())
        letter_N2[row] = sum(edits(list(wanted), list(answer))[:3]), len(wanted)
    return {"words": word_N4, "letters": letter_N2, "reply": outputs["reply"]}


def edits(wanted: Sequence[str], answer: Sequence[str]) -> tuple[int, int, int, list[Any]]:
    """Fewest substitutions, deletions, insertions that make `wanted` into `answer`, and the stretches of an alignment (jiwer's)."""
    if not wanted or not answer:
        return 0, len(wanted), len(answer), []
    found = _aligner()(list(wanted), list(answer))
    kinds = {"replace": 0, "delete": 0, "insert": 0}
    for one in found:
        if one.tag != "equal":
            kinds[one.tag] += max(one.src_end - one.src_start, one.dest_end - one.dest_start)
    return kinds["replace"], kinds["delete"], kinds["insert"], list(found)


def _aligner() -> Any:
    """The aligner by which jiwer counts: Levenshtein's edits, by rapidfuzz."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise ResourceError(
            "word error rate", expected="jiwer, which compares transcripts", got="it is not installed",
            fix="pip install 'tunesmith[sound]'", code="missing-extra",
        ) from None
    return Levenshtein.opcodes


def score(outputs: Outputs, truth: Truth, how: str, spaced: bool = True) -> dict[str, float]:
    """Rates over all words and characters of the rows together; of characters alone where no space parts words."""
    found = outputs if "words" in outputs else condense(outputs, truth, how, spaced)
    substituted, deleted, inserted, words = found["words"].sum(0)
    wrong, letters = found["letters"].sum(0)
    rate = lambda part, whole: float(part / whole) if whole else float("nan")  # noqa: E731
    exact = float((found["words"][:, :3].sum(1) == 0).mean()) if len(found["words"]) else float("nan")
    scores = {
        "wer": rate(substituted + deleted + inserted, words), "cer": rate(wrong, letters), "substituted": rate(substituted, words),
        "deleted": rate(deleted, words), "inserted": rate(inserted, words), "exact_match": exact,
    }  # fmt: skip
    return {name: scores[name] for name in (DIRECTIONS if spaced else BY_LETTERS)}


def aligned(wanted: str, answer: str, spaced: bool = True) -> str:
    """An answer with what is wrong about it: `press {the→a} key [-twice] [+now]`; by characters where no space parts words."""
    true, said, between = (wanted.split(), answer.split(), " ") if spaced else (list(wanted), list(answer), "")
    if not true or not said:
        return between.join([*(f"[-{word}]" for word in true), *(f"[+{word}]" for word in said)])
    parts = list[str]()
    for one in edits(true, said)[3]:
        here, there = between.join(true[one.src_start : one.src_end]), between.join(said[one.dest_start : one.dest_end])
        parts.append({"equal": here, "replace": f"{{{here}→{there}}}", "delete": f"[-{here}]", "insert": f"[+{there}]"}[one.tag])
    return between.join(parts)
