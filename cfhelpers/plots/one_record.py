"""Figures of one record: the result matrix, and what happens along the optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cfhelpers.metrics import mean_and_interval
from cfhelpers.plots.parts import (
    COLOURS,
    line_with_band,
    mark_tasks,
    metric_label,
    new_axes,
    points_with_bars,
    shared_metric,
    shown,
    shown_interval,
)
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def result_matrix(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the result matrix, mean over seeds: a row is a moment, a column is a task, yellow is good.

    A share is coloured on the scale from 0 to 100 %, a perplexity within its column, low being yellow. A score that
    could not be taken yet is left empty.

    Args:
        record: With at least one seed.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=1.8 + 1.5 * len(record.tasks), height=1.4 + 0.9 * len(record.tasks))
    matrix = record.matrix()
    goodness = np.stack([_goodness(matrix[:, j], metric) for j, metric in enumerate(record.metrics)], axis=1)
    ax.imshow(np.ma.masked_invalid(goodness), cmap="cividis", vmin=0, vmax=1)
    for i, j in np.ndindex(matrix.shape):
        text = _cell_text([shown(results[i][j], record.metrics[j]) for results in record.results])
        ax.text(j, i, text, ha="center", va="center", color="black" if not goodness[i, j] < 0.5 else "white")
    ticks = range(len(record.tasks))
    labels = [f"{task}\n{metric_label(metric)}" for task, metric in zip(record.tasks, record.metrics, strict=True)]
    shared = len(set(record.metrics)) == 1  # said once, it does not run into its neighbour
    ax.set_xticks(ticks, record.tasks if shared else labels)
    # Joint training begins anew for each row, with all tasks up to there together.
    joint = record.method["name"] == "joint"
    learned = ["\n+ ".join(record.tasks[: i + 1]) if joint else task for i, task in enumerate(record.tasks)]
    ax.set_yticks(ticks, learned)
    ax.set_xlabel(f"scored on\nnumbers: {metric_label(record.metrics[0])}" if shared else "scored on")
    ax.set_ylabel("after learning")
    ax.set_title(record.label)
    return ax


def learning_curves(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the validation score of every task along the optimizer steps; a vertical line marks a new task.

    Args:
        record: With curves; all its tasks must have the same metric.
        ax: Where to draw.

    Raises:
        ValueError: There are no curves, or the tasks have different metrics.
    """
    if not record.curves:
        raise ValueError("the record holds no curves: it was made without scoring along the way")
    metric = shared_metric([record])
    ax = new_axes(ax, width=5.6, height=3.0)
    for number, task in enumerate(record.tasks):
        points = [point for point in record.curves if point["task"] == task and not np.isnan(point["score"])]
        steps = sorted({point["step"] for point in points})
        intervals = [shown_interval([p["score"] for p in points if p["step"] == step], metric) for step in steps]
        line_with_band(ax, steps, intervals, number, f"score on {task}")
    mark_tasks(ax, record)
    ax.set_xlabel("optimizer steps")
    ax.set_ylabel(f"validation {metric_label(metric)}")
    if metric != "perplexity":
        ax.set_ylim(-3, 103)
    ax.legend(loc="best")
    return ax


def loss_curves(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw the training loss along the optimizer steps, one line per record, mean over seeds.

    It is the task's loss alone: a penalty that acts on the gradients is not in it.

    Args:
        records: Of the same tasks.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=5.6, height=3.0)
    for number, record in enumerate(records):
        steps = sorted({entry["step"] for entry in record.losses})
        at_step = [[entry["loss"] for entry in record.losses if entry["step"] == step] for step in steps]
        line_with_band(ax, steps, [mean_and_interval(losses) for losses in at_step], number, record.label)
    mark_tasks(ax, records[0])
    ax.set_xlabel("optimizer steps")
    ax.set_ylabel("training loss (nats per target)")
    ax.set_yscale("log")
    ax.set_xlim(left=0)
    ax.legend(loc="best")
    return ax


def head_and_probe(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the first task's test score after each task, of its own head and of a fresh linear probe of the encoder.

    Args:
        record: Of classification tasks, with "probe TASK" and "untouched probe TASK" measured for its first task.
        ax: Where to draw.

    Raises:
        ValueError: The record has no such probe.
    """
    first, metric = record.tasks[0], record.metrics[0]
    if f"probe {first}" not in record.extra:
        raise ValueError(f"{record.label} was not measured with a probe of {first}")
    ax = new_axes(ax, width=5.5, height=3.4)
    places = list(range(len(record.tasks)))
    head = [shown_interval(record.scores(first, after=task), metric) for task in record.tasks]
    probe = [shown_interval(column, metric) for column in np.array(record.extra[f"probe {first}"]).T]
    points_with_bars(ax, places, head, 0, "its old head")
    points_with_bars(ax, places, probe, 1, "a fresh linear probe")
    before = shown_interval(record.extra[f"untouched probe {first}"], metric).mean
    ax.axhline(before, color=COLOURS[1], linestyle=":", label="probe before all tasks")
    ax.axhline(shown(record.chance[0], metric), color="black", linestyle=":", label="chance")
    ax.set_xticks(places, record.tasks)
    ax.set_xlabel("after learning")
    ax.set_ylabel(metric_label(metric, first))
    ax.legend(loc="best", fontsize=8)
    return ax


def _goodness(column: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Return a column of the matrix as colours from 0 (worst) to 1 (best)."""
    if metric != "perplexity":
        return column
    span = np.nanmax(column) - np.nanmin(column)
    return (np.nanmax(column) - column) / span if span > 0 else np.where(np.isnan(column), np.nan, 1.0)


def _cell_text(values: list[float]) -> str:
    if np.isnan(values).any():
        return "–"
    interval = mean_and_interval(values)
    return f"{interval.mean:.1f}" if interval.count == 1 else f"{interval.mean:.1f}\n± {interval.half_width:.1f}"
