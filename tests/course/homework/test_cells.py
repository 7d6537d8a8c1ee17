"""Cells of a submission are recognised wherever they went, and only what an answer needs is run."""

import copy
import json
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from cfhelpers.course.homework import cells, package
from cfhelpers.course.homework.names import names_of
from tests.course.homework.classroom import cell, place
from tests.course.homework.classroom import solved as solved_notebook
from tests.course.homework.conftest import NAME


@pytest.fixture
def handed_out(folder: Path) -> NotebookNode:
    return package.student_notebook(folder, NAME)


@pytest.fixture
def solved(folder: Path) -> NotebookNode:
    return solved_notebook(folder, NAME)


def prepare(submission: NotebookNode, handed_out: NotebookNode, **options) -> cells.Prepared:
    return cells.prepare(json.dumps(submission), handed_out, **options)


def codes(prepared: cells.Prepared) -> list[str]:
    return [each.source for each in prepared.notebook.cells]


def answer(prepared: cells.Prepared, name: str) -> str:
    return cell(prepared.notebook, name).source


def test_only_imports_helpers_answers_and_graded_cells_are_run(solved, handed_out):
    prepared = prepare(solved, handed_out)
    assert [each.get("metadata", {}).get("nbgrader", {}).get("grade_id", "") for each in prepared.notebook.cells] == [
        "", "", "", "exercise-0-1", "graded-0-1", "exercise-0-2", "graded-0-2", "exercise-0-3", "graded-0-3"
    ]  # fmt: skip
    assert "guard(20)" in codes(prepared)[0]
    assert "import numpy as np" in codes(prepared)[1]
    assert "def above" in codes(prepared)[2]
    assert not any("live experiment" in code for code in codes(prepared))
    assert prepared.notes == {"0.1": [], "0.2": [], "0.3": []}
    assert prepared.missing == frozenset()


def test_an_untouched_notebook_keeps_its_stubs(handed_out):
    prepared = prepare(handed_out, handed_out)
    assert "raise NotImplementedError" in answer(prepared, "exercise-0-1")
    assert prepared.notes == {"0.1": [], "0.2": [], "0.3": []}


def test_what_students_write_themselves_comes_along_if_an_answer_needs_it(solved, handed_out):
    cell(solved, "exercise-0-2").source = "def average_accuracy(results):\n    return mean_of(results)"
    solved.cells.insert(1, new_code_cell("import statistics\nBASE = statistics.mean"))
    solved.cells.insert(2, new_code_cell("def mean_of(results):\n    return BASE(results[-1])"))
    solved.cells.insert(3, new_code_cell("raise SystemExit"))
    prepared = prepare(solved, handed_out)
    assert any("BASE = statistics.mean" in code for code in codes(prepared))
    assert any("def mean_of" in code for code in codes(prepared))
    assert "raise SystemExit" not in codes(prepared)


def test_deleted_imports_and_helpers_are_put_back(solved, handed_out):
    solved.cells = [
        each for each in solved.cells if "import numpy" not in each.source and "def above" not in each.source
    ]
    prepared = prepare(solved, handed_out)
    assert any("import numpy as np" in code for code in codes(prepared))
    assert any("def above" in code for code in codes(prepared))


@pytest.mark.parametrize("marked", [True, False])
def test_a_split_cell_is_put_together(solved, handed_out, marked: bool):
    own = cell(solved, "exercise-0-3")
    lines = own.source.splitlines()
    lower = new_code_cell("\n".join(lines[3:]), metadata=copy.deepcopy(own.metadata) if marked else {})
    solved.cells.insert(place(solved, "exercise-0-3") + 1, lower)
    whole, own.source = own.source, "\n".join(lines[:3])
    prepared = prepare(solved, handed_out)
    assert answer(prepared, "exercise-0-3") == whole
    assert prepared.notes["0.3"] == ["the exercise's cell was split into 2: they are graded as one"]


def test_a_helper_split_off_above_the_answer_belongs_to_it(solved, handed_out):
    own = cell(solved, "exercise-0-2")
    upper = new_code_cell("def last(results):\n    return results[-1]", metadata=copy.deepcopy(own.metadata))
    solved.cells.insert(place(solved, "exercise-0-2"), upper)
    own.source = own.source.replace("results[-1]", "last(results)")
    prepared = prepare(solved, handed_out)
    assert answer(prepared, "exercise-0-2").startswith("def last")
    assert "last(results)" in answer(prepared, "exercise-0-2")


def test_of_copies_the_last_changed_one_is_graded(solved, handed_out):
    own = cell(solved, "exercise-0-1")
    second = copy.deepcopy(own)
    second.source = second.source.replace("(before - after)", "2 * (before - after)")
    stub = copy.deepcopy(cell(handed_out, "exercise-0-1"))
    index = place(solved, "exercise-0-1")
    solved.cells[index + 1 : index + 1] = [second, stub]
    prepared = prepare(solved, handed_out)
    assert "2 * (before" in answer(prepared, "exercise-0-1")
    assert "3 copies of the exercise's cell" in prepared.notes["0.1"][0]


def test_a_deleted_cell_is_missing_and_its_check_too(solved, handed_out):
    for name in ("exercise-0-1", "check-0-1"):
        solved.cells.remove(cell(solved, name))
    prepared = prepare(solved, handed_out)
    assert prepared.missing == {"0.1"}
    assert "raise NotImplementedError" in answer(prepared, "exercise-0-1")
    assert any("was deleted, and no other cell answers it" in note for note in prepared.notes["0.1"])
    assert any("check cell was deleted" in note for note in prepared.notes["0.1"])


