"""Cells that move every control of a notebook's widgets through its values, put behind the cells that show them."""

import copy
import inspect
import re

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

_WIDGET = re.compile(r"^(\w+) = widgets\.(\w+)\(", re.MULTILINE)
SECONDS = 0.3  # of processor time, between a move and the answer


def move_through(widget, name: str, most: int, seconds: float) -> None:
    """Set every control to up to ``most`` of its values, one after the other, and hold what comes against the rules.

    An error in a callback is raised by the assignment itself. Each control of a widget with a picture must change it;
    of a chat, question and seed change the answer only now and then. The median move must be fast enough.
    """
    import statistics
    import time

    def states(control) -> list:
        if hasattr(control, "options"):
            found = [("index", place) for place in range(len(control.options))]
        elif hasattr(control, "step"):
            count = round((control.max - control.min) / control.step)
            found = [("value", control.min + place * control.step) for place in range(count + 1)]
            if hasattr(control, "base"):  # a logarithmic slider
                found = [(trait, control.base**value) for trait, value in found]
        else:
            found = [("value", text) for text in ("What is your name?", "?", "")]
        steps = min(most, len(found))
        return [found[round(place * (len(found) - 1) / max(1, steps - 1))] for place in range(steps)]

    took, changed = [], []
    for which, control in widget.controls.items():
        first, seen = control.value, set()
        for trait, value in states(control):
            same = getattr(control, trait) == value
            started = time.process_time()
            setattr(control, trait, value)
            if not same:
                took.append(time.process_time() - started)
            assert "Traceback" not in widget.output.value, widget.output.value
            seen.add(widget.output.value)
        control.value = first
        if len(seen) > 1:
            changed.append(which)
    unmoved = set(widget.controls) - set(changed)
    assert changed, f"{name} says the same whatever is moved"
    assert not unmoved or "<img" not in widget.output.value, f"the picture of {name} does not follow {unmoved}"
    median = statistics.median(took)
    print(f"widget {name}: {len(took)} moves, {median:.3f} s of processor time in the median, {max(took):.3f} at most")
    assert median <= seconds, f"a move of {name} takes {median:.2f} s in the median; at most {seconds} s"


def with_moves(notebook: NotebookNode, *, most: int = 4) -> NotebookNode:
    """Return a copy of a notebook in which each widget is moved right after the cell that shows it."""
    moved = copy.deepcopy(notebook)
    moved.cells = []
    for cell in copy.deepcopy(notebook.cells):
        moved.cells.append(cell)
        for variable, name in _WIDGET.findall(cell.source if cell.cell_type == "code" else ""):
            call = f"move_through({variable}, {name!r}, {most}, {SECONDS})"
            moved.cells.append(new_code_cell(f"{inspect.getsource(move_through)}\n\n{call}"))
    return moved


def reports(notebook: NotebookNode) -> list[str]:
    """Return what the moves said, a line for each widget."""
    texts = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    return [line for text in texts for line in text.splitlines() if line.startswith("widget ")]
