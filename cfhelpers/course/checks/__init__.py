"""Exercises that know what went wrong: one module per chapter, one callable per exercise.

``fisher = checks.ewc.fisher(fisher)`` checks an answer and returns what the notebook goes on with: the answer if it is
right, the library's version if it was not written yet. A wrong answer raises :class:`CheckFailed`, which names the
mistake and the cell to read again.
"""

from cfhelpers.course.checks import (
    adapters,
    demonstrating,
    distillation,
    ewc,
    fisher,
    language,
    prompts,
    replay,
    starting,
)
from cfhelpers.course.checks.exercise import CheckFailed, require_solved

__all__ = [
    "CheckFailed",
    "adapters",
    "demonstrating",
    "distillation",
    "ewc",
    "fisher",
    "language",
    "prompts",
    "replay",
    "require_solved",
    "starting",
]
