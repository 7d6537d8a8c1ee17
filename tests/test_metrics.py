"""Metrics against matrices worked by hand from the papers' definitions, and properties that hold for any matrix."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cfhelpers import metrics

NAN = math.nan
# Rows: after task 0, 1, 2. Every number differs, so that a wrong row, column or divisor gives a wrong answer.
THREE_TASKS = [
    [0.90, NAN, NAN],
    [0.60, 0.80, NAN],
    [0.50, 0.71, 0.95],
]
# Task 0 is at its best after task 1, task 1 already before its own turn.
BEST_LATE = [
    [0.50, 0.90, 0.1],
    [0.70, 0.80, 0.2],
    [0.40, 0.60, 0.9],
]


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert metrics.average_accuracy(THREE_TASKS) == pytest.approx((0.50 + 0.71 + 0.95) / 3)


def test_backward_transfer_leaves_out_the_last_task_and_divides_by_the_others():
    assert metrics.backward_transfer(THREE_TASKS) == pytest.approx(((0.50 - 0.90) + (0.71 - 0.80)) / 2)


def test_forgetting_of_a_matrix_that_peaks_on_its_diagonal():
    assert metrics.forgetting(THREE_TASKS) == pytest.approx(((0.90 - 0.50) + (0.80 - 0.71)) / 2)


def test_forgetting_counts_from_the_best_earlier_row_not_from_the_diagonal():
    assert metrics.forgetting(BEST_LATE) == pytest.approx(((0.70 - 0.40) + (0.90 - 0.60)) / 2)
    assert metrics.backward_transfer(BEST_LATE) == pytest.approx(((0.40 - 0.50) + (0.60 - 0.80)) / 2)


def test_a_task_that_is_best_at_the_very_end_has_negative_forgetting():
    assert metrics.forgetting([[0.6, NAN], [0.7, 0.9]]) == pytest.approx(-0.1)


def test_forward_transfer_compares_with_learning_alone_and_leaves_out_the_first_task():
    assert metrics.forward_transfer(THREE_TASKS, [NAN, 0.85, 0.90]) == pytest.approx(
        ((0.80 - 0.85) + (0.95 - 0.90)) / 2
    )


def test_intransigence_is_what_joint_training_reaches_beyond_the_diagonal():
    expected = ((0.92 - 0.90) + (0.86 - 0.80) + (0.94 - 0.95)) / 3
    assert metrics.intransigence(THREE_TASKS, [0.92, 0.86, 0.94]) == pytest.approx(expected)


def test_perplexity_rising_is_forgetting_too():
    perplexities = [[20.0, NAN], [30.0, 12.0]]
    assert metrics.backward_transfer(perplexities, higher_is_better=False) == pytest.approx(-10)
    assert metrics.forgetting(perplexities, higher_is_better=False) == pytest.approx(10)
    assert metrics.forward_transfer(perplexities, [NAN, 15.0], higher_is_better=False) == pytest.approx(3)
    assert metrics.intransigence(perplexities, [19.0, 13.0], higher_is_better=False) == pytest.approx((1 - 1) / 2)
    assert metrics.average_accuracy(perplexities, higher_is_better=False) == pytest.approx(21)


def test_each_task_may_have_its_own_direction():
    recall_then_perplexity_then_recall = [[0.9, NAN, NAN], [0.6, 20.0, NAN], [0.5, 25.0, 1.0]]
    result = metrics.backward_transfer(recall_then_perplexity_then_recall, higher_is_better=[True, False, True])
    assert result == pytest.approx((-0.4 - 5.0) / 2)


def test_perplexity_weighs_tokens_not_batches():
    assert metrics.perplexity(10 * math.log(4) + 90 * math.log(2), 100) == pytest.approx(4**0.1 * 2**0.9)
    assert metrics.perplexity(0.0, 7) == 1.0
    assert metrics.perplexity(1e6, 10) == math.inf


@pytest.mark.parametrize(("nats", "tokens"), [(1.0, 0), (1.0, -3), (-1.0, 5), (NAN, 5)])
def test_perplexity_refuses_totals_that_cannot_be(nats, tokens):
    with pytest.raises(ValueError, match=r"perplexity needs|negative log-likelihood"):
        metrics.perplexity(nats, tokens)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([0.9, 0.8], "as many rows as columns"),
        ([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]], "as many rows as columns"),
        ([[0.9]], "at least 2"),
        ([[0.9, NAN], [NAN, 0.8]], r"R\[1, 0\] is NaN: the score on task 0 after training on task 1"),
        ([[NAN, NAN], [0.9, 0.8]], r"R\[0, 0\] is NaN"),
    ],
)
def test_a_matrix_that_cannot_be_read_is_refused(results, message):
    for measure in (metrics.backward_transfer, metrics.forgetting):
        with pytest.raises(ValueError, match=message):
            measure(results)


def test_reference_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="single_task needs one score for each of the 3 tasks"):
        metrics.forward_transfer(THREE_TASKS, [0.9, 0.9])
    with pytest.raises(ValueError, match="single_task has a NaN"):
        metrics.forward_transfer(THREE_TASKS, [0.9, NAN, 0.9])
    with pytest.raises(ValueError, match="joint has a NaN"):
        metrics.intransigence(THREE_TASKS, [NAN, 0.9, 0.9])
    with pytest.raises(ValueError, match="one for each of the 3 tasks"):
        metrics.forgetting(THREE_TASKS, higher_is_better=[True, False])
    with pytest.raises(ValueError, match="says nothing"):
        metrics.average_accuracy(THREE_TASKS, higher_is_better=[True, False, True])


scores = st.floats(0, 1, width=32)
matrices = st.integers(2, 6).flatmap(lambda size: arrays(np.float64, (size, size), elements=scores))


@given(matrices)
def test_forgetting_is_at_least_the_negative_backward_transfer(results):
    assert metrics.forgetting(results) >= -metrics.backward_transfer(results) - 1e-12


@given(matrices, st.floats(0.1, 10), st.floats(-5, 5))
def test_measures_of_change_scale_with_the_scores_and_ignore_their_zero(results, factor, shift):
    for measure in (metrics.backward_transfer, metrics.forgetting):
        assert measure(factor * results + shift) == pytest.approx(factor * measure(results), abs=1e-9)
        assert measure(-results, higher_is_better=False) == pytest.approx(measure(results), abs=1e-12)


@given(matrices, scores)
def test_the_last_task_and_the_unlearned_scores_do_not_move_backward_transfer(results, other):
    changed = np.where(np.triu(np.ones_like(results), 1) > 0, NAN, results)
    changed[-1, -1] = other
    assert metrics.backward_transfer(changed) == pytest.approx(metrics.backward_transfer(results), abs=1e-12)


@given(matrices)
def test_a_model_as_good_as_the_reference_transfers_nothing_and_resists_nothing(results):
    assert metrics.forward_transfer(results, results.diagonal()) == 0
    assert metrics.intransigence(results, results.diagonal()) == 0


@given(matrices)
def test_the_matrix_is_left_as_it_was(results):
    before = results.copy()
    metrics.forgetting(results, higher_is_better=False)
    metrics.backward_transfer(results, higher_is_better=False)
    np.testing.assert_array_equal(results, before)


# Two-sided quantiles from a printed table of Student's distribution: (confidence, degrees of freedom, t).
@pytest.mark.parametrize(
    ("confidence", "degrees", "quantile"),
    [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 4, 2.776), (0.95, 9, 2.262), (0.99, 3, 5.841), (0.90, 30, 1.697)],
)
def test_interval_uses_students_quantile(confidence, degrees, quantile):
    values = np.zeros(degrees + 1)
    values[:2] = (-1.0, 1.0)
    interval = metrics.mean_and_interval(values, confidence=confidence)
    standard_error = math.sqrt(2 / degrees) / math.sqrt(degrees + 1)
    assert interval.mean == pytest.approx(0)
    assert interval.half_width / standard_error == pytest.approx(quantile, abs=6e-4)
    assert interval.low == pytest.approx(-interval.high)
    assert interval.count == degrees + 1


def test_one_run_has_a_mean_but_no_interval():
    interval = metrics.mean_and_interval([0.4])
    assert interval.mean == 0.4
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert f"{interval:.1f}" == "0.4"


def test_an_interval_is_written_in_the_format_of_its_mean():
    assert f"{metrics.mean_and_interval([1.0, 2.0, 3.0]):.2f}" == "2.00 ± 2.48"
    assert f"{metrics.mean_and_interval([0.1, 0.2, 0.3]):.0%}" == "20% ± 25%"
    assert f"{metrics.mean_and_interval([1.0, 2.0, 3.0]):+.1f}" == "+2.0 ± 2.5"


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([[1.0]], 0.95), ([1.0, NAN], 0.95), ([1.0, 2.0], 95)])
def test_interval_refuses_what_it_cannot_use(values, confidence):
    with pytest.raises(ValueError, match=r"at least one number|NaN|between 0 and 1"):
        metrics.mean_and_interval(values, confidence=confidence)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.floats(-100, 100))
def test_an_interval_surrounds_its_mean_and_moves_with_the_values(values, shift):
    interval = metrics.mean_and_interval(values)
    moved = metrics.mean_and_interval([value + shift for value in values])
    assert interval.low <= interval.mean <= interval.high
    assert moved.mean == pytest.approx(interval.mean + shift, abs=1e-6)
    assert moved.half_width == pytest.approx(interval.half_width, abs=1e-6)


# Item by item --------------------------------------------------------------------------------------------------------


def test_transitions_without_chance_are_counted_shares():
    before, after = [True, True, True, False, False], [True, False, False, True, False]
    assert metrics.transitions(before, after) == metrics.Transitions(lost=0.4, gained=0.2)


def test_transitions_worked_by_hand_with_four_choices():
    before = [True] * 6 + [False] * 10
    after = [True] * 3 + [False] * 3 + [True] * 1 + [False] * 9
    unknown = (9 / 16) / (3 / 4) ** 2  # every item
    found = metrics.transitions(before, after, chance=0.25)
    assert found.lost == pytest.approx((3 / 16) / (3 / 4) - unknown / 4)
    assert found.gained == pytest.approx((1 / 16) / (3 / 4) - unknown / 4)


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5])
def test_transitions_are_right_on_average_for_items_that_are_known_or_guessed(chance):
    generator = np.random.default_rng(0)
    known_before = np.arange(200_000) % 10 < 7  # 70 % known, of which 20 % of all are lost; 10 % gained
    known_after = np.isin(np.arange(200_000) % 10, (0, 1, 2, 3, 4, 7))
    before, after = (known | (generator.random(len(known)) < chance) for known in (known_before, known_after))
    found = metrics.transitions(before, after, chance=chance)
    assert found.lost == pytest.approx(0.2, abs=0.006)
    assert found.gained == pytest.approx(0.1, abs=0.006)


@pytest.mark.parametrize(
    ("before", "after", "chance"),
    [([], [], 0.0), ([1], [1, 0], 0.0), ([1], [1], 1.0), ([1], [1], -0.1)],
)
def test_transitions_refuse_what_they_cannot_use(before, after, chance):
    with pytest.raises(ValueError, match=r"same items twice|chance must lie"):
        metrics.transitions(before, after, chance=chance)


def test_savings_are_the_head_start_as_a_share_of_what_a_fresh_learner_lacks():
    assert metrics.savings(0.6, 0.2, ceiling=1.0) == pytest.approx(0.5)
    assert metrics.savings(0.2, 0.2, ceiling=0.9) == 0
    assert metrics.savings(0.1, 0.2, ceiling=0.7) == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="nothing to save"):
        metrics.savings(0.9, 0.8, ceiling=0.8)
    with pytest.raises(ValueError, match="three scores"):
        metrics.savings(NAN, 0.1)


def test_a_parabola_in_the_logarithm_is_explained_whole_and_noise_hardly():
    x = np.geomspace(0.01, 10, 40)
    assert metrics.explained_share(x, 3 + 2 * np.log(x) - np.log(x) ** 2) == pytest.approx(1)
    assert metrics.explained_share(1000 * x, 3 + 2 * np.log(x) - np.log(x) ** 2) == pytest.approx(1)  # in any unit
    noise = np.random.default_rng(0).normal(size=40)
    assert metrics.explained_share(x, noise) < 0.2
    y = np.array([1.0, 4.0, 2.0, 3.0, 9.0])
    design = np.stack([np.ones(5), np.log(x[:5]), np.log(x[:5]) ** 2], axis=1)
    rest = y - design @ np.linalg.solve(design.T @ design, design.T @ y)  # the normal equations
    total = (y - y.mean()) @ (y - y.mean())
    assert metrics.explained_share(x[:5], y) == pytest.approx(1 - rest @ rest / total, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2, 3], [1, 2, 3], "four points"),
        ([1, 2, 3, 4], [1, 2, 3], "four points"),
        ([1, 2, 0, 4], [1, 2, 3, 4], "positive"),
        ([1, 2, 3, 4], [1, 1, 1, 1], "nothing to explain"),
    ],
)
def test_explained_share_refuses_what_it_cannot_use(x, y, message):
    with pytest.raises(ValueError, match=message):
        metrics.explained_share(x, y)


# Worst case ----------------------------------------------------------------------------------------------------------


def test_minimum_accuracy_is_the_mean_of_the_lowest_points_by_hand():
    # Task 1 falls to 0.2 and recovers, task 2 never moves: (0.2 + 0.7) / 2.
    assert metrics.minimum_accuracy([[0.9, 0.2, 0.8], [0.7]]) == pytest.approx(0.45)
    # Of a perplexity the worst is the largest: (5 + 3) / 2; of mixed directions each its own.
    assert metrics.minimum_accuracy([[2.0, 5.0, 2.5], [3.0, 1.0]], higher_is_better=False) == pytest.approx(4.0)
    assert metrics.minimum_accuracy([[0.9, 0.2], [3.0, 1.0]], higher_is_better=[True, False]) == pytest.approx(1.6)


def test_worst_case_accuracy_weighs_the_newest_task_as_one_of_all_by_hand():
    # Three tasks: 1/3 · 0.9 + 2/3 · (0.2 + 0.7)/2 = 0.3 + 0.3.
    assert metrics.worst_case_accuracy([[0.9, 0.2, 0.8], [0.7]], 0.9) == pytest.approx(0.6)
    assert metrics.worst_case_accuracy([[0.5, 0.5]], 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("curves", [[], [[]], [[0.5, float("nan")]], [[[0.5]]], [0.5]])
def test_a_worst_case_of_nothing_is_refused(curves):
    with pytest.raises(ValueError, match="old task"):
        metrics.minimum_accuracy(curves)
    with pytest.raises(ValueError, match="old task"):
        metrics.worst_case_accuracy(curves, 0.5)
    with pytest.raises(ValueError, match="NaN"):
        metrics.worst_case_accuracy([[0.5]], float("nan"))


@pytest.mark.parametrize("wrong", ["False", "no", [1, 0], 0, None])
def test_a_direction_must_be_true_or_false(wrong):
    with pytest.raises(ValueError, match="higher_is_better must be True or False"):
        metrics.backward_transfer([[1.0, 2.0], [3.0, 4.0]], higher_is_better=wrong)


@pytest.mark.parametrize("infinite", [float("inf"), float("-inf")])
def test_infinite_scores_are_refused(infinite):
    matrix = [[1.0, infinite], [3.0, 4.0]]
    with pytest.raises(ValueError, match=r"R\[0, 1\] is -?inf"):
        metrics.forgetting(matrix)
    with pytest.raises(ValueError, match="single_task has an infinite score"):
        metrics.forward_transfer([[1.0, 2.0], [3.0, 4.0]], [1.0, infinite])
