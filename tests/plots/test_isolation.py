"""Figures of isolation: each number drawn is the one in the record."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cfhelpers import plots
from tests.plots.test_plots import make_record


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(container, axis):
    """Return the points of an errorbar; a container's line may hold masked numbers of its own kind."""
    return np.asarray(container.lines[0].get_data()[axis], dtype=np.float64)


def test_averages_are_of_the_last_row():
    one, other = make_record(old=0.4, new=0.8), make_record(old=0.6, new=1.0)
    ax = plots.average_accuracies({"a then b": {"naive": one, "kept": other}, "b then a": {"naive": other}})
    expected = [np.array(each.results)[:, -1].mean() * 100 for each in (one, other)]
    first, second = (drawn(container, 0) for container in ax.containers)
    np.testing.assert_allclose(first, expected)
    np.testing.assert_allclose(second, expected[1:])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["naive", "kept"]
    with pytest.raises(ValueError, match="no record"):
        plots.average_accuracies({})


def test_gains_are_what_was_just_learned_minus_the_task_alone():
    record = make_record(old=0.4, new=0.8)
    results = np.array(record.results)
    alone = np.full((len(record.seeds), 2), 0.5)
    ax = plots.gains(record, alone)
    expected = 100 * (np.diagonal(results, axis1=1, axis2=2) - alone).mean(axis=0)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], expected)
    with pytest.raises(ValueError, match="needs shape"):
        plots.gains(record, [0.5, 0.5])


def test_costs_are_the_means_over_seeds():
    record = make_record(old=0.4, new=0.8)
    record.extra["step milliseconds"] = [[10.0 + seed, 20.0 + seed] for seed in range(len(record.seeds))]
    ax = plots.step_costs({"prompts": record})
    middle = (len(record.seeds) - 1) / 2
    np.testing.assert_allclose(drawn(ax.containers[0], 1), [10 + middle, 20 + middle])
