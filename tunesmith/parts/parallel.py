"""Tables of two texts a row, of which one is made of the other: which columns they are, and what is wrong with the rows.

Axes: N rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.finding import Finding, count, places
from ..data.profile import ColumnProfile, Profile
from ..spec import Choice
from ..task import Claim
from . import columns, languages, options, overlap
from .rewriting import cell_of, targets_of, text_of

if TYPE_CHECKING:
    from ..data.table import Table

TRANSLATIONS = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("source_text", "target_text"), ("source", "translation"),
    ("original", "translation"), ("text", "translation"), ("sentence", "translation"), ("source", "reference"),
)  # fmt: skip
SUMMARIES = (
    ("document", "summary"), ("article", "highlights"), ("article", "summary"), ("dialogue", "summary"), ("text", "summary"),
    ("content", "summary"), ("body", "summary"), ("report", "summary"), ("story", "highlights"), ("source", "summary"),
    ("document", "abstract"), ("article", "abstract"), ("abstract", "tldr"), ("text", "tldr"), ("source", "tldr"), ("source", "target"),
)  # fmt: skip
"""Names of columns that say that one is made of the other."""
LONGER = 3.0
"""Times that a `source` is longer than its `target` from which the one sums the other up."""
EMPTY = 0.05
"""Share of empty sources above which the file is refused."""
FAR = 4.0
"""Times that a row's ratio of lengths is off the usual one from which it is told."""
SHORT = 12
"""Characters up to which ratios of lengths say little."""
SCRIPTS = {
    "Latin": re.compile(r"[A-Za-z\u00c0-\u024f]"), "Cyrillic": re.compile(r"[\u0400-\u04ff]"), "Greek": re.compile(r"[\u0370-\u03ff]"),
    "Arabic": re.compile(r"[\u0600-\u06ff]"), "Hebrew": re.compile(r"[\u0590-\u05ff]"), "Devanagari": re.compile(r"[\u0900-\u097f]"),
    "Thai": re.compile(r"[\u0e00-\u0e7f]"), "Chinese or Japanese": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "Korean": re.compile(r"[\uac00-\ud7af]"),
}  # fmt: skip


# -- columns -----------------------------------------------------------------------------------------------------------


def claim(profile: Profile, named: Mapping[str, Any], *, sums_up: bool) -> Claim | None:
    """Columns named like a text and its translation or (`sums_up`) its summary, or like two languages."""
    if columns.missing(profile, named, ("source", "target")):
        return None
    if named.get("source") and named.get("target"):
        return Claim({}, 0.97, "you named a source and its target")
    if named.get("source") or named.get("target") or _labelled(profile):
        return None
    for pair in SUMMARIES if sums_up else TRANSLATIONS:
        source, target = (_called(profile, name) for name in pair)
        if source and target and _fits(source, target, sums_up, pair == ("source", "target")):
            what = "a text and its summary" if sums_up else "a text and its translation"
            return _claim(source, target, f"columns {source.name!r} and {target.name!r} are named like {what}", 0.9)
    spoken = [column for column in profile.columns.values() if languages.of_header(column.name) and _is_text(column)]
    codes = [languages.of_header(column.name) for column in spoken[:2]]
    if sums_up or len(spoken) < 2 or codes[0] == codes[1]:
        return None
    words = " and ".join(languages.word(code) for code in codes)
    return _claim(spoken[0], spoken[1], f"columns {spoken[0].name!r} and {spoken[1].name!r} are named like languages ({words})", 0.85)


def _claim(source: ColumnProfile, target: ColumnProfile, why: str, sure: float) -> Claim:
    return Claim({"source": Choice(source.name, why), "target": Choice(target.name, why)}, sure, why)


def _labelled(profile: Profile) -> bool:
    """Whether a column is named and filled like classes: then the texts are there to be classified."""
    found = columns.target_column(profile, (), ("classes",), columns.CLASS_NAMES)
    return found is not None and found[1]


def _called(profile: Profile, name: str) -> ColumnProfile | None:
    return next((column for column in profile.columns.values() if columns.same_name(column.name, name)), None)


def _is_text(column: ColumnProfile) -> bool:
    if column.kind == "list":
        items = _items(column)
        return bool(items) and sum(len(overlap.words_of(item)) for item in items) >= 2 * len(items)
    return column.kind == "text" or (column.kind == "category" and column.mean_words >= 2)


def _items(column: ColumnProfile) -> list[str]:
    """What the lists among a column's examples hold; nothing where that is no text."""
    cells = [cell_of(cell) for cell in column.examples]
    items = [item for cell in cells for item in (cell if isinstance(cell, list | tuple) else [cell])]
    return items if all(isinstance(item, str) for item in items) else []


def _size(column: ColumnProfile) -> float:
    """Characters of a text; of lists those of an item."""
    items = _items(column) if column.kind == "list" else []
    return sum(map(len, items)) / len(items) if items else column.mean_chars


