"""Pages with marks for machines as the text that people read, with the headings that stand above its parts: HTML and Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import final

Heading = tuple[int, str]
"""First character below it, and its words."""
UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "head", "iframe", "object", "select", "math"})
"""What nobody reads: left out with all that it holds."""
VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "col", "wbr", "area", "base", "embed", "source", "track"})
BLOCKS = frozenset(
    "address article aside blockquote caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header li main "
    "nav ol p pre section summary table tbody td tfoot th thead title tr ul body html".split()
)
LINE = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)


def html(source: str) -> tuple[str, list[Heading]]:
    """The readable text of a page, a blank line between blocks, and its headings. Never fails: browsers read broken pages too."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    return reader.text(), reader.headings


def markdown(source: str) -> tuple[str, list[Heading]]:
    """The text as it is, and its headings (`# ...`); those in fenced code are none."""
    fenced = [match.span() for match in FENCE.finditer(source)]
    found = [(match.start(), match[2]) for match in LINE.finditer(source)]
    return source, [(at, words) for at, words in found if not any(start <= at < end for start, end in fenced)]


@final
class _Reader(HTMLParser):
    """Gathers text as the standard library's parser, which runs nothing and fetches nothing, comes across it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._size = 0
        self._hidden: list[str] = []
        self._heading: int | None = None
        self._plain = 0
        self.headings: list[Heading] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Blocks begin anew; what nobody reads is left out until its end."""
        if tag in UNSEEN:
            self._hidden.append(tag)
        elif tag == "body":
            self._hidden.clear()  # a head that was never closed
        if self._hidden:
            return
        self._plain += tag == "pre"
        if tag in BLOCKS:
            self._break("\n\n" if tag not in ("td", "th", "li", "tr") else "\n")
        elif tag in ("br", "hr"):
            self._break("\n")
        if re.fullmatch("h[1-6]", tag):
            self._heading = self._size

    def handle_endtag(self, tag: str) -> None:
        """A block ends; a heading is kept with its place."""
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
            return
        if self._hidden:
            return
        self._plain -= tag == "pre" and self._plain > 0
        if self._heading is not None and re.fullmatch("h[1-6]", tag):
            words = " ".join("".join(self._parts)[self._heading :].split())
            self.headings += [(self._heading, words)] if words else []
            self._heading = None
        if tag in BLOCKS:
            self._break("\n\n" if tag not in ("td", "th", "li", "tr") else "\n")

    def handle_data(self, data: str) -> None:
        """Text; white space counts once, but in preformatted parts."""
        if self._hidden:
            return
        text = data if self._plain else re.sub(r"[ \t\r\n\f]+", " ", data)
        if not self._plain and (not self._parts or self._parts[-1][-1:] in ("\n", " ")):
            text = text.lstrip(" ")
        self._add(text)

    def text(self) -> str:
        """All of it."""
        return "".join(self._parts)

    def _break(self, ends: str) -> None:
        last = self._parts[-1] if self._parts else ""
        if not last:
            return
        have = len(last) - len(last.rstrip("\n")) if last.strip("\n") else len(last)
        self._add(ends[have:])

    def _add(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._size += len(text)
