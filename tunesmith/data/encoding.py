"""Bytes to characters: which encoding, checked to the last byte before anything is parsed; nothing is ever replaced."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import DataError, SpecError
from .source import Source

CHUNK = 1 << 20
BLOCK = 2 << 20
MAX_LINE = 8 << 20
"""Characters of the longest line or cell that is read. Longer ones are broken files, not data."""

BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Text:
    """A file that was found to be sound text in `codec`."""

    source: Source
    codec: str

    @property
    def note(self) -> str:
        """What to say about the encoding; empty for plain UTF-8."""
        plain = self.codec in ("utf-8", "utf-8-sig")
        return "" if plain else f"read as {self.codec}"

    def blocks(self, size: int = BLOCK) -> Iterator[list[str]]:
        """Lines with their ends as they are (LF, CRLF or CR), in lists of about `size` characters."""
        with open(self.source.path, encoding=self.codec, newline="") as file:
            first = True
            while lines := file.readlines(size):
                if first:
                    lines[0], first = lines[0].removeprefix("\ufeff"), False
                yield lines

    def lines(self) -> Iterator[str]:
        """Lines one by one, as `blocks` has them."""
        for block in self.blocks():
            yield from block

    def sample(self, size: int) -> str:
        """The first characters, cut after the last whole line where there is one."""
        with open(self.source.path, encoding=self.codec, newline="") as file:
            text = file.read(size).removeprefix("\ufeff")
            if not file.read(1):
                return text
        cut = max(text.rfind("\n"), text.rfind("\r")) + 1
        return text[:cut] or text

    def all(self) -> str:
        """The whole text, as one string."""
        with open(self.source.path, encoding=self.codec, newline="") as file:
            return file.read().removeprefix("\ufeff")


def too_long(name: str, line: int) -> DataError:
    """The error for a line or cell over the limit."""
    return DataError(
        f"{name}, line {line}", expected=f"cells and lines of at most {MAX_LINE >> 20} MiB",
        got="a longer one: field over limit", fix="check the quotes and line ends there, or cut the text", code="field-over-limit",
    )


def open_text(source: Source, wanted: str) -> Text:
    """The file as text in the `wanted` encoding, or (`auto`) what its first bytes say, else UTF-8.

    After that its bytes are known to decode, and no line to be longer than MAX_LINE.

    Raises DataError, with byte and line, where bytes do not fit or are NUL; SpecError for an unknown encoding.
    """
    text = Text(source, _codec(source, wanted))
    _check(text)
    return text


def _codec(source: Source, wanted: str) -> str:
    with open(source.path, "rb") as file:
        head = file.read(4)
    by_bom = next((codec for bom, codec in BOMS if head.startswith(bom)), "utf-8")
    if wanted == "auto":
        return by_bom
    try:
        codec = codecs.lookup(wanted).name
        "a".encode(codec)
    except (LookupError, TypeError, ValueError):
        raise SpecError(
            "data.encoding", expected="the name of a text encoding", got=repr(wanted),
            fix="say utf-8, latin-1, utf-16, cp1252...", code="unknown-encoding",
        ) from None
    return by_bom if codec == "utf-8" and by_bom == "utf-8-sig" else codec


def _check(text: Text) -> None:
    """Decode everything once, chunk by chunk: what is parsed later cannot fail on its bytes."""
    decoder = codecs.getincrementaldecoder(text.codec)()
    done = chars = length = 0
    with open(text.source.path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            pending = len(decoder.getstate()[0])
            try:
                part = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = len(error.object[: error.start].decode(text.codec, "ignore"))
                raise _undecodable(text, error, done - pending + error.start, _line_of(text, chars + good)) from None
            if "\0" in part:
                raise _nul(text, _line_of(text, chars + part.index("\0")))
            before, length = length + _to_break(part), _since_break(part, length)
            if before > MAX_LINE:
                raise too_long(text.source.name, _line_of(text, chars))
            if not chunk:
                return
            done, chars = done + len(chunk), chars + len(part)


def _line_of(text: Text, chars: int) -> int:
    """The line (from 1; ended by LF, CRLF or CR) that holds the character with this number (from 0)."""
    line, last = 1, ""
    with open(text.source.path, encoding=text.codec, errors="ignore", newline="") as file:
        while chars > 0 and (part := file.read(min(CHUNK, chars))):
            line += part.count("\n") + part.count("\r") - part.count("\r\n") - (last == "\r" and part[0] == "\n")
            chars, last = chars - len(part), part[-1]
    return line


def _to_break(text: str) -> int:
    """Characters before the first line end."""
    return min(at if at >= 0 else len(text) for at in (text.find("\n"), text.find("\r")))


def _since_break(text: str, before: int) -> int:
    """Characters after the last line end; `before`: as many were open when the text began."""
    at = max(text.rfind("\n"), text.rfind("\r"))
    return len(text) - at - 1 if at >= 0 else before + len(text)


def _undecodable(text: Text, error: UnicodeDecodeError, offset: int, line: int) -> DataError:
    byte = error.object[error.start : error.start + 1]
    suggestion = "--encoding latin-1 (or cp1252, gb18030... whichever wrote the file)"
    return DataError(
        f"{text.source.name}, line {line}", expected=f"text in {text.codec.removesuffix('-sig')}",
        got=f"the byte 0x{byte.hex()} at byte {offset:,}", fix=f"say {suggestion}, or save the file as UTF-8",
        code="bad-encoding",
    )


def _nul(text: Text, line: int) -> DataError:
    with open(text.source.path, "rb") as file:
        head = file.read(4000)
    wide = head[1::2].count(0) > 0.4 * len(head[1::2]) or head[::2].count(0) > 0.4 * len(head[::2])
    fix = "it looks like UTF-16: say --encoding utf-16-le" if wide else "remove it, or save the file anew"
    return DataError(f"{text.source.name}, line {line}", expected="text", got="a NUL byte", fix=fix, code="nul-byte")
