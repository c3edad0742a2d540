"""Rows of texts with marked spans, in the ways that people write them: two markers in the text, two columns that name spans, or
a list of entities with the relations between them; and which columns hold these.

Axes: E spans of a text, P ordered pairs of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from ..data.labels import turned
from ..data.profile import Profile
from ..errors import shorten
from ..spec import Choice
from . import columns, marked
from .marked import Misfit
from .tokens import as_text

MARKER = re.compile(r"</?e[12]>")
WHOLE = re.compile(r"<e([12])>(.*?)</e\1>", re.DOTALL)
DIRECTED = re.compile(r"(.+)\((e1,\s*e2|e2,\s*e1)\)")
OFFSETS = re.compile(r"\s*(\d+)\s*[-:,]\s*(\d+)\s*")
RELATION_NAMES = ("relation", "relation_type", "predicate", "rel", "label", "class", "type", "target", "category")
PAIRED = (("head", "tail"), ("subject", "object"), ("subj", "obj"), ("e1", "e2"), ("entity1", "entity2"), ("entity_1", "entity_2"),
          ("head_entity", "tail_entity"), ("arg1", "arg2"))
ENTITY_NAMES, LINK_NAMES = ("entities", "spans", "ents", "mentions", "ner"), ("relations", "links", "relation", "edges", "triples")
HEADS = ("head", "from", "source", "subject", "arg1", "h", "from_id", "head_id")
TAILS = ("tail", "to", "target", "object", "arg2", "t", "to_id", "tail_id")
KINDS = ("type", "label", "relation", "name", "predicate", "r")
NEGATIVE_NAMES = ("other", "norelation", "none", "na", "nil", "negative", "false", "unrelated", "norel", "notrelated")
"""Labels that say that nothing links the two spans, without case and punctuation."""


@final
@dataclass(frozen=True)
class Span:
    """A stretch of a text: `end` is the character behind its last."""

    start: int
    end: int
    type: str = ""


@final
@dataclass(frozen=True)
class Link:
    """A relation between two of a text's spans, by their places in its list."""

    head: int
    tail: int
    type: str


@final
@dataclass(frozen=True)
class Said:
    """A text without markers, its spans, and where they are given the relations between them."""

    text: str
    spans: tuple[Span, ...]
    links: tuple[Link, ...] = ()


# -- two markers ------------------------------------------------------------------------------------------------------


def of_markers(cell: Any) -> Said:
    """A text with one `<e1>...</e1>` and one `<e2>...</e2>`. Raises Misfit for markers that lack, that are twice there, that do not
    close, or that stand over one another."""
    text = as_text(cell)
    found = list(MARKER.finditer(text))
    said = [match[0] for match in found]
    missing = [name for name in ("<e1>", "</e1>", "<e2>", "</e2>") if name not in said]
    if len(missing) == 4 or not {"<e1>", "<e2>"} & set(said):
        got = shorten(text) or "an empty text"
        raise Misfit("marker-missing", "<e1>...</e1> and <e2>...</e2> in the text", got, "mark the two spans")
    if missing or len(said) != 4:
        got = f"no {missing[0]}" if missing else f"{max(said, key=said.count)} {max(map(said.count, said))} times"
        code = "marker-missing" if missing in (["<e1>", "</e1>"], ["<e2>", "</e2>"]) else "marker-unbalanced"
        raise Misfit(code, "each of <e1>, </e1>, <e2>, </e2> once", f"{got} in {shorten(text)}", "mend the markers")
    if said not in (["<e1>", "</e1>", "<e2>", "</e2>"], ["<e2>", "</e2>", "<e1>", "</e1>"]):
        opened = all(said.index(f"<{name}>") < said.index(f"</{name}>") for name in ("e1", "e2"))
        code = "marker-overlap" if opened else "marker-unbalanced"
        got = f"{' '.join(said)} in {shorten(text)}"
        raise Misfit(code, "two spans beside each other, each opened before it is closed", got, "mend the markers")
    return _unmarked(text, found)


def _unmarked(text: str, found: Sequence[re.Match[str]]) -> Said:
    places, plain, at = dict[str, int](), "", 0
    for match in found:
        plain += text[at : match.start()]
        places[match[0]], at = len(plain), match.end()
    spans = tuple(Span(places[f"<{name}>"], places[f"</{name}>"]) for name in ("e1", "e2"))
    said = Said(plain + text[at:], spans)
    for name, span in zip(("e1", "e2"), spans):
        if not said.text[span.start : span.end].strip():
            raise Misfit("span-empty", "some words in each marked span", f"nothing between <{name}> and </{name}>", "mark the words")
    return said


