"""Figures of language-model records, in nats per token: the logarithm of perplexity, in which differences add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cfhelpers.metrics import mean_and_interval
from cfhelpers.plots.comparisons import BOUNDS
from cfhelpers.plots.labels import label_points
from cfhelpers.plots.parts import knob, line_with_band, new_axes, shared_metric, style
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def old_and_new_nats(record: Record) -> NDArray[np.float64]:
    """Return test nats per token at the end [S, 2]: the mean over the old domains, and the newest domain.

    Raises:
        ValueError: The scores are not perplexities.
    """
    _require_perplexity([record])
    final = np.log(np.array(record.results, dtype=np.float64)[:, -1])
    return np.stack([final[:, :-1].mean(axis=1), final[:, -1]], axis=1)


def old_nats_at(records: Sequence[Record], new_nats: Sequence[float]) -> NDArray[np.float64]:
    """Return for each seed [S] what a sweep leaves of the old domains where it knows the new one just so well.

    Each seed's points are joined by straight lines in the order of their new-domain nats, as in
    :func:`retention_learning_curve`. NaN where the curve does not reach that far.

    Args:
        records: A sweep, with the same seeds; naive training belongs to it, as strength zero.
        new_nats: [S]: where to read the curve of each seed.
    """
    curves = np.stack([old_and_new_nats(record) for record in records], axis=1)
    found = []
    for curve, at in zip(curves, new_nats, strict=True):
        order = np.argsort(curve[:, 1])
        new, old = curve[order, 1], curve[order, 0]
        found.append(np.interp(at, new, old, left=np.nan, right=np.nan))
    return np.array(found)


def retention_learning_curve(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw what is left of the old domains against what was learned of the new one, a point per record, in nats.

    Both are test nats per token at the end; the axes are turned round so that the best corner is the upper right one.
    The strengths of one method are joined and written beside their points.

    Args:
        records: Of the same text domains.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks, or not of perplexities.
    """
    _require_perplexity(records)
    ax = new_axes(ax, width=6.2, height=4.6)
    names = list(dict.fromkeys(str(record.method["name"]) for record in records))
    labels: list[tuple[str, float, float, str]] = []
    for name in names:
        marker, colour = _look(name)
        points = sorted((r for r in records if r.method["name"] == name), key=lambda r: knob(r) or 0)
        old, new = ([mean_and_interval(old_and_new_nats(r)[:, column]) for r in points] for column in (0, 1))
        ax.errorbar(
            [each.mean for each in new],
            [each.mean for each in old],
            xerr=[each.half_width for each in new],
            yerr=[each.half_width for each in old],
            marker=marker,
            color=colour,
            markersize=11 if name in BOUNDS else 6,
            linestyle="-" if len(points) > 1 else "none",
            linewidth=0.9,
            elinewidth=0.7,
            capsize=2,
            label={"naive": "naive (no protection)", "joint": "joint (all data)"}.get(name, name),
        )
        if len(points) > 1:
            labels += [(f"{knob(r):g}", x.mean, y.mean, colour) for r, x, y in zip(points, new, old, strict=True)]
    *old_tasks, last = records[0].tasks
    ax.set_xlabel(f"{last}, learned: nats per token (lower, to the right, is better)")
    ax.set_ylabel(f"{', '.join(old_tasks)}, kept: nats per token\n(lower, upwards, is better)")
    ax.invert_xaxis()
    ax.invert_yaxis()
    ax.legend(loc="best", fontsize=8)
    label_points(ax, labels)
    return ax


def transfer_curves(record: Record, alone: Record, ax: Axes | None = None) -> Axes:
    """Draw backward and forward transfer along the training of the second domain, in nats per token.

    Backward: how much better the first domain is known than when it had just been learned; negative is forgetting.
    Forward: how much better the second domain is known than by a model that learned it alone with equally many steps.
    Both from validation scores.

    Args:
        record: Of two domains.
        alone: Whose first domain is the second of ``record``, with the same seeds and the same plan.
        ax: Where to draw.

    Raises:
        ValueError: The two records do not fit each other.
    """
    _require_perplexity([record])
    first, second = record.tasks
    if alone.tasks[0] != second or alone.seeds != record.seeds or alone.plan != record.plan:
        raise ValueError(f"alone must begin with {second} and have the record's seeds and plan")
    ax = new_axes(ax, width=5.6, height=3.2)
    start = max(point["step"] for point in record.curves if point["training"] == first)
    old, new = (_nats_along(record, task, start) for task in (first, second))
    reference = _nats_along(alone, second, 0)
    steps = sorted(step for step in old if step in reference)
    for number, (label, values) in enumerate(
        {
            f"backward: {first}, beside just learned": {step: old[0] - old[step] for step in steps},
            f"forward: {second}, beside learned alone": {step: reference[step] - new[step] for step in steps},
        }.items()
    ):
        line_with_band(ax, steps, [mean_and_interval(values[step]) for step in steps], number, label)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xlabel(f"optimizer steps on {second}")
    ax.set_ylabel("transfer (nats per token)")
    ax.legend(loc="best", fontsize=8)
    return ax


def final_nats(records: Sequence[Record], ax: Axes | None = None) -> Axes:
    """Draw the test nats per token of every domain at the end, a group of points per domain, lower is better.

    Args:
        records: One per method, of the same text domains.
        ax: Where to draw.

    Raises:
        ValueError: The records are of different tasks, or not of perplexities.
    """
    _require_perplexity(records)
    ax = new_axes(ax, width=6.2, height=3.4)
    tasks = records[0].tasks
    for number, record in enumerate(records):
        nats = np.log(np.array(record.results, dtype=np.float64)[:, -1])
        positions = [task + 0.12 * (number - (len(records) - 1) / 2) for task in range(len(tasks))]
        intervals = [mean_and_interval(nats[:, task]) for task in range(len(tasks))]
        name = str(record.method["name"])
        marker, colour = _look(name)
        means, bars = [each.mean for each in intervals], [each.half_width for each in intervals]
        # Domains are no scale: nothing lies between them, so the points are not joined.
        ax.errorbar(positions, means, yerr=bars, marker=marker, color=colour, linestyle="none", capsize=2, label=name)
    ax.set_xticks(range(len(tasks)), [f"{task}\n(learned {_ORDINALS[i]})" for i, task in enumerate(tasks)])
    ax.set_ylabel("test nats per token (lower is better)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(records), fontsize=8, frameon=False)
    return ax


_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_METHODS = ("ewc", "l2sp", "online_ewc", "synaptic_intelligence", "mas", "ewc_on_generations")


def _look(method: str) -> tuple[str, str]:
    """Return marker and colour of a method: the same in every figure of a chapter."""
    return BOUNDS.get(method) or style(_METHODS.index(method) if method in _METHODS else len(_METHODS))


def _require_perplexity(records: Sequence[Record]) -> None:
    if shared_metric(records) != "perplexity":
        raise ValueError("nats per token belong to perplexities; use the figures for shares")


def _nats_along(record: Record, task: str, start: int) -> dict[int, NDArray[np.float64]]:
    """Return the validation nats [S] of a task by the number of steps since ``start``."""
    points = [point for point in record.curves if point["task"] == task and point["step"] >= start]
    steps = sorted({point["step"] for point in points})
    return {
        step - start: np.log(
            [p["score"] for seed in record.seeds for p in points if p["step"] == step and p["seed"] == seed]
        )
        for step in steps
    }
