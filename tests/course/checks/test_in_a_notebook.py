"""What a learner sees of a check in a notebook: run again, failed, stopped in their own line."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from cfhelpers import checks
from cfhelpers.course.checks import CheckFailed
from cfhelpers.course.checks.exercise import GO_ON, LINE_WIDTH
from cfhelpers.course.notebooks import building, execution

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))
CHECK = re.compile(r"^(\w+) = checks\.[\w.]+\(\1\)$", re.MULTILINE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_an_unwritten_exercise_stays_unsolved_however_often_its_check_runs(path: Path, capsys: pytest.CaptureFixture):
    cells = [cell.source for cell in building.build(path).cells if cell.cell_type == "code"]
    first = next(cell for cell in cells if "import cfhelpers" in cell)
    imports = "\n".join(line for line in first.splitlines() if re.match(r"(from|import) |    |\)", line))
    exercises = [cell for cell in cells if "raise NotImplementedError" in cell]
    found = [cell for cell in cells if CHECK.search(cell)]
    assert len(exercises) == len(found) > 0
    namespace: dict = {}
    for cell in [imports, *exercises, *found, *found]:  # Run all, then each check cell by itself
        exec(cell, namespace)
    said = re.findall(r"Exercise ([\d.]+) is (not solved yet|solved)", capsys.readouterr().out)
    numbers = [number for number, _ in said]
    assert len(said) == 2 * len(found)
    assert numbers[: len(found)] == numbers[len(found) :]
    assert {verdict for _, verdict in said} == {"not solved yet"}
    for number in numbers:
        with pytest.raises(CheckFailed, match=f"{number} has not been solved"):
            checks.require_solved(number)


def test_a_solved_exercise_stays_solved_when_its_check_runs_again():
    def average_accuracy(results):
        return sum(results[-1]) / len(results[-1])

    for _ in range(2):
        average_accuracy = checks.starting.average_accuracy(average_accuracy)
        checks.require_solved("0.2")


def error_of(*cells: str, folder: Path) -> nbformat.NotebookNode:
    """Run cells in a kernel and return what the one that stops shows."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    outcome = execution.execute(notebook, "answer", folder, "tiny")
    assert outcome.error is not None
    return next(output for cell in notebook.cells for output in cell.outputs if output.output_type == "error")


def test_a_failed_check_shows_its_sentence_and_the_learners_own_line(tmp_path: Path):
    check = "from cfhelpers import checks\nshare_lost = checks.starting.share_lost(share_lost)"
    wrong = error_of("def share_lost(before, after, chance):\n    return before - after\n", check, folder=tmp_path)
    text = "\n".join(wrong.traceback)
    assert " ".join(text.split()) == f"CheckFailed: {wrong.evalue} {GO_ON}"
    assert len(wrong.traceback) <= 6

    stopped = error_of(
        "def helper(value):\n    return value.nothing",
        "def share_lost(before, after, chance):\n    return helper(after)",
        check,
        folder=tmp_path,
    )
    lines = stopped.traceback
    assert lines[0].startswith("CheckFailed: Exercise 0.1: your code stopped with AttributeError")
    assert "It stopped in line 2 of the cell: return value.nothing" in lines
    assert len(lines) <= 8
    assert all(len(line) <= LINE_WIDTH for line in lines)


def test_what_stops_outside_the_notebook_points_at_no_line():
    def average_accuracy(results):  # this module's, not a cell's
        return results.nothing

    with pytest.raises(CheckFailed) as failure:
        checks.starting.average_accuracy(average_accuracy)
    text = " ".join(failure.value._render_traceback_())
    assert "It stopped in line" not in text
    assert text.startswith("CheckFailed: Exercise 0.2: your code stopped with")
    assert text.endswith(GO_ON)
