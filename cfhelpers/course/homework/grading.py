"""A folder of submissions to a table and a CSV: one learner at a time, each in a confinement of its own."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from cfhelpers.course.homework import cells, confinement, inside, judging, package
from cfhelpers.course.homework.exercises import Listed

SECONDS_PER_CELL = 20.0
_SECONDS_TO_START = 60.0
_LARGEST_SUBMISSION = 50_000_000


@dataclass(frozen=True)
class Row:
    """What one student gets for one exercise.

    Attributes:
        student: Name of the submission's folder or file.
        exercise: For instance "3.1".
        points: What is given.
        out_of: What could be had.
        mistake: Why it is not everything; empty if it is.
        notes: What was not as handed out.
    """

    student: str
    exercise: str
    points: float
    out_of: float
    mistake: str
    notes: str


def grade(
    folder: Path,
    *,
    confined: bool = True,
    seconds: float = SECONDS_PER_CELL,
    tell: Callable[[str], None] = print,
) -> list[Row]:
    """Grade everything in ``submitted/`` of an assignment's folder.

    Args:
        folder: Made by :func:`package.build`.
        confined: False runs submissions with this user's rights to files and network.
        seconds: After which one cell of a submission is stopped.
        tell: Called with a line per student.

    Returns:
        One row per student and exercise.

    Raises:
        NotConfined: Submissions cannot be confined here.
        ValueError: Nothing was built in the folder, or nothing was submitted.
    """
    settings = package.Settings.load(folder)
    if settings is None:
        raise ValueError(f"{folder} has no {package.SETTINGS}: build an assignment there first")
    exercises = package.listed(folder)
    students = dict(_students(folder / "submitted"))
    if not students:
        raise ValueError(f"nothing in {folder / 'submitted'}: put each student's notebooks into a folder of their name")
    rows = []
    for student, files in students.items():
        own: list[Row] = []
        for name in dict.fromkeys(each.chapter for each in exercises):
            asked = [each for each in exercises if each.chapter == name]
            own += _grade_notebook(folder, settings.name, name, asked, student, files, confined, seconds)
        tell(f"{student}: {sum(row.points for row in own):g} of {sum(row.out_of for row in own):g} points")
        rows += own
    return rows


def check(folder: Path, *, confined: bool = True, seconds: float = SECONDS_PER_CELL) -> list[str]:
    """See that the key gets everything, the notebook as handed out nothing, and that this one runs to its end.

    Args:
        folder: Made by :func:`package.build`.
        confined: As for :func:`grade`.
        seconds: As for :func:`grade`.

    Returns:
        What is wrong, line by line.

    Raises:
        NotConfined: Submissions cannot be confined here.
        ValueError: Nothing was built in the folder.
    """
    from cfhelpers.course.notebooks import execution

    settings = package.Settings.load(folder)
    if settings is None:
        raise ValueError(f"{folder} has no {package.SETTINGS}: build an assignment there first")
    exercises, problems = package.listed(folder), []
    for name in dict.fromkeys(each.chapter for each in exercises):
        asked = [each for each in exercises if each.chapter == name]
        for kind, all_of_it in (("key", True), ("student", False)):
            path = folder / kind / f"{name}.ipynb"
            rows = _grade_notebook(folder, settings.name, name, asked, kind, [path], confined, seconds)
            wrong = [row for row in rows if row.points != (row.out_of if all_of_it else 0.0)]
            problems += [f"{kind} {r.exercise}: {r.points:g} of {r.out_of:g} points. {r.mistake}" for r in wrong]
        outcome = execution.execute(package.student_notebook(folder, name), name, folder / "student", "tiny")
        if outcome.error:
            problems.append(f"{name} as handed out, {outcome.error}")
    return problems


def table(rows: Sequence[Row]) -> str:
    """Lay out a line per student with the points of each exercise, then the mistakes and what was not as handed out."""
    students = list(dict.fromkeys(row.student for row in rows))
    exercises = list(dict.fromkeys(row.exercise for row in rows))
    width = max(len("student"), *map(len, students))
    lines = [f"{'student':<{width}}  " + "  ".join(f"{each:>5}" for each in exercises) + "    all"]
    for student in students:
        own = {row.exercise: row.points for row in rows if row.student == student}
        points = "  ".join(f"{own[each]:5g}" for each in exercises)
        lines.append(f"{student:<{width}}  {points}  {sum(own.values()):5g}")
    for row in rows:
        if row.mistake or row.notes:
            lines.append(f"{row.student} {row.exercise}: {' · '.join(filter(None, (row.mistake, row.notes)))}")
    return "\n".join(lines)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the rows, with a head."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "exercise", "points", "out of", "mistake", "notes"])
        writer.writerows([r.student, r.exercise, f"{r.points:g}", f"{r.out_of:g}", r.mistake, r.notes] for r in rows)


def _students(submitted: Path) -> Iterator[tuple[str, list[Path]]]:
    for path in sorted(submitted.iterdir()) if submitted.is_dir() else ():
        if path.is_dir():
            yield path.name, sorted(each for each in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in each.parts)
        elif path.suffix == ".ipynb":
            yield path.stem, [path]


def _grade_notebook(
    folder: Path,
    assignment: str,
    name: str,
    asked: Sequence[Listed],
    student: str,
    files: Sequence[Path],
    confined: bool,
    seconds: float,
) -> list[Row]:
    """Grade one notebook of one student; whatever it does, it ends in rows."""

    def nothing(reason: str) -> list[Row]:
        return [Row(student, each.number, 0.0, each.points, reason, "") for each in asked]

    only_one = len(files) == 1 and len(list((folder / "student").glob("*.ipynb"))) == 1
    path = next((each for each in files if each.stem == name), files[0] if only_one else None)
    if path is None:
        return nothing(f"{name}.ipynb was not submitted")
    if path.stat().st_size > _LARGEST_SUBMISSION:
        return nothing(f"{path.name} has {path.stat().st_size / 1e6:.0f} MB: clear its outputs and submit it again")
    text, handed_out = path.read_text(encoding="utf-8", errors="replace"), package.student_notebook(folder, name)
    try:
        prepared = cells.prepare(text, handed_out, seconds_per_cell=seconds)
    except cells.NotANotebook as problem:
        return nothing(str(problem))

    def run(notebook: nbformat.NotebookNode, exercises: int) -> dict[str, Any]:
        return _run(folder, assignment, name, notebook, confined, _SECONDS_TO_START + 3 * seconds * exercises)

    outcome = run(prepared.notebook, len(asked))
    outcomes = {each.number: outcome for each in asked}
    if not outcome["scores"] and len(asked) > 1:
        # One answer took the whole run with it: each by itself, so that the others get their points.
        for each in asked:
            alone = cells.prepare(text, handed_out, seconds_per_cell=seconds, only=each.number)
            outcomes[each.number] = run(alone.notebook, 1)
    return [_row(student, each, prepared, outcomes[each.number]) for each in asked]


def _row(student: str, exercise: Listed, prepared: cells.Prepared, outcome: Mapping[str, Any]) -> Row:
    """Give points only where nbgrader gave them and the recorded numbers are right once more."""
    number, key = exercise.number, exercise.number.replace(".", "-")
    notes = list(prepared.notes[number])
    scored = float(outcome["scores"].get(f"graded-{key}", 0.0))
    evidence = outcome["evidence"].get(number)
    if number in prepared.missing:
        mistake = "no answer was submitted"
    elif evidence is not None:
        mistake = _without_frame(judging.confirm(evidence) or "")
    else:
        mistake = _stopped(exercise, outcome)
    if mistake and scored:
        notes.append("the notebook made its own check pass: the numbers of its answer, compared again, are not right")
    points = exercise.points if scored and not mistake else 0.0
    if not points and not mistake:
        mistake = outcome["errors"].get(f"graded-{key}", "nbgrader gave no points")
    return Row(student, number, points, exercise.points, mistake, "; ".join(notes))


def _stopped(exercise: Listed, outcome: Mapping[str, Any]) -> str:
    """Say why an answer never reached its check."""
    key = exercise.number.replace(".", "-")
    for cell in (f"exercise-{key}", f"graded-{key}"):
        if error := outcome["errors"].get(cell):
            if error.startswith("NotImplementedError"):
                return "not solved: the stub is unchanged"
            return f"stopped with {error}"
    return str(outcome["problem"] or "the check was not reached")


def _without_frame(message: str) -> str:
    """Return a check's message without the exercise's number before and the cell to read again after it."""
    _, _, text = message.partition(": ") if message.startswith("Exercise ") else ("", "", message)
    return text.rpartition(" Read again: ")[0] or text


def _run(
    folder: Path, assignment: str, name: str, notebook: nbformat.NotebookNode, confined: bool, seconds: float
) -> dict[str, Any]:
    """Run a prepared submission on a disposable copy of nbgrader's course."""
    with tempfile.TemporaryDirectory(prefix="homework-") as temporary:
        stage = Path(temporary).resolve()
        course = stage / inside.COURSE
        course.mkdir()
        for each in ("nbgrader_config.py", "gradebook.db"):
            shutil.copy2(folder / "nbgrader" / each, course / each)
        shutil.copytree(folder / "nbgrader" / "source", course / "source")
        submitted = course / "submitted" / inside.STUDENT / assignment / f"{name}.ipynb"
        submitted.parent.mkdir(parents=True)
        nbformat.write(notebook, submitted)
        environment = _environment(stage)
        command = [sys.executable, "-m", "cfhelpers.course.homework.inside", assignment, name]
        limits = confinement.Limits(seconds=seconds)
        if confined:
            finished = confinement.run(
                command, stage, answer=inside.ANSWER, hidden=[folder], limits=limits, environment=environment
            )
        else:
            finished = confinement.run_unconfined(
                command, stage, answer=inside.ANSWER, limits=limits, environment=environment
            )
    empty = {"scores": {}, "errors": {}, "evidence": {}, "problem": ""}
    if finished.answer is None:
        reason = f"no end within {seconds:g} seconds" if finished.out_of_time else "the notebook ended its own grading"
        last = finished.log.strip().splitlines()[-1:] or [""]
        return {**empty, "problem": f"{reason} {last[0]}".strip()}
    return {**empty, **json.loads(finished.answer)}


def _environment(stage: Path) -> dict[str, str]:
    """Return the variables of a submission's processes: nothing of the teacher's own, all folders in the copy."""
    library = Path(__file__).resolve().parents[3]
    for each in ("home", "tmp", inside.EVIDENCE_FOLDER, "kernels/python3"):
        (stage / each).mkdir(parents=True)
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    kernel |= {"display_name": "Python 3", "language": "python"}
    (stage / "kernels" / "python3" / "kernel.json").write_text(json.dumps(kernel), "utf-8")
    return {
        "PATH": package.search_path(),
        "PYTHONPATH": str(library),
        "HOME": str(stage / "home"),
        "TMPDIR": str(stage / "tmp"),
        "JUPYTER_PATH": str(stage),
        "LANG": "C.UTF-8",
        "CF_PROFILE": "tiny",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        judging.EVIDENCE: str(stage / inside.EVIDENCE_FOLDER),
    }
