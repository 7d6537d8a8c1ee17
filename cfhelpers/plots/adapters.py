"""Figures of adapters: what each learning rate keeps and learns, ours and another benchmark's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cfhelpers.plots.comparisons import fronts as draw_fronts
from cfhelpers.plots.labels import label_points
from cfhelpers.plots.parts import metric_label, new_axes, old_scores, shared_metric, shown_interval, style
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rate_of(record: Record) -> float:
    """Return the learning rate a record was trained with: the method's own, else the plan's."""
    return float(record.method.get("learning_rate") or record.plan["learning_rate"])


def rate_fronts(fronts: Mapping[str, Sequence[Record]], ax: Axes | None = None) -> Axes:
    """Draw what is kept of the old tasks against what is learned of the new one, a line per method over its rates.

    Test scores after the last task, means over seeds, with 95 % intervals from three seeds on; the rate stands beside
    each point. The best corner is the upper right one: of a perplexity, both axes are turned round.

    Args:
        fronts: Records of one method with different learning rates, by the name to show; all of the same tasks.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks or metrics.
    """
    return draw_fronts(fronts, rate_of, ax)


def kept_at(records: Sequence[Record], learned: float) -> float:
    """Return what a method's rates can keep of the old tasks while they learn the new one at least so well.

    Of its points, means over seeds, those that another one beats on both scores are left out; the others are joined by
    straight lines in the order of what they learned. Scores of which high is good.

    Args:
        records: Of one method with different rates, of the same tasks.
        learned: Test score on the last task, as it is stored.

    Returns:
        The old tasks' mean test score there; NaN where no rate learned so much.
    """
    means = [(float(np.mean(each.scores(each.tasks[-1]))), float(np.mean(old_scores(each)))) for each in records]
    best = [one for one in means if not any(other[0] > one[0] and other[1] > one[1] for other in means)]
    front: NDArray[np.float64] = np.array(sorted(best))
    return float(np.interp(learned, front[:, 0], front[:, 1], right=np.nan))


def final_scores(records: Mapping[str, Record], ax: Axes | None = None) -> Axes:
    """Draw bars of the test score on every task after the last one, means over seeds with 95 % intervals.

    Args:
        records: By the name to show; all of the same tasks, scored by shares of which high is good.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks or metrics.
    """
    metric = shared_metric(list(records.values()))
    ax = new_axes(ax, width=5.4, height=3.0)
    tasks, width = next(iter(records.values())).tasks, 0.8 / len(records)
    for number, (name, record) in enumerate(records.items()):
        found = [shown_interval(record.scores(task), metric) for task in tasks]
        places = [index + (number - (len(records) - 1) / 2) * width for index in range(len(tasks))]
        errors = [each.half_width for each in found]
        heights = [each.mean for each in found]
        ax.bar(places, heights, 0.9 * width, yerr=errors, capsize=3, color=style(number)[1], label=name)
    ax.set_xticks(range(len(tasks)), tasks)
    ax.set_ylim(0, 105)  # an interval may reach above 100 %
    ax.set_ylabel(f"{metric_label(metric)}, at the end")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(records), fontsize=8)
    return ax


def benchmark_front(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw another benchmark's methods: accuracy on the new task against the rise of the loss on general text.

    Args:
        rows: With ``method``, ``accuracy`` (a share), ``loss_rise`` (nats per token, drawn on a log axis turned round,
            so that the best corner is the upper right one) and ``parameters`` (trained; the size of the mark).
        ax: Where to draw.
    """
    ax = new_axes(ax, width=5.8, height=4.4)
    labels: list[tuple[str, float, float, str]] = []
    for row in rows:
        kind = next((index for index, word in enumerate(("full", "LoRA")) if word in row["method"]), 2)
        marker, colour = style(kind)
        x, y = 100 * row["accuracy"], row["loss_rise"]
        ax.scatter(x, y, s=8 * np.log10(row["parameters"]) - 30, marker=marker, color=colour)
        labels.append((row["method"], x, y, "black"))
    ax.set_yscale("log")
    ax.invert_yaxis()
    ax.set_xlim(0, 62)
    ax.set_xlabel("learned: accuracy on MetaMathQA's test questions (%)")
    ax.set_ylabel("kept: rise of the loss on Wikipedia\n(nats per token, log scale, small is up)")
    label_points(ax, labels, fontsize=7)
    return ax
