"""Text to token ids: in batches, cut at a limit that is counted, and never taking a user's words for control tokens.

Axes: N rows, T tokens. A processor is a Hugging Face tokenizer, or a processor that holds one (`.tokenizer`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..spec import Choice
from ..task import Example

if TYPE_CHECKING:
    from ..data.table import Table

UNLIMITED = 100_000
"""A tokenizer whose `model_max_length` is above this names no real limit (transformers writes 1e30 for 'unknown')."""
FALLBACK_LIMIT = 512
"""Limit where the tokenizer names none: what most encoders were trained with."""
ROOM = 128
"""Tokens kept in any case, where the model takes them."""
LENGTH_SAMPLE = 20_000
"""Rows whose lengths are measured to choose the limit: enough to fix the 99th percentile to a fraction of a token."""

_settings = threading.Lock()


def as_text(value: Any) -> str:
    """A cell as text: empty cells give "", numbers their usual form."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def limit(processor: Any) -> int:
    """Most tokens the model takes, special tokens included, as its tokenizer states it."""
    stated = int(min(getattr(tokenizer_of(processor), "model_max_length", UNLIMITED + 1) or UNLIMITED + 1, 10**9))
    return stated if stated <= UNLIMITED else FALLBACK_LIMIT


def encode(processor: Any, texts: Sequence[Any], pairs: Sequence[Any] | None = None, *, most: int) -> list[Example]:
    """Examples with `input_ids` (T,) int32 and, for pairs where the model knows segments, `token_type_ids` (T,) uint8.

    Rows longer than `most` tokens lose their end (a pair: the end of its longer part). Special tokens come from the template
    alone: `[SEP]` or `<|im_start|>` in a user's text is tokenised as the characters that it is made of.
    """
    tokenizer = tokenizer_of(processor)
    encodings = _encodings(tokenizer, _inputs(tokenizer, texts, pairs), most)
    segments = pairs is not None and "token_type_ids" in getattr(tokenizer, "model_input_names", ())
    return [_example(tokenizer, encoding, segments) for encoding in encodings]


def lengths(processor: Any, texts: Sequence[Any], pairs: Sequence[Any] | None = None) -> np.ndarray:
    """(N,) tokens of each row, uncut, special tokens included."""
    tokenizer = tokenizer_of(processor)
    counts: list[int] = []
    for start in range(0, len(texts), 2048):
        part = None if pairs is None else pairs[start : start + 2048]
        counts += [len(e) for e in _encodings(tokenizer, _inputs(tokenizer, texts[start : start + 2048], part), None)]
    return np.array(counts, np.int64)


def cut(lengths_N: np.ndarray, most: int) -> tuple[int, float]:
    """How many rows are longer than `most` tokens, and their share of all rows (0 to 1)."""
    count = int((lengths_N > most).sum())
    return count, count / max(len(lengths_N), 1)


