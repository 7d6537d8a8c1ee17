"""How far runs have moved a model, and what they had forgotten by then: the points of a cloud."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cfhelpers.metrics import explained_share
from cfhelpers.training.records import Record


def distance(record: Record, name: str) -> NDArray[np.float64]:
    """Return a distance that was measured after the last task, for each seed [S].

    Args:
        record: With the distance in ``extra``, one list per seed.
        name: Of the distance.

    Raises:
        ValueError: It was not measured for this record.
    """
    if name not in record.extra:
        raise ValueError(f"{record.label} has no {name!r}: its run measured {', '.join(sorted(record.extra))}.")
    return np.array([values[-1] for values in record.extra[name]])


def forgotten(record: Record) -> NDArray[np.float64]:
    """Return how far the first task's test score fell from when it was just learned, for each seed [S]."""
    first = record.tasks[0]
    return record.scores(first, after=first) - record.scores(first)


def explained_forgetting(records: Sequence[Record], name: str) -> float:
    """Return which share of the variance of forgetting, over all runs, a distance explains.

    A run is one record's one seed; see ``metrics.explained_share`` for the curve.
    """
    x, y = ([values(each) for each in records] for values in (lambda record: distance(record, name), forgotten))
    return explained_share(np.concatenate(x), np.concatenate(y))
