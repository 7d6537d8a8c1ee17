"""A class of twelve, as it comes: what each student does to chapter 3's notebook, and what they should get.

``python -m tests.course.homework.classroom FOLDER [--otter]`` builds the assignment, grades the class and compares;
with ``--otter`` by otter-grader too, which has to be installed.
"""

import argparse
import copy
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from cfhelpers.course.homework import grading, otter, package

ROOT = Path(__file__).resolve().parents[3]
CHAPTER = "03_ewc_on_dialogpt"
WORTH = {"3.1": 1.0, "3.2": 2.0, "3.3": 2.0}


@dataclass(frozen=True)
class Student:
    """What somebody hands in, and what they should get.

    Attributes:
        write: Makes the submission of the notebook with all exercises solved.
        points: By exercise.
        told: Words of the mistake or of the note, by exercise.
    """

    write: Callable[[NotebookNode], None]
    points: dict[str, float]
    told: dict[str, str]


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(each for each in notebook.cells if each.get("metadata", {}).get("nbgrader", {}).get("grade_id") == name)


def place(notebook: NotebookNode, name: str) -> int:
    return notebook.cells.index(cell(notebook, name))


def replaced(name: str, old: str, new: str) -> Callable[[NotebookNode], None]:
    def write(notebook: NotebookNode) -> None:
        own = cell(notebook, name)
        assert old in own.source, own.source
        own.source = own.source.replace(old, new)

    return write


def instead(name: str, code: str) -> Callable[[NotebookNode], None]:
    def write(notebook: NotebookNode) -> None:
        cell(notebook, name).source = code

    return write


def nothing_done(notebook: NotebookNode) -> None:
    for name in ("exercise-3-1", "exercise-3-2", "exercise-3-3"):
        own = cell(notebook, name)
        stub = re.sub(
            r"(def [^\n]+\n).*?(?=\n    def |$)", r"\1        raise NotImplementedError\n", own.source, flags=re.S
        )
        own.source = stub


def crash(notebook: NotebookNode) -> None:
    cell(notebook, "exercise-3-2").source = "def fisher(model, batches):\n    import os\n\n    os._exit(3)"
    cell(notebook, "exercise-3-1").source += "\nimport shutil\nshutil.rmtree('.', ignore_errors=True)"


def tamper(notebook: NotebookNode) -> None:
    cell(notebook, "exercise-3-3").source = (
        "class ElasticPenalty:\n"
        "    def __init__(self, model, importance, strength):\n        pass\n\n"
        "    def value(self, model):\n        return torch.zeros((), requires_grad=True)\n\n\n"
        "from cfhelpers.course.checks import exercise\n"
        "exercise._solved.update({'3.1', '3.2', '3.3'})\n"
        "exercise.Exercise.__call__ = lambda self, answer: answer\n"
        "checks.require_solved = lambda number: None\n"
        "np.allclose = lambda *_, **__: True"
    )
    cell(notebook, "check-3-3").source = "print('Exercise 3.3 is solved')"
    cell(notebook, "graded-3-3").source = "assert True"


def split(notebook: NotebookNode) -> None:
    """As JupyterLab splits a cell: both halves keep its marks, the lower one gets a new id."""
    own = cell(notebook, "exercise-3-2")
    lines = own.source.splitlines()
    lower = new_code_cell("\n".join(lines[6:]), metadata=copy.deepcopy(own.metadata))
    own.source = "\n".join(lines[:6])
    notebook.cells.insert(place(notebook, "exercise-3-2") + 1, lower)


def delete(notebook: NotebookNode) -> None:
    for name in ("exercise-3-1", "graded-3-1", "graded-3-2"):
        notebook.cells.remove(cell(notebook, name))


