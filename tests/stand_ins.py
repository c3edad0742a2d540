"""Stand-ins for tasks: what one does not answer itself, it answers as `Task` does, today and after the next change of the contract."""

from __future__ import annotations

from tunesmith.task import Task


class StandIn:
    """The optional answers that judging and the report ask for."""

    oracles = Task.oracles
    chooses = Task.chooses
    condense = Task.condense
    grade = Task.grade
    headlines = Task.headlines
    how_scored = Task.how_scored
    sections = Task.sections
    pictured = Task.pictured
    rests_on = Task.rests_on

    def columns(self, roles: tuple[str, ...]) -> list[str]:
        """Roles are called as their columns."""
        return list(roles)
