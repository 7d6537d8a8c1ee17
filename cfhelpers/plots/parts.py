"""What the figures share: axes, colours, labels, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfhelpers.metrics import Interval, mean_and_interval
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "<")
LINES = ("-", "--", ":", "-.")
UNITS = {"recall": "% of questions", "accuracy": "% of texts", "perplexity": "per token"}


def new_axes(ax: Axes | None, *, width: float, height: float) -> Axes:
    """Return the given axes, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def shown(score: float, metric: str) -> float:
    """Return a score as it is shown: shares in percent."""
    return score if metric == "perplexity" else 100 * score


def metric_label(metric: str, tasks: str = "") -> str:
    """Return a metric's name for a label, with its unit and the tasks it speaks of."""
    return f"{metric} on {tasks} ({UNITS[metric]})" if tasks else f"{metric} ({UNITS[metric]})"


def shown_interval(scores: ArrayLike, metric: str) -> Interval:
    """Return mean and interval over seeds of scores as they are shown."""
    return mean_and_interval(np.asarray(scores, dtype=np.float64) * shown(1.0, metric))


def old_scores(record: Record) -> NDArray[np.float64]:
    """Return, for each seed [S], the mean final score over all tasks but the last."""
    return np.mean([record.scores(task) for task in record.tasks[:-1]], axis=0)


def shared_metric(records: Sequence[Record]) -> str:
    """Return the metric that all tasks of all records share."""
    if len({tuple(record.tasks) for record in records}) != 1:
        raise ValueError("the records must be at least one and of the same tasks in the same order")
    metrics = {metric for record in records for metric in record.metrics}
    if len(metrics) > 1:
        raise ValueError(f"{' and '.join(sorted(metrics))} cannot share an axis: draw tasks of one metric together")
    return metrics.pop()


def style(number: int) -> tuple[str, str]:
    """Return marker and colour of a series; the eighth has the first one's colour and another marker."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)], COLOURS[number % len(COLOURS)]


def line_with_band(ax: Axes, steps: Sequence[float], intervals: Sequence[Interval], number: int, label: str) -> None:
    """Draw means over steps as a line and their intervals as a band."""
    colour = COLOURS[number % len(COLOURS)]
    line = LINES[number % len(LINES)]
    ax.plot(steps, [interval.mean for interval in intervals], color=colour, linestyle=line, label=label)
    low, high = [interval.low for interval in intervals], [interval.high for interval in intervals]
    ax.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)


def points_with_bars(
    ax: Axes, positions: Sequence[float], intervals: Sequence[Interval], number: int, label: str
) -> None:
    """Draw means as joined points and their intervals as bars."""
    marker, colour = style(number)
    means = [interval.mean for interval in intervals]
    bars = [[each.mean - each.low for each in intervals], [each.high - each.mean for each in intervals]]
    ax.errorbar(
        positions, means, yerr=bars, marker=marker, color=colour, linestyle=LINES[number % 4], capsize=2, label=label
    )


def mark_tasks(ax: Axes, record: Record) -> None:
    """Draw a vertical line where the task changes, and write above which task is being learned."""
    ends: list[float] = [0.0]
    for task in record.tasks:
        steps: Iterable[float] = (p["step"] for p in (*record.curves, *record.losses) if p["training"] == task)
        ends.append(max(steps, default=ends[-1]))
    for start, end, task in zip(ends[:-1], ends[1:], record.tasks, strict=True):
        if start > 0:
            ax.axvline(start, color="black", linewidth=0.8)
        ax.text(
            (start + end) / 2, 1.01, f"learning {task}", transform=ax.get_xaxis_transform(), ha="center", va="bottom"
        )


def scores_at(record: Record, step: int) -> dict[str, float]:
    """Return every task's validation score at one step as it is shown, mean over seeds, where there is one."""
    scores: dict[str, list[float]] = {task: [] for task in record.tasks}
    for point in record.curves:
        if point["step"] == step and not np.isnan(point["score"]):
            scores[point["task"]].append(shown(point["score"], record.metrics[record.tasks.index(point["task"])]))
    return {task: float(np.mean(values)) for task, values in scores.items() if values}


def kept_and_learned(record: Record) -> tuple[float, float]:
    """Return the old tasks' and the new task's test scores at the end as they are shown, mean over seeds."""
    metric = shared_metric([record])
    return shown_interval(old_scores(record), metric).mean, shown_interval(record.scores(record.tasks[-1]), metric).mean


def knob(record: Record) -> float | None:
    """Return the setting of a method that a sweep turns, if it has one."""
    return next((record.method[name] for name in ("strength", "share") if name in record.method), None)


def series(record: Record) -> str:
    """Return what a record is drawn with: the stored sweep that it belongs to, or its method."""
    return str(record.extra.get("sweep") or record.method["name"])
