"""Which columns hold texts that belong together: by their names, or by what the user named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.profile import Profile
from ..spec import Choice
from ..task import Claim
from . import columns

PAIRS = (("anchor", "positive"), ("query", "positive"), ("question", "positive"), ("query", "pos"))
"""Names by which a table of pairs is known, whatever its texts."""
NEGATIVES = ("negative", "neg", "hard_negative")
UNASKED = 0.05
"""How sure a claim is that is meant for those who name the task."""


def claim(profile: Profile, named: Mapping[str, Any]) -> Claim | None:
    """Anchors with positives, surely; a scored pair or a labelled text for those who name the task."""
    bare = {name.lower(): name for name in profile.columns}
    pair = next(((bare[one], bare[other]) for one, other in PAIRS if one in bare and other in bare), None)
    asked = (named.get("anchor"), named.get("positive"))
    if named.get("text") or (pair is None and not all(asked)):
        return None if any(asked) else _beside(profile, named)
    names = tuple(one or two for one, two in zip(asked, pair or ("", "")))
    why = f"columns {names[0]!r} and {names[1]!r} hold texts that belong together"
    found = {role: Choice[Any](name, "named by you" if named.get(role) else why) for role, name in zip(("anchor", "positive"), names)}
    negative = named.get("negative") or next((bare[name] for name in NEGATIVES if name in bare), "")
    if negative:
        found["negative"] = Choice(negative, f"column {negative!r} holds texts that do not belong to the anchor")
    return Claim(found, 0.97, f"{why}: vectors that find them")


def _beside(profile: Profile, named: Mapping[str, Any]) -> Claim | None:
    """A scored pair or a labelled text: what other tasks would rather have."""
    inputs = columns.text_columns(profile, {"similarity": "", "label": "", **named})
    if inputs is None:
        return None
    taken, paired = [choice.value for choice in inputs.values()], "text_pair" in inputs
    role = "similarity" if paired else "label"
    names = columns.NUMBER_NAMES if paired else columns.CLASS_NAMES
    found = columns.target_column(profile, taken, ("numbers",) if paired else ("classes",), names)
    if named.get(role):
        target = Choice[Any](named[role], "named by you")
    elif found is None:
        return None
    else:
        target = Choice[Any](found[0].name, f"column {found[0].name!r} holds {columns.describe(found[0])}")
    return Claim(inputs | {role: target}, UNASKED, "you named the task")
