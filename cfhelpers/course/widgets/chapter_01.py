"""Demonstrating forgetting: walk along the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_steps(record: Record) -> Explorer:
    """Move along the optimizer steps and read every task's score there.

    Args:
        record: With curves of at least two steps.

    Returns:
        A widget with the control ``step``.
    """
    steps = sorted({point["step"] for point in record.curves})

    def draw(step: int) -> tuple[str, Axes]:
        scores = plots.scores_at(record, step)
        ax = plots.learning_curves(record)
        ax.axvline(step, color="black", linestyle=":")
        return f"After {step} steps: " + ", ".join(f"{task} {score:.1f}" for task, score in scores.items()), ax

    slider = ipywidgets.SelectionSlider(
        options=steps, value=steps[-1], description="steps", continuous_update=False, style=STYLE, layout=LAYOUT
    )
    return Explorer(draw, {"step": slider})
