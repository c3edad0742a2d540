"""MPEG sounds (MP3), frame by frame: how many there are, whether one is missing, and an index for files that have none.

Without an index nothing says how long a file is: libsndfile guesses from the first frame's rate of bits and reads no further, so that of a
sound whose rate varies the rest would be lost. Layout: ISO 11172-3 and 13818-3; the index is Xing's, or Fraunhofer's (VBRI).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import final

RATES = (44_100, 48_000, 32_000)
"""Samples a second of MPEG 1; half of these in MPEG 2, a quarter in 2.5."""
_TWO = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
BITS = {
    (True, 1): tuple(range(32, 449, 32)), (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256), (False, 2): _TWO, (False, 3): _TWO,
}  # fmt: skip
"""Thousands of bits a second, by whether it is MPEG 1, and the layer."""
SURE = 3
"""Frames one after another by which a beginning is known."""
SEARCHED = 1 << 16
"""Bytes behind the tags in which the first frame is looked for."""
ROOM = 200
"""Bytes of a frame that has room for an index."""
MISSING = "one whose end is missing"
SLACK = 0.98
"""Share of a promised file that must be there: some writers count padding that decoders leave out."""


@final
@dataclass(frozen=True)
class Frames:
    """What was found. `first`: where the sound begins, behind an index; `count`: whole frames of it; `damage`: in words, or nothing."""

    first: int
    count: int
    damage: str
    index: tuple[int, int] | None
    """Frames and bytes that the index promises, 0 where it does not say."""


def looked(data: bytes) -> tuple[bytes, str]:
    """The bytes with an index that is true, and what is wrong with them, in words: the end is missing, or something in between."""
    found = frames(data)
    if found is None or found.damage or _is_true(found):
        return data, found.damage if found else ""
    return _indexed(data, found), ""


def _is_true(found: Frames) -> bool:
    return found.index is not None and 0 < found.index[0] and found.count <= found.index[0] + 1


def frames(data: bytes) -> Frames | None:
    """The frames of a file; None where it has none that could be counted."""
    start = _behind_tags(data, 0)
    first = start if _begins(data, start) else _beginning(data, start, min(len(data), start + SEARCHED))
    if first is None:
        return None
    end = len(data) - 128 * (data[-128:-125] == b"TAG")
    index = _index(data, first)
    begin = first + (size(data, first) if index else 0)
    count, at = 0, _behind_tags(data, begin)
    while (long := _alike(data, first, at)) and at + long <= end:
        count, at = count + 1, _behind_tags(data, at + long)
    promised, there = index or (0, 0), len(data) - first
    short = there < SLACK * promised[1] or count + 1 < SLACK * promised[0]
    return Frames(begin, count, MISSING if short else _damage(data, first, at, end), index)


def _damage(data: bytes, first: int, at: int, end: int) -> str:
    """What is wrong with what stands behind the last whole frame; tags and other things that are no sound are nothing wrong."""
    if not data[at:end].strip(b"\0"):
        return ""
    if _beginning(data, at + 1, end, first) is not None:
        return "one in whose middle something is missing"
    return MISSING if data[at] == 0xFF and (at + 4 > end or _alike(data, first, at)) else ""


def size(data: bytes, at: int) -> int:
    """Bytes of the frame that begins here; 0 where none does, or its size is not said."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bits, rate, padded = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return 0
    one = version == 3
    a_second, thousands = RATES[rate] >> (0 if one else 1 if version == 2 else 2), BITS[one, layer][bits - 1]
    if layer == 1:
        return 4 * (12_000 * thousands // a_second + padded)
    return (144_000 if one or layer == 2 else 72_000) * thousands // a_second + padded


def _alike(data: bytes, first: int, at: int) -> int:
    """Bytes of the frame here, if it is of the first one's kind and rate."""
    long = size(data, at)
    same = long and data[at + 1] & 0x1E == data[first + 1] & 0x1E and data[at + 2] & 0x0C == data[first + 2] & 0x0C
    return long if same else 0


def _begins(data: bytes, at: int) -> bool:
    """Whether a frame stands here, and another behind it, if the file goes on."""
    long = size(data, at)
    after = _behind_tags(data, at + long)
    return long > 0 and (after + 4 > len(data) or _alike(data, at, after) > 0)


def _beginning(data: bytes, start: int, end: int, kind: int | None = None) -> int | None:
    """Where the first of some frames begins, of the kind of the frame at `kind`; None where there is no such place."""
    at = data.find(b"\xff", start, end)
    while at >= 0:
        if _run(data, at, at if kind is None else kind):
            return at
        at = data.find(b"\xff", at + 1, end)
    return None


def _run(data: bytes, at: int, kind: int) -> bool:
    """Whether several frames stand here one after another, or the file ends with them."""
    for _ in range(SURE):
        long = _alike(data, kind, at)
        if not long:
            return False
        at = _behind_tags(data, at + long)
        if at >= len(data):
            return at == len(data)
    return True


def _behind_tags(data: bytes, at: int) -> int:
    """Where the tags end that begin here (ID3, APE)."""
    while True:
        if data[at : at + 3] == b"ID3" and at + 10 <= len(data):
            low = data[at + 6 : at + 10]
            at += 10 + (low[0] << 21 | low[1] << 14 | low[2] << 7 | low[3]) + 10 * (data[at + 5] >> 4 & 1)
        elif data[at : at + 8] == b"APETAGEX" and at + 32 <= len(data):
            at += 32 + int(struct.unpack("<I", data[at + 12 : at + 16])[0])
        elif data[at : at + 3] == b"TAG" and at + 128 <= len(data):
            at += 128
        else:
            return at


def _index(data: bytes, first: int) -> tuple[int, int] | None:
    """Frames and bytes that the first frame promises, where it is an index."""
    head = data[first : first + min(ROOM, size(data, first))]
    if head[36:40] == b"VBRI" and len(head) >= 54:
        many, total = struct.unpack(">I", head[50:54])[0], struct.unpack(">I", head[46:50])[0]
        return int(many), int(total)
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at < 0 or len(head) < at + 16:
        return None
    flags, one, two = struct.unpack(">III", head[at + 4 : at + 16])
    return (one if flags & 1 else 0), ((two if flags & 1 else one) if flags & 2 else 0)


def _indexed(data: bytes, found: Frames) -> bytes:
    """The sound behind an index that says how many frames there are; as it is where an index has no room (layers 1 and 2)."""
    head = data[found.first : found.first + 4]
    if len(head) < 4 or head[1] >> 1 & 3 != 1:
        return data
    plain = [bytes([0xFF, head[1] | 1, bits << 4 | head[2] & 0x0C, head[3]]) for bits in range(1, 15)]
    mark = next(one for one in plain if size(one, 0) >= ROOM)
    side = (17 if head[3] >> 6 == 3 else 32) if head[1] >> 3 & 3 == 3 else 9 if head[3] >> 6 == 3 else 17
    index = mark + bytes(side) + b"Info" + struct.pack(">II", 1, found.count)
    return index.ljust(size(mark, 0), b"\0") + data[found.first :]
