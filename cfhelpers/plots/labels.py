"""Write texts beside points so that they touch nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path
    from matplotlib.transforms import Bbox, BboxBase

RINGS = (5, 12, 20, 32, 48)  # how far a text stands from its point, in points of type
MARK = 4  # half the width of a mark


def label_points(ax: Axes, labels: Sequence[tuple[str, float, float, str]], fontsize: float = 8) -> None:
    """Write a text beside each point where it touches no other text, no mark and no legend, and crosses few lines.

    Where all places close by are taken, it stands further off, with a thin line to its point. Call this when everything
    else is drawn: it lays the figure out and goes by what is there.

    Args:
        ax: Where the points are.
        labels: Text, x, y and colour of each.
        fontsize: In points.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    figure: Any = ax.figure
    figure.draw_without_rendering()  # a layout or limits that are found later would move the points
    pixels = figure.dpi / 72  # for a point of type
    lines, legend = _drawn_lines(ax), ax.get_legend()
    taken = [legend.get_window_extent()] if legend else []
    places = [ax.transData.transform((x, y)) for _, x, y, _ in labels]
    marks = [Bbox([place - MARK * pixels, place + MARK * pixels]) for place in places]
    for number, (text, x, y, colour) in enumerate(labels):
        trial = ax.text(x, y, text, fontsize=fontsize)
        size = np.array(trial.get_window_extent().size) + 1
        trial.remove()
        others = [*taken, *marks[:number], *marks[number + 1 :]]

        corners = list(_corners(size, pixels))
        boxes = [Bbox.from_bounds(*(places[number] + corner), *size) for _, corner in corners]
        costs = [ring + _cost(box, others, lines, ax.bbox) for box, (ring, _) in zip(boxes, corners, strict=True)]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        ring, corner = corners[best]
        shown = ax.annotate(
            text, (x, y), tuple(corner / pixels), textcoords="offset points", fontsize=fontsize, color=colour,
            va="bottom", arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5} if ring else None,
        )  # fmt: skip
        shown.set_in_layout(False)  # the layout is made: nothing may move any more
        shown.set_path_effects([withStroke(linewidth=2, foreground="white")])  # legible where it crosses a line


def _cost(box: Bbox, others: Sequence[BboxBase], lines: Sequence[Path], frame: BboxBase) -> float:
    """Return how bad a place is: what it touches or sticks out of weighs far more than a line that it crosses."""
    inside = frame.contains(*box.min) and frame.contains(*box.max)
    crossed = sum(line.intersects_bbox(box, filled=False) for line in lines)
    return 100 * (box.count_overlaps(others) + (not inside)) + 2 * crossed


def _corners(size: np.ndarray, pixels: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yield, nearest first, a ring and where a text's lower left corner stands on it, in pixels from its point."""
    width, height = size
    for ring, gap in enumerate(RINGS):
        off = gap * pixels
        left, right, below, above, middle = -off - width, off, -off - height, off, -height / 2
        further = 2 * pixels  # straight beside the mark, whose corner or tip would touch
        sides = [(right, above), (right + further, middle), (left, above), (left - further, middle)]
        sides += [(right, below), (left, below)]
        yield from ((ring, np.array(side)) for side in (*sides, (-width / 2, above), (-width / 2, below)))


def _drawn_lines(ax: Axes) -> list[Path]:
    """Return the lines and error bars of the axes in pixels."""
    from matplotlib.collections import LineCollection

    drawn = [line for line in ax.lines if line.get_linestyle() != "None"]
    bars = [each for each in ax.collections if isinstance(each, LineCollection)]
    return [
        *(line.get_transform().transform_path(line.get_path()) for line in drawn),
        *(bar.get_transform().transform_path(path) for bar in bars for path in bar.get_paths()),
    ]
