"""Progressive prompts: how a batch lies behind them, and how it grows with the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT_LENGTHS = (8, 5, 3)


def prompted_batch() -> Explorer:
    """Move the number of tasks, the length of a prompt, the side of the padding and the kind of model.

    Returns:
        A widget with the controls ``tasks``, ``vectors``, ``side`` and ``model``.
    """

    def draw(tasks: int, vectors: int, side: str, model: str) -> tuple[str, Axes]:
        ax = plots.prompt_layout(
            TEXT_LENGTHS,
            tasks=tasks,
            vectors=vectors,
            side="left" if side == "left" else "right",
            encoder=model == "encoder",
        )
        longest = max(TEXT_LENGTHS)
        whole = longest + tasks * vectors
        return (
            f"Task {tasks} reads {tasks * vectors} vectors with {longest} tokens: {whole} positions, "
            f"{whole / longest:.1f} times the text and {(whole / longest) ** 2:.1f} times its pairs in attention",
            ax,
        )

    common = {"style": STYLE, "layout": LAYOUT}
    slider = {"continuous_update": False, **common}
    return Explorer(
        draw,
        {
            "tasks": ipywidgets.IntSlider(2, min=1, max=6, description="tasks", **slider),
            "vectors": ipywidgets.IntSlider(3, min=1, max=6, description="vectors", **slider),
            "side": ipywidgets.Dropdown(options=["right", "left"], description="padding", **common),
            "model": ipywidgets.Dropdown(options=["causal", "encoder"], description="model", **common),
        },
    )
