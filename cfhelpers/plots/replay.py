"""Figures of chapter 7: scores against how much is replayed, the steps just after a switch, A-GEM in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cfhelpers.plots.parts import (
    COLOURS,
    line_with_band,
    metric_label,
    new_axes,
    points_with_bars,
    shared_metric,
    shown_interval,
)
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def scores_against(series: Mapping[str, tuple[str, Mapping[float, Record]]], what: str, ax: Axes | None = None) -> Axes:
    """Draw final test scores against a number on a logarithmic axis, one line per series, with 95 % intervals.

    Args:
        series: By name, a task and the records by the number to draw its score over.
        what: The number's name, for the axis.
        ax: Where to draw.

    Raises:
        ValueError: There is nothing to draw, or the tasks have different metrics.
    """
    records = [record for _, by_number in series.values() for record in by_number.values()]
    if not records:
        raise ValueError("there are no records to draw")
    metric = shared_metric(records)
    ax = new_axes(ax, width=5.6, height=3.2)
    for number, (name, (task, by_number)) in enumerate(series.items()):
        places = sorted(by_number)
        intervals = [shown_interval(by_number[place].scores(task), metric) for place in places]
        points_with_bars(ax, places, intervals, number, name)
    ax.set_xscale("log")
    ticks = sorted({place for _, by_number in series.values() for place in by_number})
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(what)
    ax.set_ylabel(metric_label(metric))
    ax.legend(loc="best")
    return ax


def after_switch(records: Mapping[str, Record], ax: Axes | None = None) -> Axes:
    """Draw the first task's validation score at every point taken after the second task began.

    Args:
        records: By name, with curves.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=5.6, height=3.2)
    for number, (name, record) in enumerate(records.items()):
        task, metric = record.tasks[0], record.metrics[0]
        curves = [record.after_switch(task, seed) for seed in record.seeds]
        points = [point for point in record.curves if point["task"] == task and point["seed"] == record.seeds[0]]
        start = max(point["step"] for point in points if point["training"] == task)
        steps = [point["step"] - start for point in points if point["step"] >= start]
        columns = np.array(curves).T.tolist()
        line_with_band(ax, steps, [shown_interval(column, metric) for column in columns], number, name)
        ax.set_ylabel(f"{task}: validation {metric_label(metric)}")
    ax.set_xlabel("optimizer steps on the new task")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def projection(gradient: Sequence[float], reference: Sequence[float], ax: Axes | None = None) -> Axes:
    """Draw a gradient, the old task's, and what A-GEM makes of them, as the steps that gradient descent would take.

    Args:
        gradient: [2], of the new task.
        reference: [2], of the old examples.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=4.2, height=4.2)
    g, r = np.asarray(gradient, dtype=float), np.asarray(reference, dtype=float)
    projected = g - min(g @ r, 0.0) / (r @ r) * r
    for number, (name, arrow) in enumerate({"new task": -g, "old examples": -r, "A-GEM": -projected}.items()):
        ax.annotate("", arrow, (0, 0), arrowprops={"arrowstyle": "-|>", "color": COLOURS[number], "lw": 2})
        ax.plot([], [], color=COLOURS[number], label=f"step along {name}")
    across = np.array([-r[1], r[0]]) / np.linalg.norm(r)
    span = 1.3 * max(np.abs([*g, *r, *projected]))
    corners = [
        span * 3 * across,
        -span * 3 * across,
        -span * 3 * across + span * 3 * r,
        span * 3 * across + span * 3 * r,
    ]
    ax.fill(*np.array(corners).T, color="0.9", label="raises the old loss")
    ax.set(xlim=(-span, span), ylim=(-span, span), xlabel="weight 1", ylabel="weight 2", aspect="equal")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return ax
