"""Exercise 1.1: backward transfer and forgetting from a result matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

NAN = float("nan")

# Task 0 is best after task 1, and the unlearned scores above the diagonal are missing once and misleading once.
_MATRICES = {
    "four tasks": [[0.60, NAN, NAN, NAN], [0.90, 0.83, NAN, NAN], [0.55, 0.71, 0.97, NAN], [0.42, 0.64, 0.78, 0.99]],
    "three tasks": [[0.80, 0.31, 0.22], [0.88, 0.61, 0.13], [0.44, 0.67, 0.91]],
    "two tasks": [[0.50, 0.20], [0.70, 0.60]],
    # Tasks 1 and 3 are at their best before their own turn.
    "five tasks": [
        [0.70, 0.86, 0.20, 0.79, 0.1],
        [0.52, 0.75, 0.31, 0.30, 0.2],
        [0.66, 0.58, 0.83, 0.24, 0.3],
        [0.49, 0.61, 0.88, 0.64, 0.4],
        [0.57, 0.43, 0.62, 0.69, 0.9],
    ],
}


def _examine_measures(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, matrix in _MATRICES.items():
        results = np.array(matrix)
        pair = answer(results)
        if not np.array_equal(results, np.array(matrix), equal_nan=True):
            raise CheckFailed("your code changed the result matrix itself. Compute on a copy.")
        one_array = isinstance(pair, np.ndarray | torch.Tensor)
        if not (one_array or isinstance(pair, tuple | list)) or (one_array and pair.ndim == 0) or len(pair) != 2:
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


def _terms(results: Any) -> tuple[Any, Any]:
    """What the two measures average: a number for each task but the last."""
    last, learned = results[-1, :-1], np.diagonal(results)[:-1]
    return last - learned, np.nanmax(results[:-1, :-1], axis=0) - last


def _of_terms(change: Callable[[Any, int], Any]) -> Callable[[Any], Any]:
    """Return what a function makes of each measure's terms and the number of tasks."""
    return lambda results: tuple(float(change(terms, len(results))) for terms in _terms(results))


def _best_since(results: Any) -> float:
    """Forgetting from the best score since a task was learned."""
    tasks = len(results)
    return float(np.mean([np.max(results[j : tasks - 1, j]) - results[-1, j] for j in range(tasks - 1)]))


def _relative(results: Any) -> tuple[float, float]:
    last, learned = results[-1, :-1], np.diagonal(results)[:-1]
    best = np.nanmax(results[:-1, :-1], axis=0)
    return float(np.mean((last - learned) / learned)), float(np.mean((best - last) / best))


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
        "{} is the mean of absolute changes. A task that got better counts with the other sign: no abs().",
        _of_terms(lambda terms, tasks: np.mean(np.abs(terms))),
    ),
    (
        "{} is the absolute value of the mean. Its sign says whether something was lost: no abs().",
        _of_terms(lambda terms, tasks: abs(np.mean(terms))),
    ),
    (
        "{} is relative: each change is divided by the score before. Leave it in the unit of the scores.",
        _relative,
    ),
    (
        "{} has the first task's term alone, divided by T − 1: is there a return inside the loop?",
        _of_terms(lambda terms, tasks: terms[0] / (tasks - 1)),
    ),
    (
        "{} is the first task's alone: is there a return inside the loop?",
        _of_terms(lambda terms, tasks: terms[0]),
    ),
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
            "backward transfer compares with the first row of R, and leaves out what is missing there. Compare with "
            "R[j, j].",
            _measures_by(lambda r: np.nanmean(r[-1, :-1] - r[0, :-1]), lambda r: 0.0),
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
            "backward transfer cuts off gains, task by task. Average the changes as they are.",
            _measures_by(lambda r: np.mean(np.minimum(_terms(r)[0], 0)), lambda r: 0.0),
            "backward transfer",
        ),
        Mistake(
            "forgetting counts from the best score since the task was learned. A task may be known better before its "
            "turn: take the best of all rows but the last.",
            _measures_by(lambda r: 0.0, _best_since),
            "forgetting",
        ),
        Mistake(
            "no task's forgetting can be negative here: the best is taken over all rows, the last one too, or gains "
            "are cut off at zero. Leave the last row out, and a gain negative.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmax(r[:, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting compares with the row before the last alone. Take each task's best score of all rows but the "
            "last.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(r[-2, :-1] - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes each task's smallest score before the end. Take the largest.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmin(r[:-1, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes each task's mean score before the end. Take the largest.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmean(r[:-1, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting looks for the best score up to the moment when a task was learned. It may get better later: "
            "take the best of all rows but the last.",
            _measures_by(
                lambda r: 0.0, lambda r: np.mean([np.nanmax(r[: j + 1, j]) - r[-1, j] for j in range(len(r) - 1)])
            ),
            "forgetting",
        ),
        Mistake(
            "forgetting leaves out tasks of which a score is missing. Leave out the missing score (np.nanmax), not the "
            "task.",
            _measures_by(lambda r: 0.0, lambda r: np.nanmean(np.max(r[:-1, :-1], axis=0) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting takes the largest score of all tasks before the end. Take the largest of each column, one per "
            "task.",
            _measures_by(lambda r: 0.0, lambda r: np.mean(np.nanmax(r[:-1, :-1]) - r[-1, :-1])),
            "forgetting",
        ),
        Mistake(
            "forgetting is the largest of the drops. Take their mean.",
            _measures_by(lambda r: 0.0, lambda r: np.max(_terms(r)[1])),
            "forgetting",
        ),
        Mistake(
            "backward transfer leaves out the first task and counts the last, to which nothing can have happened yet.",
            _measures_by(lambda r: np.mean((r[-1] - np.diagonal(r))[1:]), lambda r: 0.0),
            "backward transfer",
        ),
        Mistake(
            "backward transfer compares with the row before the last. Compare with R[j, j], just after task j was "
            "learned.",
            _measures_by(lambda r: np.mean(r[-1, :-1] - r[-2, :-1]), lambda r: 0.0),
            "backward transfer",
        ),
        Mistake(
            "backward transfer compares with the best score before the end; that is forgetting with the other sign. "
            "Compare with R[j, j].",
            _measures_by(lambda r: -np.mean(_terms(r)[1]), lambda r: 0.0),
            "backward transfer",
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
