"""A mean over runs and how far other runs may lie from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
