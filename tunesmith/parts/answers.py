"""Answers to questions about a text: how cells write them, where they stand, and how right a found one is.

Scores are the official ones: SQuAD 2's (arXiv 1806.03822) for texts whose words stand apart, CMRC 2018's (arXiv 1810.07366) for Chinese.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

Rule = Literal["squad", "cmrc"]
"""How texts are compared: by words without case, punctuation and articles, or by characters without punctuation."""
Span = tuple[int, int]
"""First character, and the one behind the last."""
MOST = 16
"""Places of an answer that are kept where no offset says which is meant."""
STARTS = ("answer_start", "start")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_IDEOGRAPH = re.compile("[\u4e00-\u9fa5]")
_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC 2018 leaves out. (Its list also names `……`, which never equals one character, so an ellipsis stays.)"""
_WORDS = re.compile(r"\d+(?:[.,]\d+)*|\w+?(?=n't\b)|n't\b|'\w+|\w+(?:\.\w+)*|[^\w\s]")
"""About what NLTK's `word_tokenize`, which CMRC 2018 uses between Chinese characters, makes of a few words."""


@final
@dataclass(frozen=True)
class Answer:
    """An answer as the data give it; `start`: its first character in the text, where they say so."""

    text: str
    start: int | None = None


@final
@dataclass(frozen=True)
class Place:
    """Where an answer stands. `how`: `given` (the offset is right), `mended` (a wrong or missing offset, and one place only),
    `several` (no offset, and several places), `lost` (in no place, or the offset is wrong and it has several)."""

    spans: tuple[Span, ...]
    how: Literal["given", "mended", "several", "lost"]


# -- cells ------------------------------------------------------------------------------------------------------------


def parse(cell: Any, start: Any = None) -> list[Answer]:
    """The answers in a cell, none where the text does not hold any. `start`: the cell of a column of offsets.

    A cell is a text, a list of texts or of {"text", "answer_start"}, {"text": [...], "answer_start": [...]}, or one of these in JSON.
    Raises ValueError, in words for the user, where it is something else.
    """
    cell, starts = _unpacked(cell), _starts(start)
    if isinstance(cell, dict):
        texts = cell.get("text")
        starts = starts or _starts(next((cell[key] for key in STARTS if key in cell), None))
        cell = [texts] if isinstance(texts, str) else list(texts or ())
    items = [cell] if isinstance(cell, str) else list(cell or ())
    found = [_answer(item) for item in items]
    if starts:
        if len(starts) != len(found):
            raise ValueError(f"{len(found):,} answers and {len(starts):,} offsets")
        found = [Answer(answer.text, at) for answer, at in zip(found, starts)]
    return [answer for answer in found if answer.text.strip()]


def _unpacked(cell: Any) -> Any:
    """JSON in a text, where it has one of the forms that are known; else the cell as it is: an answer may begin with a bracket."""
    if not isinstance(cell, str):
        if cell is None or isinstance(cell, list | dict):
            return cell
        return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    if cell.lstrip()[:1] not in ("[", "{"):
        return cell
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    items = found if isinstance(found, list) else [found]
    known = all(isinstance(one, str) or (isinstance(one, dict) and "text" in one) for one in items)
    return found if known and isinstance(found, list | dict) else cell


def _answer(item: Any) -> Answer:
    if isinstance(item, str):
        return Answer(item)
    if not isinstance(item, dict) or not isinstance(item.get("text"), str | None):
        raise ValueError(f"{item!r}")
    starts = _starts(next((item[key] for key in STARTS if key in item), None))
    return Answer(item.get("text") or "", starts[0] if starts else None)


def _starts(cell: Any) -> list[int | None]:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise ValueError(f"the offset {cell!r}") from None
    if cell is None or cell == "":
        return []
    return [_whole(one) for one in (cell if isinstance(cell, list) else [cell])]


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = float(value)
        if isinstance(value, bool) or number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the offset {value!r}") from None
    return int(number)


# -- places -----------------------------------------------------------------------------------------------------------


