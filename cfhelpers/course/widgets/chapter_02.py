"""Two weights, two tasks: move the optima and λ, and see where elastic weight consolidation comes to rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.worlds.two_weights import TwoWeightTask, ewc_solution, train_with_ewc

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def two_bowls(old: TwoWeightTask, new: TwoWeightTask) -> Explorer:
    """Move λ and the two tasks' optima.

    Args:
        old: Where the first task starts; its curvature stays.
        new: Where the second task starts; its curvature stays.

    Returns:
        A widget with the controls ``strength``, ``old_first``, ``old_second``, ``new_first`` and ``new_second``.
    """

    def draw(
        strength: float, old_first: float, old_second: float, new_first: float, new_second: float
    ) -> tuple[str, Axes]:
        first = TwoWeightTask((old_first, old_second), old.variances, old.correlation)
        second = TwoWeightTask((new_first, new_second), new.variances, new.correlation)
        solution = ewc_solution(first, second, strength)
        trained = train_with_ewc(first, second, strength)
        places = f"on paper ({solution[0]:.4f}, {solution[1]:.4f}), trained ({trained[0]:.4f}, {trained[1]:.4f})"
        losses = f"old {first.loss(solution):.3f}, new {second.loss(solution):.3f}"
        ax = plots.two_bowls(first, second, strength)
        return f"{places}\nloss above the least, in nats: {losses}", ax

    common: dict[str, Any] = {"continuous_update": False, "style": STYLE, "layout": LAYOUT}

    def place(value: float, description: str) -> Any:
        return ipywidgets.FloatSlider(value, min=-3.0, max=3.0, step=0.1, description=description, **common)

    strength: Any = ipywidgets.FloatLogSlider(1.0, min=-3, max=3, step=0.25, description="λ", **common)
    return Explorer(
        draw,
        {
            "strength": strength,
            "old_first": place(old.optimum[0], "old, first"),
            "old_second": place(old.optimum[1], "old, second"),
            "new_first": place(new.optimum[0], "new, first"),
            "new_second": place(new.optimum[1], "new, second"),
        },
    )
