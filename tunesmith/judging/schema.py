"""What `report.json` holds. Numbers that are not finite are null; user texts are raw, and whoever renders them escapes
them."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

VERSION = 1


class Score(TypedDict):
    """One score with its interval."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    """`wilson`, `bootstrap` or `fixed`."""


class Part(TypedDict):
    """Scores on one set of rows."""

    rows: int
    groups: int
    """Groups of rows that count as one piece of evidence (duplicates); equals `rows` where there are none."""
    resamples: int
    capped: bool
    """Whether time allowed fewer resamples than asked."""
    scores: dict[str, Score]
    """Headline first."""


class Rung(TypedDict):
    """One step of the baseline ladder, on the test rows."""

    name: str
    title: str
    tuned: bool
    scores: dict[str, Score]
    seconds: float | None
    """Time to fit and answer, where it is known."""
    comparison: dict[str, Any] | None
    """The tuned model against this one in the headline score: `ours`, `theirs`, `difference` (a Score), `p`, `verdict`,
    `mcnemar`. None for the tuned model itself."""
    oracle: bool
    """It looked at the truth: an upper line, against which nothing is claimed."""


class Verdict(TypedDict):
    """Is the gain real?"""

    against: str
    word: Literal["better", "not distinguishable", "worse", "no baseline"]
    sentence: str


class Example(TypedDict):
    """One row with its answer."""

    place: str
    inputs: dict[str, str]
    marks: dict[str, list[list[Any]]]
    """Column -> [start, end, `truth` or `answer`, label] of what is pointed out in it."""
    pictures: dict[str, str]
    """Column -> a small copy of its image, or the beginning of its sound, as a `data:` address."""
    truth: str
    answer: str
    confidence: float | None
    loss: float
    right: bool


class Report(TypedDict):
    """The whole of `report.json`."""

    version: int
    kind: Literal["classes", "flags", "numbers", "texts", "other"]
    task: str
    metric: str
    """The headline score's name."""
    directions: dict[str, bool]
    level: float
    sentence: str
    """The headline in plain words: score, interval, rows, strongest baseline, verdict."""
    verdict: Verdict
    names: list[str]
    """Labels or targets."""
    inputs: list[str]
    """Columns that are read: what `predict` has to be given."""
    parts: dict[str, Part]
    """`validation`, `test`, and `test without leaked rows` where the user's own split leaks."""
    leaked: int
    ladder: list[Rung]
    """Weakest first, the tuned model last."""
    sharing: list[dict[str, Any]]
    """Per target, where models of their own were trained beside: `target`, `score`, `ours`, `theirs`, `difference`, `p`, `verdict`,
    `sentence`."""
    by_heart: str
    """Of a model that got next to nothing right: whether it knows its own training rows, and what follows; empty of any other."""
    power: dict[str, Any] | None
    """`rows`, `noise` (smaller differences are noise), `seen` (found four times in five), `sentence`."""
    calibration: dict[str, Any] | None
    """`bins`, `bins_before`, `before`, `after` (Scores of ECE), `chance`, `verdict`; None for numbers."""
    confusion: dict[str, Any] | None
    """`labels`, `counts` (truth x answer, or None), `pairs`, `unknown`; classes only."""
    per_label: list[dict[str, Any]]
    """`label`, `precision`, `recall`, `f1`, `low`, `high`, `support`, `answered`; empty for numbers."""
    numbers: list[dict[str, Any]]
    """Per target: `name`, `points`, `bins`, `slope`, `mean_error`, `error_quantiles`, `low`, `high`; empty for
    labels."""
    slices: list[dict[str, Any]]
    """`by`, `value`, `rows`, `score`, `low`, `high`, `p`, `clear`, worst first."""
    slice_score: str
    """What `score` of a slice is, in words."""
    overall: float | None
    """The same over all test rows."""
    chosen_by: str
    """The score by which validation rows chose the weights."""
    by_degree: bool
    """Rows are more or less right: `worst` is by how far off, `right` is drawn from all."""
    sections: list[list[Any]]
    """Title and scores of each table, where scores speak of different things; empty: one table."""
    how_scored: dict[str, str]
    """Score -> how it was counted, where there are several ways."""
    columns: list[dict[str, Any]]
    """Of a wide table: `name`, `read` (how) and `fall` (of the score `chosen_by` on validation rows, where its cells are shuffled)."""
    worst: list[Example]
    right: list[Example]
    looks: int
    """Looks at the test rows so far."""
