"""Every task with every strategy meets every check of `tunesmith.testing`."""

import pytest

from tunesmith import testing
from tunesmith.registry import STRATEGIES, TASKS

FEW = ["encoding is pure", "sums add up", "scores are those promised"]
"""Checks that do not depend on the strategy: once a task is enough."""


@pytest.mark.parametrize("check", FEW)
@pytest.mark.parametrize("task", TASKS.names())
def test_task(task, check, tmp_path, tiny_bert):
    _run(check, task, "full", tiny_bert, tmp_path)


@pytest.mark.parametrize("check", [name for name in testing.CHECKS if name not in FEW])
@pytest.mark.parametrize("strategy", STRATEGIES.names())
@pytest.mark.parametrize("task", TASKS.names())
def test_pair(task, strategy, check, tmp_path, tiny_bert):
    _run(check, task, strategy, tiny_bert, tmp_path)


def _run(check, task, strategy, model, folder):
    try:
        testing.run(check, task, strategy, model, folder)
    except testing.Exempt as reason:
        pytest.skip(str(reason))
