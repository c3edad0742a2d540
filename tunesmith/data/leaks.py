"""Ways in which an answer can be known without being learned. Findings name rows; nothing is changed here.

Most kinds of Kapoor and Narayanan (arXiv 2207.07048): duplicates, ids, groups and times across parts, columns and words
that stand for the label, parts that differ in kind. Test labels are read only where the user gave the test file, and
only their counts.

Axes: N rows, C classes, V values.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import listing, shorten
from . import labels as cells
from .answers import Answers
from .cut import LEAST
from .dates import seconds
from .finding import Finding, count, places
from .profile import Profile
from .shingles import fold
from .split import Splits
from .table import Table
from .texts import Texts

SURE = 0.98
"""Share of the possible gain over always guessing the commonest label that counts as knowing it."""
RESTART = 0.5
"""Share of the shorter file's ids that both files must have for them to be two counters that began at the same number."""
FEWEST = 20
"""Rows below which nothing is said about columns and words."""
SAMPLE = 5_000
"""Rows whose words are looked at."""
COLUMN_SAMPLE = 20_000
"""Rows whose columns are looked at."""
TIMED_SAMPLE = 200
"""Rows by which a column is one of dates."""
UNIQUE = 0.9
"""Different values a row from which a column that is named like an id is one, and only says where a row stands in its file."""
FEW_VALUES = 32
"""Different numbers of a column up to which each is looked at by itself."""
_ID_NAME = re.compile(r"(^|[_\W])(?i:id|idx|uuid|guid|uid|key)$|[a-z]I[Dd]$")
_GROUP_NAME = re.compile(
    r"(?i)(^|[_\W])(user|author|patient|speaker|customer|client|session|thread|conversation|dialog(ue)?|document|doc|"
    r"subject|account|person|writer|annotator|source)([_\W]?(id|name|key|nr|no))?$"
)


# -- across parts ------------------------------------------------------------------------------------------------------


def duplicate_findings(splits: Splits, test: Table, twins: Sequence[str]) -> list[Finding]:
    """Test rows that training has seen, each with the place of its first twin."""
    found: list[Finding] = []
    if leaked := len(splits.leaked_test):
        share = leaked / len(test)
        whose = "its rows resemble others too widely to be kept apart" if "test" not in splits.given else "the split is kept as given"
        found.append(Finding(
            "warning", "leaked-test",
            f"{leaked:,} of {count(len(test), 'test row')} ({share:.1%}) also stand in train or validation: "
            f"{splits.leaked_exact:,} exactly, {leaked - splits.leaked_exact:,} nearly; {whose}, and scores are given without them too",
            tuple(f"{row} (as {twin})" for row, twin in zip(places(test, splits.leaked_test), twins)),
            "trust the score without them; take them out of the training or test file",
        ))
    if splits.leaked_validation:
        found.append(Finding(
            "warning", "leaked-validation",
            f"{count(splits.leaked_validation, 'validation row')} also stand in train, exactly or nearly: "
            "the choice of the best checkpoint is a little too hopeful", (), "take them out of the validation file",
        ))
    return found


def same_findings(tables: Mapping[str, Table]) -> list[Finding]:
    """An error where two of the given files (train, validation, test) hold exactly the same rows."""
    pairs = [("train", "validation"), ("train", "test"), ("validation", "test")]
    both = [(one, two) for one, two in pairs if one in tables and two in tables]
    return [finding for one, two in both for finding in _same(tables[one], tables[two], one, two)]


def _same(one: Table, two: Table, name: str, part: str) -> list[Finding]:
    if len(one) != len(two) or not np.array_equal(np.sort(one.row_ids), np.sort(two.row_ids)):
        return []
    return [Finding("error", "same-file",
        f"expected {part} rows of their own, got exactly the {name} rows ({count(len(two))})",
                    places(two, range(1)), f"give another file for {part}, or none: then rows are kept for it")]


