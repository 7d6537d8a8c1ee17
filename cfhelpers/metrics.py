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
from dataclasses import dataclass

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


def perplexity(total_nats: float, total_tokens: int) -> float:
    """Return the perplexity exp(total nats / total tokens) of a text.

    Collect both totals over the whole text first. The mean of the perplexities of its batches is another, larger
    number, and it depends on the batch size.

    Args:
        total_nats: Negative log-likelihood in nats, summed over every predicted token.
        total_tokens: Number of predicted tokens.

    Returns:
        The perplexity, at least 1; infinite where it exceeds the largest float.

    Raises:
        ValueError: There are no tokens, or the nats are negative or NaN.
    """
    if total_tokens <= 0:
        raise ValueError(f"perplexity needs at least one predicted token, got {total_tokens}")
    if not total_nats >= 0:
        raise ValueError(f"a negative log-likelihood cannot be {total_nats} nats")
    try:
        return math.exp(total_nats / total_tokens)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Transitions:
    """Shares of all items that were known and are not any more (``lost``), and the reverse (``gained``)."""

    lost: float
    gained: float


def transitions(before: ArrayLike, after: ArrayLike, *, chance: float = 0.0) -> Transitions:
    """Return which share of the items was lost and which was gained, corrected for guessing.

    A net change of zero can hide a fifth lost and a fifth gained; items show both (Harmon et al., 2025). Where a guess
    is right with probability c, an item that is unknown both times still goes from right to wrong, and from wrong to
    right, with probability c (1 − c). If unknown items are guessed, independently before and after, the share of items
    unknown both times is u = W / (1 − c)², with W the share wrong both times, and

    lost = (right → wrong) / (1 − c) − c u,   gained = (wrong → right) / (1 − c) − c u.

    Both are right on average; of few items a single one may come out below zero.

    Args:
        before: Shape ``[N]``: whether each item was answered right.
        after: Shape ``[N]``: the same items, later.
        chance: c, the probability that a guess is right: 1/k for k choices, 0 where nobody guesses right.

    Raises:
        ValueError: Shapes differ or are not ``[N]``, there are no items, or the chance lies outside [0, 1).
    """
    first, second = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(f"transitions compare the same items twice, got shapes {first.shape} and {second.shape}")
    if not 0 <= chance < 1:
        raise ValueError(f"chance must lie in [0, 1), got {chance}")
    guessed = chance * float((~first & ~second).mean()) / (1 - chance) ** 2
    lost, gained = float((first & ~second).mean()), float((~first & second).mean())
    return Transitions(lost / (1 - chance) - guessed, gained / (1 - chance) - guessed)


def savings(relearned: float, never_known: float, *, ceiling: float = 1.0) -> float:
    """Return how much of what a fresh learner lacks a forgetful one still had, after the same short lesson.

    (relearned − never known) / (ceiling − never known), after Ebbinghaus (1885), who counted the time saved. Zero: the
    forgotten is gone, the model is like one that never knew it. One: it was only out of reach.

    Args:
        relearned: Score, on what was *not* in the lesson, of the model that had forgotten.
        never_known: The same of a model that never knew it, after the same lesson.
        ceiling: Score before anything was forgotten.

    Raises:
        ValueError: A score is NaN, or the model that never knew it has reached the ceiling.
    """
    if not all(math.isfinite(each) for each in (relearned, never_known, ceiling)):
        raise ValueError(f"savings need three scores, got {relearned}, {never_known} and {ceiling}")
    if never_known >= ceiling:
        raise ValueError(f"there is nothing to save: a model that never knew it scores {never_known} of {ceiling}")
    return (relearned - never_known) / (ceiling - never_known)


def explained_share(predictor: ArrayLike, outcome: ArrayLike) -> float:
    """Return R²: the share of an outcome's variance that a parabola in the predictor's logarithm explains.

    A parabola bends with an outcome that saturates, and the logarithm puts predictors of any unit on one footing; the
    same curve is fitted to each, so that their R² can be compared.

    Args:
        predictor: Shape ``[n]``, at least four values, positive.
        outcome: Shape ``[n]``.

    Raises:
        ValueError: Shapes differ, fewer than four points, a predictor that is not positive, or an outcome that is
            always the same.
    """
    x, y = np.asarray(predictor, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < 4:
        raise ValueError(f"R² of a parabola needs at least four points, got shapes {x.shape} and {y.shape}")
    if not (x > 0).all():
        raise ValueError("a predictor must be positive to have a logarithm")
    if np.ptp(y) == 0:
        raise ValueError("an outcome that is always the same leaves nothing to explain")
    rest = y - np.polyval(np.polyfit(np.log(x), y, 2), np.log(x))
    return float(1 - rest.var() / y.var())


@dataclass(frozen=True)
class Interval:
    """A mean over runs with its confidence interval; the bounds are NaN where there was only one run."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """Half the length of the interval, in the unit of the mean."""
        return self.high - self.mean

    def __format__(self, specification: str) -> str:
        """Write ``mean ± half width``, both in the given format; without the interval if there was only one run."""
        mean = format(self.mean, specification)
        return mean if self.count == 1 else f"{mean} ± {format(self.half_width, specification.replace('+', ''))}"


def mean_and_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Return the mean over independent runs and its Student-t confidence interval.

    mean ± t(n−1) · s/√n with s the standard deviation that divides by n−1 (Student, 1908). It speaks about other
    seeds of the same experiment, not about other data or other models.

    Args:
        values: Shape ``[n]``: one number per run.
        confidence: Probability that such an interval covers the true mean, if the runs are normally distributed.

    Returns:
        The mean and its bounds, in the unit of the values.

    Raises:
        ValueError: There are no values, one of them is NaN, or the confidence is not between 0 and 1.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0:
        raise ValueError(f"an interval needs a list of at least one number, got an array of shape {numbers.shape}")
    if np.isnan(numbers).any():
        raise ValueError("an interval over runs needs the number of every run, but one of them is NaN")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    mean = float(numbers.mean())
    if numbers.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    standard_error = float(numbers.std(ddof=1)) / math.sqrt(numbers.size)
    half_width = _student_quantile(confidence, numbers.size - 1) * standard_error
    return Interval(mean, mean - half_width, mean + half_width, int(numbers.size))


def _student_quantile(confidence: float, degrees: int) -> float:
    """Return t with P(|T| ≤ t) = confidence for Student's T with ``degrees`` degrees of freedom, by bisection."""
    low, high = 0.0, math.pi / 2  # in the angle atan(t/√degrees), where the range is finite
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_probability(middle, degrees) < confidence else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _student_probability(angle: float, degrees: int) -> float:
    """Return P(|T| ≤ √degrees · tan(angle)), the finite sum of Abramowitz & Stegun (1964), 26.7.3 and 26.7.4."""
    odd = degrees % 2 == 1
    cosine, term, total = math.cos(angle), 1.0, 0.0
    if odd:
        term = math.cos(angle)
    for power in range(3 if odd else 2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (power - 1) / power
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


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
