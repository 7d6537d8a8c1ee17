"""Figures of methods that keep tasks apart: how a prompted batch lies, what each method reaches, gains, and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from cfhelpers.metrics import mean_and_interval
from cfhelpers.plots.parts import COLOURS, metric_label, new_axes, points_with_bars, shown_interval, style
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

PADDING, TEXT, OLD, NEW = range(4)
_KINDS = {
    PADDING: ("padding", "#FFFFFF"),
    TEXT: ("text", "#56B4E9"),
    OLD: ("earlier prompts, frozen", "#999999"),
    NEW: ("this task's prompt", "#E69F00"),
}


def prompt_layout(
    lengths: Sequence[int],
    *,
    tasks: int,
    vectors: int,
    side: Literal["left", "right"] = "right",
    encoder: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw what a model reads for each text of a batch behind progressive prompts, with every position's number.

    Args:
        lengths: Tokens of each text.
        tasks: How many tasks have been learned, the present one included; each has a prompt.
        vectors: Of each prompt.
        side: Where short texts are padded.
        encoder: Prompts stand after the first token and share its position; otherwise before the text, counting on.
        ax: Where to draw.
    """
    from matplotlib.patches import Patch

    ax = new_axes(ax, width=8.0, height=0.9 + 0.42 * len(lengths))
    prompt = [NEW] * vectors + [OLD] * vectors * (tasks - 1)
    longest = max(lengths)
    for row, length in enumerate(lengths):
        text = [TEXT] * length
        kinds = text[:1] + prompt + text[1:] if encoder else prompt + text
        positions = [0] + [0] * len(prompt) + list(range(1, length)) if encoder else list(range(len(kinds)))
        before = longest - length if side == "left" else 0
        for place in range(longest + len(prompt)):
            inside = 0 <= place - before < len(kinds)
            kind = kinds[place - before] if inside else PADDING
            ax.add_patch(_cell(place, row, _KINDS[kind][1]))
            if inside:
                ax.text(place + 0.5, row + 0.5, str(positions[place - before]), ha="center", va="center", fontsize=7)
    ax.set_xlim(0, longest + len(prompt))
    ax.set_ylim(len(lengths), 0)
    ax.set_yticks([row + 0.5 for row in range(len(lengths))], [f"text {row + 1}" for row in range(len(lengths))])
    ax.set_xticks([])
    ax.set_xlabel("what the model reads, from left to right; numbers: positions")
    shown = [Patch(facecolor=colour, edgecolor="black", label=label) for label, colour in _KINDS.values()]
    ax.legend(handles=shown, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, fontsize=8)
    return ax


def _cell(x: int, y: int, colour: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="black", linewidth=0.5)


def average_accuracies(orders: Mapping[str, Mapping[str, Record]], ax: Axes | None = None) -> Axes:
    """Draw each method's mean score over all tasks at the end, a marker for each order of the tasks.

    Args:
        orders: By the order's name, records by the method's name; a method may be missing in an order.
        ax: Where to draw.

    Raises:
        ValueError: There is no record, or the tasks are of several metrics.
    """
    records = [record for named in orders.values() for record in named.values()]
    metrics = {metric for record in records for metric in record.metrics}
    if len(metrics) != 1:
        raise ValueError(f"average_accuracies needs records of one metric, got {sorted(metrics) or 'no record'}.")
    metric = metrics.pop()
    names = list(dict.fromkeys(name for named in orders.values() for name in named))
    ax = new_axes(ax, width=6.4, height=1.0 + 0.38 * len(names))
    for number, (order, named) in enumerate(orders.items()):
        marker, colour = style(number)
        rows = [names.index(name) + 0.22 * (number - (len(orders) - 1) / 2) for name in named]
        found = [shown_interval(np.array(record.results)[:, -1].mean(axis=1), metric) for record in named.values()]
        means = [each.mean for each in found]
        bars = [[each.mean - each.low for each in found], [each.high - each.mean for each in found]]
        ax.errorbar(means, rows, xerr=bars, marker=marker, color=colour, linestyle="none", capsize=2, label=order)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.grid(axis="y", linewidth=0.3)
    ax.set_xlabel(f"mean test {metric_label(metric)} over all tasks, after the last")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(orders), frameon=False)  # beside no point
    return ax


def gains(record: Record, alone: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw how much better each task was learned after the earlier ones than alone, in the order of learning.

    Args:
        record: Whose scores count, each when its task was just learned.
        alone: Shape ``[S, T]``: the score of each seed on each task, learned by itself with the same budget.
        ax: Where to draw.

    Raises:
        ValueError: ``alone`` has another shape than the record's seeds and tasks.
    """
    reference = np.asarray(alone, dtype=np.float64)
    learned = np.diagonal(np.array(record.results, dtype=np.float64), axis1=1, axis2=2)
    if reference.shape != learned.shape:
        raise ValueError(f"alone needs shape {learned.shape} (seeds, tasks), got {reference.shape}.")
    ax = new_axes(ax, width=4.6, height=3.0)
    found = [mean_and_interval(100 * column) for column in (learned - reference).T]
    places = range(len(found))
    bars = [[each.mean - each.low for each in found], [each.high - each.mean for each in found]]
    ax.bar(places, [each.mean for each in found], yerr=bars, color=COLOURS[0], alpha=0.7, capsize=3)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(places, [f"{number + 1}. {task}" for number, task in enumerate(record.tasks)])
    ax.set_ylabel("gain over learning it alone\n(points of test accuracy)")
    ax.set_xlabel("task, in the order of learning")
    return ax


def step_costs(records: Mapping[str, Record], ax: Axes | None = None) -> Axes:
    """Draw how long a training step on the same texts takes after each number of tasks, per method.

    Args:
        records: By the method's name, with ``step milliseconds`` among their extra numbers.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=7.2, height=3.2)
    for number, (name, record) in enumerate(records.items()):
        times = np.array(record.extra["step milliseconds"], dtype=np.float64)
        places = list(range(1, times.shape[1] + 1))
        points_with_bars(ax, places, [mean_and_interval(column) for column in times.T], number, name)
    ax.set_xticks(range(1, len(next(iter(records.values())).tasks) + 1))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("tasks learned")
    ax.set_ylabel("milliseconds a step\n(forward and backward, 16 texts)")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)  # the lines fill the axes
    return ax
