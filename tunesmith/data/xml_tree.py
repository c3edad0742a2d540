"""Small XML files (annotations of images), without what makes XML dangerous: no document type, no entities, no depth, no size.

A document type is where entities are declared, which expand without end or name other files; annotation tools write none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ..errors import DataError, shorten

MOST_BYTES = 8 << 20
"""Bytes of one file; beyond it, and for more elements or levels than these, a file is no annotation."""
MOST_ELEMENTS = 100_000
MOST_DEPTH = 30


@dataclass
class Element:
    """A tag, the text in it, and what stands within."""

    tag: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def child(self, tag: str) -> Element | None:
        """The first child of that name, whatever its case."""
        return next((one for one in self.children if one.tag.lower() == tag), None)

    def every(self, tag: str) -> list[Element]:
        """All children of that name."""
        return [one for one in self.children if one.tag.lower() == tag]

    def said(self, tag: str) -> str:
        """The text of a child; empty where there is none."""
        found = self.child(tag)
        return found.text.strip() if found else ""


class _Refused(Exception):
    """What XML allows and we do not. Final."""


def read(path: Path, name: str) -> Element:
    """The root of a file. Raises DataError for what is no XML, for document types and entities, and for absurd sizes."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise _error(name, f"at most {MOST_BYTES >> 20} MiB", f"{size / 2**20:,.0f} MiB", "this is no annotation", "xml-too-large")
    return parse(path.read_bytes(), name)


def parse(data: bytes, name: str) -> Element:
    """The root of a document. Raises DataError as `read` does."""
    root, open_now, count = Element("", 0), list[Element](), 0
    parser = expat.ParserCreate()

    def start(tag: str, _: object) -> None:
        nonlocal count
        count += 1
        if len(open_now) >= MOST_DEPTH or count > MOST_ELEMENTS:
            raise _Refused(f"more than {MOST_DEPTH} levels or {MOST_ELEMENTS:,} elements")
        made = Element(tag, parser.CurrentLineNumber)
        (open_now[-1] if open_now else root).children.append(made)
        open_now.append(made)

    def text(words: str) -> None:
        if open_now:
            open_now[-1].text += words

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, lambda _: open_now.pop(), text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data, True)
    except _Refused as why:
        raise _error(f"{name}, line {parser.CurrentLineNumber}", "a plain annotation", str(why), "take it out", "unsafe-xml") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _error(name, "XML", shorten(str(error), 100), "export it again", "bad-xml") from None
    return root.children[0]


def _refuse(*_: object) -> int:
    raise _Refused("a document type or an entity, which can name other files or expand without end")


def _error(name: str, expected: str, got: str, fix: str, code: str) -> DataError:
    return DataError(name, expected=expected, got=got, fix=fix, code=code)
