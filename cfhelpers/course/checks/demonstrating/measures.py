"""Exercise 1.1: backward transfer and forgetting from a result matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

NAN = float("nan")

# Task 0 is best after task 1, and the unlearned scores above the diagonal are missing once and misleading once.
_MATRICES = {
    "four tasks": [[0.60, NAN, NAN, NAN], [0.90, 0.83, NAN, NAN], [0.55, 0.71, 0.97, NAN], [0.42, 0.64, 0.78, 0.99]],
    "three tasks": [[0.80, 0.31, 0.22], [0.88, 0.61, 0.13], [0.44, 0.67, 0.91]],
}


def _examine_measures(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, matrix in _MATRICES.items():
        results = np.array(matrix)
        pair = answer(results)
        if not np.array_equal(results, np.array(matrix), equal_nan=True):
            raise CheckFailed("your code changed the result matrix itself. Compute on a copy.")
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise CheckFailed("return two numbers: backward transfer, then forgetting.")
        for part, value in zip(("backward transfer", "forgetting"), pair, strict=True):
            numbers[f"{case}: {part}"] = number(value, part)
    return numbers


def _measures(results: Any) -> tuple[float, float]:
    last, learned = results[-1, :-1], np.diagonal(results)[:-1]
    return float(np.mean(last - learned)), float(np.mean(np.nanmax(results[:-1, :-1], axis=0) - last))


def _measures_by(transfer: Callable[[Any], Any], forgetting: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda results: (transfer(results), forgetting(results))


def _both(change: Callable[[float, int], float]) -> Callable[[Any], Any]:
    """Return the right measures, changed by a function of the value and the number of tasks."""
    return lambda results: tuple(change(value, len(results)) for value in _measures(results))


_OVER_T = "is averaged over all T tasks. The last task has not been followed by anything, so its term is zero: T − 1."
_UPSIDE_DOWN = "has the wrong sign: backward transfer is after minus before, forgetting is best before minus after."
_TRANSPOSED = (
    "is read from a transposed matrix. R[i, j] is the score on task j (column) after training on task i (row)."
)
_MEASURE_MISTAKES = [
    ("{} " + _OVER_T, _both(lambda value, tasks: value * (tasks - 1) / tasks)),
    ("{} " + _UPSIDE_DOWN, _both(lambda value, tasks: -value)),
    ("{} " + _TRANSPOSED, lambda results: _measures(np.where(np.isnan(results.T), 0, results.T))),
    ("{} " + _TRANSPOSED, lambda results: _measures(results.T)),
    (
        "{} is a sum. Divide it by the number of tasks that count, T − 1.",
        _both(lambda value, tasks: value * (tasks - 1)),
    ),
    ("{} is in percent, but the scores are shares.", _both(lambda value, tasks: 100 * value)),
    (
        "{} looks one task ahead only. Compare with the last row of R, when everything has been learned.",
        _measures_by(
            lambda r: np.mean(np.diagonal(r, -1) - np.diagonal(r)[:-1]),
            lambda r: np.mean(np.diagonal(r)[:-1] - np.diagonal(r, -1)),
        ),
    ),
]

transfer_and_forgetting = Exercise(
    number="1.1",
    reread="Two numbers from a matrix",
    verified="both averages are over T − 1 tasks, and forgetting is counted from the best earlier score",
    reference=_measures,
    library=lambda results: (metrics.backward_transfer(results), metrics.forgetting(results)),
    examine=_examine_measures,
    mistakes=[
        Mistake("the two numbers are in the wrong order: backward transfer comes first.", lambda r: _measures(r)[::-1]),
        *(
            Mistake(advice.format(part), imitate, part)
            for part in ("backward transfer", "forgetting")
            for advice, imitate in _MEASURE_MISTAKES
        ),
        Mistake(
            "backward transfer compares with the first row of R. Compare with R[j, j], just after task j was learned.",
            _measures_by(lambda r: np.mean(r[-1, :-1] - np.nan_to_num(r[0, :-1])), lambda r: 0.0),
            "backward transfer",
        ),
        Mistake(
            "backward transfer compares with the first row of R, where scores are missing. Compare with R[j, j].",
            _measures_by(lambda r: np.mean(r[-1, :-1] - r[0, :-1]), lambda r: 0.0),
            "backward transfer",
        ),
        Mistake(
            "forgetting is counted from R[j, j]. A task may get better later: count from its best score before "
            "the end.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.diagonal(r)[:-1] - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes the best over all rows, the last one too, so it can never be negative. Leave the "
            "last row out.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmax(r[:, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting has the last task among its columns. Nothing came after it: leave its column out.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.fmax.reduce(r[:-1], axis=0) - r[-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes the largest score of the whole matrix. Take the largest of each column, one per task.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmax(r) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes the largest score of each row. Rows are moments; take the largest of each column.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmax(r, axis=1)[:-1] - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting is NaN, because scores before a task was learned are missing. Leave them out: np.nanmax.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.max(r[:-1, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting is NaN, because scores before a task was learned are missing. Leave them out (np.nanmax), "
            "and "
            "leave the last row out too.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.max(r[:, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
    ],
)
