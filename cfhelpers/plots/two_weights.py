"""Two tasks as bowls over two weights, and where elastic weight consolidation comes to rest between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cfhelpers.plots.parts import COLOURS, new_axes
from cfhelpers.worlds.two_weights import TwoWeightTask, ewc_solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVELS = (0.05, 0.25, 0.75, 1.75)
_PATH = np.logspace(-3, 3, 121)


def two_bowls(old: TwoWeightTask, new: TwoWeightTask, strength: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw both tasks' losses as level lines, their optima, and EWC's solutions for every strength as a path.

    Args:
        old: Learned first; blue.
        new: Learned second; orange.
        strength: Mark the solution for this λ.
        ax: Where to draw.
    """
    ax = new_axes(ax, width=7.2, height=3.8)
    points = np.array([old.optimum, new.optimum])
    low, high = points.min(0) - 1.6, points.max(0) + 1.6
    grid = np.meshgrid(np.linspace(low[0], high[0], 120), np.linspace(low[1], high[1], 120))
    weights = torch.tensor(np.stack(grid, -1))
    for number, (task, name) in enumerate(((old, "old task"), (new, "new task"))):
        ax.contour(*grid, task.loss(weights).numpy(), levels=_LEVELS, colors=COLOURS[number], linewidths=0.9)
        ax.plot(*task.optimum, "os"[number], color=COLOURS[number], label=f"{name}: optimum and level lines")
    for diagonal, line in ((True, "-"), (False, ":")):
        path = np.array([ewc_solution(old, new, each, diagonal=diagonal).numpy() for each in _PATH])
        label = "EWC, λ from 0.001 to 1000" if diagonal else "with the whole Fisher"
        if diagonal or old.correlation != 0:
            ax.plot(path[:, 0], path[:, 1], line, color="black", label=label)
    if strength is not None:
        ax.plot(*ewc_solution(old, new, strength).numpy(), "*", color="black", markersize=13, label=f"λ = {strength:g}")
    ax.set_xlabel("first weight")
    ax.set_ylabel("second weight")
    ax.set_aspect("equal")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return ax
