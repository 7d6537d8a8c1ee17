"""Records: what is written is what is read, whole or not at all."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from cfhelpers.training.records import (
    Record,
    find_record,
    in_other_order,
    load_json,
    merge_seeds,
    save_json,
    split_seeds,
)


def record(**changes) -> Record:
    values = {
        "role": "roberta", "profile": "tiny", "tasks": ["sst2", "mnli"], "method": {"name": "ewc", "strength": 10.0},
        "plan": {"steps": 1}, "metrics": ["accuracy"] * 2, "higher_is_better": [True] * 2, "chance": [0.5, 1 / 3],
        "ceiling": [1.0, 1.0], "seeds": [3, 5],
        "results": [[[0.9, float("nan")], [0.6, 0.8]], [[1.0, float("nan")], [0.5, 0.7]]],
    }  # fmt: skip
    return Record(**(values | changes))


def test_a_record_survives_the_disk_missing_scores_included(tmp_path):
    path = tmp_path / "deep" / "record.json"
    point = {"seed": 3, "training": "sst2", "step": 0, "task": "mnli", "score": float("nan")}
    record(curves=[point]).save(path)
    assert "NaN" not in path.read_text()  # which no other JSON reader would take
    loaded = Record.load(path)
    np.testing.assert_array_equal(loaded.results, record().results)
    np.testing.assert_equal(loaded.curves, [point])
    assert loaded.method == {"name": "ewc", "strength": 10.0}
    assert list(tmp_path.glob("**/*.part")) == []


def test_matrix_and_scores_read_rows_as_moments_and_columns_as_tasks():
    assert record().matrix(5)[1].tolist() == [0.5, 0.7]
    np.testing.assert_allclose(record().matrix()[1], [0.55, 0.75])
    assert record().scores("sst2", after="sst2").tolist() == [0.9, 1.0]
    assert record().scores("sst2").tolist() == [0.6, 0.5]
    with pytest.raises(ValueError, match="not 4"):
        record().matrix(4)


def test_after_the_switch_a_curve_begins_where_the_tasks_own_training_ended():
    steps = [("a", 0, "a", 0.0), ("a", 0, "b", 0.1), ("a", 4, "a", 0.9), ("a", 4, "b", 0.2), ("b", 5, "a", 0.3)]
    steps += [("b", 5, "b", 0.4), ("b", 8, "a", 0.6), ("b", 8, "b", 0.8)]
    curves = [{"seed": 3, "training": t, "step": n, "task": task, "score": score} for t, n, task, score in steps]
    curves.append({"seed": 5, "training": "a", "step": 4, "task": "a", "score": 0.7})
    assert record(curves=curves).after_switch("a", 3).tolist() == [0.9, 0.3, 0.6]
    assert record(curves=curves).after_switch("b", 3).tolist() == [0.8]
    assert record(curves=curves).after_switch("a", 5).tolist() == [0.7]
    with pytest.raises(ValueError, match="no score of 'b' during its own training"):
        record(curves=curves).after_switch("b", 5)


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    save_json({"a": 1}, path)
    monkeypatch.setattr("cfhelpers.training.records.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_json({"a": 2}, path)
    assert json.loads(path.read_text()) == {"a": 1}


def test_what_is_not_a_record_is_refused(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        load_json(path)
    save_json({"role": "roberta"}, path)
    with pytest.raises(ValueError, match="Not a record"):
        Record.load(path)
    with pytest.raises(ValueError, match="JSON"):
        save_json({"loss": float("inf")}, path)


def test_seeds_are_split_and_merged_again():
    points = [{"seed": seed, "training": "sst2", "step": 0, "task": "sst2", "score": seed / 10} for seed in (3, 5)]
    losses = [{"seed": seed, "training": "sst2", "step": 1, "loss": 1.0 * seed} for seed in (3, 5)]
    whole = record(
        curves=points, losses=losses, initial=[[0.1, 0.2], [0.3, 0.4]], selection=[[0.5, 0.6], [0.7, 0.8]],
        seconds=[1.0, 2.0], stored_bytes=7, extra={"far": [[0.5], [0.25]], "stage": "report", "chosen": True},
    )  # fmt: skip
    single = split_seeds(whole)
    assert [each.seeds for each in single] == [[3], [5]]
    assert single[1].matrix(5)[1].tolist() == [0.5, 0.7]
    assert (single[1].curves, single[1].losses, single[1].seconds) == ([points[1]], [losses[1]], [2.0])
    assert single[1].extra == {"far": [[0.25]]}
    merged = merge_seeds(single)
    merged.extra |= {"stage": "report", "chosen": True}
    np.testing.assert_equal(asdict(merged), asdict(whole))


def test_one_record_is_found_by_method_and_settings():
    records = [record(), record(method={"name": "ewc", "strength": 100.0}), record(method={"name": "naive"})]
    assert find_record(records, "ewc", strength=100.0) is records[1]
    with pytest.raises(LookupError, match="2 records match"):
        find_record(records, "ewc")
    with pytest.raises(LookupError, match="0 records match"):
        find_record(records, "replay")
    assert [each.label for each in records] == ["ewc (strength=10)", "ewc (strength=100)", "naive"]


def test_what_learns_each_task_by_itself_can_be_read_in_another_order():
    nan = float("nan")
    kept = record(
        results=[[[0.9, nan], [0.9, 0.8]], [[1.0, nan], [1.0, 0.7]]], selection=[[0.9, 0.8], [1.0, 0.7]],
        initial=[[nan, nan]] * 2, extra={"stage": "report", "seconds": [1]},
    )  # fmt: skip
    turned = in_other_order(kept, ["mnli", "sst2"])
    np.testing.assert_array_equal(turned.results, [[[0.8, nan], [0.8, 0.9]], [[0.7, nan], [0.7, 1.0]]])
    assert turned.tasks == ["mnli", "sst2"]
    assert turned.chance == [1 / 3, 0.5]
    assert turned.selection == [[0.8, 0.9], [0.7, 1.0]]
    assert turned.extra == {"stage": "report"}
    assert kept.tasks == ["sst2", "mnli"]
    with pytest.raises(ValueError, match="the order may matter"):
        in_other_order(record(), ["mnli", "sst2"])  # sst2 falls from .9 to .6
    with pytest.raises(ValueError, match="is of sst2, mnli, not of sst2"):
        in_other_order(kept, ["sst2"])


def test_a_record_comes_apart_into_its_seeds_and_together_again():
    whole = record(
        initial=[[0.1, 0.2], [0.3, 0.4]], selection=[[0.5, 0.6], [0.7, 0.8]], seconds=[1.0, 2.0], stored_bytes=7,
        curves=[{"seed": n, "training": "sst2", "step": 0, "task": "sst2", "score": n / 10} for n in (3, 3, 5)],
        losses=[{"seed": 5, "training": "sst2", "step": 1, "loss": 2.0}],
        extra={"projected": [[1.0], [2.0]], "experiment": "how little", "chosen": True},
    )  # fmt: skip
    first, second = split_seeds(whole)
    assert (first.seeds, second.seeds) == ([3], [5])
    assert (first.seconds, first.initial, first.extra) == ([1.0], [[0.1, 0.2]], {"projected": [[1.0]]})
    assert [len(each.curves) for each in (first, second)] == [2, 1]
    assert [len(each.losses) for each in (first, second)] == [0, 1]
    np.testing.assert_equal(second.results, [whole.results[1]])
    again = merge_seeds([first, second])
    again.extra |= {"experiment": "how little", "chosen": True}
    np.testing.assert_equal(vars(again), vars(whole))
