"""A submission's cells recognised, wherever they went, and the notebook that is graded made from them.

Students split, copy, move and delete cells, and some files are no notebooks at all. What is graded is a new notebook:
the assignment's own graded cells, the student's code of each exercise, and of the student's other cells those that this
code needs. Live experiments that no exercise needs are not run. Everything that was not as handed out is told.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import nbformat
from nbformat import NotebookNode

from cfhelpers.course.homework.exercises import checked_name
from cfhelpers.course.homework.names import Names, is_continuation, names_of


class NotANotebook(Exception):
    """A submitted file cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Prepared:
    """A submission ready to be graded.

    Attributes:
        notebook: With the marks of the assignment; nbgrader and otter-grader take it as it is.
        notes: By the number of the exercise, what was not as handed out.
        missing: Numbers of exercises that have no answer anywhere.
    """

    notebook: NotebookNode
    notes: dict[str, list[str]]
    missing: frozenset[str]


@dataclass
class _Cell:
    """One code cell of a submission."""

    source: str
    place: int  # counted from 1, as the student counts
    mark: str  # nbgrader's name of it, or the cell's id
    names: Names | None = field(init=False)
    used: bool = False

    def __post_init__(self) -> None:
        self.names = names_of(self.source)

    def binds(self, name: str) -> bool:
        return self.names is not None and name in self.names.bound


@dataclass(frozen=True)
class _Exercise:
    number: str
    exercise: NotebookNode
    graded: NotebookNode
    check: NotebookNode

    @property
    def answer(self) -> str:
        return str(checked_name(self.check.source))


def prepare(
    submission: str, handed_out: NotebookNode, *, seconds_per_cell: float = 20, only: str | None = None
) -> Prepared:
    """Recognise a submission's cells and make the notebook that is graded.

    Args:
        submission: Text of the submitted file.
        handed_out: The student's notebook of the assignment.
        seconds_per_cell: After which a cell is stopped.
        only: The number of one exercise; the answers to the others are left out.

    Raises:
        NotANotebook: The text is no notebook.
    """
    cells = _read(submission)
    exercises = _exercises(handed_out)
    notes: dict[str, list[str]] = {each.number: [] for each in exercises}
    answers: dict[str, str | None] = {}
    places: dict[str, int] = {}
    for each in exercises:
        answers[each.number], places[each.number] = _find_answer(each, cells, notes[each.number])
        _look_at_check(each, cells, places[each.number], notes[each.number])
    _tell_moved(exercises, places, notes)
    missing = frozenset(number for number, code in answers.items() if code is None)
    if only is not None:
        answers = {number: code if number == only else None for number, code in answers.items()}
    extras = _needed_extras(cells, exercises, answers, places, handed_out)
    notebook = _assemble(handed_out, exercises, answers, extras, seconds_per_cell)
    return Prepared(notebook, notes, missing)


def graded_numbers(handed_out: NotebookNode) -> list[str]:
    """Return the numbers of the graded exercises of an assignment's notebook, in order."""
    return [each.number for each in _exercises(handed_out)]


def _read(text: str) -> list[_Cell]:
    """Return the code cells of a file, marks or no marks."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise NotANotebook(
            "the file is no notebook: it is not JSON. Was the file cut off, or another one sent?"
        ) from None
    try:
        content = nbformat.convert(nbformat.from_dict(content), 4)
        cells = list(content.cells)
    except Exception as error:  # whatever a broken file makes nbformat raise; there is no list of it
        raise NotANotebook(f"the file is no notebook: {type(error).__name__}: {error}") from error
    found = []
    for place, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        metadata = cell.get("metadata")
        marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        mark = marks.get("grade_id") if isinstance(marks, dict) else None
        found.append(_Cell(source, place, str(mark or cell.get("id") or "")))
    return found


def _exercises(handed_out: NotebookNode) -> list[_Exercise]:
    marked = {cell.metadata.nbgrader.grade_id: cell for cell in handed_out.cells if "nbgrader" in cell.metadata}
    found = []
    for name, cell in marked.items():
        if name.startswith("graded-"):
            key = name.removeprefix("graded-")
            found.append(_Exercise(key.replace("-", "."), marked[f"exercise-{key}"], cell, marked[f"check-{key}"]))
    return found


def _find_answer(exercise: _Exercise, cells: Sequence[_Cell], notes: list[str]) -> tuple[str | None, int]:
    """Return the student's code of an exercise, or None, and its place; say what was not as handed out."""
    mark = exercise.exercise.metadata.nbgrader.grade_id
    own = [cell for cell in cells if cell.mark == mark]
    if not own:
        return _find_unmarked(exercise, cells, notes)
    defining = [cell for cell in own if cell.binds(exercise.answer)]
    if len(defining) > 1:
        changed = [cell for cell in defining if cell.source.strip() != exercise.exercise.source.strip()] or defining
        taken = [changed[-1]]
        if len(changed) > 1:
            places = ", ".join(str(cell.place) for cell in defining)
            notes.append(f"{len(defining)} copies of the exercise's cell (cells {places}): the last one is graded")
    else:
        taken = own + [cell for cell in _continuations(own[-1], cells) if cell not in own]
        if len(taken) > 1:
            notes.append(f"the exercise's cell was split into {len(taken)}: they are graded as one")
    code = "\n".join(cell.source for cell in taken)
    for cell in own + taken:
        cell.used = True
    if code.strip() == exercise.exercise.source.strip() or not any(cell.binds(exercise.answer) for cell in taken):
        # Left alone or emptied: many write into a new cell below. If nobody did, this cell is the answer.
        found, place = _find_unmarked(exercise, cells, there := [])
        if found is not None:
            notes += there
            return found, place
    return code, taken[0].place


