"""Which column of a table is what: quantity, category, date, list, text, picture, or nothing to learn from; each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

from ..data.profile import ColumnProfile, Profile
from ..data.table import Table
from ..errors import listing
from . import columns, pixels, quantities

Role = Literal["numbers", "categories", "dates", "lists", "texts", "images", "leave_out"]
ROLES: tuple[Role, ...] = ("numbers", "categories", "dates", "lists", "texts", "images")
"""The roles of columns that are read."""
OBVIOUS = ("target", "label", "price", "y", "class", "outcome")
"""Names that say that a column is what the others are to tell."""
ENOUGH = {"": 2, "texts": 3, "pictures": 4}
"""Quantities, categories and dates that make a table of a file: two, more where it also holds texts or pictures, which other tasks read."""
MOST_PICTURES = 64
"""Columns of pictures that one table has at most."""
WORDS = 4.0
"""Words of a cell from which a column of texts is one that a text task would read."""
_PLACE = re.compile(
    r"(?i)(^|[_\W])(start|end|begin|offset|position|from|to|[xywh][012]?|[xy]_?(min|max|center|centre))([_\W]|$)"
)
_ADDRESS = re.compile(r"(?i)(https?://|www\.)\S+")


@final
@dataclass(frozen=True)
class Roles:
    """Column names by role, and why some have none."""

    names: Mapping[Role, Sequence[str]]
    why: Mapping[str, str] = field(default_factory=dict)
    """Column that is left out -> reason."""

    def reason(self, role: Role) -> str:
        """Why these columns have this role, for the plan."""
        if role == "leave_out":
            return "; ".join(f"{name!r} {why}" for name, why in self.why.items()) or "every column is read"
        return {
            "numbers": "quantities, or numbers as people write them", "categories": "few values that repeat", "dates": "dates or times",
            "lists": "lists of items", "texts": "texts, read by the encoder", "images": "pictures, read by an image encoder",
        }[role]


def target(profile: Profile, named: Mapping[str, Any]) -> tuple[str, bool, str] | None:
    """The column to tell from the others, whether it is a label (or a number), and why; None where no name says so.

    `named`: what the user said of `label` and `target`.
    """
    for option in ("label", "target"):
        if named.get(option):
            name = str(named[option])
            return (name, option == "label", "named by you") if name in profile.columns else None
    for name in OBVIOUS:
        for column in profile.columns.values():
            nature = _nature(column, profile.rows)
            if columns.same_name(column.name, name) and nature != "none":
                why = f"column {column.name!r} holds {columns.describe(column)}, and has a target's name"
                return column.name, nature == "classes", why
    return None


def _nature(column: ColumnProfile, rows: int) -> str:
    """`classes`, `numbers` or `none`; numbers as people write them count as numbers."""
    if column.kind in ("category", "text", "id") and quantities.style(column.examples, 0.0) is not None:
        return "numbers"
    found = columns.nature(column, rows)
    return found if found in ("classes", "numbers") else "none"


def telling(profile: Profile, target: str) -> tuple[int, str, bool]:
    """How many columns beside the target are quantities, categories or dates; `pictures` or `texts` where there are any, which other
    tasks read; whether there are files of another kind.

    Columns of yes and no do not count beside texts: several of them are labels of the text.
    """
    rest = [c for c in profile.columns.values() if c.name != target and not columns.is_split(c)]
    texts = any(c.kind == "text" and c.mean_words >= WORDS for c in rest)
    kinds = ("number", "integer", "category", "date") + (() if texts else ("boolean",))
    flags = {c.name for c in rest if texts and c.kind in ("integer", "number") and (c.low, c.high, c.distinct) == (0.0, 1.0, 2)}
    told = [c for c in rest if c.kind in kinds or _measured(c)]
    found = [c for c in told if c.name not in flags and c.mean_words < WORDS and not _place(c)]
    pictures = [c for c in rest if pixels.holds_images(c)]
    other = any(c.kind in ("path", "files") and c not in pictures for c in rest) or len(pictures) > MOST_PICTURES
    return len(found), "pictures" if pictures else "texts" if texts else "", other


def _measured(column: ColumnProfile) -> bool:
    """Whether texts that hardly repeat are quantities with a unit or separators: `$1,250`, `85 m²`, `4.5k`."""
    return column.kind in ("text", "id") and _quantities(column, column.examples)


def _place(column: ColumnProfile) -> bool:
    """Whether a column tells a place in a text (of a span) or on a picture (of a box), by its name."""
    return bool(_PLACE.search(column.name))


def of(table: Table, profile: Profile, target: str, named: Mapping[Role, Sequence[str]]) -> Roles:
    """The role of each column that the user gave none, found from all of its cells. `named`: those that have one, or are left out.

    Roles that the user named keep exactly the columns named; others get what is left.
    """
    taken = {target, *(name for names in named.values() for name in names)}
    found: dict[Role, list[str]] = {role: list(named.get(role, ())) for role in (*ROLES, "leave_out")}
    why: dict[str, str] = {}
    for column in profile.columns.values():
        if column.name in taken:
            continue
        role, reason = _role(column, table, profile.rows)
        if role == "leave_out":
            why[column.name] = reason
            found[role] += [] if role in named else [column.name]
        elif role not in named:
            found[role].append(column.name)
    return Roles(found, why)


def _role(column: ColumnProfile, table: Table, rows: int) -> tuple[Role, str]:
    if column.kind in ("path", "files") and pixels.holds_images(column):
        return "images", ""
    idle = _idle(column)
    if column.kind in ("category", "text", "id") and (not idle or column.kind == "id"):
        if _quantities(column, table.column(column.name)):
            return "numbers", ""
    if idle:
        return "leave_out", idle
    if column.kind == "list":
        return ("lists" if column.mean_words > 1 or column.distinct > 1 else "categories"), ""
    kinds: dict[str, Role] = {
        "number": "numbers", "integer": "numbers", "boolean": "categories", "category": "categories", "date": "dates", "text": "texts",
    }
    return kinds[column.kind], ""


def _idle(column: ColumnProfile) -> str:
    """Why nothing is to be learned from a column; empty where something is."""
    if columns.is_split(column):
        return "names the part that a row belongs to"
    if column.kind == "constant":
        return "is empty" if not column.examples else "says the same in every row"
    if column.examples and all(isinstance(cell, str) and _ADDRESS.fullmatch(cell.strip()) for cell in column.examples):
        return "holds web addresses"
    if column.kind == "id":
        return "is another value in each row"
    if column.kind in ("path", "files"):
        return "holds files that are no pictures: this task reads tables, texts and pictures"
    return ""


def _quantities(column: ColumnProfile, cells: Sequence[Any]) -> bool:
    """Whether these texts of a column are quantities; where each row has another, bare numbers are names of rows."""
    how = _written(cells)
    return how is not None and (column.kind != "id" or how != quantities.Style() or quantities.scaled(cells))


def _written(cells: Sequence[Any]) -> quantities.Style | None:
    """How texts write numbers; None where they are none. Codes with leading zeros are none."""
    texts = {cell.strip() for cell in cells if isinstance(cell, str)}
    return None if any(re.match(r"0\d", text) for text in texts) else quantities.style(cells)


def missing(profile: Profile, names: Iterable[str]) -> list[str]:
    """Names that the table does not have."""
    return [name for name in names if name not in profile.columns]


def shown(names: Sequence[str]) -> str:
    """Names for a sentence."""
    return listing([repr(name) for name in names], 12)


def flat(value: str | Sequence[str]) -> tuple[str, ...]:
    """Names of columns, however they were given; none where they are still to be found."""
    return () if value in ("auto", "") else (value,) if isinstance(value, str) else tuple(value)
