"""What a result matrix says about learning and forgetting: pure formulas, numpy only.

In a result matrix ``R`` of shape ``[T, T]`` the entry ``R[i, j]`` is the score on task j after training on task i,
with tasks numbered in the order in which they were learned. A row is one moment, a column is one task.

A positive number always means the same, whether the score is an accuracy or a perplexity: transfer is a gain,
forgetting and intransigence are a loss. ``higher_is_better`` says which way the scores count, for all tasks or for
each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_accuracy(results: ArrayLike, *, higher_is_better: bool | Sequence[bool] = True) -> float:
    """Return the mean score over all tasks after the last one has been learned.

    A = 1/T ∑ⱼ R[T−1, j]  (Lopez-Paz & Ranzato, 2017).

    Args:
        results: Result matrix of shape ``[T, T]``; entries above the diagonal may be NaN.
        higher_is_better: Checked only: a mean keeps the direction of its scores, and one that mixes scores of
            both directions has none.

    Returns:
        The mean, in the unit of the scores.

    Raises:
        ValueError: The matrix is not square, has a NaN on or below its diagonal or an infinity, or mixes directions.
    """
    matrix = _result_matrix(results, at_least=1)
    if len(np.unique(_signs(higher_is_better, len(matrix)))) > 1:
        raise ValueError("a mean over scores where higher is better and scores where lower is better says nothing")
    return float(matrix[-1].mean())


def backward_transfer(results: ArrayLike, *, higher_is_better: bool | Sequence[bool] = True) -> float:
    """Return how much later learning changed the earlier tasks; negative means forgetting.

    BWT = 1/(T−1) ∑ⱼ (R[T−1, j] − R[j, j]) over all tasks but the last (Lopez-Paz & Ranzato, 2017). The last task
    is left out because nothing was learned after it: its difference is zero by construction.

    Args:
        results: Result matrix of shape ``[T, T]`` with T ≥ 2; entries above the diagonal may be NaN.
        higher_is_better: Direction of the scores, one for all tasks or one for each.

    Returns:
        The mean change, in the unit of the scores; positive if the earlier tasks improved.

    Raises:
        ValueError: The matrix is not square, smaller than 2 × 2, or has a NaN on or below its diagonal or an infinity.
    """
    matrix = _result_matrix(results, at_least=2)
    change = _signs(higher_is_better, len(matrix)) * (matrix[-1] - matrix.diagonal())
    return float(change[:-1].mean())


def forgetting(results: ArrayLike, *, higher_is_better: bool | Sequence[bool] = True) -> float:
    """Return how far the earlier tasks have fallen below the best they ever were.

    F = 1/(T−1) ∑ⱼ (max over i < T−1 of R[i, j]  −  R[T−1, j]) over all tasks but the last (Chaudhry et al., 2018).
    For two tasks this is backward transfer with the other sign, unless task 2 was already better before its turn.

    Args:
        results: Result matrix of shape ``[T, T]`` with T ≥ 2; entries above the diagonal may be NaN.
        higher_is_better: Direction of the scores, one for all tasks or one for each.

    Returns:
        The mean fall, in the unit of the scores; positive if something was forgotten.

    Raises:
        ValueError: The matrix is not square, smaller than 2 × 2, or has a NaN on or below its diagonal or an infinity.
    """
    matrix = _result_matrix(results, at_least=2) * _signs(higher_is_better, len(np.asarray(results)))
    best_before = np.nanmax(matrix[:-1, :-1], axis=0)
    return float((best_before - matrix[-1, :-1]).mean())


def forward_transfer(
    results: ArrayLike, single_task: ArrayLike, *, higher_is_better: bool | Sequence[bool] = True
) -> float:
    """Return how much better a task is learned after other tasks than alone.

    FWT = 1/(T−1) ∑ⱼ (R[j, j] − single_task[j]) over all tasks but the first (as in Wang et al., 2024). The original
    measure reads the score on a task *before* it is learned; a classifier has no head for it then, so that score is
    NaN here.

    Args:
        results: Result matrix of shape ``[T, T]`` with T ≥ 2; entries above the diagonal may be NaN.
        single_task: Shape ``[T]``: score on each task of a model that learned only this task, with the same budget;
            the first entry is not used and may be NaN.
        higher_is_better: Direction of the scores, one for all tasks or one for each.

    Returns:
        The mean gain, in the unit of the scores; positive if earlier tasks helped.

    Raises:
        ValueError: Shapes do not fit, or a score that is needed is NaN or infinite.
    """
    matrix = _result_matrix(results, at_least=2)
    alone = _scores_per_task(single_task, len(matrix), "single_task", first=1)
    gain = _signs(higher_is_better, len(matrix)) * (matrix.diagonal() - alone)
    return float(gain[1:].mean())


def intransigence(results: ArrayLike, joint: ArrayLike, *, higher_is_better: bool | Sequence[bool] = True) -> float:
    """Return how much of each task was never learned, compared with training on all tasks together.

    I = 1/T ∑ⱼ (joint[j] − R[j, j])  (Chaudhry et al., 2018). A method that learns nothing forgets nothing: this
    measure belongs beside ``forgetting``.

    Args:
        results: Result matrix of shape ``[T, T]``; entries above the diagonal may be NaN.
        joint: Shape ``[T]``: score on each task of a model trained on the tasks together.
        higher_is_better: Direction of the scores, one for all tasks or one for each.

    Returns:
        The mean shortfall, in the unit of the scores; positive if learning was held back.

    Raises:
        ValueError: Shapes do not fit, or a score that is needed is NaN or infinite.
    """
    matrix = _result_matrix(results, at_least=1)
    reference = _scores_per_task(joint, len(matrix), "joint")
    shortfall = _signs(higher_is_better, len(matrix)) * (reference - matrix.diagonal())
    return float(shortfall.mean())


def minimum_accuracy(curves: Sequence[ArrayLike], *, higher_is_better: bool | Sequence[bool] = True) -> float:
    """Return how low the old tasks fell on the way, however well they recovered.

    min-ACC = 1/(T−1) ∑ⱼ min over n of A(j, n), with A(j, n) the score on old task j at the n-th evaluation after its
    own training ended (De Lange et al., 2023, "Continual evaluation for lifelong learning", on the stability gap).
    It can only be as low as somebody looked: score at every step just after a switch.

    Args:
        curves: For each old task its scores, in the order of time, from the end of its own training on.
        higher_is_better: Direction of the scores, one for all tasks or one for each; where lower is better the worst
            is the largest.

    Returns:
        The mean over the old tasks, in the unit of the scores.

    Raises:
        ValueError: There is no old task, or one has no score or a NaN among them.
    """
    if len(curves) == 0:
        raise ValueError("this measure looks at old tasks: it needs the curve of at least one")
    signs = _signs(higher_is_better, len(curves))
    worst = []
    for sign, curve in zip(signs, curves, strict=True):
        scores = np.asarray(curve, dtype=np.float64)
        if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
            raise ValueError("each old task needs a list of at least one score after its own training, without NaN")
        worst.append(float(sign * (sign * scores).min()))
    return float(np.mean(worst))


def worst_case_accuracy(
    curves: Sequence[ArrayLike], newest: float, *, higher_is_better: bool | Sequence[bool] = True
) -> float:
    """Return the average score that a user of the model can rely on at any time after the tasks were learned.

    WC-ACC = 1/T · newest + (1 − 1/T) · min-ACC (De Lange et al., 2023), with T − 1 old tasks.

    Args:
        curves: As for ``minimum_accuracy``.
        newest: Present score on the task learned last.
        higher_is_better: Direction of the old tasks' scores.

    Returns:
        In the unit of the scores.

    Raises:
        ValueError: As for ``minimum_accuracy``, or ``newest`` is NaN.
    """
    if math.isnan(newest):
        raise ValueError("the score on the newest task is needed, but it is NaN")
    tasks = len(curves) + 1
    return newest / tasks + (1 - 1 / tasks) * minimum_accuracy(curves, higher_is_better=higher_is_better)


def _result_matrix(results: ArrayLike, *, at_least: int) -> NDArray[np.float64]:
    """Return the results as a float matrix after checking all that the formulas rely on."""
    matrix = np.array(results, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a result matrix has as many rows as columns, got an array of shape {matrix.shape}")
    if len(matrix) < at_least:
        raise ValueError(f"this measure compares tasks: it needs at least {at_least} of them, got {len(matrix)}")
    rows, columns = np.nonzero(np.isnan(matrix) & np.tri(len(matrix), dtype=bool))
    if len(rows):
        raise ValueError(
            f"R[{rows[0]}, {columns[0]}] is NaN: the score on task {columns[0]} after training on task {rows[0]} is "
            "needed; only scores before a task is learned, above the diagonal, may be missing"
        )
    if np.isinf(matrix).any():
        row, column = np.argwhere(np.isinf(matrix))[0]
        raise ValueError(
            f"R[{row}, {column}] is {matrix[row, column]}, which no mean survives: is it a perplexity beyond the "
            "largest float, or a division by zero?"
        )
    return matrix


def _scores_per_task(scores: ArrayLike, tasks: int, name: str, *, first: int = 0) -> NDArray[np.float64]:
    """Return one score per task as floats after checking length and NaN from task ``first`` on."""
    vector = np.asarray(scores, dtype=np.float64)
    if vector.shape != (tasks,):
        raise ValueError(f"{name} needs one score for each of the {tasks} tasks, got an array of shape {vector.shape}")
    if np.isinf(vector[first:]).any():
        raise ValueError(f"{name} has an infinite score, which no mean survives")
    if np.isnan(vector[first:]).any():
        raise ValueError(f"{name} has a NaN: the score of every task from number {first} on is needed")
    return vector


def _signs(higher_is_better: bool | Sequence[bool], tasks: int) -> NDArray[np.float64]:
    """Return +1 or −1 for each task, so that a signed score is better when it is higher."""
    if np.asarray(higher_is_better).dtype != bool:
        raise ValueError(f"higher_is_better must be True or False, or a list of them, got {higher_is_better!r}")
    directions = np.asarray(higher_is_better, dtype=bool)
    if directions.ndim and directions.shape != (tasks,):
        raise ValueError(
            f"higher_is_better needs one value or one for each of the {tasks} tasks, got {directions.size}"
        )
    return np.where(np.broadcast_to(directions, (tasks,)), 1.0, -1.0)
