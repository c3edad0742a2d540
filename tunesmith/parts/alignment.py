"""Sub-words and words: which token speaks for a word, and the row's own text beside its tokens.

Axes: T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..task import Example
from . import windows
from .windows import FAR, Window
from .words import Words, of_text

SHARED = 4
"""Neighbouring windows share one token in so many."""


def examples(processor: Any, said: Sequence[Words], labels: Sequence[np.ndarray] | None, most: int) -> list[Example]:
    """Windows of at most so many tokens of rows of words: `words`, of which word a token is the first, in the window where it has most
    context; `tags`, that word's label, where there are `labels`; the row's `characters` and the `span` of each word, in its first window;
    and where a row has several windows, its `row`."""
    found = windows.cut(processor, [one.pieces() for one in said], most=most, stride=most // SHARED)
    made, before = list[Example](), -1
    for window, word_T in zip(found, owned(found, said)):
        example = window.inputs(windows.reads_segments(processor)) | {"words": word_T}
        if labels is not None:
            example["tags"] = spoken(labels[window.row], word_T)
        example |= origin(said[window.row] if window.row != before else of_text(""))
        if len(found) > len(said):
            example["row"] = window.row
        made.append(example)
        before = window.row
    return made


def owned(found: Sequence[Window], said: Sequence[Words]) -> list[np.ndarray]:
    """For each window (T,) the word whose first token this is, -1 elsewhere; every word once, where it has most context."""
    owned = [_first_tokens(window, said[window.row], again) for window, again in zip(found, _again(found))]
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for at, (window, word_T) in enumerate(zip(found, owned)):
        if (window.context_T >= FAR).all():
            continue
        for place in np.flatnonzero(word_T >= 0).tolist():
            key, context = (window.row, int(word_T[place])), int(window.context_T[place])
            if key not in best or context > best[key][0]:
                if key in best:
                    owned[best[key][1]][best[key][2]] = -1
                best[key] = (context, at, place)
            else:
                word_T[place] = -1
    return owned


def _again(found: Sequence[Window]) -> list[bool]:
    return [at > 0 and found[at - 1].row == window.row for at, window in enumerate(found)]


def _first_tokens(window: Window, said: Words, again: bool) -> np.ndarray:
    """The words whose first tokens stand in a window; its own first token may be the middle of a word where the window goes on
    from another, which holds it too."""
    word_T = np.full(len(window.ids_T), -1, np.int32)
    own_T = np.flatnonzero(window.part_T == 0)
    if len(own_T) and len(said):
        owner_T = said.owner(window.span_T2[own_T, 0])
        first_T = np.concatenate([[not again], owner_T[1:] != owner_T[:-1]])
        word_T[own_T[first_T]] = owner_T[first_T]
    return word_T


def spoken(label_W: np.ndarray, word_T: np.ndarray) -> np.ndarray:
    """(T,) the label of the word that each token speaks for; -100 where it speaks for none."""
    own_W = np.append(label_W, -100).astype(np.int32)
    return np.where(word_T >= 0, own_W[word_T], -100).astype(np.int32)


def origin(said: Words) -> Example:
    """A row's `characters` (code points) and the `span` of each of its words, as arrays that travel beside its tokens."""
    letters = np.frombuffer(said.text.encode("utf-32-le", "surrogatepass"), "<u4")
    return {"characters": letters.astype(np.uint32), "span": said.span_W2}
