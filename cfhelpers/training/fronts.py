"""What one method keeps and another does not, where both have learned the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfhelpers.training.records import Record


@dataclass(frozen=True)
class Gap:
    """How much more one method keeps than another at equal scores on the new task.

    Attributes:
        kept: For each seed [S], the difference of the old tasks' scores, a mean over the new scores between the ends.
        low: For each seed [S], the lower end of the new task's scores that both methods reach.
        high: For each seed [S], the upper end.
    """

    kept: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def gap_at_equal_learning(one: Sequence[Record], other: Sequence[Record]) -> Gap:
    """Compare two methods, each with several strengths or numbers of steps, where both have learned the same.

    For every seed, a method's points (learned, kept) are joined by straight lines in the order of what they learned;
    points that learned the same count as their mean. The difference of the two lines is averaged over all new scores
    that both methods reach with this seed. So a method that keeps more only because it learns less has no advantage.

    Args:
        one: Records of one method, with the same tasks and seeds, at least two; scores of which high is good.
        other: Of the method that it is compared with.

    Raises:
        ValueError: Fewer than two records, other tasks or seeds, a score of which low is good, or a seed with no
            new score that both methods reach.
    """
    everything = [*one, *other]
    if min(len(one), len(other)) < 2 or len({(*each.tasks, *each.seeds) for each in everything}) > 1:
        raise ValueError("each method needs two records or more, and all have to be of the same tasks and seeds.")
    if not all(all(each.higher_is_better) for each in everything):
        raise ValueError("fronts are of scores of which high is good, not of perplexities.")
    gaps = []
    for index, seed in enumerate(one[0].seeds):
        first, second = (_line(records, index) for records in (one, other))
        low, high = max(first[0, 0], second[0, 0]), min(first[-1, 0], second[-1, 0])
        if low >= high:
            raise ValueError(f"with seed {seed} there is no score on {one[0].tasks[-1]} that both methods reach.")
        gaps.append((_mean_difference(first, second, low, high), low, high))
    return Gap(*np.array(gaps).T)


def _line(records: Sequence[Record], seed: int) -> NDArray[np.float64]:
    """Return one seed's points (learned, kept) [n, 2] in rising order of what was learned, each score once."""
    learned = np.array([each.scores(each.tasks[-1])[seed] for each in records])
    kept = np.array([np.mean([each.scores(task)[seed] for task in each.tasks[:-1]]) for each in records])
    return np.array([[score, kept[learned == score].mean()] for score in np.unique(learned)])


def _mean_difference(one: NDArray[np.float64], other: NDArray[np.float64], low: float, high: float) -> float:
    """Return the mean over [low, high] of the difference of two lines, exactly: between corners it is straight."""
    corners = np.unique(np.concatenate([one[:, 0], other[:, 0], [low, high]]).clip(low, high))
    gap = np.interp(corners, one[:, 0], one[:, 1]) - np.interp(corners, other[:, 0], other[:, 1])
    return float(((gap[1:] + gap[:-1]) / 2 * np.diff(corners)).sum() / (high - low))
