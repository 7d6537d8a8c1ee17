"""Start here: a share that is amplified by learning from one's own choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ipywidgets
from numpy.typing import ArrayLike

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.worlds.feedback import next_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def feedback(histories: Mapping[str, ArrayLike]) -> Explorer:
    """Choose a first share and a temperature, and see where a loop that learns exactly what it says would go.

    Args:
        histories: Measured shares to compare with, as ``plots.shares_over_updates`` takes them.

    Returns:
        A widget with the controls ``share`` and ``temperature``.
    """

    def draw(share: float, temperature: float) -> tuple[str, Axes]:
        ax = plots.shares_over_updates(histories)
        shares = [share]
        for _ in range(round(ax.dataLim.x1)):
            shares.append(next_share(shares[-1], temperature))
        ax.plot([100 * each for each in shares], color="black", linestyle=":", marker="x", label="predicted")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        updates = f"{len(shares) - 1} updates at temperature {temperature:g}"
        return f"Predicted: from {share:.0%} to {shares[-1]:.1%} after {updates}", ax

    common = {"continuous_update": False, "style": STYLE, "layout": LAYOUT}
    return Explorer(
        draw,
        {
            "share": ipywidgets.FloatSlider(0.7, min=0.0, max=1.0, step=0.05, description="first share", **common),
            "temperature": ipywidgets.FloatSlider(0.5, min=0.1, max=2.0, step=0.1, description="temperature", **common),
        },
    )