def test_an_answer_written_anew_or_below_an_untouched_stub_is_found(solved, handed_out):
    solved.cells.remove(cell(solved, "exercise-0-1"))
    solved.cells.append(new_code_cell("def share_lost(before, after, chance):\n    return 0.25"))
    cell(solved, "exercise-0-2").source = cell(handed_out, "exercise-0-2").source
    solved.cells.append(new_code_cell("average_accuracy = lambda results: results[-1].mean()"))
    prepared = prepare(solved, handed_out)
    assert "return 0.25" in answer(prepared, "exercise-0-1")
    assert "lambda results" in answer(prepared, "exercise-0-2")
    assert all("answer is taken from cell" in prepared.notes[number][0] for number in ("0.1", "0.2"))


def test_moved_cells_are_graded_in_their_own_place(solved, handed_out):
    own = cell(solved, "exercise-0-1")
    solved.cells.remove(own)
    solved.cells.append(own)
    prepared = prepare(solved, handed_out)
    assert prepared.notebook.cells.index(cell(prepared.notebook, "exercise-0-1")) < prepared.notebook.cells.index(
        cell(prepared.notebook, "exercise-0-2")
    )
    assert any("moved" in note for notes in prepared.notes.values() for note in notes)


def test_marks_that_were_lost_or_broken_do_not_matter(solved, handed_out):
    first, second, third = (cell(solved, f"exercise-0-{number}") for number in (1, 2, 3))
    first.metadata, second.metadata.nbgrader.grade_id, third.metadata = {"nbgrader": "broken"}, "something-else", {}
    text = json.dumps(solved).replace('"id": "exercise-0-3"', '"id": "other"')
    prepared = cells.prepare(text, handed_out)
    assert "above(before, chance)" in answer(prepared, "exercise-0-1")
    assert "np.mean" in answer(prepared, "exercise-0-2")
    assert "later & after" in answer(prepared, "exercise-0-3")
    assert prepared.missing == frozenset()


def test_a_changed_check_is_told_and_not_used(solved, handed_out):
    cell(solved, "check-0-1").source = "checks = None"
    cell(solved, "graded-0-1").source = "assert True"
    prepared = prepare(solved, handed_out)
    assert prepared.notes["0.1"] == [
        "the check cell was changed: the original decides",
        "the graded cell was changed: the original decides",
    ]
    assert answer(prepared, "graded-0-1") == cell(handed_out, "graded-0-1").source
    assert "checks = None" not in codes(prepared)


def test_an_exercise_by_itself_leaves_the_others_unsolved(solved, handed_out):
    prepared = prepare(solved, handed_out, only="0.2")
    assert "raise NotImplementedError" in answer(prepared, "exercise-0-1")
    assert "np.mean" in answer(prepared, "exercise-0-2")
    assert prepared.missing == frozenset()


def test_a_check_comes_along_where_a_later_answer_needs_its_exercise(solved, handed_out):
    cell(solved, "exercise-0-2").source += "\n\nprint(share_lost(0.9, 0.6, 0.5))"
    prepared = prepare(solved, handed_out)
    assert cell(prepared.notebook, "check-0-1").source == cell(handed_out, "check-0-1").source


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[1, 2]", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}', "[" * 100_000]
)
def test_what_is_no_notebook_is_said_to_be_none(handed_out, text: str):
    with pytest.raises(cells.NotANotebook, match="is no notebook"):
        cells.prepare(text, handed_out)


def test_odd_cells_do_no_harm(handed_out):
    odd = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            7,
            {"cell_type": "code"},
            {
                "cell_type": "code",
                "source": ["def average_accuracy(r):\n", "    return r[-1].mean()"],
                "metadata": None,
            },
            {"cell_type": "code", "source": "!rm -rf / \n%time x = 1", "metadata": {"nbgrader": {"grade_id": ["x"]}}},
            {"cell_type": "code", "source": "a\0b", "metadata": {}},
        ],
    }
    prepared = cells.prepare(json.dumps(odd), handed_out)
    assert "r[-1].mean()" in answer(prepared, "exercise-0-2")
    assert prepared.missing == {"0.1", "0.3"}
    assert not any("rm -rf" in code for code in codes(prepared))


# Names


@pytest.mark.parametrize(
    ("code", "bound", "needed"),
    [
        ("import a.b, c as d\nfrom e import f", {"a", "d", "f"}, set()),
        ("x = y + len(z)", {"x"}, {"y", "z"}),
        ("def f(model):\n    local = 1\n    return g(model, local, K)", {"f"}, {"g", "K"}),
        ("class A(B):\n    v = w\n    def m(self):\n        return self.q + r", {"A"}, {"B", "w", "r"}),
        ("h = [t(i) for i in data]", {"h"}, {"t", "data"}),
        ("h = {k: {v for v in w} for k, w in data}", {"h"}, {"data"}),
        ("[last := x for x in data]", {"last"}, {"last", "data"}),
        ("h = f\"{'\u00a0'.join(a)}\"", {"h"}, {"a"}),  # which ast cannot write again on Python 3.11
        ("for i in rows:\n    pass", {"i"}, {"rows"}),
        ("def f():\n    global n\n    n = 1", {"f", "n"}, {"n"}),
        ("%time x = slow()", set(), set()),
        ("!ls", set(), set()),
    ],
)
def test_names(code: str, bound: set, needed: set):
    found = names_of(code)
    assert found is not None
    assert found.bound == bound
    assert found.needed == needed


def test_what_is_not_python_has_no_names():
    assert names_of("def f(:") is None
    assert names_of("    return x") is None