def locate(context: str, answer: Answer) -> Place:
    """Where the answer stands in the text: at its offset, or else where its words (spaces aside) stand once."""
    text, start = answer.text, answer.start
    if start is not None and start >= 0 and context[start : start + len(text)] == text:
        return Place(((start, start + len(text)),), "given")
    found = [(at, at + len(text)) for at in occurrences(context, text)] or _loosely(context, text)
    if len(found) == 1:
        return Place(tuple(found), "mended" if start is not None or found[0][1] - found[0][0] != len(text) else "given")
    if found and start is None:
        return Place(tuple(found), "several")
    return Place((), "lost")


def occurrences(text: str, part: str) -> list[int]:
    """Where a part begins in a text: the first MOST of its places."""
    found: list[int] = []
    at = text.find(part)
    while at >= 0 and len(found) < MOST:
        found.append(at)
        at = text.find(part, at + 1)
    return found


def _loosely(context: str, text: str) -> list[Span]:
    """Places of the same characters when spaces, line ends and the like are left out of both."""
    kept = [at for at, character in enumerate(context) if not character.isspace()]
    bare, wanted = "".join(context[at] for at in kept), "".join(text.split())
    return [(kept[at], kept[at + len(wanted) - 1] + 1) for at in occurrences(bare, wanted)] if wanted else []


# -- scores -----------------------------------------------------------------------------------------------------------


def rule_for(texts: Iterable[str]) -> Rule:
    """How to compare answers to questions about such texts: by characters where most letters are Chinese."""
    sample = "".join(text[:400] for text in texts)
    letters = sum(character.isalnum() for character in sample)
    return "cmrc" if len(_IDEOGRAPH.findall(sample)) > 0.3 * max(letters, 1) else "squad"


def score(found: str, references: Sequence[str], rule: Rule) -> tuple[float, float]:
    """F1 and exact match (0 or 1) of an answer, each against the reference that suits it best; no reference: nothing is right."""
    if rule == "squad":
        pairs = [squad(found, reference) for reference in _worded(references) or [""]]
    elif references:
        pairs = [cmrc(found, reference) for reference in references]
    else:
        pairs = [(float(not found.strip()),) * 2]
    return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


def _worded(references: Sequence[str]) -> list[str]:
    """References of which something is left when articles and punctuation are taken away."""
    return [reference for reference in references if normalise(reference)]


def squad(found: str, reference: str) -> tuple[float, float]:
    """F1 over words and exact match, as SQuAD 2's evaluation has them."""
    ours, theirs = normalise(found), normalise(reference)
    own, other = ours.split(), theirs.split()
    if not own or not other:
        return float(own == other), float(ours == theirs)
    same = sum((Counter(own) & Counter(other)).values())
    return 2 * same / (len(own) + len(other)), float(ours == theirs)


def normalise(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def cmrc(found: str, reference: str) -> tuple[float, float]:
    """F1 over the longest run of characters in common and exact match, as CMRC 2018's evaluation has them."""
    own, other = segments(found), segments(reference)
    exact = float(_bare(found) == _bare(reference))
    same = _common(own, other)
    if not same:
        return 0.0, exact
    return 2 * same / (len(own) + len(other)), exact


def segments(text: str) -> list[str]:
    """Chinese characters one by one, other words as words, without CMRC 2018's marks."""
    found: list[str] = []
    other = ""
    for character in text.lower().strip():
        if character in _MARKS:
            continue
        if _IDEOGRAPH.match(character):
            found += [*_WORDS.findall(other), character]
            other = ""
        else:
            other += character
    return [*found, *_WORDS.findall(other)]


def _bare(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _MARKS)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest run that both have."""
    if list(one) == list(other):
        return len(one)
    places: dict[str, list[int]] = {}
    for at, segment in enumerate(other):
        places.setdefault(segment, []).append(at)
    longest, before = 0, dict[int, int]()
    for segment in one:
        here = {at: before.get(at - 1, 0) + 1 for at in places.get(segment, ())}
        longest = max([longest, *here.values()])
        before = here
    return longest
