"""Makes `tunesmith/examples/tickets.csv`: messages to the service desk of a town that does not exist, and who should answer them.

The sentences in `phrases/` were written for this project. This script puts them together, always in the same way, and adds what
real files have: duplicates, near-duplicates, empty cells, labels written in two ways, typing mistakes, messages that could go to
two departments, and a few that went to the wrong one.

    python tools/make_example.py            writes the file
    python tools/make_example.py --check    exit code 1 where the file is not what this script makes
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import final

HERE = Path(__file__).parent
TARGET = HERE.parent / "tunesmith" / "examples" / "tickets.csv"
SIZES = {
    "waste": 420,
    "roads": 238,
    "registry": 182,
    "parks": 168,
    "parking": 130,
    "noise": 118,
    "lighting": 96,
    "water": 60,
}
"""Messages per department before duplicates are added."""
AMBIGUOUS, WRONG, TYPOS = 30, 0.02, 0.16
EXACT, NEAR, EMPTY_MESSAGES, EMPTY_LABELS, TWINS = 40, 60, 5, 4, 14
BEGIN = datetime(2025, 1, 6, 7, 30)


@final
@dataclass(frozen=True)
class Ticket:
    """One row of the file."""

    message: str
    department: str


def main(arguments: list[str]) -> int:
    """Write the file, or check it."""
    text = render(tickets(random.Random(20260)), random.Random(7))
    if "--check" in arguments:
        return int(not TARGET.is_file() or TARGET.read_text("utf-8") != text)
    TARGET.write_text(text, "utf-8", newline="")
    return 0


def tickets(draw: random.Random) -> list[Ticket]:
    """All messages, in random order, mess included."""
    frames = sections((HERE / "phrases" / "frames.txt").read_text("utf-8"))
    rows = [row for name, size in SIZES.items() for row in department(name, size, frames, draw)]
    rows += [ambiguous(line, frames, draw) for line in cycle(frames["ambiguous"], AMBIGUOUS)]
    rows = [mistaken(row, draw) for row in unique(rows)]
    rows += [row for row in draw.sample(rows, EXACT)] + [nearly(row, draw) for row in draw.sample(rows, NEAR)]
    draw.shuffle(rows)
    return blemished(rows, draw)


def department(name: str, size: int, frames: dict[str, list[str]], draw: random.Random) -> list[Ticket]:
    """`size` messages of one department: its sentences in turn, each time in other words and another frame."""
    lines = (HERE / "phrases" / f"{name}.txt").read_text("utf-8").splitlines()
    return [Ticket(message(line, frames, draw), name) for line in cycle(lines, size, draw)]


def cycle(lines: list[str], size: int, draw: random.Random | None = None) -> list[str]:
    """`size` lines, each about equally often."""
    found: list[str] = []
    while len(found) < size:
        found += draw.sample(lines, len(lines)) if draw else lines
    return found[:size]


def message(line: str, frames: dict[str, list[str]], draw: random.Random) -> str:
    """A sentence in a frame: most messages have one or two of opening, aside, closing and tail."""
    parts = [
        pick(frames["openings"], draw, 0.3),
        pick(frames["asides"], draw, 0.08),
        expand(line, frames, draw),
        pick(frames["tails"], draw, 0.06),
        pick(frames["closings"], draw, 0.35),
    ]
    text = " ".join(expand(part, frames, draw) for part in parts if part)
    return typo(text, draw) if draw.random() < TYPOS else text


def ambiguous(line: str, frames: dict[str, list[str]], draw: random.Random) -> Ticket:
    """A message that could go to two departments; the first named gets it two times in three."""
    names, _, text = line.partition(": ")
    first, second = names.split("|")
    return Ticket(message(text, frames, draw), first if draw.random() < 2 / 3 else second)


def pick(lines: list[str], draw: random.Random, share: float) -> str:
    """One of the lines with this probability, else nothing."""
    return draw.choice(lines) if draw.random() < share else ""


def expand(line: str, frames: dict[str, list[str]], draw: random.Random) -> str:
    """`{a|b}` becomes a or b, `<place>` a place."""
    line = re.sub(r"\{([^{}]*)\}", lambda found: draw.choice(found[1].split("|")), line)
    return line.replace("<place>", draw.choice(frames["places"]))


def typo(text: str, draw: random.Random) -> str:
    """One or two slips of the finger: swapped, doubled or lost letters, no capital, no full stop."""
    for _ in range(draw.choice((1, 1, 2))):
        at = draw.randrange(1, max(len(text) - 2, 2))
        slips = (
            text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :],
            text[:at] + text[at : at + 1] + text[at:],
            text[:at] + text[at + 1 :],
            text.lower(),
            text.rstrip("."),
        )
        text = draw.choice(slips)
    return text


def mistaken(row: Ticket, draw: random.Random) -> Ticket:
    """The row, or in rare cases the row under a wrong department."""
    others = [name for name in SIZES if name != row.department]
    return Ticket(row.message, draw.choice(others)) if draw.random() < WRONG else row


def nearly(row: Ticket, draw: random.Random) -> Ticket:
    """The same message, sent once more with a word added or with other punctuation."""
    changed = (
        f"{row.message} Thanks",
        f"URGENT {row.message}",
        f"{row.message} Hello?",
        f"Again: {row.message}",
        row.message.upper(),
        row.message.replace(",", "").replace(".", " ."),
        f"{row.message} (third message)",
    )
    return Ticket(draw.choice(changed), row.department)


def blemished(rows: list[Ticket], draw: random.Random) -> list[Ticket]:
    """Some cells emptied, some labels written differently."""
    spots = draw.sample(range(len(rows)), EMPTY_MESSAGES + EMPTY_LABELS + TWINS)
    for count, spot in enumerate(spots):
        row = rows[spot]
        if count < EMPTY_MESSAGES:
            rows[spot] = Ticket("" if count % 2 else "  ", row.department)
        elif count < EMPTY_MESSAGES + EMPTY_LABELS:
            rows[spot] = Ticket(row.message, "")
        else:
            rows[spot] = Ticket(
                row.message, draw.choice((row.department.title(), f"{row.department} ", row.department.upper()))
            )
    return rows


def unique(rows: list[Ticket]) -> list[Ticket]:
    """The rows without those whose message was there before: duplicates are added on purpose, in a known number."""
    return list({row.message: row for row in reversed(rows)}.values())[::-1]


def render(rows: list[Ticket], draw: random.Random) -> str:
    """The file's text: rows in the order in which they came in, minutes to hours apart."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["received", "message", "department"])
    moment = BEGIN
    for row in rows:
        moment += timedelta(minutes=draw.randrange(3, 480))
        writer.writerow([moment.isoformat(" ", "minutes"), row.message, row.department])
    return out.getvalue()


def sections(text: str) -> dict[str, list[str]]:
    """`[name]` headings -> the lines below each."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = []
        elif line.strip():
            found[name].append(line)
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