def id_findings(train: Table, other: Table, part: str, used: Sequence[str]) -> list[Finding]:
    """Ids that stand in both files: an error. Counters that merely restart in each file, with other contents, are only
    noted.

    An id column is named like one and (nearly) never repeats within a file. A shared id is taken for the same row
    unless both files number their rows without large gaps, share most of the numbers, and mostly put them beside different texts.
    """
    found: list[Finding] = []
    for name in train.names:
        if name in used or name not in other.names or not _ID_NAME.search(name):
            continue
        mine, theirs = _ids(train, name), _ids(other, name)
        common = [i for i in theirs if i in mine]
        if not common or min(len(mine) / len(train), len(theirs) / len(other)) < SURE:
            continue
        shared = listing([repr(i) for i in common])
        restarts = _counter(mine) and _counter(theirs) and len(common) >= RESTART * min(len(mine), len(theirs))
        if restarts and _different(train, other, [(mine[i], theirs[i]) for i in common], used):
            found.append(Finding("note", "ids-restart",
                f"column {name!r} counts rows and starts again in {part}: not taken for a leak"))
            continue
        found.append(Finding(
            "error", "id-in-both",
            f"expected each {name!r} in one file only, got {count(len(common), 'id')} in both train and {part}: {shared}",
            places(other, [theirs[i] for i in common]), "take these rows out of one of the files",
        ))
    return found


def _ids(table: Table, name: str) -> dict[str, int]:
    return {cell: i for i, cell in enumerate(cells.texts(table, name)) if cell is not None}


def _counter(ids: Mapping[str, int]) -> bool:
    """Whether ids are numbers (after one common prefix) that use up most of their range, as counters do."""
    parts = [re.fullmatch(r"(\D*)0*(\d{1,15})", i) for i in ids]
    if not all(parts) or len({p.group(1) for p in parts if p}) > 1:
        return False
    values = [int(p.group(2)) for p in parts if p]
    return len(values) >= 0.1 * (max(values) - min(values) + 1)


def _different(train: Table, other: Table, pairs: Sequence[tuple[int, int]], used: Sequence[str]) -> bool:
    columns = [n for n in used if n in train.names and n in other.names]
    mine = train.take([a for a, _ in pairs]).rows()
    theirs = other.take([b for _, b in pairs]).rows()
    same = sum(all(str(a[n]) == str(b[n]) for n in columns) for a, b in zip(mine, theirs))
    return same < 0.5 * len(pairs)


def group_findings(train: Table, other: Table, part: str, group: str) -> list[Finding]:
    """Groups that the user named and that stand in both of the user's files."""
    if not group or group not in other.names:
        return []
    mine = set(cells.texts(train, group)) - {None}
    rows = [i for i, cell in enumerate(cells.texts(other, group)) if cell in mine]
    if not rows:
        return []
    shared = listing(sorted({str(cells.texts(other, group)[i]) for i in rows}))
    return [Finding(
        "warning", "group-in-both",
        f"{count(len(rows), f'{part} row')} belong to a {group!r} that train has too ({shared}): "
        "the score speaks of known ones", places(other, rows), "split by group: leave out the test file",
    )]


def ungrouped_findings(train: Table, used: Sequence[str]) -> list[Finding]:
    """Columns that look like groups and were not named, where rows are parted by chance."""
    found = []
    for name in train.names:
        if name in used or not _GROUP_NAME.search(name):
            continue
        values = [cell for cell in cells.texts(train, name) if cell is not None]
        if len(set(values)) > 1 and len(values) >= 2 * len(set(values)):
            found.append(Finding(
                "note", "possible-group",
                f"column {name!r} has {count(len(set(values)), 'value')} in {count(len(values))}: rows of one "
                f"{name} may fall into train and test", (), f"if new ones must be judged, say --group {name}",
            ))
    return found


def untimed_findings(train: Table) -> list[Finding]:
    """Columns of dates, where rows are parted by chance: what is to come is then judged by rows that lie between those learned from."""
    kinds = Profile.of(train.take(_spread(len(train), TIMED_SAMPLE))).columns
    return [
        Finding(
            "note", "possible-time",
            f"column {name!r} holds dates: rows of one time may fall into train and test", (),
            f"if later rows than those learned from must be judged, as of prices, say --time {name}",
        )
        for name, column in kinds.items() if column.kind == "date" and len(train) >= FEWEST
    ]


def time_findings(train: Table, other: Table, part: str, time: str) -> list[Finding]:
    """Test rows that are not later than training, where the user named a time."""
    if not time or time not in other.names:
        return []
    last = seconds(train, time).max()
    rows = np.flatnonzero(seconds(other, time) <= last)
    if not len(rows):
        return []
    return [Finding(
        "warning", "time-overlap",
        f"{count(len(rows), f'{part} row')} are not later than the last training row by {time!r}: training has "
        "seen their future", places(other, rows), "split by time: leave out the test file",
    )]


