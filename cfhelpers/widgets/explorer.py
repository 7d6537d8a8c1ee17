"""The frame of every widget: controls above, what a function makes of their values below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets


class Explorer(ipywidgets.VBox):
    """Controls, and what a function makes of their values.

    Args:
        draw: Called with the controls' values by name, at once and whenever one changes; prints or shows a figure.
        controls: By the name of the argument that each sets.
    """

    def __init__(self, draw: Callable[..., None], controls: Mapping[str, Any]) -> None:
        self.controls = dict(controls)
        self.output = ipywidgets.interactive_output(draw, self.controls)
        super().__init__([*self.controls.values(), self.output])