def choose_limit(lengths_N: np.ndarray, asked: int | str, most: int) -> Choice[int]:
    """The number of tokens kept of each row: what was asked, or the 99th percentile of the training rows; `most` at most.

    Rows are batched with others of like length, so a long row costs only itself: nothing is cut where that is nearly free, and rows to
    come may be longer than those at hand (ROOM).
    """
    if asked != "auto":
        return _asked_limit(int(asked), most)
    longest, usual = (int(lengths_N.max()), int(np.percentile(lengths_N, 99))) if len(lengths_N) else (most, most)
    kept = max(longest if longest <= 1.5 * usual else -(-usual // 8) * 8, ROOM)
    if kept >= most:
        return Choice(most, f"the model takes {most:,} tokens; the longest training row has {longest:,}")
    if kept >= longest:
        return Choice(kept, f"the longest training row has {longest:,} tokens; the model takes {most:,}")
    return Choice(kept, f"99 % of the training rows have {usual:,} tokens or fewer, the longest {longest:,}; the model takes {most:,}")


def settle(train: Table, columns: Sequence[str], processor: Any, asked: int | str, most: int) -> dict[str, Any]:
    """The fitted fields of a task that reads text: `tokens_kept` with `tokens_why`, and `cut_share`, the share of the training
    rows (0 to 1; of a sample of LENGTH_SAMPLE) that lose their end. `most`: tokens that the model takes."""
    part = train.take(sample_positions(len(train)))
    return _settled(lengths(processor, *(part.column(name) for name in columns if name)), processor, asked, most)


def settled(texts: Sequence[str], processor: Any, asked: int | str, most: int) -> dict[str, Any]:
    """`settle`, of texts that a task made of several columns."""
    return _settled(lengths(processor, texts), processor, asked, most)


def _settled(lengths_N: np.ndarray, processor: Any, asked: int | str, most: int) -> dict[str, Any]:
    chosen = choose_limit(lengths_N, asked, min(most, limit(processor)))
    count, share = cut(lengths_N, chosen.value)
    why = f"{chosen.why}; {count:,} of {len(lengths_N):,} rows lose their end" if count else chosen.why
    return {"tokens_kept": chosen.value, "tokens_why": why, "cut_share": share}


def sample_positions(rows: int) -> np.ndarray:
    """Evenly spaced positions of at most LENGTH_SAMPLE rows."""
    return np.unique(np.linspace(0, rows - 1, min(rows, LENGTH_SAMPLE)).astype(np.int64)) if rows else np.zeros(0, np.int64)


def _asked_limit(asked: int, most: int) -> Choice[int]:
    if asked > most:
        return Choice(most, f"{asked:,} tokens were asked for, but the model takes {most:,}")
    return Choice(asked, "asked for")


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer itself, or the one that a processor holds."""
    return getattr(processor, "tokenizer", processor)


def _inputs(tokenizer: Any, texts: Sequence[Any], pairs: Sequence[Any] | None) -> list[Any]:
    if pairs is None:
        return [as_text(text) for text in texts]
    # Decoders join a pair without anything between: a line break keeps its parts apart.
    parted = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    end = "" if parted else "\n"
    return [(as_text(text) + end, as_text(pair)) for text, pair in zip(texts, pairs, strict=True)]


def _encodings(tokenizer: Any, inputs: list[Any], most: int | None) -> list[Any]:
    backend = backend_of(tokenizer)
    with truncating(tokenizer, backend, most):
        try:
            found = backend.encode_batch_fast(inputs)
        except TypeError:  # a lone surrogate is no Unicode text; the library refuses it
            found = backend.encode_batch_fast([mended(item) for item in inputs])
        for row in controlled(tokenizer, found, isinstance(inputs[0], tuple) if inputs else False):
            found[row] = backend.encode(*split(tokenizer, mended(inputs[row])), is_pretokenized=True)
    return list(found)


def backend_of(tokenizer: Any) -> Any:
    """The Rust tokenizer within. Raises ModelError where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            type(tokenizer).__name__, expected="a tokenizer with a `tokenizer.json` (the Rust library)", got="a Python-only one",
            fix="convert it with `AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained(folder)`", code="slow-tokenizer",
        )
    return backend


@contextmanager
def truncating(
    tokenizer: Any, backend: Any, most: int | None, stride: int = 0, strategy: str = "longest_first"
) -> Iterator[None]:
    """Truncation for the time of one call. The settings live in the tokenizer, and would be saved with it."""
    with _settings:
        before = backend.truncation, backend.padding, backend.encode_special_tokens
        backend.no_padding()
        backend.encode_special_tokens = True  # "encode", not "recognise": what a user wrote stays text
        if most is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(most, stride=stride, strategy=strategy, direction=tokenizer.truncation_side)
        try:
            yield
        finally:
            truncation, padding, backend.encode_special_tokens = before
            backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
            if padding is not None:
                backend.enable_padding(**padding)


def controlled(tokenizer: Any, encodings: Sequence[Any], paired: bool) -> list[int]:
    """Rows that hold more control tokens than the template adds: some vocabularies list `</s>` as an ordinary piece."""
    unknown = tokenizer.unk_token_id
    control = np.array([i for i in tokenizer.all_special_ids if i != unknown], np.int64)
    if not len(encodings) or not len(control):
        return []
    usual = tokenizer.num_special_tokens_to_add(pair=paired)
    sizes = np.array([len(encoding) for encoding in encodings])
    flat = np.fromiter((i for encoding in encodings for i in encoding.ids), np.int64, int(sizes.sum()))
    found = np.bincount(np.repeat(np.arange(len(sizes)), sizes), np.isin(flat, control), len(sizes))
    return [int(row) for row in np.flatnonzero(found > usual)]


def split(tokenizer: Any, item: Any) -> tuple[Any, ...]:
    """The text (or each of a pair) in words cut inside every control string, so that none can be put together again."""
    names = sorted((re.escape(name) for name in tokenizer.all_special_tokens if len(name) > 1), key=len, reverse=True)
    pattern = re.compile("|".join(names), re.IGNORECASE) if names else None
    parts = item if isinstance(item, tuple) else (item,)
    return tuple(_pieces(_compatible(part), pattern) for part in parts)


def _pieces(text: str, pattern: re.Pattern[str] | None) -> list[str]:
    middles = [0, *((m.start() + m.end()) // 2 for m in pattern.finditer(text)), len(text)] if pattern else [0, len(text)]
    return [text[start:stop] for start, stop in zip(middles, middles[1:]) if stop > start] or [""]


def _compatible(text: str) -> str:
    # Full-width forms of `<` and `>` turn into plain ones inside some tokenizers: cut them where they will be.
    import unicodedata

    return unicodedata.normalize("NFKC", text)


def mended(item: Any) -> Any:
    """The text (or each of a pair) without halves of characters, which no tokenizer takes."""
    if isinstance(item, tuple):
        return tuple(mended(part) for part in item)
    return item.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _example(tokenizer: Any, encoding: Any, segments: bool) -> Example:
    ids = encoding.ids or [anchor(tokenizer)]
    example: Example = {"input_ids": np.array(ids, np.int32)}
    if segments:
        example["token_type_ids"] = np.array(encoding.type_ids or [0], np.uint8)
    return example


def anchor(tokenizer: Any) -> int:
    """One token for a row that has none (an empty text where the template adds nothing): a model needs something to read."""
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    return int(next((i for i in known if i is not None), 0))