def shift_findings(train: Answers, other: Answers, part: str) -> list[Finding]:
    """Label shares that differ between the user's files by more than chance allows."""
    mine, theirs = train.counts(), other.counts()
    names = sorted(set(mine) | set(theirs))
    n, m = sum(mine.values()), sum(theirs.values())
    if not n or not m:
        return []
    apart = [(abs(mine[c] / n - theirs[c] / m), c) for c in names]
    # Half the sum is the total variation; chance alone gives about sqrt(C / m) of it.
    if sum(a for a, _ in apart) / 2 < 0.15 + 2 * (len(names) / min(n, m)) ** 0.5:
        return []
    _, worst = max(apart)
    return [Finding(
        "warning", "labels-shift",
        f"label shares differ between train and {part}: {shorten(worst)!r} has {mine[worst] / n:.0%} there and "
        f"{theirs[worst] / m:.0%} here", (), "check how the test rows were drawn",
    )]


# -- columns and words -------------------------------------------------------------------------------------------------


def column_findings(
    table: Table, inputs: Sequence[str], targets: Sequence[str], labels: Answers
) -> list[Finding]:
    """Columns that alone tell the target of a row from the other rows (leave-one-out), inputs and unused ones alike."""
    if len(table) < FEWEST:
        return []
    kept = _spread(len(table), COLUMN_SAMPLE)
    table, labels = table.take(kept), labels.take(kept)
    found = []
    numeric, answers = not any(labels), [" | ".join(sorted(row)) for row in labels]
    for name in table.names:
        if name in targets or (name not in inputs and _is_id(table, name)):
            continue
        share = _copy(table, name, targets) if numeric else _told(table, name, answers)
        gaps = 0.0 if numeric or share >= SURE else knows([cell is None for cell in cells.texts(table, name)], answers)
        if max(share, gaps) >= SURE:
            what = f"column {name!r} predicts" if share >= SURE else f"whether column {name!r} is filled predicts"
            use = "" if name in inputs else "; it is not an input here"
            found.append(Finding(
                "warning", "column-predicts-label",
                f"{what} {listing(targets)} alone at {max(share, gaps):.0%}{use}",
                (), f"is {name!r} known when a prediction is needed? If not, leave it out",
            ))
    return found


def _is_id(table: Table, name: str) -> bool:
    """Whether a column is named like an id and (nearly) never repeats: `label_id` may as well be the label's number."""
    return bool(_ID_NAME.search(name)) and len(_ids(table, name)) >= UNIQUE * len(table)


def knows(values: Sequence[object], labels: Sequence[str]) -> float:
    """0 to 1: how much of what the commonest label leaves open a value settles, each row judged by the other rows."""
    _, value_N = np.unique([str(v) for v in values], return_inverse=True)
    _, class_N = np.unique(labels, return_inverse=True)
    count_C = np.bincount(class_N)
    open_rows = len(class_N) - count_C.max()
    if open_rows < LEAST:
        return 0.0
    pairs, pair_N, count_P = np.unique(value_N * len(count_C) + class_N, return_inverse=True, return_counts=True)
    value_P = pairs // len(count_C)
    order_P = np.lexsort((-count_P, value_P))
    first_P = np.concatenate([[True], value_P[order_P][1:] != value_P[order_P][:-1]])
    best_V, at = np.zeros((2, value_P.max() + 1), np.int64), np.flatnonzero(first_P)
    best_V[0] = count_P[order_P][at]
    second = at[np.concatenate([np.diff(at), [len(pairs) - at[-1]]]) > 1] + 1
    best_V[1, value_P[order_P][second]] = count_P[order_P][second]
    # The row itself does not vote: its value must be commoner with its class than with any other, even without it.
    right_N = (count_P[pair_N] == best_V[0, value_N]) & (count_P[pair_N] - 1 > best_V[1, value_N])
    alone_N = best_V.sum(0)[value_N] == 1
    right_N |= alone_N & (class_N == count_C.argmax())
    return max(0.0, 1 - float((~right_N).sum()) / float(open_rows))


def _told(table: Table, name: str, answers: Sequence[str]) -> float:
    """How much of the label the cells of a column tell; numbers with many values by their order."""
    number_N, bad_N = cells.numbers(table, name)
    few = bad_N.any() or len(np.unique(number_N)) <= FEW_VALUES
    return knows(list(cells.texts(table, name)), answers) if few else orders(number_N, answers)


