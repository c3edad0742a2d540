"""Sounds with transcripts: their windows as examples, what is refused before it is learned, what was heard as answers.

Axes: N rows, B rows of a batch, S samples, T frames, U symbols, W windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import sounds
from ..data.finding import LISTED, Finding, count, places
from ..data.profile import Profile
from ..errors import DataError, listing, shorten
from ..spec import Choice
from ..task import Batch, Draw, Example, Graded, Light, Outputs, Truth
from . import columns, spelling, waves, writing
from .frames import Frames

if TYPE_CHECKING:
    import torch

    from ..data.table import Table

NAMES = ("text", "transcript", "transcription", "sentence", "normalized_text", "normalised_text", "transcripts", "utterance", "words")
MOST_TOKENS = 448
"""Whisper's positions for a transcript."""
SEARCHED = 0.2
"""Share of a window, at its end, in which a quiet place is looked for to cut a long sound."""
STEP = 320
"""Samples over which loudness is measured there: 20 ms."""
LEAST_WINDOW = 12
"""Seconds of Whisper's window that are kept even where all sounds are shorter: in shorter ones it repeats itself until it is tuned
(docs/notes.md)."""


def column(profile: Profile, named: Mapping[str, Any], taken: Sequence[Any]) -> tuple[Choice[Any], float] | None:
    """The column with transcripts, and how sure that is."""
    if named.get("text"):
        return Choice(named["text"], "named by you"), 0.95
    free = [c for c in profile.columns.values() if c.name not in taken and c.kind in ("text", "category", "id", "constant")]
    ranks = {name: rank for rank, name in enumerate(NAMES)}
    called = [c for c in free if c.name.lower() in ranks]
    if called:
        best = min(called, key=lambda c: ranks[c.name.lower()])
        return Choice(best.name, f"column {best.name!r} is named like a transcript"), 0.88
    texts = [c for c in free if c.kind == "text" and c.mean_words >= 3 and not columns.is_split(c)]
    if not texts:
        return None
    best = max(texts, key=lambda c: c.mean_words)
    return Choice(best.name, f"column {best.name!r} holds {columns.describe(best)}"), 0.6


def most_common(cells: Sequence[Any], said: Sequence[str]) -> str:
    """The transcript that most rows have, as one of them writes it."""
    if not said:
        return ""
    best, _ = Counter(said).most_common(1)[0]
    return str(cells[said.index(best)])


def texts(values: Sequence[str]) -> np.ndarray:
    """(N,) texts as they are."""
    return writing.texts(values)


