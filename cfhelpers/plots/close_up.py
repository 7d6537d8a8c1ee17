"""A close-up of the retention-learning plane, where most records lie together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from cfhelpers.plots.comparisons import BOUNDS
from cfhelpers.plots.labels import label_points
from cfhelpers.plots.parts import metric_label, new_axes, old_scores, shared_metric, shown_interval, style
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 25
"""Points from the median of all records, on either axis, from which on one is named at the edge."""


def close_up(records: Mapping[str, Record], ax: Axes | None = None) -> Axes:
    """Draw what each record keeps and learns, its name beside it, with axes that fit the crowd.

    Test scores after the last task, means over seeds with 95 % intervals; the old tasks' is their mean. A record far
    from the others would stretch the axes until they cannot be told apart: it stands at the edge, with its numbers.

    Args:
        records: By the name to show; all of the same tasks, scored by shares of which high is good.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks or metrics, or scored by perplexity.
    """
    metric = shared_metric(list(records.values()))
    if metric == "perplexity":
        raise ValueError("close_up draws shares of which high is good; draw perplexities with plots.fronts.")
    ax = new_axes(ax, width=6.4, height=5.0)
    *earlier, last = next(iter(records.values())).tasks
    found = {
        name: (shown_interval(record.scores(last), metric), shown_interval(old_scores(record), metric))
        for name, record in records.items()
    }
    means = np.array([[x.mean, y.mean] for x, y in found.values()])
    near = (np.abs(means - np.median(means, axis=0)) < FAR).all(axis=1)
    numbers = count()
    looks = [BOUNDS.get(each.method["name"]) or style(next(numbers)) for each in records.values()]
    labels: list[tuple[str, float, float, str]] = []
    for number, (name, (x, y)) in enumerate(found.items()):
        marker, colour = looks[number]
        if near[number]:
            errors = {"xerr": x.half_width, "yerr": y.half_width}
            ax.errorbar(x.mean, y.mean, **errors, marker=marker, color=colour, elinewidth=0.5, capsize=2)
            labels.append((name, x.mean, y.mean, colour))
    ax.set_xlim(ax.get_xlim())  # fitted to the crowd, from now on fixed
    ax.set_ylim(ax.get_ylim())
    for number in np.flatnonzero(~near):
        (name, (x, y)), (marker, colour) = list(found.items())[number], looks[number]
        edge = [np.clip(mean, *limits) for mean, limits in ((x.mean, ax.get_xlim()), (y.mean, ax.get_ylim()))]
        ax.plot(*edge, marker=marker, color=colour, clip_on=False)
        labels.append((f"off this figure: {name},\nlearned {x:.1f}, kept {y:.1f}", *edge, colour))
    ax.set_xlabel(f"learned: {metric_label(metric, last)}")
    ax.set_ylabel(f"kept: {metric_label(metric, ', '.join(earlier))}")
    label_points(ax, labels)
    return ax
