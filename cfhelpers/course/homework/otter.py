"""The same assignment for otter-grader: one exception-based test per exercise, which calls the library's own check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat

from cfhelpers.course.homework.assignment import Assignment
from cfhelpers.course.homework.exercises import Listed
from cfhelpers.course.notebooks import building

HANDED_OUT = "handed_out.json"  # not .ipynb: otter takes every notebook that it finds for the submission
_PLUGIN = "cfhelpers.course.homework.otter_plugin.Prepare"
_TEST = '''\
"""Exercise {number}, {title}: the library's own check decides."""

from otter.test_files import test_case

OK_FORMAT = False
name = "{name}"
points = {points:g}


@test_case(points={points:g})
def test_exercise(env):
    from cfhelpers.course.homework.judging import judge

    judge("{number}", env["{answer}"])
'''
_README = """\
# {name}, for otter-grader

One folder per notebook, because otter grades one notebook at a time. In each:

    otter generate -t tests -c otter_config.json -r requirements.txt --python-version 3.12 \\
        -o autograder.zip {handed_out}

makes what Gradescope takes, and `otter run -a autograder.zip SUBMISSION.ipynb` here. Hand out the notebook
in `../student`. A plugin recognises split, copied, moved and deleted cells and leaves out what no exercise needs.

otter itself confines nothing: Gradescope runs each submission in a container; `otter run` runs it with your rights.
"""


def write(folder: Path, made: Sequence[Assignment], name: str) -> list[Path]:
    """Write what otter needs below ``otter/``; otter itself is not needed for it.

    Returns:
        The files written.
    """
    setting = building.colab_setting()
    library = f"cfhelpers[teacher] @ git+https://github.com/{setting['repository']}@{setting['reference']}\n"
    top = folder / "otter"
    files = {top / "README.md": _README.format(name=name, handed_out=HANDED_OUT)}
    for each in made:
        own = top / each.name
        config = {
            "show_stdout": True,
            "pdf": False,
            "plugins": [{_PLUGIN: {"handed_out": HANDED_OUT}}],
        }
        files[own / "otter_config.json"] = json.dumps(config, indent=1) + "\n"
        files[own / "requirements.txt"] = library
        files[own / HANDED_OUT] = nbformat.writes(each.student) + "\n"
        for exercise in each.exercises:
            files[own / "tests" / f"{test_name(exercise.number)}.py"] = _test(exercise)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    return list(files)


def test_name(number: str) -> str:
    """Return what otter calls the test of an exercise."""
    return f"q{number.replace('.', '_')}"


def _test(exercise: Listed) -> str:
    return _TEST.format(
        number=exercise.number,
        title=exercise.title,
        name=test_name(exercise.number),
        points=exercise.points,
        answer=exercise.answer,
    )
