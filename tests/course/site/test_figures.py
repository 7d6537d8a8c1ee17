"""The site's figures without a kernel say what the records say."""

import pytest

from cfhelpers.course import results
from cfhelpers.course.site import building, figures
from cfhelpers.plots.parts import kept_and_learned


def test_the_figure_of_strengths_says_what_the_records_say():
    data = figures.strengths()
    records = [r for r in results.load("03", profile="tiny") if r.extra["stage"] == "report"]
    by_strength = {f"{r.method['strength']:g}": kept_and_learned(r) for r in records if r.method["name"] == "ewc"}
    assert {each["name"] for each in data["sweep"]} == set(by_strength)
    for each in data["sweep"]:
        assert (each["kept"], each["learned"]) == pytest.approx(by_strength[each["name"]], abs=0.01)
        assert each["kept_by"] >= 0
    assert data["sweep"][data["start"]]["name"] == f"{results.chosen(records)['ewc'].method['strength']:g}"
    assert [each["name"] for each in data["others"]] == ["naive", "l2sp", "replay", "joint"]
    assert any(each["kept_by"] > 0 for each in data["sweep"])


def test_the_plane_holds_the_methods_of_all_chapters_each_setting_once():
    methods = {each["name"]: each["settings"] for each in figures.methods()["methods"]}
    assert list(methods)[:2] == ["naive training (no protection)", "joint training (all data)"]
    assert figures.methods()["start"] in methods
    assert {"replay", "LoRA", "learning without forgetting", "replay with learning without forgetting"} <= set(methods)
    for name, settings in methods.items():
        assert len({point["name"] for point in settings}) == len(settings), name
        assert all(point["name"] for point in settings), name


def test_a_point_of_the_plane_is_that_of_its_record():
    methods = {each["name"]: each["settings"] for each in figures.methods()["methods"]}
    (record,) = (
        r
        for r in results.load("03", profile="tiny")
        if r.method.get("strength") == 1000 and r.method["name"] == "ewc" and r.extra["stage"] == "report"
    )
    (point,) = (each for each in methods["elastic weight consolidation"] if each["name"] == "strength 1000")
    assert (point["kept"], point["learned"]) == pytest.approx(kept_and_learned(record), abs=0.01)
    assert {each["curve"] for each in methods["elastic weight consolidation"]} == {0}
    rates = [float(each["name"].removeprefix("learning rate ")) for each in methods["naive training (no protection)"]]
    assert rates == sorted(set(rates))


def test_only_runs_of_the_same_budget_and_seeds_stand_on_the_plane():
    found = figures._comparable()
    assert len({figures._budget(record) for record in found}) == 1
    assert {tuple(record.seeds) for record in found} == {(0, 1, 2, 3, 4)}
    assert {tuple(record.tasks) for record in found} == {("persona", "workplace")}


def test_the_table_has_a_row_for_every_setting():
    plane = figures.methods()
    rows = building._table(plane).splitlines()[2:]
    assert len(rows) == sum(len(method["settings"]) for method in plane["methods"])
    assert all(row.count("|") == 5 for row in rows)
