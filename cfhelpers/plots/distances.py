"""Forgetting against how far a model has moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cfhelpers.plots.parts import new_axes, style
from cfhelpers.training.distances import distance, forgotten
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def forgetting_against_distance(records: Sequence[Record], name: str, ax: Axes | None = None) -> Axes:
    """Draw a point per run, a record's one seed: what was forgotten of the first task against a distance (log axis).

    Args:
        records: Of any methods, rates and strengths, with the distance measured.
        name: Of the distance, as in ``record.extra``.
        ax: Where to draw.

    Raises:
        ValueError: A record lacks the distance.
    """
    ax = new_axes(ax, width=5.4, height=3.6)
    methods = list(dict.fromkeys(str(record.method["name"]) for record in records))
    for number, method in enumerate(methods):
        marker, colour = style(number)
        points = [record for record in records if record.method["name"] == method]
        x = np.concatenate([distance(record, name) for record in points])
        y = 100 * np.concatenate([forgotten(record) for record in points])
        hollow = number >= 7  # markers and colours begin anew
        ax.scatter(x, y, marker=marker, color="none" if hollow else colour, edgecolor=colour, label=method, s=28)
    ax.set_xscale("log")
    ax.set_xlabel(f"{name} (log scale)")
    ax.set_ylabel(f"forgotten of {records[0].tasks[0]} (points)")
    ax.legend(loc="best", fontsize=7)
    return ax
