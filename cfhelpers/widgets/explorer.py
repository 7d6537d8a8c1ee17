"""The frame of every widget: controls above, what a function makes of their values below."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

# Wide enough for the longest description; all controls of a widget begin at one place.
STYLE = {"description_width": "7em"}
LAYOUT = {"width": "30em"}

_drawing = threading.Lock()


class Explorer(ipywidgets.VBox):
    """Controls, and what a function makes of their values.

    Args:
        draw: Called with the controls' values by name, at once and whenever one changes; prints or shows a figure.
        controls: By the name of the argument that each sets.
    """

    def __init__(self, draw: Callable[..., None], controls: Mapping[str, Any]) -> None:
        def draw_alone(**values: Any) -> None:
            # JupyterLab may deliver the messages of widgets in several threads at once, and after each message the
            # inline backend draws every figure that was opened in interactive mode: two threads would draw one figure,
            # and what comes out is blank.
            import matplotlib.pyplot as plt

            with _drawing, plt.ioff():
                draw(**values)

        self.controls = dict(controls)
        self.output = ipywidgets.interactive_output(draw_alone, self.controls)
        super().__init__([*self.controls.values(), self.output])