def _find_unmarked(exercise: _Exercise, cells: Sequence[_Cell], notes: list[str]) -> tuple[str | None, int]:
    """Look for the answer in cells without the exercise's mark."""
    others = [cell for cell in cells if cell.binds(exercise.answer) and not cell.used and not checked_name(cell.source)]
    if not others:
        notes.append("the exercise's cell was deleted, and no other cell answers it")
        return None, 0
    cell = others[-1]
    notes.append(f"the exercise's own cell is gone; its answer is taken from cell {cell.place}")
    taken = [cell, *_continuations(cell, cells)]
    for each in taken:
        each.used = True
    return "\n".join(each.source for each in taken), cell.place


def _continuations(cell: _Cell, cells: Sequence[_Cell]) -> list[_Cell]:
    """Return the cells right below that go on in the middle of this one."""
    found = []
    for each in cells:
        if each.place > cell.place:
            if not is_continuation(each.source):
                break
            found.append(each)
    return found


def _look_at_check(exercise: _Exercise, cells: Sequence[_Cell], place: int, notes: list[str]) -> None:
    """Say if the cell that checks, or the one that grades, was changed or deleted; the original decides anyway."""
    for original, what in ((exercise.check, "check"), (exercise.graded, "graded")):
        mark = original.metadata.nbgrader.grade_id
        own = [cell for cell in cells if cell.mark == mark]
        for cell in own:
            cell.used = True
        if not own:
            notes.append(f"the {what} cell was deleted: the original decides")
        elif any(cell.source.strip() != original.source.strip() for cell in own):
            notes.append(f"the {what} cell was changed: the original decides")
        elif what == "check" and place > own[-1].place:
            notes.append("the exercise's cell was moved below its check: it is graded in its own place")


def _tell_moved(exercises: Sequence[_Exercise], places: Mapping[str, int], notes: dict[str, list[str]]) -> None:
    furthest = 0
    for each in exercises:
        place = places[each.number]
        if place and place < furthest:
            notes[each.number].append("the exercise's cell was moved: it is graded in its own place")
        furthest = max(furthest, place)


def _needed_extras(
    cells: Sequence[_Cell],
    exercises: Sequence[_Exercise],
    answers: Mapping[str, str | None],
    places: Mapping[str, int],
    handed_out: NotebookNode,
) -> list[list[str]]:
    """Return, for each exercise, the code to run before it: of the student's other cells, those that answers need."""
    needed: set[str] = {"checks"}  # a later answer may need an earlier one, by way of its check cell
    for code in answers.values():
        if code is not None and (names := names_of(code)):
            needed |= names.needed
    own = [cell for cell in cells if not cell.used and cell.names is not None]
    wanted = _closure(own, needed)
    # What a student deleted of the notebook's own imports and helpers is put back, unless a cell has it.
    bound = set().union(*(cell.names.bound for cell in wanted if cell.names))
    original = [
        _Cell(cell.source, place, "")
        for place, cell in enumerate(handed_out.cells)
        if cell.cell_type == "code" and "nbgrader" not in cell.metadata
    ]
    restored = _closure(original, needed - bound - {each.answer for each in exercises})
    groups: list[list[str]] = [[] for _ in exercises]
    if groups:
        groups[0] += [cell.source for cell in restored if not _among(cell, wanted)]
    for cell in wanted:
        later = [index for index, each in enumerate(exercises) if cell.place < places[each.number]]
        groups[min(later, default=len(groups) - 1)].append(cell.source)
    return groups


def _among(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    return any(cell.source == other.source for other in cells)


def _closure(cells: Sequence[_Cell], needed: set[str]) -> list[_Cell]:
    """Return the cells that bind a needed name, and those that these need in turn; ``needed`` grows accordingly."""
    chosen: list[_Cell] = []
    grown = True
    while grown:
        new = [cell for cell in cells if cell not in chosen and cell.names and cell.names.bound & needed]
        chosen += new
        for cell in new:
            needed |= cell.names.needed if cell.names else set()
        grown = bool(new)
    return sorted(chosen, key=lambda cell: cell.place)


def _assemble(
    handed_out: NotebookNode,
    exercises: Sequence[_Exercise],
    answers: Mapping[str, str | None],
    extras: Sequence[Sequence[str]],
    seconds: float,
) -> NotebookNode:
    notebook = nbformat.v4.new_notebook(metadata=handed_out.metadata)
    guard = f"from cfhelpers.course.homework.judging import guard\n\nguard({seconds:g})"
    cells = [nbformat.v4.new_code_cell(guard, id="guard")]
    for index, each in enumerate(exercises):
        cells += [
            nbformat.v4.new_code_cell(code, id=f"own-{index}-{number}") for number, code in enumerate(extras[index])
        ]
        answer = copy.deepcopy(each.exercise)
        if answers[each.number] is not None:
            answer.source = answers[each.number]
        cells += [answer, copy.deepcopy(each.graded)]
        after = [*answers.values()][index + 1 :]
        if any(code and (names := names_of(code)) and each.answer in names.needed for code in after):
            cells.append(copy.deepcopy(each.check))
    notebook.cells = cells
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook
