"""Distillation: which distance tells what was forgotten?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.training.distances import explained_forgetting
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def distances(records: Sequence[Record], names: Sequence[str]) -> Explorer:
    """Choose a distance and see the cloud of all runs, with the share of forgetting that it explains.

    Args:
        records: With every distance measured.
        names: Of the distances.

    Returns:
        A widget with the control ``distance``.
    """

    def draw(distance: str) -> tuple[str, Axes]:
        share = explained_forgetting(records, distance)
        text = f"{distance}: R² = {share:.2f} over {sum(len(each.seeds) for each in records)} runs"
        return text, plots.forgetting_against_distance(records, distance)

    choice = ipywidgets.Dropdown(options=list(names), description="distance", style=STYLE, layout=LAYOUT)
    return Explorer(draw, {"distance": choice})
