"""Tables: the numbers are those of the metrics, in percent, with their intervals."""

import numpy as np
import pytest

from cfhelpers import metrics, tables
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.records import Record
from tests.plots import test_plots


def make_record(**settings) -> Record:
    record = test_plots.make_record(**settings)
    record.seconds = [2.0, 4.0, 6.0]
    return record


def test_a_comparison_has_a_row_per_method_and_a_column_per_moment():
    naive, ewc = make_record(), make_record(old=0.8, new=0.85, strength=3.0)
    ewc.stored_bytes = 8_250_000
    table = tables.comparison({"naive": naive, "ewc": ewc})
    assert list(table.index) == ["naive", "ewc"]
    assert table.columns[:3].to_list() == ["first, just learned", "first, at the end", "second"]
    expected = mean_and_interval(100 * ewc.scores("first"))
    assert table.loc["ewc", "first, at the end"] == f"{expected.mean:.1f} ± {expected.half_width:.1f}"
    assert table.loc["ewc", "stored, MB"] == "8.25"
    assert table.loc["ewc", "training, s"] == "4"
    naive.stored_bytes = 5_400
    assert tables.costs({"replay": naive}).loc["replay", "stored, MB"] == "0.005"


def test_records_without_names_get_short_ones_that_differ():
    table = tables.comparison([make_record(), make_record(strength=1.0), make_record(strength=2.0)])
    assert len(set(table.index)) == 3


def test_perplexities_are_not_percent():
    table = tables.comparison([make_record(metric="perplexity")])
    assert table.iloc[0]["first, at the end"].startswith("0.29")


def test_transfer_is_the_metrics():
    record = make_record(nan=True)
    single, joint = [0.9, 0.7], [[0.9, 0.95]] * 3
    row = tables.transfer({"naive": record}, single_task=single, joint=joint).loc["naive"]
    expected = {
        "average": [metrics.average_accuracy(matrix) for matrix in record.results],
        "backward transfer": [metrics.backward_transfer(matrix) for matrix in record.results],
        "forgetting": [metrics.forgetting(matrix) for matrix in record.results],
        "forward transfer": [metrics.forward_transfer(matrix, single) for matrix in record.results],
        "intransigence": [metrics.intransigence(matrix, joint[0]) for matrix in record.results],
    }
    for name, values in expected.items():
        assert row[name] == f"{mean_and_interval(100 * np.array(values)):.1f}"


def test_a_result_matrix_is_empty_where_there_was_no_head():
    table = tables.result_matrix(make_record(nan=True))
    assert table.loc["after first", "on second"] == ""
    assert table.loc["after first", "on first"] == "95.0 ± 0.0"
    assert tables.result_matrix(make_record(), seed=1).loc["after second", "on first"] == "30.0"


def test_a_sweep_rises():
    table = tables.sweep([make_record(strength=10.0), make_record(strength=1.0)], "strength")
    assert table.index.to_list() == ["1", "10"]


def test_differences_are_taken_seed_by_seed():
    ewc, l2 = make_record(), make_record()
    ewc.results = [[[0.9, 0.1], [0.6, 0.5]], [[0.9, 0.1], [0.9, 0.7]], [[0.9, 0.1], [0.8, 0.4]]]
    l2.results = [[[0.9, 0.1], [0.5, 0.5]], [[0.9, 0.1], [0.8, 0.8]], [[0.9, 0.1], [0.7, 0.3]]]
    table = tables.differences({"l2": l2, "ewc": ewc}, "l2")
    assert list(table.index) == ["ewc − l2"]
    assert table.loc["ewc − l2"].to_dict() == {
        "first": "+10.0 ± 0.0 *",  # ten points in each seed: as clear as can be
        "second": f"{mean_and_interval([0, -10, 10]):+.1f}",  # on the mean nothing
        "mean": f"{mean_and_interval([5, 0, 10]):+.1f}",
    }
    with pytest.raises(ValueError, match="no record named 'mas'"):
        tables.differences({"l2": l2, "ewc": ewc}, "mas")
    l2.seeds = [7, 8, 9]
    with pytest.raises(ValueError, match="the same seeds"):
        tables.differences({"l2": l2, "ewc": ewc}, "l2")


def test_differences_of_perplexities_are_in_nats():
    one, other = make_record(metric="perplexity"), make_record(metric="perplexity")
    one.results, other.results = [[[2.0, 9.0], [4.0, 3.0]]] * 3, [[[2.0, 9.0], [2.0, 3.0]]] * 3
    table = tables.differences({"one": one, "other": other}, "one")
    assert table.loc["other − one", "first"] == "-0.693 ± 0.000 *"
    assert table.loc["other − one", "second"] == "+0.000 ± 0.000"


def test_what_was_measured_beside_the_tasks():
    record = make_record()
    record.extra |= {"knowledge": [[0.5, 0.2], [0.7, 0.4], [0.6, 0.3]], "untouched knowledge": [0.9, 0.9, 0.9]}
    row = tables.measured({"naive": record}, "knowledge", "recall").loc["naive"]
    assert row["untouched"] == "90.0 ± 0.0"
    assert row["after first"] == f"{mean_and_interval([50, 70, 60]):.1f}"
    assert row["after second"] == f"{mean_and_interval([20, 40, 30]):.1f}"
    with pytest.raises(ValueError, match="not measured for 'dialogue'"):
        tables.measured({"naive": record}, "dialogue", "perplexity")


def test_records_of_other_tasks_are_refused():
    other = make_record()
    other.tasks = ["first", "third"]
    with pytest.raises(ValueError, match="same tasks"):
        tables.comparison({"one": make_record(), "other": other})
    with pytest.raises(ValueError, match="the same name"):
        tables.comparison([make_record(), make_record()])
    with pytest.raises(ValueError, match="at least one"):
        tables.costs([])


def test_answers_side_by_side():
    table = tables.answers(["Who?", "Where?"], {"before": ["I.", "Here."], "after": ["You.", "There."]})
    assert table.loc["Where?", "after"] == "There."
    with pytest.raises(ValueError, match="'after' has 1 replies to 2"):
        tables.answers(["Who?", "Where?"], {"after": ["You."]})


def test_readings_are_gains_over_no_prompt_seed_by_seed():
    record = make_record()  # three seeds of "first" and "second"
    behind = {
        "first behind nothing": [0.5, 0.6, 0.7], "first behind first": [0.9, 0.9, 0.9],
        "first behind second": [0.52, 0.62, 0.72],
        "second behind nothing": [0.8, 0.8, 0.8], "second behind first": [0.71, 0.81, 0.91],
        "second behind second": [1.0, 1.0, 1.0],
    }  # fmt: skip
    record.extra |= {name: [[value] for value in values] for name, values in behind.items()}
    table = tables.readings(record)
    assert list(table.columns) == ["first", "second"]
    # By hand: a standard deviation of 10 points over three seeds is 4.303 · 10 / √3 = 24.8 points.
    assert table.loc["behind nothing"].tolist() == ["60.0 ± 24.8", "80.0 ± 0.0"]
    assert table.loc["behind the prompt of first"].tolist() == ["+30.0 ± 24.8", "+1.0 ± 24.8"]
    assert table.loc["behind the prompt of second"].tolist() == ["+2.0 ± 0.0", "+20.0 ± 0.0"]
    assert tables.reading_gain(record, "second", "second") == pytest.approx([0.2, 0.2, 0.2])
