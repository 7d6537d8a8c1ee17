"""Distances and what was forgotten, run by run; the figure, the table and the widget that show them."""

import numpy as np
import pytest

from cfhelpers import metrics, plots, tables
from cfhelpers.training.distances import distance, explained_forgetting, forgotten
from tests.plots.test_plots import close_figures, make_record  # noqa: F401  # a fixture


def cloud():
    records = []
    for place, name in enumerate(("naive", "ewc", "naive", "lwf")):
        record = make_record(old=0.2 + 0.15 * place)
        record.method = {"name": name}
        record.extra = {"far": [[0.0, 2.0 + place + seed] for seed in range(3)]}
        record.extra["near"] = [[5.0 + seed] for seed in range(3)]
        records.append(record)
    return records


def test_a_run_is_one_seed_of_a_record():
    record = cloud()[1]
    assert distance(record, "far").tolist() == [3.0, 4.0, 5.0]
    assert forgotten(record) == pytest.approx(np.array([0.64, 0.60, 0.59]))
    with pytest.raises(ValueError, match="no 'wide': its run measured far, near"):
        distance(record, "wide")


def test_the_explained_share_is_that_of_all_runs():
    x = np.concatenate([distance(each, "far") for each in cloud()])
    y = np.concatenate([forgotten(each) for each in cloud()])
    assert explained_forgetting(cloud(), "far") == metrics.explained_share(x, y)
    table = tables.predictors(cloud(), ["near", "far"])
    assert list(table.index) == ["far", "near"]
    assert table.loc["far", "R²"] == f"{metrics.explained_share(x, y):.2f}"


def test_the_figure_has_a_point_per_run_and_a_marker_per_method():
    ax = plots.forgetting_against_distance(cloud(), "far")
    assert [len(each.get_offsets()) for each in ax.collections] == [6, 3, 3]
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "forgotten of first (points)"
    assert list(ax.collections[1].get_offsets()[0]) == pytest.approx([3.0, 64.0])


def test_the_widget_says_what_the_chosen_distance_explains():
    from cfhelpers.course import widgets

    widget = widgets.distances(cloud(), ["near", "far"])
    widget.controls["distance"].value = "far"
    assert f"far: R² = {explained_forgetting(cloud(), 'far'):.2f} over 12 runs" in widget.output.value
    assert widget.output.value.count("<img") == 1
