"""What changed for single items, corrected for chance; what was only out of reach; what predicts it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
