"""Figures of language-model records in nats per token: what is drawn is what the records say."""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from cfhelpers import plots
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.records import Record
from tests.plots.test_plots import SEEDS, bars_of, legend, make_record, texts

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def text_record(old, new, name="ewc", **method) -> Record:
    """Perplexities that end at exp(old) and exp(new), give or take a few hundredths of a nat from seed to seed."""
    record = make_record(metric="perplexity", name=name, **method)
    record.results = [[[np.exp(0.5), np.exp(2.0)], [np.exp(old + e), np.exp(new - 2 * e)]] for e in (-0.03, 0.0, 0.03)]
    return record


def test_old_and_new_nats_are_logarithms_of_the_last_row():
    expected = [[0.77, 0.66], [0.8, 0.6], [0.83, 0.54]]
    np.testing.assert_allclose(plots.old_and_new_nats(text_record(0.8, 0.6)), expected)
    three = text_record(0.8, 0.6)
    three.tasks, three.metrics = ["a", "b", "c"], ["perplexity"] * 3
    three.results = [[[1.0] * 3, [1.0] * 3, [np.exp(0.2), np.exp(0.4), np.exp(1.0)]]] * 3
    np.testing.assert_allclose(plots.old_and_new_nats(three), [[0.3, 1.0]] * 3)
    with pytest.raises(ValueError, match="belong to perplexities"):
        plots.old_and_new_nats(make_record())


def test_a_sweep_is_read_where_another_method_stands_seed_by_seed():
    sweep = [text_record(0.4, 1.0, strength=3.0), text_record(0.8, 0.6, strength=1.0)]  # in any order
    found = plots.old_nats_at(sweep, [0.86, 0.8, 0.74])
    np.testing.assert_allclose(found, [0.57, 0.6, 0.63])  # half-way between the two points of each seed
    assert np.isnan(plots.old_nats_at(sweep, [0.2, 0.8, 2.0])).tolist() == [True, False, True]


def test_the_retention_learning_curve_has_a_point_a_strength_and_its_best_corner_up_and_right():
    records = [
        text_record(0.8, 0.6, strength=1.0),
        text_record(0.4, 1.0, strength=10.0),
        text_record(1.5, 0.5, "naive"),
    ]
    ax: Any = plots.retention_learning_curve(records)
    assert ax.xaxis_inverted()
    assert ax.yaxis_inverted()
    assert legend(ax) == ["ewc", "naive (no protection)"]
    assert texts(ax) == {"1", "10"}
    points, bars = bars_of(ax, "ewc")
    np.testing.assert_allclose(points, [[0.6, 0.8], [1.0, 0.4]])
    interval = mean_and_interval([0.77, 0.8, 0.83])
    np.testing.assert_allclose(bars[1][0][:, 1], [interval.low, interval.high])
    assert "second" in ax.get_xlabel()
    assert "nats per token" in ax.get_xlabel()
    assert "first" in ax.get_ylabel()


def curves(tasks, nats):
    """Return a record's curves: for each task learned, (step, nats of the first task, nats of the second)."""
    return [
        {"seed": seed, "training": training, "step": step, "task": task, "score": np.exp(value + 0.01 * seed)}
        for seed in SEEDS
        for training, step, *values in nats
        for task, value in zip(tasks, values, strict=True)
    ]


def test_transfer_is_against_just_learned_and_against_learned_alone():
    record = text_record(0.8, 0.6)
    record.curves = curves(["first", "second"], [("first", 0, 2, 2), ("first", 10, 0.5, 3), ("second", 20, 0.9, 1.2)])
    alone = text_record(0.8, 0.6, "naive")
    alone.tasks = ["second", "first"]
    alone.curves = curves(["second", "first"], [("second", 0, 2, 2), ("second", 10, 1.0, 3), ("first", 20, 1, 1)])
    ax: Any = plots.transfer_curves(record, alone)
    lines = {line.get_label(): line.get_xydata() for line in ax.lines if not str(line.get_label()).startswith("_")}
    np.testing.assert_allclose(lines["backward: first, beside just learned"], [[0, 0], [10, -0.4]], atol=1e-9)
    np.testing.assert_allclose(lines["forward: second, beside learned alone"], [[0, -1.0], [10, -0.2]], atol=1e-9)
    assert ax.get_ylabel() == "transfer (nats per token)"
    with pytest.raises(ValueError, match="must begin with second"):
        plots.transfer_curves(record, record)
    alone.plan = {"steps": 1}
    with pytest.raises(ValueError, match="seeds and plan"):
        plots.transfer_curves(record, alone)


def test_final_nats_group_methods_by_domain():
    ax: Any = plots.final_nats([text_record(0.8, 0.6, "naive"), text_record(0.4, 1.0)])
    assert legend(ax) == ["naive", "ewc"]
    points, _ = bars_of(ax, "ewc")
    np.testing.assert_allclose(points, [[0.06, 0.4], [1.06, 1.0]])
    assert {line.get_linestyle() for line in ax.lines} == {"None"}
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "first\n(learned first)",
        "second\n(learned second)",
    ]
