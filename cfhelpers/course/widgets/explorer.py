"""The frame of every widget: controls above, what a function makes of their values below."""

from __future__ import annotations

import base64
import html
import io
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import ipywidgets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Wide enough for the longest description; all controls of a widget begin at one place.
STYLE = {"description_width": "7em"}
LAYOUT = {"width": "30em"}

_drawing = threading.Lock()


class Explorer(ipywidgets.VBox):
    """Controls, and what a function makes of their values.

    It shows text and figure itself, in one piece of HTML. An output widget would capture both, but a program that
    executes notebooks answers every message of such a widget, and nbclient then may miss that the cell has ended and
    wait until its time is over.

    Args:
        draw: Called with the controls' values by name, at once and whenever one changes; returns what to say and one
            of the axes of a new figure to show, or None.
        controls: By the name of the argument that each sets.
    """

    def __init__(self, draw: Callable[..., tuple[str, Axes | None]], controls: Mapping[str, Any]) -> None:
        self.controls = dict(controls)
        self.output = ipywidgets.HTML()
        self._draw = draw
        for control in self.controls.values():
            control.observe(self._redraw, "value")
        self._redraw()
        super().__init__([*self.controls.values(), self.output])

    def _redraw(self, _: object = None) -> None:
        import matplotlib.pyplot as plt

        try:
            # JupyterLab may deliver the messages of widgets in several threads at once, and after each message the
            # inline backend draws every figure that was opened in interactive mode.
            with _drawing, plt.ioff():
                text, ax = self._draw(**{name: control.value for name, control in self.controls.items()})
                figure = "" if ax is None else _image(ax, text)
        except Exception:  # of a callback it would be seen in the server's log only
            self.output.value = _preformatted(traceback.format_exc())
            raise
        self.output.value = _preformatted(text) + figure


def _preformatted(text: str) -> str:
    return f'<pre style="line-height: 1.4">{html.escape(text)}</pre>'


def _image(ax: Axes, alternative: str) -> str:
    """Return a figure as an HTML image, and close it."""
    import matplotlib.pyplot as plt

    figure = cast("Figure", ax.figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", bbox_inches="tight")
    plt.close(figure)
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    return f'<img src="{source}" alt="{html.escape(alternative)}">'
