"""Two methods compared where both have learned the same."""

import numpy as np
import pytest

from cfhelpers.training.fronts import gap_at_equal_learning
from tests.plots.test_plots import make_record


def front(*points):
    """Records of three seeds, whose second seed is the point (learned, kept) itself."""
    records = []
    for learned, kept in points:
        record = make_record()
        record.results = [[[0.9, 0.0], [kept + shift, learned]] for shift in (-0.125, 0.0, 0.25)]
        records.append(record)
    return records


def test_the_gap_is_a_mean_over_the_new_scores_that_both_reach():
    one, other = front((0.2, 0.8), (0.6, 0.8)), front((0.4, 0.6), (0.8, 0.2))
    gap = gap_at_equal_learning(one, other)
    assert (gap.low.tolist(), gap.high.tolist()) == ([0.4] * 3, [0.6] * 3)
    assert gap.kept == pytest.approx([0.3, 0.3, 0.3])  # from 0.2 at 0.4 to 0.4 at 0.6
    assert gap_at_equal_learning(other, one).kept == pytest.approx(-gap.kept)


def test_each_seed_is_compared_where_it_has_both_methods():
    one, other = front((0.2, 0.8), (0.6, 0.8)), front((0.2, 0.5), (0.6, 0.5))
    one[1].results[2] = [[0.9, 0.0], [1.05, 0.4]]
    gap = gap_at_equal_learning(one, other)
    assert gap.high.tolist() == [0.6, 0.6, 0.4]
    assert gap.kept == pytest.approx([0.3, 0.3, 0.3])


def test_the_order_of_the_records_is_all_one_and_equal_new_scores_count_as_their_mean():
    one = front((0.8, 0.1), (0.2, 0.9), (0.8, 0.3), (0.5, 0.9))
    gap = gap_at_equal_learning(one, front((0.1, 0.5), (0.9, 0.5)))
    assert (gap.low.tolist(), gap.high.tolist()) == ([0.2] * 3, [0.8] * 3)
    assert gap.kept == pytest.approx([(0.4 + 0.05) / 2] * 3)


def test_a_method_that_only_learns_less_has_no_advantage():
    curve = [(score, 1 - score**2) for score in np.linspace(0.1, 0.9, 9)]
    gap = gap_at_equal_learning(front(*curve[:6]), front(*curve[3:]))
    assert gap.kept == pytest.approx([0, 0, 0])


def test_a_fine_grid_finds_the_same():
    generator = np.random.default_rng(0)
    one, other = (front(*generator.random((6, 2))) for _ in range(2))
    gap = gap_at_equal_learning(one, other)
    grid = np.linspace(gap.low[0], gap.high[0], 200_001)
    for seed in range(3):
        lines = []
        for records in (one, other):
            points = sorted((each.results[seed][1][1], each.results[seed][1][0]) for each in records)
            lines.append(np.interp(grid, *np.array(points).T))
        assert gap.kept[seed] == pytest.approx((lines[0] - lines[1]).mean(), abs=1e-4)


def test_what_cannot_be_compared_is_refused():
    low, high = front((0.1, 0.5), (0.2, 0.4)), front((0.3, 0.5), (0.9, 0.4))
    with pytest.raises(ValueError, match="with seed 0 there is no score on second"):
        gap_at_equal_learning(low, high)
    with pytest.raises(ValueError, match="two records or more"):
        gap_at_equal_learning(low[:1], high)
    high[0].seeds = [0, 1, 3]
    with pytest.raises(ValueError, match="same tasks and seeds"):
        gap_at_equal_learning(high, high)
    low[0].higher_is_better = [False, False]
    with pytest.raises(ValueError, match="not of perplexities"):
        gap_at_equal_learning(low, low)
