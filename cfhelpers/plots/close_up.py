"""A close-up of the retention-learning plane, where most records lie together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from cfhelpers.metrics import Interval
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
    middle = [float(np.median([pair[axis].mean for pair in found.values()])) for axis in (0, 1)]
    far = [abs(x.mean - middle[0]) >= FAR or abs(y.mean - middle[1]) >= FAR for x, y in found.values()]
    numbers = count()
    looks = [BOUNDS.get(each.method["name"]) or style(next(numbers)) for each in records.values()]
    labels: list[tuple[str, float, float, str]] = []
    outside = []
    for (name, (x, y)), (marker, colour), is_far in zip(found.items(), looks, far, strict=True):
        if is_far:
            outside.append((name, x, y, marker, colour))
            continue
        look: dict[str, Any] = {"marker": marker, "color": colour, "elinewidth": 0.5, "capsize": 2}
        ax.errorbar(x.mean, y.mean, xerr=x.half_width, yerr=y.half_width, **look)
        labels.append((name, x.mean, y.mean, colour))
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())  # fitted to the crowd, and fixed from here on
    labels += [_at_the_edge(ax, *each) for each in outside]
    ax.set_xlabel(f"learned: {metric_label(metric, last)}")
    ax.set_ylabel(f"kept: {metric_label(metric, ', '.join(earlier))}")
    label_points(ax, labels)
    return ax


def _at_the_edge(
    ax: Axes, name: str, x: Interval, y: Interval, marker: str, colour: str
) -> tuple[str, float, float, str]:
    """Draw a mark where the axes end on the way to a point outside, and return the label that it is to have."""
    limits = (ax.get_xlim(), ax.get_ylim())
    edge = [float(np.clip(each.mean, *ends)) for each, ends in zip((x, y), limits, strict=True)]
    ax.plot(*edge, marker=marker, color=colour, clip_on=False)
    return f"off this figure: {name},\nlearned {x:.1f}, kept {y:.1f}", edge[0], edge[1], colour