def ragged(values: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) arrays of unlike length."""
    found = np.empty(len(values), object)
    for at, value in enumerate(values):
        found[at] = value
    return found


def tokens(tokenizer: Any, text: str) -> np.ndarray:
    """(U,) ids of a transcript as Whisper writes it, with a space before it and the end behind; control strings in it are text."""
    ids = writing.ids_of(tokenizer, [" " + " ".join(text.split())])[0]
    return np.append(ids.astype(np.int64), tokenizer.eos_token_id)


# -- what is refused --------------------------------------------------------------------------------------------------


def window(cells: Sequence[Any], asked: Any, frames: Frames) -> Choice[int]:
    """Whole seconds of one pass: as asked, or that of the longest training row; at most what the model takes."""
    seconds_N = waves.seconds_of(cells)
    longest = int(np.ceil(seconds_N.max())) if len(seconds_N) else 1
    if asked != "auto":
        return waves.window(cells, asked, frames.most_seconds)
    least = min(LEAST_WINDOW, frames.most_seconds) if frames.kind == "whisper" else 1
    return Choice(max(least, min(longest, frames.most_seconds)), f"the longest training sound has {seconds_N.max():.1f} s")


def refuse_long(train: Table, seconds_N: np.ndarray, most: int) -> None:
    """Raises DataError where a sound is longer than one pass: which of its words are said in which window is not known."""
    _refuse(
        train, seconds_N > most, f"sounds of at most {most} s to learn from, since a transcript cannot be cut",
        f"one of {float(seconds_N.max()):.1f} s" if len(seconds_N) else "", "cut them where nobody speaks", "sound-too-long",
    )


def refuse_wordy(train: Table, lengths: Sequence[int], most: int) -> None:
    """Raises DataError where a transcript has more tokens than the model can write."""
    _refuse(
        train, np.array(lengths) > most, f"transcripts of at most {most} tokens", f"one of {max(lengths):,}", "cut sound and transcript",
        "transcript-too-long",
    )


def refuse_short(train: Table, frames: Sequence[int], needed: Sequence[int]) -> None:
    """Raises DataError where a sound has fewer frames than CTC needs for its transcript: its likelihood would be zero."""
    bad_N = np.array(needed) > np.array(frames)
    first = int(bad_N.argmax())
    got = f"{frames[first]:,} frames for {needed[first]:,} symbols and blanks" if bad_N.any() else ""
    fix = "check that sound and transcript belong together, or take the rows out"
    _refuse(train, bad_N, "sounds long enough for their transcripts", got, fix, "sound-too-short")


def _refuse(train: Table, bad_N: np.ndarray, expected: str, got: str, fix: str, code: str) -> None:
    bad = np.flatnonzero(bad_N)
    if len(bad):
        rows = ", ".join(places(train, bad[:LISTED]))
        raise DataError(places(train, bad[:1])[0], expected=expected, got=f"{got}; {count(len(bad))} in all ({rows})", fix=fix, code=code)


def strange(rows: Table, said: Sequence[str], symbols: Sequence[str]) -> list[Finding]:
    """A note on characters that no training transcript has: a model of letters cannot write them."""
    known = {*symbols, " "}
    found = {i: sorted(set(text) - known) for i, text in enumerate(said)}
    bad = [i for i, characters in found.items() if characters]
    if not bad:
        return []
    letters = listing([repr(c) for c in sorted({c for i in bad for c in found[i]})], 8)
    message = f"{count(len(bad))} with characters that no training transcript has ({letters}): they count as wrong"
    return [Finding("note", "unknown-characters", message, places(rows, bad[:LISTED]), "add such rows to the training data")]


# -- examples ---------------------------------------------------------------------------------------------------------


def encode(cell: Any, ears: Any, seconds: int, ways: Sequence[str], draw: Draw | None, least: int) -> Example:
    """The windows of a sound as the model reads them: `input_values` or `input_features`, `frames` (W,), their `sizes` (W,), `starts`
    (W,) in samples, and `length`, the frames in all. With a draw the sound is one window, changed in the chosen ways."""
    sound_S = sounds.wave(cell, ears.rate)
    whole = ears.frames.count(len(sound_S), max(seconds, -(-len(sound_S) // ears.rate)))
    if draw is not None:
        one = waves.changed(sound_S, ears, seconds, ways, draw, least)
        return _together([one], [0], int(one["frames"]), ears)
    cuts = windows(sound_S, seconds * ears.rate)
    return _together([ears.encode(sound_S[a:b], seconds) for a, b in cuts], [a for a, _ in cuts], whole, ears)


def windows(sound_S: np.ndarray, most: int) -> list[tuple[int, int]]:
    """(first, behind the last) samples of the windows of a long sound, cut where it is quietest near a window's end."""
    cuts, start = [], 0
    while len(sound_S) - start > most:
        first = start + int(most * (1 - SEARCHED))
        steps = max(1, (start + most - first) // STEP)
        power = [float(np.square(sound_S[first + i * STEP : first + (i + 1) * STEP]).sum()) for i in range(steps)]
        stop = min(start + most, first + int(np.argmin(power)) * STEP + STEP // 2)
        cuts.append((start, stop))
        start = stop
    return [*cuts, (start, len(sound_S))]


def _together(parts: Sequence[Example], starts: Sequence[int], length: int, ears: Any) -> Example:
    inputs = [part[ears.input_name] for part in parts]
    joined = np.stack(inputs) if ears.frames.fixed else np.concatenate(inputs)
    found = {
        ears.input_name: joined, "sizes": np.array([len(one) for one in inputs]), "length": length,
        "frames": np.array([part["frames"] for part in parts]), "starts": np.array(starts) / ears.rate,
        "ends": np.array([*starts[1:], 0]) / ears.rate,
    }  # fmt: skip
    return found | {name: part for part in parts for name, part in part.items() if name == "masked"}


def light(cells: Sequence[Any], frames: Frames, seconds: int, kind: str, known: Mapping[str, np.ndarray]) -> Light:
    """What is known of sounds before they are read: `known`, their frames, what they cost."""
    samples = waves.samples_of(cells, frames.rate)
    length_N = np.array([frames.count(int(n), max(seconds, -(-int(n) // frames.rate))) for n in samples], np.int64)
    if kind == "ctc":
        return Light({**known, "length": length_N}, length_N)
    passes_N = np.maximum(1, -(-samples // (seconds * frames.rate)))
    return Light({**known, "length": length_N}, passes_N * frames.cost(seconds * frames.rate, seconds))


def collate(
    examples: Sequence[Example], frames: Frames, prompt: Sequence[int], stack: Callable[[Sequence[Example], Mapping[str, int]], Batch]
) -> Batch:
    """One batch: all windows of all rows one after another (`windows` (B,) of each), `length` (B,), `labels` (B, U), `prompt` (1, P)."""
    import torch

    apart = ("input_values", "input_features", "sizes", "frames", "starts", "ends", "masked", "target_ids")
    found = stack([{name: value for name, value in one.items() if name not in apart} for one in examples], {})
    if "target_ids" in examples[0]:
        ids = [torch.as_tensor(np.asarray(one["target_ids"])) for one in examples]
        found["labels"] = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-100)
    if prompt:
        found["prompt"] = torch.tensor([list(prompt)])
    if "sizes" not in examples[0]:
        return found  # frames from the cache
    parts = [part for one in examples for part in _apart(one, frames)]
    heard = stack(parts, waves.pads(frames))
    found["windows"] = torch.tensor([len(one["sizes"]) for one in examples])
    return found | heard


def _apart(example: Example, frames: Frames) -> list[Example]:
    """The windows of one example."""
    name = "input_values" if "input_values" in example else "input_features"
    stops = np.cumsum(example["sizes"])
    inputs = list(example[name]) if frames.fixed else np.split(example[name], stops[:-1])
    each = zip(inputs, example["frames"], example["starts"], example["ends"], strict=True)
    extra = {"masked": example["masked"]} if "masked" in example else {}
    return [{name: one, "frames": int(n), "start": float(start), "end": float(end)} | extra for one, n, start, end in each]


# -- answers ----------------------------------------------------------------------------------------------------------


def read_off(logits_BTV: torch.Tensor, length_B: torch.Tensor, symbols: Sequence[str], frames: Frames) -> dict[str, Any]:
    """What CTC says of each row, and when its words begin and end, in seconds."""
    import torch

    rows, sure_B = spelling.greedy(logits_BTV, length_B)
    words = [spelling.words_of(found, symbols) for found in rows]
    times = [[(frames.seconds(first), frames.seconds(last + 1)) for _, first, last in row] for row in words]
    return {
        "reply": [" ".join(word for word, _, _ in row) for row in words], "sure": sure_B,
        "times": [torch.tensor(row, dtype=torch.float32).flatten() for row in times],
    }  # fmt: skip


def written(model: Any, batch: Batch, most: int) -> dict[str, Any]:
    """What Whisper writes of each row, a line for each window, and when these begin and end, in seconds."""
    import torch

    found = model.write(batch, most)
    said = [" ".join(model.tokenizer.decode(ids, skip_special_tokens=True).split()) for ids, _ in found]
    reply, sure, times, at = list[str](), list[float](), list[Any](), 0
    for windows_of_row in batch["windows"].tolist():
        here = slice(at, at + windows_of_row)
        reply.append("\n".join(said[here]))
        sure.append(float(np.exp(np.mean([value for _, value in found[here]]))))
        ends = torch.where(batch["end"][here] > 0, batch["end"][here], batch["start"][here] + batch["frames"][here] * 0.02)
        times.append(torch.stack([batch["start"][here], ends], 1).float().flatten())
        at += windows_of_row
    return {"reply": reply, "sure": torch.tensor(sure), "times": times}


def answers(outputs: Outputs, kind: str) -> list[dict[str, Any]]:
    """`text`, `confidence`, and `segments`: words for CTC, windows for Whisper, with their beginnings and ends in seconds."""
    made = []
    for reply, sure, times in zip(outputs["reply"], outputs["sure"], outputs["times"], strict=True):
        parts = reply.split() if kind == "ctc" else reply.split("\n")
        when = [[round(float(t), 2) for t in pair] for pair in np.asarray(times).reshape(-1, 2)]
        segments = [{"start": a, "end": b, "text": part} for part, (a, b) in zip(parts, when)]
        made.append({"text": " ".join(reply.split()), "confidence": round(float(sure), 4), "segments": segments})
    return made


def grade(outputs: Outputs, truth: Truth, how: str, spaced: bool) -> Graded:
    """Rows as the report shows them: the transcript, what was heard with its edits marked, the most edits first."""
    found = spelling.condense(outputs, truth, how, spaced)
    edits_N = found["words"][:, :3].sum(1) if spaced else found["letters"][:, 0]
    said, true = ([spelling.compared(text, how, spaced) for text in texts] for texts in (outputs["reply"], truth))
    shown = [spelling.aligned(one, other, spaced) for one, other in zip(true, said)]
    none_N = np.full(len(edits_N), np.nan)
    loss_N = edits_N + found["letters"][:, 0] / np.maximum(found["letters"][:, 1], 1)
    return Graded([shorten(str(t), 400) for t in truth], [shorten(s, 600) for s in shown], edits_N == 0, loss_N, none_N, none_N)


def same(text: str, rows: int) -> Outputs:
    """Outputs that say the same of every row."""
    none = ragged([np.zeros(0, np.float32)] * rows)
    return {"reply": texts([text] * rows), "sure": np.ones(rows, np.float32), "times": none}
