"""What the files of sounds say of themselves, read from their bytes: how long, whether their end is there, what they are instead.

libsndfile shortens what a header promises to what the file has; whether something is missing has to be seen before.
"""

from __future__ import annotations

import struct

from . import mpeg

UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
"""Sizes that programs write which did not know the length yet."""
OTHERS = (
    (4, b"ftyp", "an MPEG-4 file (m4a, mp4)"), (0, b"\x30\x26\xb2\x75", "a Windows Media file"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM file"), (0, b"\xff\xf1", "a raw AAC stream"), (0, b"\xff\xf9", "a raw AAC stream"),
    (0, b"\x89PNG", "an image"), (0, b"\xff\xd8\xff", "an image"),
    (0, b"PK\x03\x04", "a ZIP file"), (0, b"%PDF", "a PDF file"), (0, b"\x00\x00\x01\xba", "a film"),
)


def refused(data: bytes) -> str | None:
    """What a file is, where it is of a kind that cannot be read as a sound here."""
    return next((what for at, mark, what in OTHERS if data[at : at + len(mark)] == mark), None)


def known(data: bytes) -> bool:
    """Whether a file begins as sounds do."""
    wav = data[:4] in (b"RIFF", b"RF64", b"FORM", b".snd", b"fLaC", b"OggS")
    return wav or data[:3] == b"ID3" or (data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0)


def promised(data: bytes, frames: int) -> int | None:
    """Samples of each channel that the header promises; None where it promises none. `frames`: what libsndfile makes of it."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav(data)
    if data[:4] == b"FORM":
        return _aiff(data)
    if data[:4] == b".snd":
        return _au(data, frames)
    if data[:4] == b"fLaC":
        return frames if 0 < frames < 2**36 else None
    return None


def looked(data: bytes) -> tuple[bytes, str]:
    """The bytes as libsndfile reads all of them, and what it would not say is wrong with them, in words: of OGG streams and MP3."""
    if data[:4] == b"OggS":
        return data, mpeg.MISSING if _ogg_cut(data) else ""
    return mpeg.looked(data) if data[:3] == b"ID3" or data[:1] == b"\xff" else (data, "")


def _ogg_cut(data: bytes) -> bool:
    """The last page of a stream says that it is the last, and is whole."""
    at = data.rfind(b"OggS")
    if at + 27 > len(data):
        return True
    segments = data[at + 26]
    table = data[at + 27 : at + 27 + segments]
    whole = len(table) == segments and at + 27 + segments + sum(table) <= len(data)
    return not (whole and data[at + 5] & 4)


def _wav(data: bytes) -> int | None:
    """From the sizes of the chunks `fmt ` and `data`."""
    at, width = 12, 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        if name == b"fmt " and at + 24 <= len(data):
            width = struct.unpack("<H", data[at + 20 : at + 22])[0]
            coded = struct.unpack("<H", data[at + 8 : at + 10])[0] not in (1, 3, 0xFFFE, 6, 7)
            width = 0 if coded else width
        if name == b"data":
            return size // width if width and size not in UNKNOWN else None
        at += 8 + size + (size & 1)
    return None


def _aiff(data: bytes) -> int | None:
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack(">I", data[at + 4 : at + 8])[0]
        if name == b"COMM" and at + 14 <= len(data):
            return int(struct.unpack(">I", data[at + 10 : at + 14])[0])
        at += 8 + size + (size & 1)
    return None


def _au(data: bytes, frames: int) -> int | None:
    if len(data) < 24:
        return None
    start, size = struct.unpack(">II", data[4:12])
    there = len(data) - start
    return None if size in UNKNOWN or there <= 0 else round(frames * max(1.0, size / there))
