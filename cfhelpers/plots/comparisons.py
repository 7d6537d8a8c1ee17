"""Figures that compare records: methods with each other, and the strengths of one method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cfhelpers.metrics import Interval, mean_and_interval
from cfhelpers.plots.labels import label_points
from cfhelpers.plots.parts import (
    COLOURS,
    knob,
    metric_label,
    new_axes,
    old_scores,
    points_with_bars,
    series,
    shared_metric,
    shown_interval,
    style,
)
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOUNDS = {"naive": ("X", "#000000"), "joint": ("*", "#7F7F7F")}  # drawn apart: they are bounds, not competitors


def retention_against_learning(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw what is left of the old tasks against what was learned of the new one, a point per record.

    Both scores are test scores after the last task; the old one is the mean over all earlier tasks. The best corner is
    the upper right one (for perplexity both axes are turned round, so that this stays true). Settings of one sweep
    are joined by a line in the order of their strength (replay: of its share), which is written beside them.

    Args:
        records: One per method and setting, of the same tasks.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks or metrics.
    """
    metric = shared_metric(records)
    ax = new_axes(ax, width=5.4, height=4.2)
    names = list(dict.fromkeys(map(series, records)))
    labels: list[tuple[str, float, float, str]] = []
    others = [name for name in names if name not in BOUNDS]
    for name in names:
        marker, colour = BOUNDS.get(name) or style(others.index(name))
        points = sorted((r for r in records if series(r) == name), key=lambda r: knob(r) or 0)
        new = [shown_interval(record.scores(record.tasks[-1]), metric) for record in points]
        old = [shown_interval(old_scores(record), metric) for record in points]
        ax.errorbar(
            [interval.mean for interval in new],
            [interval.mean for interval in old],
            xerr=[interval.half_width for interval in new],
            yerr=[interval.half_width for interval in old],
            marker=marker,
            color=colour,
            markersize=11 if name in BOUNDS else 7,
            linestyle="-" if len(points) > 1 else "none",
            linewidth=0.8,
            capsize=2,
            label={"naive": "naive (lower bound)", "joint": "joint (upper bound)"}.get(name, name),
        )
        for record, x, y in zip(points, new, old, strict=True):
            if knob(record) is not None and len(points) > 1:
                labels.append((f"{knob(record):g}", x.mean, y.mean, colour))
    tasks = records[0].tasks
    ax.set_xlabel(f"learned: {metric_label(metric, tasks[-1])}")
    ax.set_ylabel(f"kept: {metric_label(metric, ', '.join(tasks[:-1]))}")
    _best_up_and_right(ax, metric)
    ax.legend(loc="best")
    label_points(ax, labels)
    return ax


def fronts(by_name: Mapping[str, Sequence[Record]], setting: Callable[[Record], float], ax: Axes | None = None) -> Axes:
    """Draw what is kept of the old tasks against what is learned of the new one, a line per method.

    Test scores after the last task, means over seeds, with 95 % intervals from three seeds on; the setting stands
    beside each point. The best corner is the upper right one: of a perplexity, both axes are turned round.

    Args:
        by_name: Records of one method with different settings, by the name to show; all of the same tasks.
        setting: Returns the number that is turned, along which the points are joined.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks or metrics.
    """
    everything = [record for records in by_name.values() for record in records]
    metric = shared_metric(everything)
    ax = new_axes(ax, width=5.8, height=4.4)
    labels: list[tuple[str, float, float, str]] = []
    for number, (name, records) in enumerate(by_name.items()):
        marker, colour = style(number)
        points = sorted(records, key=setting)
        new = [shown_interval(record.scores(record.tasks[-1]), metric) for record in points]
        old = [shown_interval(old_scores(record), metric) for record in points]
        barred = len(points[0].seeds) > 2
        ax.errorbar(
            [each.mean for each in new],
            [each.mean for each in old],
            xerr=[each.half_width for each in new] if barred else None,
            yerr=[each.half_width for each in old] if barred else None,
            marker=marker,
            color=colour,
            linewidth=0.9,
            elinewidth=0.5,
            label=name,
        )
        labels += [(f"{setting(each):g}", x.mean, y.mean, colour) for each, x, y in zip(points, new, old, strict=True)]
    *earlier, last = everything[0].tasks
    ax.set_xlabel(f"learned: {metric_label(metric, last)}")
    ax.set_ylabel(f"kept: {metric_label(metric, ', '.join(earlier))}")
    if metric == "perplexity":
        ax.invert_xaxis()
        ax.invert_yaxis()
    ax.legend(loc="best", fontsize=8)
    label_points(ax, labels)
    return ax


