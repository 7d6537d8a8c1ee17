"""Figures of a model that learns from its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cfhelpers.metrics import Interval, mean_and_interval
from cfhelpers.plots.parts import COLOURS, line_with_band, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shares_over_updates(
    histories: Mapping[str, ArrayLike], *, taught: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a share after every update: each history as a thin line, their mean, and from three on the 95 % interval.

    Args:
        histories: By what the model learned from: shape ``[S, U + 1]``, one row for each of S histories, one column
            before the first of U updates and one after each. Shares between 0 and 1.
        taught: The share in the world, drawn as a dotted line.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=7.2, height=3.2)
    for number, (label, values) in enumerate(histories.items()):
        shares = 100 * np.asarray(values, dtype=np.float64)
        updates = list(range(shares.shape[1]))
        ax.plot(updates, shares.T, color=COLOURS[number], linewidth=0.6, alpha=0.6)
        intervals = [mean_and_interval(column) for column in shares.T]
        if len(shares) < 3:  # an interval of two would fill the figure
            intervals = [Interval(each.mean, each.mean, each.mean, each.count) for each in intervals]
        line_with_band(ax, updates, intervals, number, label)
    if taught is not None:
        ax.axhline(100 * taught, color="black", linewidth=0.8, label="share in the world")
    ax.set_xlabel("updates")
    ax.set_ylabel("share of the commoner ending (%)")
    ax.set_ylim(-3, 103)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="learns from")
    return ax