# -- two columns ------------------------------------------------------------------------------------------------------


def of_columns(text: Any, head: Any, tail: Any, names: tuple[str, str]) -> Said:
    """A text whose spans are given by offsets or by their words. Raises Misfit."""
    plain = as_text(text)
    return Said(plain, (_span(plain, head, names[0]), _span(plain, tail, names[1])))


def _span(text: str, cell: Any, name: str) -> Span:
    value = _value(cell)
    if isinstance(value, str) and (value.strip() in text or not OFFSETS.fullmatch(value)):
        return _words(text, value.strip(), name)
    if isinstance(value, str):
        value = [int(part) for part in OFFSETS.fullmatch(value).groups()]  # type: ignore[union-attr]
    try:
        (mention,) = marked.mentions([[*value[:2], (value[2:3] or [""])[0]] if isinstance(value, list) else {"label": "", **value}])
    except (Misfit, TypeError, ValueError):
        fix = "write [start, end] in characters from 0, the end behind the last, or the words themselves"
        raise Misfit("bad-span", f"a span in column {name!r}", shorten(repr(cell)), fix) from None
    return sound(mention, text, f"column {name!r}")


def _value(cell: Any) -> Any:
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell


def _words(text: str, words: str, name: str) -> Span:
    times = text.count(words) if words else 0
    if times != 1:
        got = "an empty cell" if not words else f"{shorten(words)!r}, which stands {times} times in {shorten(text)!r}" if times else (
            f"{shorten(words)!r}, which is not in {shorten(text)!r}")
        code = "span-ambiguous" if times else "span-range"
        raise Misfit(code, f"words in column {name!r} that stand once in the text", got, "give [start, end] in characters")
    return Span(text.index(words), text.index(words) + len(words))


def sound(mention: marked.Mention, text: str, where: str) -> Span:
    """The span of a text that a mention is. Raises Misfit where it is out of the text, empty, or of other words than it says."""
    start, end = mention.start, mention.end
    if not 0 <= start < end <= len(text):
        got = f"{start} to {end} of {len(text):,} characters"
        raise Misfit("span-range", f"a span within the text in {where}", got, "mend the offsets")
    if not text[start:end].strip():
        raise Misfit("span-empty", f"a span with some words in {where}", f"space ({start} to {end})", "mend the offsets")
    if mention.text is not None and mention.text.strip() != text[start:end].strip():
        got = f"{shorten(mention.text)!r} where the text has {shorten(text[start:end])!r} ({start} to {end})"
        fix = "mend the offsets: `end` is the character behind the last"
        raise Misfit("span-text", "offsets that point at the span's own text", got, fix)
    return Span(start, end, mention.type)


# -- many spans -------------------------------------------------------------------------------------------------------


def of_lists(text: Any, entities: Any, relations: Any = None) -> Said:
    """A text with all its entities and the relations between them. Raises Misfit."""
    plain, cells = as_text(text), _list(entities, "entities")
    spans = tuple(sound(mention, plain, "the entities") for mention in marked.mentions(cells))
    ids = {str(item["id"]): at for at, item in enumerate(cells) if isinstance(item, dict) and item.get("id") is not None}
    return Said(plain, spans, tuple(_link(item, ids, len(spans)) for item in _list(relations, "relations")))


def _list(cell: Any, what: str) -> list[Any]:
    value = [] if cell is None else _value(cell)
    if not isinstance(value, list):
        raise Misfit(f"bad-{what}", f"a list of {what}", shorten(repr(cell)), "write a JSON list")
    return value


def _link(item: Any, ids: Mapping[str, int], spans: int) -> Link:
    if isinstance(item, dict):
        head, tail, kind = (next((item[key] for key in keys if item.get(key) is not None), None) for keys in (HEADS, TAILS, KINDS))
    else:
        head, tail, kind = item if isinstance(item, list) and len(item) == 3 else (None, None, None)
    if kind is None or isinstance(kind, bool | list | dict):
        fix = 'write {"head": 0, "tail": 1, "type": "works_for"}: places in `entities` from 0, or their ids'
        raise Misfit("bad-relation", "relations with head, tail and type", shorten(repr(item)), fix)
    one, other = _place(head, ids, spans), _place(tail, ids, spans)
    if one == other:
        raise Misfit("bad-relation", "relations between two entities", shorten(repr(item)), "take it out")
    return Link(one, other, str(kind))