STUDENTS = {
    "perfect": Student(lambda notebook: None, WORTH, {}),
    "unsolved": Student(nothing_done, dict.fromkeys(WORTH, 0.0), dict.fromkeys(WORTH, "not solved")),
    "question_is_target": Student(
        replaced("exercise-3-1", "[-100] * len(question) + ids[len(question) :]", "ids"),
        {**WORTH, "3.1": 0.0},
        {"3.1": "question"},
    ),
    "batch_squared": Student(
        instead(
            "exercise-3-2",
            "def fisher(model, batches):\n"
            "    model.eval()\n"
            "    named = {n: p for n, p in model.named_parameters() if p.requires_grad}\n"
            "    total = {n: torch.zeros_like(p) for n, p in named.items()}\n"
            "    for batch in batches:\n"
            "        n_targets = (batch['labels'][:, 1:] != -100).sum()\n"
            "        model.zero_grad()\n"
            "        (model(**batch).loss * n_targets).backward()\n"
            "        for n, p in named.items():\n"
            "            total[n] += p.grad.square()\n"
            "    model.zero_grad()\n"
            "    return {n: t / sum(len(b['labels']) for b in batches) for n, t in total.items()}",
        ),
        {**WORTH, "3.2": 0.0},
        {"3.2": "batch"},
    ),
    "living_anchor": Student(
        replaced("exercise-3-3", ".detach().clone()", ".detach()"), {**WORTH, "3.3": 0.0}, {"3.3": "always zero"}
    ),
    "without_half": Student(
        replaced("exercise-3-3", "self.strength / 2", "self.strength"),
        {**WORTH, "3.3": 0.0},
        {"3.3": "the factor ½ is missing"},
    ),
    "endless_loop": Student(
        replaced("exercise-3-2", "    model.eval()\n", "    while model is not None:\n        model.eval()\n"),
        {**WORTH, "3.2": 0.0},
        {"3.2": "no end within"},
    ),
    "crash": Student(crash, {**WORTH, "3.2": 0.0}, {"3.2": "tried to end the process"}),
    "endless_output": Student(
        replaced(
            "exercise-3-1", "    longest = ", "    while True:\n        print('still here ' * 20)\n    longest = "
        ),
        {**WORTH, "3.1": 0.0},
        {"3.1": "characters printed"},
    ),
    "tampered": Student(tamper, {**WORTH, "3.3": 0.0}, {"3.3": "was changed"}),
    "split": Student(split, WORTH, {"3.2": "was split into 2"}),
    "deleted": Student(delete, {**WORTH, "3.1": 0.0}, {"3.1": "deleted", "3.2": "the graded cell was deleted"}),
}


def solved(folder: Path, name: str = CHAPTER) -> NotebookNode:
    """Return the handed-out notebook with every exercise solved, as a good student would hand it in."""
    notebook = package.student_notebook(folder, name)
    key = nbformat.read(folder / "key" / f"{name}.ipynb", as_version=4)
    for each in notebook.cells:
        if each.get("metadata", {}).get("nbgrader", {}).get("solution"):
            each.source = cell(key, each.metadata.nbgrader.grade_id).source
    return notebook


def write_class(folder: Path) -> None:
    for name, student in STUDENTS.items():
        notebook = solved(folder)
        student.write(notebook)
        own = folder / "submitted" / name
        own.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, own / f"{CHAPTER}.ipynb")


def differences(rows: list[grading.Row]) -> list[str]:
    """Say where a class got something else than it should have."""
    found = []
    for row in rows:
        student = STUDENTS[row.student]
        if row.points != student.points[row.exercise]:
            found.append(f"{row.student} {row.exercise}: {row.points:g} points: {row.mistake}")
        words = student.told.get(row.exercise, "")
        if words not in f"{row.mistake} {row.notes}" or (row.points == 0) != bool(row.mistake):
            found.append(f"{row.student} {row.exercise}: told “{row.mistake}”, “{row.notes}”; not “{words}”")
    return found


def by_otter(folder: Path) -> list[str]:
    """Grade the same submissions with otter-grader and say where its points differ."""
    own, found = folder / "otter" / CHAPTER, []
    options = ["-t", "tests", "-c", "otter_config.json", "-r", "requirements.txt", "--python-version", "3.11", "-o"]
    _run([sys.executable, "-m", "otter", "generate", *options, "autograder.zip", otter.HANDED_OUT], own)
    for name, student in STUDENTS.items():
        with tempfile.TemporaryDirectory() as target:
            submission = folder / "submitted" / name / f"{CHAPTER}.ipynb"
            command = [
                sys.executable,
                "-m",
                "otter",
                "run",
                "-a",
                str(own / "autograder.zip"),
                "-o",
                target,
                str(submission),
            ]
            _run(command, Path(target))
            results = json.loads((Path(target) / "results.json").read_text())
        given = {test["name"]: test.get("score", 0.0) for test in results["tests"]}
        points = {number: given.get(otter.test_name(number)) for number in WORTH}
        print(f"otter, {name}: {points}", flush=True)
        if points != student.points:
            found.append(f"{name}: otter gives {points}, not {student.points}")
    return found


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--otter", action="store_true")
    options = parser.parse_args()
    settings = package.Settings("class", ["03"], None, None, "otter")
    print("\n".join(package.build(ROOT, options.folder, settings)))
    write_class(options.folder)
    started = time.perf_counter()
    rows = grading.grade(options.folder)
    seconds = time.perf_counter() - started
    grading.write_csv(rows, options.folder / "grades.csv")
    print(grading.table(rows))
    print(f"{len(STUDENTS)} submissions in {seconds:.0f} s")
    wrong = differences(rows)
    if options.otter:
        wrong += by_otter(options.folder)
    print("\n".join(wrong) or "Everybody gets what they should.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
