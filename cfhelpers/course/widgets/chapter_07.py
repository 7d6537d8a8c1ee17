"""Replay: how much is kept, how often it is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets

from cfhelpers import plots
from cfhelpers.course.widgets.explorer import LAYOUT, STYLE, Explorer
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def buffers(records: Sequence[Record]) -> Explorer:
    """Choose how much of the old data is kept and its share of the training data.

    Args:
        records: Of replay, with every pair of a fraction and a share.

    Returns:
        A widget with the controls ``fraction`` and ``share``.
    """
    by_setting = {(record.method["fraction"], record.method["share"]): record for record in records}
    fractions, shares = (sorted({setting[place] for setting in by_setting}) for place in (0, 1))

    def draw(fraction: float, share: float) -> tuple[str, Axes]:
        old, new = plots.kept_and_learned(by_setting[fraction, share])
        row = {each: by_setting[fraction, each] for each in shares}
        first, *_, last = records[0].tasks
        series = {f"{first} ({fraction:.1%} kept)": (first, row), last: (last, row)}
        ax = plots.scores_against(series, "share of the training data")
        ax.axvline(share, color="black", linestyle=":")
        seeds = len(records[0].seeds)
        return f"{fraction:.1%} kept, share {share:.0%}: old {old:.1f}, new {new:.1f} ({seeds} seed(s))", ax

    common = {"style": STYLE, "layout": LAYOUT, "continuous_update": False}
    return Explorer(
        draw,
        {
            "fraction": ipywidgets.SelectionSlider(
                options=[(f"{each:.1%}", each) for each in fractions],
                value=fractions[-1],
                description="kept",
                **common,
            ),
            "share": ipywidgets.SelectionSlider(
                options=[(f"{each:.0%}", each) for each in shares],
                value=shares[len(shares) // 2],
                description="share",
                **common,
            ),
        },
    )
