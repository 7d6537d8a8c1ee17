"""EWC on GPT-2: move along the retention–learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def retention(records: Sequence[Record]) -> Explorer:
    """Move the strength of a method along its retention–learning curve.

    Args:
        records: Sweeps of penalising methods and, as bounds, naive and joint training, of the same text domains.

    Returns:
        A widget with the controls ``method`` and ``strength``: the position in the method's grid, weakest first.
    """
    swept = [record for record in records if "strength" in record.method]
    sweeps: dict[str, list[Record]] = {str(record.method["name"]): [] for record in swept}
    for record in sorted(swept, key=lambda each: each.method["strength"]):
        sweeps[record.method["name"]].append(record)
    *old_tasks, last = records[0].tasks

    def draw(method: str, strength: int) -> tuple[str, Axes]:
        record = sweeps[method][min(strength, len(sweeps[method]) - 1)]
        nats = plots.old_and_new_nats(record)
        old, new = mean_and_interval(nats[:, 0]), mean_and_interval(nats[:, 1])
        ax = plots.retention_learning_curve(records)
        ax.plot([new.mean], [old.mean], marker="o", markersize=16, fillstyle="none", color="black")
        scores = f"{', '.join(old_tasks)} {old:.3f} nats, {last} {new:.3f} nats"
        return f"{method}, λ = {record.method['strength']:g}: {scores}", ax

    longest = max(len(sweep) for sweep in sweeps.values())
    return Explorer(
        draw,
        {
            "method": ipywidgets.Dropdown(options=list(sweeps), description="method", style=STYLE, layout=LAYOUT),
            "strength": ipywidgets.IntSlider(
                longest // 2,
                min=0,
                max=longest - 1,
                description="λ, from weakest",
                continuous_update=False,
                style=STYLE,
                layout=LAYOUT,
            ),
        },
    )
