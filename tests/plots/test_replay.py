"""Figures of chapter 7: the right scores over the right numbers, curves from the switch on, A-GEM's geometry."""

import matplotlib as mpl
import numpy as np
import pytest

from cfhelpers import plots
from tests.plots.test_plots import bars_of, close_figures, legend, make_record

mpl.use("Agg")
__all__ = ["close_figures"]  # a fixture that closes every figure


def test_scores_are_drawn_over_their_numbers_for_each_task():
    records = {0.1: make_record(old=0.5, new=0.8), 0.01: make_record(old=0.3, new=0.9)}
    ax = plots.scores_against({"old": ("first", records), "new": ("second", records)}, "part kept")
    points, _ = bars_of(ax, "old")
    np.testing.assert_allclose(points, [[0.01, 29.0], [0.1, 49.0]])
    np.testing.assert_allclose(bars_of(ax, "new")[0], [[0.01, 91.0], [0.1, 81.0]])
    assert legend(ax) == ["old", "new"]
    assert ax.get_xlabel() == "part kept"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.01", "0.1"]
    with pytest.raises(ValueError, match="no records"):
        plots.scores_against({}, "part kept")
    mixed = {"old": ("first", records), "other": ("first", {1.0: make_record(metric="perplexity")})}
    with pytest.raises(ValueError, match="metric"):
        plots.scores_against(mixed, "part kept")


def test_the_curve_after_a_switch_begins_with_the_end_of_the_old_task():
    ax = plots.after_switch({"naive": make_record(old=0.3), "kept": make_record(old=0.8)})
    first, second = ax.get_lines()
    np.testing.assert_allclose(first.get_xydata(), [[0, 89.0], [10, 29.0]])
    np.testing.assert_allclose(second.get_xydata(), [[0, 89.0], [10, 79.0]])
    assert legend(ax) == ["naive", "kept"]


@pytest.mark.parametrize(
    ("gradient", "reference", "projected"),
    [([1.0, -2.0], [0.0, 1.0], [1.0, 0.0]), ([1.0, 2.0], [0.0, 1.0], [1.0, 2.0])],
)
def test_the_plane_shows_steps_and_where_the_old_loss_rises(gradient, reference, projected):
    ax = plots.projection(gradient, reference)
    arrows = [text.xy for text in ax.texts]  # pyright: ignore[reportAttributeAccessIssue]  # annotations
    np.testing.assert_allclose(arrows, [np.negative(gradient), np.negative(reference), np.negative(projected)])
    (half_plane,) = ax.patches
    assert half_plane.get_path().contains_point(np.array(reference))
    assert not half_plane.get_path().contains_point(np.negative(reference))
