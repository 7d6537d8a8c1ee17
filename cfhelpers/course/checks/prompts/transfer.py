"""Exercise 6.3: forward transfer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

Array = NDArray[np.float64]


def _cases() -> dict[str, tuple[Array, Array]]:
    """Result matrices with NaN where a task has no head yet, and scores of each task alone."""
    generator = np.random.default_rng(63)
    cases = {}
    # What earlier tasks gave and took: some of both, so that cutting off or turning round shows.
    for gains in ((0.05, -0.2, 0.07), (-0.03, 0.11, -0.04, 0.02), (0.06, -0.09)):
        tasks = len(gains)
        matrix = generator.uniform(0.3, 0.9, (tasks, tasks))
        matrix[np.triu_indices(tasks, 1)] = np.nan
        cases[f"{tasks} tasks"] = (matrix, np.diag(matrix) - np.array(gains))
    return cases


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (matrix, alone) in _cases().items():
        given = matrix.copy(), alone.copy()
        found = answer(*given)
        if not (np.array_equal(given[0], matrix, equal_nan=True) and np.array_equal(given[1], alone)):
            raise CheckFailed("your code changed the arrays it was given. Compute from copies.")
        numbers[f"{case}: forward transfer"] = number(found, "forward transfer")
    return numbers


def _right(matrix: Array, alone: Array) -> float:
    gains = [matrix[task][task] - alone[task] for task in range(1, len(alone))]
    return sum(gains) / len(gains)


forward_transfer = Exercise(
    number="6.3",
    reread="Does it help to have learned before?",
    verified="each task but the first is compared, when just learned, with itself learned alone",
    reference=_right,
    library=metrics.forward_transfer,
    examine=_examine,
    mistakes=[
        Mistake(
            "the first task is counted too. Nothing was learned before it: leave it out of sum and count.",
            lambda matrix, alone: float(np.mean(np.diag(matrix) - alone)),
        ),
        Mistake(
            "the sum was divided by the number of tasks. The first is not among those compared: divide by T − 1.",
            lambda matrix, alone: float(np.sum((np.diag(matrix) - alone)[1:]) / len(alone)),
        ),
        Mistake(
            "the scores at the end were taken, with all that was forgotten since. Take each task when it was just "
            "learned: the diagonal.",
            lambda matrix, alone: float(np.mean((matrix[-1] - alone)[1:])),
        ),
        Mistake(
            "the sign is wrong: a gain from earlier tasks is positive.",
            lambda matrix, alone: -_right(matrix, alone),
        ),
        Mistake("this is the sum over the tasks. Take the mean.", lambda m, a: _right(m, a) * (len(a) - 1)),
        Mistake(
            "the last task was left out instead of the first.",
            lambda matrix, alone: float(np.mean((np.diag(matrix) - alone)[:-1])),
        ),
        Mistake(
            "this is backward transfer: the scores at the end minus the diagonal. Compare the diagonal with the task "
            "learned alone.",
            lambda matrix, alone: float(np.mean((matrix[-1] - np.diag(matrix))[:-1])),
        ),
        Mistake(
            "the entry above the diagonal was read, the score before a task is learned; without a head there is none "
            "(NaN). Take the diagonal.",
            lambda matrix, alone: float(np.mean(np.diag(matrix, 1) - alone[1:])),
        ),
        Mistake(
            "the entries below the diagonal were read, a task's score one task later. Take the diagonal.",
            lambda matrix, alone: float(np.mean(np.diag(matrix, -1) - alone[:-1])),
        ),
        Mistake(
            "losses were cut off at zero. A task that earlier ones made harder counts as what it is.",
            lambda matrix, alone: float(np.mean(np.maximum(np.diag(matrix) - alone, 0)[1:])),
        ),
        Mistake(
            "absolute values were taken: harm from earlier tasks would count as help.",
            lambda matrix, alone: float(np.mean(np.abs(np.diag(matrix) - alone)[1:])),
        ),
        Mistake(
            "this is a ratio to the score alone. Forward transfer is a difference.",
            lambda matrix, alone: float(np.mean((np.diag(matrix) / alone)[1:])),
        ),
        Mistake(
            "each gain is divided by the score alone. Forward transfer is a difference.",
            lambda matrix, alone: float(np.mean(((np.diag(matrix) - alone) / alone)[1:])),
        ),
        Mistake(
            "gains were cut off at zero. A task that earlier ones made easier counts as what it is.",
            lambda matrix, alone: float(np.mean(np.minimum(np.diag(matrix) - alone, 0)[1:])),
        ),
        Mistake(
            "only the second task is compared: is there a return inside the loop?",
            lambda matrix, alone: float(np.diag(matrix)[1] - alone[1]),
        ),
        Mistake(
            "only the second task is compared and divided by the number of those compared: is there a return inside "
            "the loop?",
            lambda matrix, alone: float(np.diag(matrix)[1] - alone[1]) / (len(alone) - 1),
        ),
        Mistake(
            "only the last task is compared. Take the mean over all but the first.",
            lambda matrix, alone: float(matrix[-1, -1] - alone[-1]),
        ),
        Mistake(
            "only the first task is compared, before which nothing was learned. Take the mean over all others.",
            lambda matrix, alone: float(matrix[0, 0] - alone[0]),
        ),
        Mistake(
            "the first and the last task are left out. Leave out the first alone.",
            lambda matrix, alone: float(np.sum((np.diag(matrix) - alone)[1:-1]) / max(len(alone) - 2, 1)),
        ),
        Mistake(
            "the scores at the end were taken, the first task's too. Take each task when it was just learned: the "
            "diagonal, without the first.",
            lambda matrix, alone: float(np.mean(matrix[-1] - alone)),
        ),
        Mistake(
            "each task is compared with the score alone of the task before it. Compare it with its own.",
            lambda matrix, alone: float(np.mean(np.diag(matrix)[1:] - alone[:-1])),
        ),
        Mistake(
            "the first column was read: the first task at every time. Take the diagonal.",
            lambda matrix, alone: float(np.mean(matrix[1:, 0] - alone[1:])),
        ),
        Mistake(
            "each task's best score was taken. Take it when it was just learned: the diagonal.",
            lambda matrix, alone: float(np.mean((np.nanmax(matrix, axis=0) - alone)[1:])),
        ),
        Mistake(
            "each task's mean score since it was learned was taken. Take it when it was just learned: the diagonal.",
            lambda matrix, alone: float(np.mean((np.nanmean(matrix, axis=0) - alone)[1:])),
        ),
        Mistake(
            "the median was taken. Take the mean.",
            lambda matrix, alone: float(np.median((np.diag(matrix) - alone)[1:])),
        ),
        Mistake("this is in percent, but the scores are shares.", lambda m, a: 100 * _right(m, a)),
        Mistake(
            "missing scores count as 0, and whole columns were averaged. Take the diagonal.",
            lambda matrix, alone: float(np.mean((np.nan_to_num(matrix).mean(axis=0) - alone)[1:])),
        ),
        Mistake(
            "the largest gain was taken. Take the mean.",
            lambda matrix, alone: float(np.max((np.diag(matrix) - alone)[1:])),
        ),
        Mistake(
            "nothing was subtracted: this is the mean score. Subtract the score of each task learned alone.",
            lambda matrix, alone: float(np.mean(np.diag(matrix)[1:])),
        ),
    ],
)
