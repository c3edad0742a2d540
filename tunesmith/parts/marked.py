"""Cells of tagged data: tokens with tags, or texts with spans, in the ways that people write them; and which columns hold them.

Axes: W words of a row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from ..data.finding import Finding, count, places
from ..data.profile import ColumnProfile, Profile
from ..data.table import Table
from ..data.tagged import TAG
from ..errors import listing, shorten
from ..spec import Choice
from . import columns, tags
from .words import Words

TOKEN_NAMES = ("tokens", "words", "token", "word", "characters", "sentence")
TAG_NAMES = ("tags", "ner_tags", "ner", "labels", "tag", "slots", "slot", "bio", "iob", "pos_tags", "pos", "upos", "chunk_tags", "label")
SPAN_NAMES = ("spans", "entities", "span", "annotations", "ents", "label", "labels", "mentions", "ner")
STARTS, ENDS = ("start", "start_offset", "start_char", "begin", "from"), ("end", "end_offset", "end_char", "stop", "to")
KINDS = ("label", "type", "entity", "tag", "entity_group", "labels", "entity_type", "class")


@final
class Misfit(Exception):
    """A row that cannot be used as it stands: a code, what was expected and got, and the mend."""

    def __init__(self, code: str, expected: str, got: str, fix: str) -> None:
        super().__init__(got)
        self.code, self.expected, self.got, self.fix = code, expected, got, fix


@final
@dataclass(frozen=True)
class Mention:
    """A stretch of a text as a cell gives it: `end` is the character (or token) behind its last."""

    start: int
    end: int
    type: str
    text: str | None = None


# -- cells ------------------------------------------------------------------------------------------------------------


def items(cell: Any) -> list[Any] | None:
    """The items of a list, of a list in JSON, or of a text between spaces; None where the cell is none of these."""
    if isinstance(cell, list) or cell is None:
        return cell
    if not isinstance(cell, str):
        return None
    if cell.lstrip().startswith("["):
        try:
            found = json.loads(cell)
        except (ValueError, RecursionError):
            return cell.split()
        return found if isinstance(found, list) else None
    return cell.split()


def listed(cell: Any) -> bool:
    """Whether a cell holds tokens one by one (a list, or JSON of one), and not a text."""
    return not isinstance(cell, str) or (cell.lstrip().startswith("[") and items(cell) != cell.split())


def tokens(cell: Any) -> list[str]:
    """The tokens of a cell. Raises Misfit."""
    found = items(cell)
    if found is None or not all(isinstance(token, str | int | float) for token in found):
        raise Misfit("bad-tokens", "a list of tokens", shorten(repr(cell)), "write a list of texts")
    return [str(token) for token in found]


def row_tags(cell: Any, names: Sequence[str]) -> list[str]:
    """The tags of a cell; numbers become `names`. Raises Misfit."""
    found = items(cell)
    if found is None:
        got = "an empty cell" if cell is None else shorten(repr(cell))
        raise Misfit("empty-tags", "tags in every row", got, "fill them or take the rows out")
    return [_named(tag, names) for tag in found]


def _named(tag: Any, names: Sequence[str]) -> str:
    text = str(tag)
    if not names or text in names:
        return text
    if text.isdecimal() and int(text) < len(names):
        return names[int(text)]
    raise Misfit("unknown-tag", f"tag numbers from 0 to {len(names) - 1}", repr(tag), "mend the cell or `tag_names`")


def mentions(cell: Any) -> list[Mention]:
    """The spans of a cell: {"start", "end", "label"}, [start, end, label], or JSON of such. Raises Misfit."""
    found = [] if cell is None else cell
    if isinstance(cell, str):
        try:
            found = json.loads(cell)
        except (ValueError, RecursionError):
            raise _unreadable(cell) from None
    if not isinstance(found, list):
        raise _unreadable(cell)
    return [_mention(item) for item in found]


def _mention(item: Any) -> Mention:
    if isinstance(item, dict):
        values = [next((item[key] for key in keys if item.get(key) is not None), None) for keys in (STARTS, ENDS, KINDS)]
        text = item.get("text")
    elif isinstance(item, list) and len(item) >= 3:
        values, text = item[:3], None
    else:
        raise _unreadable(item)
    start, end, kind = values
    if not _is_whole(start) or not _is_whole(end) or isinstance(kind, bool | list | dict | None):
        raise _unreadable(item)
    return Mention(int(start), int(end), str(kind), text if isinstance(text, str) else None)


def _is_whole(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal())


def _unreadable(value: Any) -> Misfit:
    fix = 'write [{"start": 0, "end": 5, "label": "place"}], characters counted from 0, the end behind the last'
    return Misfit("bad-span", "spans with start, end and label", shorten(repr(value)), fix)


# -- rows -------------------------------------------------------------------------------------------------------------


def of_tags(words: int, found: Sequence[str], scheme: str, refuse: bool) -> list[tags.Span]:
    """The spans of a row of tags. Raises Misfit where there are more or fewer tags than words, or (`refuse`) where they break their
    scheme."""
    if len(found) != words:
        got = f"{len(found):,} tag{'s' * (len(found) != 1)} for {words:,} token{'s' * (words != 1)}"
        raise Misfit("tags-length", "a tag for each token", got, "mend the rows: a token with a space in it may have been cut")
    if odd := tags.foreign(found, scheme):
        got, fix = f"{found[odd[0]]!r} (token {odd[0] + 1})", "mend them, or say --option scheme=IO, or plain, if they are none"
        raise Misfit("unknown-tag", f"tags of the {scheme} scheme, or O", got, fix)
    if refuse and (broken := tags.breaks(found, scheme)):
        at = broken[0]
        before = found[at - 1] if at else "the beginning"
        fix = "mend them, or fit with --set options.broken=mend, which reads such a tag as the beginning of a span"
        got = f"{found[at]!r} after {before!r} (token {at + 1})"
        raise Misfit("broken-tags", f"tags that keep the {scheme} scheme", got, fix)
    return tags.spans(found, scheme)


def of_mentions(words: Words, found: Sequence[Mention]) -> tuple[list[tags.Span], bool]:
    """The words that spans of characters cover, in order, and whether all begin and end where words do. Raises Misfit for spans
    out of the text, of nothing, of another text than they say, or over one another."""
    spans, whole = [], True
    for mention in sorted(found, key=lambda one: (one.start, one.end)):
        _check(mention, words.text)
        span = _covered(words, mention)
        whole &= words.text[mention.start : mention.end].strip() == words.text[words.span_W2[span[0]][0] : words.span_W2[span[1] - 1][1]]
        spans.append(span)
    return _apart(list(dict.fromkeys(spans)), lambda span: " ".join(words.strings()[span[0] : span[1]])), whole


def of_token_spans(words: Words, found: Sequence[Mention]) -> list[tags.Span]:
    """The same where start and end count tokens. Raises Misfit."""
    for mention in found:
        _check_label(mention)
        if not 0 <= mention.start < mention.end <= len(words):
            raise Misfit("span-range", "spans within the row's tokens", f"{mention.start} to {mention.end} of {len(words):,}", "mend them")
    spans = sorted({(mention.start, mention.end, mention.type) for mention in found})
    return _apart(spans, lambda span: " ".join(words.strings()[span[0] : span[1]]))


def _check_label(mention: Mention) -> None:
    if not mention.type.strip():
        got = f"an empty one ({mention.start} to {mention.end})"
        raise Misfit("empty-label", "a label for each span", got, "fill it, or take the span out")


def _check(mention: Mention, text: str) -> None:
    _check_label(mention)
    start, end = mention.start, mention.end
    if not 0 <= start < end <= len(text):
        got = f"{start} to {end} of {len(text):,} characters"
        raise Misfit("span-range", "spans within their text, the end behind the start", got, "mend the offsets")
    if not text[start:end].strip():
        raise Misfit("span-empty", "spans with some words", f"space ({start} to {end})", "mend the offsets")
    if mention.text is not None and mention.text.strip() != text[start:end].strip():
        got = f"{shorten(mention.text)!r} where the text has {shorten(text[start:end])!r} ({start} to {end})"
        fix = "mend the offsets: `end` is the character behind the last"
        raise Misfit("span-text", "offsets that point at the span's own text", got, fix)


def _covered(words: Words, mention: Mention) -> tags.Span:
    starts_W, ends_W = words.span_W2[:, 0], words.span_W2[:, 1]
    first, last = int(ends_W.searchsorted(mention.start, side="right")), int(starts_W.searchsorted(mention.end))
    return first, last, mention.type


def _apart(spans: list[tags.Span], said: Callable[[tags.Span], str]) -> list[tags.Span]:
    for one, other in zip(spans, spans[1:]):
        if other[0] < one[1]:
            got = f"{shorten(said(one), 40)!r} ({one[2]}) and {shorten(said(other), 40)!r} ({other[2]})"
            raise Misfit("span-overlap", "spans that do not overlap", got, "keep one of them: a word has one label")
    return spans


# -- findings ---------------------------------------------------------------------------------------------------------


def numbered(table: Table, name: str) -> list[Finding]:
    """An error where all tags are numbers: nothing tells which of them begin something and which are outside."""
    seen = {str(tag) for cell in table.column(name) for tag in items(cell) or []}
    if not seen or not all(tag.isdecimal() for tag in seen):
        return []
    fix = "write names, or say --option tag_names=[O,B-PER,I-PER] in their order; or --option scheme=plain, if each is a class of its own"
    message = f"expected names of tags in column {name!r}, got numbers ({listing(sorted(seen, key=int), 8)})"
    return [Finding("error", "numbered-tags", message, (table.place(0),), fix)]


def refusals(table: Table, wrong: Mapping[str, tuple[Misfit, list[int]]]) -> list[Finding]:
    """The rows that cannot be used, by what is wrong with them."""
    found = []
    for code, (first, rows) in wrong.items():
        message = f"expected {first.expected}, got {first.got}" + (f" in the first of {count(len(rows))}" if len(rows) > 1 else "")
        found.append(Finding("error", code, message, places(table, rows), first.fix))
    return found


def unlearned(table: Table, kinds: Iterable[Iterable[str]], known: Sequence[str], what: str) -> list[Finding]:
    """A warning for rows with kinds of spans (or relations) that are not among those `known`."""
    new = {row: found for row, own in enumerate(kinds) if (found := [kind for kind in own if kind not in known])}
    if not new:
        return []
    counts = Counter(kind for found in new.values() for kind in found)
    shown = listing([f"{shorten(kind)!r} ({times:,})" for kind, times in counts.most_common()], 5)
    message = f"{count(len(new))} with {what} that no training row has, which count as missed: {shown}"
    return [Finding("warning", "unknown-label", message, places(table, list(new)), "train on rows that have them")]


def oddities(table: Table, inside: list[int], hollow: list[int], seen: Mapping[str, list[int]], sound: bool) -> list[Finding]:
    """Spans that end `inside` a word, tokens without a character (`hollow`), types with one span (of those `seen`), and, where the rows
    are sound, no span at all."""
    found = []
    if sound and len(table) and not seen:
        fix = "check the tags or spans: there is nothing to learn"
        found.append(Finding("error", "no-entities", f"expected some tagged words, got none in {count(len(table))}", (), fix))
    if inside:
        message = f"spans of {count(len(inside))} begin or end inside a word; they are read as whole words"
        found.append(Finding("warning", "span-inside-word", message, places(table, inside), "mend the offsets, if they are wrong"))
    if hollow:
        message = f"empty tokens in {count(len(hollow))}: no model can read them, and they are answered as outside"
        found.append(Finding("warning", "empty-token", message, places(table, hollow), "take them out, with their tags"))
    single = sorted(kind for kind, rows in seen.items() if len(rows) == 1)
    if single:
        message = f"{count(len(single), 'type')} with one span to learn from ({listing(single)})"
        rows = [seen[kind][0] for kind in single]
        found.append(Finding("warning", "single-row-class", message, places(table, rows), "add rows, or merge the type with another"))
    return found


# -- columns ----------------------------------------------------------------------------------------------------------


def guess(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    """Which columns hold tokens and tags, or a text and its spans; how sure that is; and why."""
    if named.get("spans") or (not named.get("tags") and not named.get("tokens")):
        found = _spans(profile, named)
        if found:
            return found
    return _tags(profile, named)


def _tags(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    free = [column for column in profile.columns.values() if column.name not in (named.get("tokens"), named.get("text"))]
    tagged = _chosen(profile, named, "tags", [c for c in free if _is_tags(c)], TAG_NAMES) or _called(free, TAG_NAMES, _is_strings)
    if tagged is None:
        return None
    rest = [column for column in profile.columns.values() if column.name != tagged.name]
    spaced = [c for c in rest if _is_tags(tagged) and c.kind in ("text", "category") and c.mean_words >= 2]
    token = (
        _chosen(profile, named, "tokens", [], ()) or _called(rest, TOKEN_NAMES, _is_strings)
        or next((c for c in rest if _is_tags(tagged) and c.kind == "list" and _is_strings(c)), None) or next(iter(spaced), None)
    )
    if token is None:
        return None
    why = f"column {tagged.name!r} holds a tag for each token of {token.name!r}"
    sure = 0.96 if _is_tags(tagged) else 0.85
    return {"tokens": _choice(named, "tokens", token, why), "tags": _choice(named, "tags", tagged, why)}, sure, why


def _spans(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    marked = _chosen(profile, named, "spans", [c for c in profile.columns.values() if _is_spans(c)], SPAN_NAMES)
    if marked is None:
        return None
    if named.get("tokens") in profile.columns:
        role, found = "tokens", named["tokens"]
    else:
        rest = Profile(profile.rows, {name: column for name, column in profile.columns.items() if name != marked.name})
        inputs = columns.text_columns(rest, {"text": named["text"]} if named.get("text") else {"text_pair": ""})
        if inputs is None:
            return None
        role, found = "text", inputs["text"].value
    why = f"column {marked.name!r} holds spans of {found!r}"
    return {role: Choice(found, "named by you" if named.get(role) else why), "spans": _choice(named, "spans", marked, why)}, 0.95, why


def _chosen(
    profile: Profile, named: Mapping[str, Any], role: str, fits: list[ColumnProfile], names: Sequence[str]
) -> ColumnProfile | None:
    """The column that the user named; else of those that fit the one with the likeliest name."""
    if named.get(role):
        return profile.columns.get(named[role])
    return min(fits, key=lambda column: _rank(column.name, names), default=None)


def _called(found: Sequence[ColumnProfile], names: Sequence[str], test: Callable[[ColumnProfile], bool]) -> ColumnProfile | None:
    called = [column for column in found if _rank(column.name, names) < len(names) and column.kind == "list" and test(column)]
    return min(called, key=lambda column: _rank(column.name, names), default=None)


def _rank(name: str, names: Sequence[str]) -> int:
    return next((at for at, known in enumerate(names) if columns.same_name(name, known)), len(names))


def _choice(named: Mapping[str, Any], role: str, column: ColumnProfile, why: str) -> Choice[Any]:
    return Choice(column.name, "named by you" if named.get(role) else why)


def _is_tags(column: ColumnProfile) -> bool:
    """Whether all of a column's first cells hold nothing but tags of a scheme, some of them more than `O`."""
    cells = [items(cell) or [] for cell in column.examples]
    flat = [tag for cell in cells for tag in cell]
    return bool(flat) and all(isinstance(tag, str) and TAG.fullmatch(tag) for tag in flat) and len(flat) > len(cells)


def _is_strings(column: ColumnProfile) -> bool:
    cells = [items(cell) or [] for cell in column.examples]
    return any(cells) and all(isinstance(item, str | int) for cell in cells for item in cell)


def _is_spans(column: ColumnProfile) -> bool:
    """Whether a column's first cells hold spans, at least one of them."""
    if column.kind not in ("list", "text", "category", "constant"):
        return False
    try:
        return any([mentions(cell) for cell in column.examples if cell is not None])
    except Misfit:
        return False
