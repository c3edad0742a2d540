"""Clean sets, and eight kinds of leaks planted into them (after Kapoor and Narayanan, arXiv 2207.07048)."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any

Rows = list[dict[str, Any]]
TOPICS = {
    "sport": "match team goal coach league score", "food": "bread soup salt dinner taste plate",
    "money": "bank loan price market cost tax",
}


def clean(n: int, seed: int) -> Rows:
    """Rows of three topics whose words overlap, with an id, an author, a date and a few columns that know nothing."""
    draw = random.Random(seed)
    common = [f"word{i}" for i in range(400)]
    start = datetime.date(2023, 1, 1)
    rows: Rows = []
    for i in range(n):
        label = draw.choice(list(TOPICS))
        told = label if draw.random() < 0.8 else draw.choice(list(TOPICS))
        words = draw.choices(TOPICS[told].split(), k=3) + draw.choices(common, k=draw.randint(6, 18))
        draw.shuffle(words)
        rows.append({
            "id": f"{seed:03d}-{i:06x}{draw.getrandbits(16):04x}", "text": " ".join(words), "label": label,
            "author": f"a{seed}-{draw.randrange(n // 4)}", "day": str(start + datetime.timedelta(days=seed * 400 + i // 3)),
            "stars": draw.randint(1, 5), "length": sum(map(len, words)), "country": draw.choice(["de", "fr", "it"]),
        })
    return rows


def exact(train: Rows, test: Rows, draw: random.Random) -> None:
    for i in draw.sample(range(len(test)), 10):
        test[i]["text"] = draw.choice(train)["text"].title() + "."


def near(train: Rows, test: Rows, draw: random.Random) -> None:
    for i in draw.sample(range(len(test)), 10):
        long = max(draw.sample(train, 20), key=lambda row: len(row["text"]))
        test[i]["text"] = long["text"] + " indeed"


def ids(train: Rows, test: Rows, draw: random.Random) -> None:
    for i in draw.sample(range(len(test)), 3):
        test[i]["id"] = draw.choice(train)["id"]


def groups(train: Rows, test: Rows, draw: random.Random) -> None:
    for i in draw.sample(range(len(test)), 5):
        test[i]["author"] = draw.choice(train)["author"]


def times(train: Rows, test: Rows, draw: random.Random) -> None:
    for i in draw.sample(range(len(test)), 5):
        test[i]["day"] = draw.choice(train)["day"]


def copied(train: Rows, test: Rows, draw: random.Random) -> None:
    codes = dict(zip(TOPICS, draw.sample(range(90), 3), strict=True))
    for row in train + test:
        row["code"] = codes[row["label"]]


def named(train: Rows, test: Rows, draw: random.Random) -> None:
    mark = draw.choice(["[{}] {}", "{1} ({0})", "{1} category={0}"])
    for row in train + test:
        row["text"] = mark.format(row["label"], row["text"])


def marked(train: Rows, test: Rows, draw: random.Random) -> None:
    marks = dict(zip(TOPICS, draw.sample(["qq1", "xz2", "vv3", "ww4"], 3), strict=True))
    for row in train + test:
        row["text"] = f"{row['text']} {marks[row['label']]}"


KINDS: dict[str, tuple[Callable[[Rows, Rows, random.Random], None], set[str]]] = {
    "exact duplicates": (exact, {"leaked-test"}),
    "near duplicates": (near, {"leaked-test"}),
    "ids in both": (ids, {"id-in-both"}),
    "groups in both": (groups, {"group-in-both"}),
    "times that overlap": (times, {"time-overlap"}),
    "the target as a column": (copied, {"column-predicts-label"}),
    "the label in the text": (named, {"label-in-text"}),
    "a word for each label": (marked, {"word-predicts-label"}),
}
ALARMS = {code for _, codes in KINDS.values() for code in codes} | {"labels-shift", "same-file", "leaked-validation"}