def strength_sweep(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw the old and the new tasks' test scores after the last task against the strength λ, on a log axis.

    Args:
        records: Of one method, with different strengths; a strength of zero is drawn as a horizontal line.
        ax: Where to draw.

    Raises:
        ValueError: The records are of several methods, tasks or metrics.
    """
    metric = shared_metric(records)
    if len({record.method["name"] for record in records}) > 1:
        raise ValueError("a sweep is of one method; use retention_against_learning to compare methods")
    ax = new_axes(ax, width=5.4, height=3.2)
    tasks = records[0].tasks
    swept = sorted((r for r in records if r.method["strength"] > 0), key=lambda r: r.method["strength"])
    strengths = [record.method["strength"] for record in swept]
    old = [shown_interval(old_scores(record), metric) for record in swept]
    new = [shown_interval(record.scores(record.tasks[-1]), metric) for record in swept]
    points_with_bars(ax, strengths, old, 0, f"kept: {', '.join(tasks[:-1])}")
    points_with_bars(ax, strengths, new, 1, f"learned: {tasks[-1]}")
    for record in records:
        if record.method["strength"] == 0:
            for number, scores in enumerate((old_scores(record), record.scores(record.tasks[-1]))):
                level = shown_interval(scores, metric).mean
                ax.axhline(
                    level,
                    color=COLOURS[number],
                    linestyle=":",
                    linewidth=1,
                    label=f"{('kept', 'learned')[number]} at λ = 0",
                )
    ax.set_xscale("log")
    ax.set_xlabel("strength λ (log scale)")
    ax.set_ylabel(f"test {metric_label(metric)}")
    if metric != "perplexity":
        ax.set_ylim(-3, 103)
    ax.legend(loc="best")
    return ax


def learning_rates(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw the old and the new tasks' test scores after the last task against the learning rate, on a log axis.

    Args:
        records: Of one method, with different learning rates.
        ax: Where to draw.

    Raises:
        ValueError: The records are of several tasks or metrics.
    """
    metric = shared_metric(records)
    ax = new_axes(ax, width=6.0, height=3.4)
    ordered = sorted(records, key=lambda record: record.plan["learning_rate"])
    rates = [record.plan["learning_rate"] for record in ordered]
    tasks = records[0].tasks
    old = [shown_interval(old_scores(record), metric) for record in ordered]
    new = [shown_interval(record.scores(tasks[-1]), metric) for record in ordered]
    points_with_bars(ax, rates, old, 0, f"kept: {', '.join(tasks[:-1])}")
    points_with_bars(ax, rates, new, 1, f"learned: {tasks[-1]}")
    ax.set_xscale("log")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    ax.set_xlabel("learning rate (log scale)")
    ax.set_ylabel(f"test {metric_label(metric)}")
    ax.legend(loc="best")
    return ax


def penalty_ratios(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw how strong the penalty was beside the task, against λ, both axes logarithmic.

    Of each run the median over the logged steps of the last task is taken, of the ratio of the penalty to the task's
    loss and of the ratio of their gradients' norms. At 1 the two weigh the same. Means and intervals over seeds are
    those of the logarithm.

    Args:
        records: Of one penalising method, with different strengths.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=5.4, height=2.8)
    swept = sorted((r for r in records if r.method.get("strength", 0) > 0), key=lambda r: r.method["strength"])
    strengths = [record.method["strength"] for record in swept]
    names = {
        "penalty_to_loss": "penalty / task loss",
        "penalty_to_task_gradient": "penalty's gradient / task's gradient",
    }
    for number, (key, label) in enumerate(names.items()):
        logarithms = [mean_and_interval(np.log(penalty_ratio(record, key))) for record in swept]
        ratios = [
            Interval(math.exp(each.mean), math.exp(each.low), math.exp(each.high), each.count) for each in logarithms
        ]
        points_with_bars(ax, strengths, ratios, number + 2, label)
    ax.axhline(1, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("strength λ (log scale)")
    ax.set_ylabel("ratio (log scale)")
    ax.legend(loc="best")
    return ax


def penalty_ratio(record: Record, key: str) -> NDArray[np.float64]:
    """Return, for each seed [S], the median over the last task's logged steps of a logged ratio.

    Args:
        record: Of a penalising method.
        key: "penalty_to_loss" or "penalty_to_task_gradient".

    Raises:
        ValueError: The ratio was not logged for every seed.
    """
    last = [entry for entry in record.losses if entry["training"] == record.tasks[-1] and key in entry]
    values = [[entry[key] for entry in last if entry["seed"] == seed] for seed in record.seeds]
    if not all(values):
        raise ValueError(f"{record.label} logged no {key} while learning {record.tasks[-1]}")
    return np.array([np.median(each) for each in values])


def _best_up_and_right(ax: Axes, metric: str) -> None:
    if metric == "perplexity":
        ax.invert_xaxis()
        ax.invert_yaxis()
    else:
        ax.set_xlim(-3, 103)
        ax.set_ylim(-3, 103)
