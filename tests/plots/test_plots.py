"""Figures: labels and units, axes the right way round, and intervals that are those of the metrics."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.container import ErrorbarContainer

from cfhelpers import plots
from cfhelpers.metrics import mean_and_interval
from cfhelpers.plots.parts import style
from cfhelpers.training.records import Record

mpl.use("Agg")

SEEDS = [0, 1, 2]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def make_record(*, old=0.3, new=0.9, metric="recall", nan=False, **method) -> Record:
    """Two tasks, three seeds: 'first' is learned to 0.95 and ends at about ``old``, 'second' ends at about ``new``."""
    noise = (-0.04, 0.0, 0.01)
    before = float("nan") if nan else 0.02
    return Record(
        role="dialogpt",
        profile="tiny",
        tasks=["first", "second"],
        method={"name": "naive", **method},
        plan={},
        metrics=[metric, metric],
        higher_is_better=[metric != "perplexity"] * 2,
        chance=[0.0, 0.0],
        ceiling=[1.0, 1.0],
        seeds=SEEDS,
        results=[[[0.95, before], [old + e, new - e]] for e in noise],
        initial=[[0.0, 0.0]] * 3,
        curves=[
            {"seed": s, "training": t, "step": step, "task": task, "score": score + noise[s]}
            for s in SEEDS
            for t, step, first, second in (("first", 0, 0, 0), ("first", 10, 0.9, 0), ("second", 20, old, new))
            for task, score in (("first", first), ("second", second))
        ],
        losses=[
            {"seed": s, "training": t, "step": step, "loss": loss, **ratios}
            for s in SEEDS
            for t, step, loss, ratios in (
                ("first", 10, 2.0, {}),
                ("second", 15, 1.0, {"penalty_to_loss": 0.1 * (s + 1), "penalty_to_task_gradient": 3.0}),
                ("second", 20, 0.5, {"penalty_to_loss": 0.2 * (s + 1), "penalty_to_task_gradient": 5.0}),
            )
        ],
    )


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def texts(ax):
    return {text.get_text() for text in ax.texts}


def bars_of(ax: Any, label: str) -> tuple[Any, Any]:
    """Return the mean points [n, 2] of a series and its error bars as arrays [n, 2, 2] of end points."""
    container = next(c for c in ax.containers if isinstance(c, ErrorbarContainer) and c.get_label() == label)
    line, _, collections = container.lines
    assert all(isinstance(each, LineCollection) for each in collections)
    return line.get_xydata(), [np.array(each.get_segments()) for each in collections]


def test_a_row_of_the_result_matrix_is_a_moment_and_a_column_a_task():
    ax: Any = plots.result_matrix(make_record())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("scored on\nnumbers: recall (% of questions)", "after learning")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["first", "second"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    # R[1, 0], the old task after the new one, stands lower left: x = 0, y = 1 on an axis that points down.
    forgotten = mean_and_interval([26, 30, 31])
    at = {text.get_position(): text.get_text() for text in ax.texts}
    assert at[(0, 1)] == f"{forgotten.mean:.1f}\n± {forgotten.half_width:.1f}"
    assert ax.yaxis.get_inverted()
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.95, 0.02], [0.29, 0.91]])


def test_metrics_that_differ_stand_with_their_tasks():
    record = make_record()
    record.metrics = ["recall", "accuracy"]
    ax: Any = plots.result_matrix(record)
    assert ax.get_xlabel() == "scored on"
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "first\nrecall (% of questions)",
        "second\naccuracy (% of texts)",
    ]


def test_a_missing_score_is_an_empty_cell():
    ax: Any = plots.result_matrix(make_record(nan=True))
    assert {text.get_position(): text.get_text() for text in ax.texts}[(1, 0)] == "–"
    assert ax.images[0].get_array().mask.tolist() == [[False, True], [False, False]]


def test_low_perplexity_is_coloured_as_good():
    record = make_record(metric="perplexity")
    record.results = [[[20.0, 90.0], [60.0, 10.0]]]
    record.seeds = [0]
    ax: Any = plots.result_matrix(record)
    np.testing.assert_allclose(ax.images[0].get_array(), [[1, 0], [0, 1]])
    assert "20.0" in texts(ax)


def test_learning_curves_have_a_band_over_seeds_and_a_line_at_the_new_task():
    record = make_record(old=0.3)
    ax: Any = plots.learning_curves(record)
    assert ax.get_xlabel() == "optimizer steps"
    assert ax.get_ylabel() == "validation recall (% of questions)"
    first, second = ax.lines[:2]
    assert (first.get_label(), second.get_label()) == ("score on first", "score on second")
    np.testing.assert_allclose(first.get_xydata(), [[0, -1], [10, 89], [20, 29]])
    band: Any = next(c for c in ax.collections if isinstance(c, PolyCollection))
    expected = mean_and_interval([26.0, 30.0, 31.0])
    heights = [y for x, y in band.get_paths()[0].vertices if x == 20]
    assert min(heights) == pytest.approx(expected.low)
    assert max(heights) == pytest.approx(expected.high)
    assert [line.get_xdata()[0] for line in ax.lines[2:]] == [10]
    assert texts(ax) == {"learning first", "learning second"}


def test_loss_curves_show_each_record():
    ax: Any = plots.loss_curves([make_record(), make_record(name="ewc", strength=3.0)])
    assert ax.get_ylabel() == "training loss (nats per target)"
    assert legend(ax) == ["naive", "ewc (strength=3)"]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[10, 2], [15, 1], [20, 0.5]])


def test_retention_is_upwards_and_learning_to_the_right_with_intervals_of_both():
    records = [
        make_record(),
        make_record(old=0.9, new=0.85, name="ewc", strength=10.0),
        make_record(old=0.7, new=0.95, name="ewc", strength=1.0),
        make_record(old=0.95, new=0.97, name="joint"),
    ]
    ax: Any = plots.retention_against_learning(records)
    assert ax.get_xlabel() == "learned: recall on second (% of questions)"
    assert ax.get_ylabel() == "kept: recall on first (% of questions)"
    points, (horizontal, vertical) = bars_of(ax, "ewc")
    np.testing.assert_allclose(points, [[96, 69], [86, 89]])  # by strength, not by order of the records
    old, new = mean_and_interval([66.0, 70.0, 71.0]), mean_and_interval([99.0, 95.0, 94.0])
    np.testing.assert_allclose(vertical[0][:, 1], [old.low, old.high])
    np.testing.assert_allclose(horizontal[0][:, 0], [new.low, new.high])
    labels = legend(ax)
    assert labels == ["naive (lower bound)", "ewc", "joint (upper bound)"]
    assert texts(ax) == {"1", "10"}


def test_for_perplexity_the_best_corner_stays_upper_right():
    ax: Any = plots.retention_against_learning([make_record(metric="perplexity", old=30.0, new=20.0)])
    assert ax.xaxis.get_inverted()
    assert ax.yaxis.get_inverted()


def test_strength_sweep_has_a_logarithmic_axis_and_both_scores():
    records = [make_record(old=o, new=0.9, name="ewc", strength=s) for s, o in ((100.0, 0.9), (0.0, 0.2), (1.0, 0.5))]
    ax: Any = plots.strength_sweep(records)
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "strength λ (log scale)"
    assert ax.get_ylabel() == "test recall (% of questions)"
    points, (vertical,) = bars_of(ax, "kept: first")
    np.testing.assert_allclose(points, [[1, 49], [100, 89]])
    expected = mean_and_interval([86.0, 90.0, 91.0])
    np.testing.assert_allclose(vertical[1][:, 1], [expected.low, expected.high])
    np.testing.assert_allclose(bars_of(ax, "learned: second")[0][:, 1], 91)
    level = next(line for line in ax.lines if line.get_label() == "kept at λ = 0")
    np.testing.assert_allclose(level.get_ydata(), 19)


def test_penalty_ratios_are_medians_of_the_last_task():
    record = make_record(name="ewc", strength=2.0)
    np.testing.assert_allclose(plots.penalty_ratio(record, "penalty_to_loss"), [0.15, 0.30, 0.45])
    ax: Any = plots.penalty_ratios([record])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    expected = mean_and_interval(np.log([0.15, 0.30, 0.45]))
    points, (vertical,) = bars_of(ax, "penalty / task loss")
    np.testing.assert_allclose(points, [[2, np.exp(expected.mean)]])
    np.testing.assert_allclose(vertical[0][:, 1], np.exp([expected.low, expected.high]))
    np.testing.assert_allclose(bars_of(ax, "penalty's gradient / task's gradient")[0], [[2, 4]])


def test_one_seed_is_drawn_without_an_interval():
    record = make_record()
    record.seeds, record.results = [0], record.results[:1]
    record.curves = [point for point in record.curves if point["seed"] == 0]
    assert "26.0" in texts(plots.result_matrix(record))
    plots.learning_curves(record).figure.canvas.draw()
    plots.retention_against_learning([record]).figure.canvas.draw()


def test_figures_draw_on_given_axes():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert plots.learning_curves(make_record(), ax=ax) is ax
    assert plots.result_matrix(make_record(), ax=ax) is ax


def test_what_cannot_share_a_figure_is_refused():
    mixed = make_record()
    mixed.metrics = ["recall", "perplexity"]
    with pytest.raises(ValueError, match="perplexity and recall cannot share an axis"):
        plots.learning_curves(mixed)
    other = make_record()
    other.tasks = ["second", "first"]
    with pytest.raises(ValueError, match="of the same tasks"):
        plots.retention_against_learning([make_record(), other])
    with pytest.raises(ValueError, match="of the same tasks"):
        plots.retention_against_learning([])
    with pytest.raises(ValueError, match="of one method"):
        plots.strength_sweep([make_record(name="ewc", strength=1.0), make_record(name="l2sp", strength=1.0)])
    empty = make_record()
    empty.curves = []
    with pytest.raises(ValueError, match="no curves"):
        plots.learning_curves(empty)
    with pytest.raises(ValueError, match="naive logged no gradient_share while learning second"):
        plots.penalty_ratio(make_record(), "gradient_share")


def test_a_share_is_a_knob_too_and_is_written_beside_its_point():
    records = [make_record(old=o, name="replay", share=s) for s, o in ((0.5, 0.9), (0.1, 0.4))]
    ax: Any = plots.retention_against_learning(records)
    assert texts(ax) == {"0.1", "0.5"}
    np.testing.assert_allclose(bars_of(ax, "replay")[0][:, 1], [39, 89])


def test_a_front_joins_the_settings_of_each_method_and_shows_both_intervals():
    by_name = {
        "a": [make_record(old=0.2, new=0.9, steps=8.0), make_record(old=0.6, new=0.5, steps=2.0)],
        "b": [make_record(old=0.4, new=0.7, steps=3.0)],
    }
    ax: Any = plots.fronts(by_name, lambda record: record.method["steps"])
    points, (horizontal, vertical) = bars_of(ax, "a")
    np.testing.assert_allclose(points, [[51, 59], [91, 19]])
    old, new = mean_and_interval([56.0, 60.0, 61.0]), mean_and_interval([54.0, 50.0, 49.0])
    np.testing.assert_allclose(vertical[0][:, 1], [old.low, old.high])
    np.testing.assert_allclose(horizontal[0][:, 0], [new.low, new.high])
    assert [text.get_text() for text in ax.texts] == ["2", "8", "3"]
    assert legend(ax) == ["a", "b"]


def test_labels_run_into_no_other_label_and_no_other_point():
    grid = [make_record(old=o, new=n, name="ewc", strength=o + n) for o in (0.5, 0.55) for n in (0.5, 0.58, 0.66)]
    ax: Any = plots.retention_against_learning([*grid, make_record(name="lwf", old=0.52, new=0.9, strength=1.0)])
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == len(grid)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    points = ax.transData.transform(bars_of(ax, "ewc")[0])
    assert not any(box.contains(*point) for box in boxes for point in points)
    assert {text.get_color() for text in ax.texts} == {style(0)[1]}


def test_scores_are_read_out_as_they_are_drawn():
    record = make_record(old=0.3, new=0.9)
    assert plots.scores_at(record, 20) == pytest.approx({"first": 29, "second": 89})
    assert plots.scores_at(record, 21) == {}
    assert plots.kept_and_learned(record) == pytest.approx((29, 91))


def test_shares_over_updates_show_each_history_and_its_mean_with_an_interval():
    own = [[0.7, 0.9, 1.0], [0.7, 0.6, 0.5], [0.7, 0.6, 0.6]]
    histories = {"its own words": own, "the world": [[0.7, 0.7, 0.7], [0.7, 0.8, 0.6]]}
    ax: Any = plots.shares_over_updates(histories, taught=0.7)
    assert legend(ax) == ["its own words", "the world", "share in the world"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("updates", "share of the commoner ending (%)")
    lines = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(lines[:4], [[70, 90, 100], [70, 60, 50], [70, 60, 60], [70, 70, 70]])
    (own_band, no_band) = (each.get_paths()[0].vertices for each in ax.collections)
    interval = mean_and_interval([90, 60, 60])
    np.testing.assert_allclose(sorted(y for x, y in own_band if x == 1), [interval.low, interval.high])
    assert {y for x, y in no_band if x == 1} == {75.0}, "two histories have a mean and no band"


def test_learning_rates_are_drawn_in_rising_order():
    slow, fast = make_record(old=0.8, new=0.7), make_record()
    slow.plan, fast.plan = {"learning_rate": 1e-4}, {"learning_rate": 1e-3}
    ax: Any = plots.learning_rates([fast, slow])
    assert legend(ax) == ["kept: first", "learned: second"]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "learning rate (log scale)")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.0001", "0.001"]
    points, bars = bars_of(ax, "kept: first")
    np.testing.assert_allclose(points, [[1e-4, 79.0], [1e-3, 29.0]])
    interval = mean_and_interval([76, 80, 81])
    np.testing.assert_allclose(bars[0][0][:, 1], [interval.low, interval.high])


def test_the_old_head_beside_a_fresh_probe():
    record = make_record(metric="accuracy")
    record.chance = [0.5, 0.3]
    record.extra = {"probe first": [[0.9, 0.8]] * 3, "untouched probe first": [0.6, 0.7, 0.8]}
    ax: Any = plots.head_and_probe(record)
    assert sorted(legend(ax)) == ["a fresh linear probe", "chance", "its old head", "probe before all tasks"]
    np.testing.assert_allclose(bars_of(ax, "its old head")[0], [[0, 95], [1, 29]])
    np.testing.assert_allclose(bars_of(ax, "a fresh linear probe")[0], [[0, 90], [1, 80]])
    levels = {line.get_label(): line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}
    assert (levels["chance"], levels["probe before all tasks"]) == pytest.approx((50, 70))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["first", "second"]
    with pytest.raises(ValueError, match="not measured with a probe"):
        plots.head_and_probe(make_record())