def _fits(source: ColumnProfile, target: ColumnProfile, sums_up: bool, unsure: bool) -> bool:
    """Whether the cells are texts; of names that say neither, the lengths decide."""
    if not (_is_text(source) and _is_text(target)):
        return False
    if not unsure:
        return sums_up or source.kind != "list"
    shorter = source.kind == "list" or _size(source) > LONGER * max(_size(target), 1)
    return shorter == sums_up


# -- rows --------------------------------------------------------------------------------------------------------------


def findings(table: Table, source: str, target: str, *, sums_up: bool) -> list[Finding]:
    """What is wrong or odd about the rows: empty cells, copies, columns that look swapped, lengths that do not fit."""
    found = options.twice([source, target])
    if found or not len(table):
        return found
    sources = [text_of(cell) for cell in table.column(source)]
    targets = [targets_of(cell) for cell in table.column(target)]
    found += _empty(table, sources, targets)
    found += _copies(table, sources, targets)
    sizes = np.array([[len(text), len(refs[0]) if refs else 0] for text, refs in zip(sources, targets)], float)
    found += _longer(table, sizes) if sums_up else [*_turned(table, sources, targets), *_off(table, sizes)]
    return found


def _empty(table: Table, sources: Sequence[str], targets: Sequence[Sequence[str]]) -> list[Finding]:
    found = []
    no_target = [at for at, refs in enumerate(targets) if not refs]
    if no_target:
        message = f"expected a target in every row, got an empty cell in {count(len(no_target))}"
        found.append(Finding("error", "empty-target", message, places(table, no_target), "fill them, or take the rows out"))
    no_source = [at for at, text in enumerate(sources) if not text.strip()]
    if no_source:
        much = len(no_source) > EMPTY * len(table)
        message = f"expected a source in every row, got an empty cell in {count(len(no_source))}"
        where = places(table, no_source)
        found.append(Finding("error" if much else "warning", "empty-source", message, where, "fill them, or take the rows out"))
    return found


def _copies(table: Table, sources: Sequence[str], targets: Sequence[Sequence[str]]) -> list[Finding]:
    same = [at for at, (text, refs) in enumerate(zip(sources, targets)) if text.strip() and text.strip() in {ref.strip() for ref in refs}]
    if not same:
        return []
    message = f"{count(len(same))} of {len(table):,} have the source as target: the model learns to copy"
    return [Finding("warning", "target-is-source", message, places(table, same), "take them out, unless they are meant so")]


def _turned(table: Table, sources: Sequence[str], targets: Sequence[Sequence[str]]) -> list[Finding]:
    """Rows whose two scripts stand the other way round than in most rows."""
    pairs = [(_script(text), _script(refs[0]) if refs else "") for text, refs in zip(sources, targets)]
    known = [pair for pair in pairs if all(pair)]
    usual = max(set(known), key=known.count, default=("", ""))
    if usual[0] == usual[1]:
        return []
    turned = [at for at, pair in enumerate(pairs) if pair == usual[::-1]]
    if not turned:
        return []
    message = f"{count(len(turned))} of {len(table):,} have {usual[1]} letters in the source and {usual[0]} ones in the target, unlike most"
    return [Finding("warning", "swapped-columns", message, places(table, turned), "swap their two cells")]


def _off(table: Table, sizes_N2: np.ndarray) -> list[Finding]:
    """Rows whose ratio of lengths is far from the usual: cut, or not each other's translation."""
    told_N = (sizes_N2.min(1) > 0) & (sizes_N2.max(1) > SHORT)
    if told_N.sum() < 20:
        return []
    ratio_N = np.log(np.maximum(sizes_N2[:, 1], 1) / np.maximum(sizes_N2[:, 0], 1))
    far = np.flatnonzero(told_N & (np.abs(ratio_N - np.median(ratio_N[told_N])) > np.log(FAR)))
    if not len(far):
        return []
    usual = float(np.exp(np.median(ratio_N[told_N])))
    message = f"{count(len(far))} of {len(table):,} have lengths that do not fit (usually {usual:.2g} characters of the target to one)"
    return [Finding("warning", "length-ratio", message, places(table, far), "see whether they are each other's translation")]


def _longer(table: Table, sizes_N2: np.ndarray) -> list[Finding]:
    """Summaries that are longer than what they sum up."""
    known_N = sizes_N2.min(1) > 0
    long = np.flatnonzero(known_N & (sizes_N2[:, 1] > sizes_N2[:, 0]))
    if not len(long):
        return []
    if len(long) > 0.5 * known_N.sum():
        message = f"most rows ({len(long):,} of {len(table):,}) have a summary longer than its document"
        return [Finding("warning", "swapped-columns", message, places(table, long), "are the two columns swapped?")]
    message = f"{count(len(long))} of {len(table):,} have a summary longer than its document"
    return [Finding("warning", "length-ratio", message, places(table, long), "see whether they belong together")]


def _script(text: str) -> str:
    """The script of most letters; nothing where there are none."""
    found = {name: len(pattern.findall(text)) for name, pattern in SCRIPTS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else ""
