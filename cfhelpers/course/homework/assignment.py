"""One chapter's source as an assignment: the instructor's notebook, and the student's made from it by nbgrader."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from cfhelpers.course.homework.exercises import Listed, checked_name, read
from cfhelpers.course.notebooks import building

CODE_STUB = "# Your code here.\nraise NotImplementedError"
_BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\n?")
_START = re.compile(r"(cf\.start\(.*?seed=)\d+")
_HIDDEN = """\
# Exercise {number} is graded here: {points}. Leave this cell where it is, as it is.
### BEGIN HIDDEN TESTS
from cfhelpers.course.homework.judging import judge

judge("{number}", {answer})
### END HIDDEN TESTS"""


@dataclass(frozen=True)
class Assignment:
    """One notebook of an assignment.

    Attributes:
        name: Stem of the chapter's source.
        exercises: Those that are graded, with the points that they give here.
        instructor: Solutions between their markers, hidden tests, nbgrader's metadata: nbgrader's source.
        student: What is handed out.
        left_out: What of the chapter is not in it, and why.
    """

    name: str
    exercises: list[Listed]
    instructor: NotebookNode
    student: NotebookNode
    left_out: list[str]


def make(source: Path, *, points: Mapping[str, float] | None = None, seed: int | None = None) -> Assignment:
    """Make an assignment from a chapter's source.

    Args:
        source: In the course's own format; see ``cfhelpers.course.notebooks``.
        points: By exercise, the chosen exercises alone; None takes all, with the source's points. The others stay in
            the notebook as practice, with their folded solutions.
        seed: Of the notebook's run, so of its data; None leaves it.

    Raises:
        ValueError: There is no such exercise, or no call of ``cf.start`` to give the seed to.
    """
    listed = read(source)
    chosen = {each.number: each for each in listed if points is None or each.number in points}
    if unknown := sorted(set(points or ()) - set(chosen)):
        raise ValueError(f"{source.name} has no exercise {', '.join(unknown)}")
    worth = {number: float(each.points if points is None else points[number]) for number, each in chosen.items()}
    notebook, left_out = _instructor(source, chosen, worth, seed)
    graded = [Listed(**{**vars(each), "points": worth[number]}) for number, each in chosen.items()]
    return Assignment(source.stem, graded, notebook, student_version(notebook), left_out)


def student_version(instructor: NotebookNode) -> NotebookNode:
    """Let nbgrader take out solutions, hidden tests and outputs, lock what is to stay, and add its checksums."""
    from nbconvert.exporters.exporter import ResourcesDict
    from nbgrader import preprocessors

    notebook = copy.deepcopy(instructor)
    for each in (
        preprocessors.CheckCellMetadata(),
        preprocessors.LockCells(),
        preprocessors.ClearSolutions(code_stub={"python": CODE_STUB}),
        preprocessors.ClearOutput(),
        preprocessors.ClearHiddenTests(),
        preprocessors.ComputeChecksums(),
    ):
        notebook, _ = each.preprocess(notebook, ResourcesDict())
    return notebook


def key_version(instructor: NotebookNode) -> NotebookNode:
    """Return the instructor's key: runnable, with the solutions and without the markers of solutions and tests."""
    notebook = copy.deepcopy(instructor)
    for cell in notebook.cells:
        cell.source = re.sub(
            r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)[ \t]*\n?", "", cell.source, flags=re.M
        ).rstrip()
    return notebook


def _instructor(
    source: Path, chosen: Mapping[str, Listed], worth: Mapping[str, float], seed: int | None
) -> tuple[NotebookNode, list[str]]:
    import jupytext

    raw = jupytext.read(source, fmt="py:percent").cells
    notebook = building.build(source, solved=True)
    cells, left_out = [], []
    waiting: str | None = None  # the exercise whose check comes next
    for written, cell in zip(raw, notebook.cells, strict=True):
        marks = written.metadata
        if "graded" in marks:
            continue
        if (match := re.search(r"\{\{solution ([\w.]+)\}\}", written.source)) and match[1] in chosen:
            continue
        if "exercise" in marks:
            cells.append(cell)
            number = waiting = str(marks["exercise"])
            if number in chosen:
                cells.append(_graded_cell(chosen[number], worth[number]))
            continue
        if cell.cell_type == "code" and waiting and checked_name(cell.source):
            cell.metadata["nbgrader"] = _metadata(f"check-{waiting}", locked=True)
            cell.id = cell.metadata.nbgrader.grade_id
            waiting = None
        cell.source = _BADGE.sub("", _with_points(cell.source, worth))
        if seed is not None and cell.cell_type == "code" and not _give_seed(cell, seed):
            left_out.append(f"a cell that compares with the stored seed 0: {cell.source.strip().splitlines()[0]}")
            continue
        cells.append(cell)
    if seed is not None and not any(f"seed={seed}" in cell.source and "cf.start(" in cell.source for cell in cells):
        raise ValueError(f"{source.name} has no cf.start(seed=…) to give the seed {seed} to")
    notebook.cells = cells
    nbformat.validate(notebook)
    return notebook, left_out


def _give_seed(cell: NotebookNode, seed: int) -> bool:
    """Write the seed into the call that starts the run; False of a cell that needs the seed that is stored."""
    cell.source = _START.sub(rf"\g<1>{seed}", cell.source)
    return seed == 0 or re.search(r"matrix\(seed=0\)", cell.source) is None


def _with_points(text: str, worth: Mapping[str, float]) -> str:
    def add(match: re.Match) -> str:
        return f"{match[0]} · {_count(worth[match[1]])}" if match[1] in worth else match[0]

    return re.sub(r"^### Exercise ([\w.]+) ·.*minutes?", add, text, flags=re.MULTILINE)


def _count(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _graded_cell(exercise: Listed, points: float) -> NotebookNode:
    text = _HIDDEN.format(number=exercise.number, points=_count(points), answer=exercise.answer)
    cell = nbformat.v4.new_code_cell(text)
    cell.metadata["nbgrader"] = {**_metadata(f"graded-{exercise.number}", locked=True, grade=True), "points": points}
    cell.id = cell.metadata.nbgrader.grade_id
    return cell


def _metadata(name: str, *, locked: bool, grade: bool = False) -> dict[str, Any]:
    return {
        "grade_id": name.replace(".", "-"),
        "grade": grade,
        "solution": False,
        "locked": locked,
        "task": False,
        "schema_version": 3,
    }