def orders(number_N: np.ndarray, labels: Sequence[str]) -> float:
    """0 to 1: as `knows`, of numbers: a row is known where a neighbour in their order has its label. Equal ones stand in any order."""
    _, class_N = np.unique(labels, return_inverse=True)
    open_rows = len(class_N) - np.bincount(class_N).max()
    if open_rows < LEAST:
        return 0.0
    class_N = class_N[np.lexsort((np.random.default_rng(0).permutation(len(number_N)), number_N))]
    same = class_N[1:] == class_N[:-1]
    lone_N = ~np.append(same, False) & ~np.append(False, same)
    return max(0.0, 1 - float(lone_N.sum()) / float(open_rows))


def _copy(table: Table, name: str, targets: Sequence[str]) -> float:
    """Largest rank correlation of a number column with a target."""
    number_N, bad_N = cells.numbers(table, name)
    if bad_N.any():
        return 0.0
    return max((_spearman(number_N, cells.numbers(table, target)[0]) for target in targets), default=0.0)


def _spearman(one_N: np.ndarray, two_N: np.ndarray) -> float:
    from scipy.stats import rankdata

    both_N = ~(np.isnan(one_N) | np.isnan(two_N))
    if both_N.sum() < FEWEST or len(np.unique(one_N[both_N])) < LEAST or len(np.unique(two_N[both_N])) < LEAST:
        return 0.0
    share = abs(float(np.corrcoef(rankdata(one_N[both_N]), rankdata(two_N[both_N]))[0, 1]))
    return share if share >= 0.999 else 0.0


def word_findings(texts: Texts, labels: Answers) -> list[Finding]:
    """The label, or one word for each label, standing in the text."""
    rows = _spread(len(texts), SAMPLE)
    words = [set(re.sub(r"[\x00.,;:!?()\[\]{}\"'<>|=]", " ", fold(text)).split()) for text in texts.at(rows)]
    mine = list(labels.take(rows))
    if len(rows) < FEWEST or not any(mine):
        return []
    return _named(words, mine) or _marked(words, mine)


def _spread(n: int, most: int) -> np.ndarray:
    """At most so many of n positions, spread evenly."""
    return np.unique(np.linspace(0, max(0, n - 1), min(most, n)).astype(np.int64))


def _named(words: Sequence[set[str]], labels: Sequence[Sequence[str]]) -> list[Finding]:
    """Texts that hold the words of their own label, though not those of others."""
    def holds(row: set[str], answers: Sequence[str]) -> bool:
        return bool(answers) and all(set(re.findall(r"\w+", fold(a))) <= row for a in answers)

    own = np.array([holds(row, answers) for row, answers in zip(words, labels)])
    names = sorted({tuple(row) for row in labels})
    following = {name: names[(i + 1) % len(names)] for i, name in enumerate(names)}
    others = np.array([holds(row, following[tuple(answers)]) for row, answers in zip(words, labels)])
    if len(names) < 2 or own.mean() < SURE or others.mean() > 0.5:
        return []
    return [Finding("warning", "label-in-text", f"{own.mean():.0%} of the texts hold their own label as a word", (),
                    "take the label out of the text, unless it is there when a prediction is needed")]


def _marked(words: Sequence[set[str]], labels: Sequence[Sequence[str]]) -> list[Finding]:
    """A word per label that stands in (nearly) all of its texts and in (nearly) no other."""
    size = Counter(label for row in labels for label in row)
    have: dict[str, Counter[str]] = defaultdict(Counter)
    total = Counter(word for row in words for word in row)
    for row, answers in zip(words, labels):
        for label in answers:
            have[label].update(row)
    large = [label for label in size if size[label] >= LEAST]
    marks = {label: _mark(have[label], total, size[label], len(words)) for label in large}
    marked = {label: mark for label, mark in marks.items() if mark}
    if not marked or len(large) < 2 or len(large) - len(marked) > 1:
        return []
    shown = listing([f"{word!r} for {shorten(label)!r}" for label, word in sorted(marked.items())], 3)
    return [Finding("warning", "word-predicts-label", f"one word decides the label: {shown}", (),
                    "if it was added with the label, take it out of the text")]


def _mark(have: Counter[str], total: Counter[str], size: int, n: int) -> str:
    for word, times in have.most_common(50):
        if times >= 0.99 * size and total[word] - times <= 0.01 * (n - size):
            return word
    return ""
