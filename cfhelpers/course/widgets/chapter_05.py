"""LoRA: move the learning rate of each method along its own front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rates(fronts: Mapping[str, Sequence[Record]]) -> Explorer:
    """Choose a method and one of its learning rates, and see where it comes to stand.

    Args:
        fronts: As ``plots.rate_fronts`` takes them.

    Returns:
        A widget with the controls ``method`` and ``number``: which of its rates, the lowest first.
    """
    ordered = {name: sorted(records, key=plots.rate_of) for name, records in fronts.items()}

    def draw(method: str, number: int) -> tuple[str, Axes]:
        record = ordered[method][min(number, len(ordered[method])) - 1]
        kept, learned = plots.kept_and_learned(record)
        ax = plots.rate_fronts(fronts)
        ax.plot([learned], [kept], marker="o", markersize=16, fillstyle="none", color="black")
        return f"{method}, rate {plots.rate_of(record):g}: kept {kept:.1f}, learned {learned:.1f}", ax

    most = max(map(len, ordered.values()))
    return Explorer(
        draw,
        {
            "method": ipywidgets.Dropdown(options=list(ordered), description="method", style=STYLE, layout=LAYOUT),
            "number": ipywidgets.IntSlider(
                2, min=1, max=most, description="rate, number", continuous_update=False, style=STYLE, layout=LAYOUT
            ),
        },
    )