def _place(value: Any, ids: Mapping[str, int], spans: int) -> int:
    if not isinstance(value, bool | float | list | dict) and str(value) in ids:
        return ids[str(value)]
    if isinstance(value, int) and not isinstance(value, bool) and not ids and 0 <= value < spans:
        return value
    known = f"the id of an entity ({', '.join(list(ids)[:5])}...)" if ids else f"a place in `entities` from 0 to {spans - 1}"
    raise Misfit("relation-range", f"relations whose ends are {known}", shorten(repr(value)), "mend the relation")


# -- labels -----------------------------------------------------------------------------------------------------------


def directed(label: str) -> tuple[str, str]:
    """A relation's name, and `e1,e2` or `e2,e1` where the label says which way it goes."""
    found = DIRECTED.fullmatch(label)
    return (found[1], found[2].replace(" ", "")) if found else (label, "")


def closed(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels, each directed one in both directions: one that training never saw may still be right."""
    return tuple(sorted({*labels, *map(turned, labels)}))


def negative_of(labels: Sequence[str]) -> str:
    """The label that means no relation, told by its name; empty where there is none."""
    return next((label for label in labels if re.sub(r"[\W_]+", "", label).lower() in NEGATIVE_NAMES), "")


# -- columns ----------------------------------------------------------------------------------------------------------


def guess(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    """Which columns hold texts, spans and relations; how sure that is; and why."""
    return _lists(profile, named) or _columns(profile, named) or _markers(profile, named)


def _markers(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    free = [c for c in profile.columns.values() if not named.get("text") or c.name == named["text"]]
    text = next((c for c in free if 2 * sum(len(WHOLE.findall(str(cell))) == 2 for cell in c.examples) > len(c.examples)), None)
    if text is None:
        return None
    why = f"texts of column {text.name!r} have <e1> and <e2> in them"
    return _with_relation(profile, named, {"text": Choice(text.name, why)}, why)


def _columns(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    bare = {name.lower(): name for name in profile.columns}
    pair = (named["head"], named["tail"]) if named.get("head") and named.get("tail") else next(
        ((bare[one], bare[other]) for one, other in PAIRED if one in bare and other in bare), None)
    if pair is None:
        return None
    rest = Profile(profile.rows, {name: column for name, column in profile.columns.items() if name not in pair})
    text = columns.text_columns(rest, {"text_pair": "", **({"text": named["text"]} if named.get("text") else {})})
    if text is None or not any(columns.same_name(name, known) for name in rest.columns for known in RELATION_NAMES):
        return None
    why = f"columns {pair[0]!r} and {pair[1]!r} name two spans of {text['text'].value!r}"
    return _with_relation(profile, named, {"text": text["text"], "head": Choice(pair[0], why), "tail": Choice(pair[1], why)}, why)


def _with_relation(
    profile: Profile, named: Mapping[str, Any], found: dict[str, Choice[Any]], why: str
) -> tuple[dict[str, Choice[Any]], float, str] | None:
    taken = [choice.value for choice in found.values()]
    if named.get("relation"):
        return found | {"relation": Choice(named["relation"], "named by you")}, 0.97, why
    target = columns.target_column(profile, taken, ("classes",), RELATION_NAMES)
    return None if target is None else (found | {"relation": Choice(target[0].name, f"column {target[0].name!r} holds labels")}, 0.97, why)


def _lists(profile: Profile, named: Mapping[str, Any]) -> tuple[dict[str, Choice[Any]], float, str] | None:
    names = {role: named.get(role) or _called(profile, known) for role, known in (("entities", ENTITY_NAMES), ("relations", LINK_NAMES))}
    cells = [profile.columns[name].examples if name in profile.columns else () for name in names.values()]
    if not all(cells) or not all(map(_holds_lists, cells)):
        return None
    rest = Profile(profile.rows, {name: column for name, column in profile.columns.items() if name not in names.values()})
    text = columns.text_columns(rest, {"text": named["text"]} if named.get("text") else {"text_pair": ""})
    if text is None:
        return None
    why = f"column {names['relations']!r} holds relations between the entities of {names['entities']!r}"
    return {"text": text["text"]} | {role: Choice(name, why) for role, name in names.items()}, 0.98, why


def _called(profile: Profile, known: Sequence[str]) -> str:
    return next((name for one in known for name in profile.columns if columns.same_name(name, one)), "")


def _holds_lists(cells: Sequence[Any]) -> bool:
    """Whether the cells are lists of objects or of lists, some of them not empty."""
    values = [_value(cell) for cell in cells]
    items = [item for value in values if isinstance(value, list) for item in value]
    return all(isinstance(value, list) for value in values) and bool(items) and all(isinstance(item, dict | list) for item in items)
