"""A small class graded for real, and the judge and the confinement by themselves. The class of twelve: classroom.py."""

import contextlib
import csv
import importlib
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cfhelpers.course import checks
from cfhelpers.course.homework import command, confinement, grading, judging, package
from tests.course.homework.classroom import cell, place, solved
from tests.course.homework.conftest import NAME

LOOP = """
def share_lost(before, after, chance):
    while chance is not None:
        try:
            before = after
        except ZeroDivisionError:
            pass
""".strip()
PRINTS = "def shows_forgetting(experiment):\n    while True:\n        print('and on ' * 100)"
FLIPPED = "def share_lost(before, after, chance):\n    return (after - before) / (before - chance)"
EXITS = (
    "import os, shutil\n\n\ndef average_accuracy(results):\n"
    "    shutil.rmtree(os.path.expanduser('~'), ignore_errors=True)\n    os._exit(0)"
)
TAMPERS = """
from cfhelpers.course.checks import exercise

exercise._solved.add("0.3")
exercise.Exercise.__call__ = lambda self, answer: answer
checks.starting.shows_forgetting.examine.__code__ = (lambda answer: {}).__code__


def shows_forgetting(experiment):
    return True
""".strip()


def confinement_problem() -> str:
    try:
        confinement.run([sys.executable, "-c", ""], Path(__file__).parent, answer="none")
    except confinement.NotConfined as error:
        return str(error)
    return ""


PROBLEM = confinement_problem()
needs_confinement = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM or "confined")


def hand_in(folder: Path, student: str, answers: dict[str, str]) -> Path:
    notebook = solved(folder, NAME)
    for number, code in answers.items():
        cell(notebook, f"exercise-{number.replace('.', '-')}").source = code
    path = folder / "submitted" / student / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook))
    return path


# The class


@needs_confinement
def test_a_small_class_gets_its_points_and_the_names_of_its_mistakes(folder: Path, tmp_path: Path):
    own = tmp_path / "assignment"
    shutil.copytree(folder, own)
    hand_in(own, "ada", {"0.1": LOOP, "0.3": PRINTS})
    hand_in(own, "ben", {"0.1": FLIPPED, "0.2": EXITS, "0.3": TAMPERS})
    path = hand_in(own, "cleo", {})
    notebook = json.loads(path.read_text())
    split = next(each for each in notebook["cells"] if each["id"] == "exercise-0-3")
    lines = "".join(split["source"]).splitlines()
    lower = {**split, "id": "lower", "source": "\n".join(lines[3:])}
    notebook["cells"].insert(notebook["cells"].index(split) + 1, lower)
    split["source"] = "\n".join(lines[:3])
    path.write_text(json.dumps(notebook))
    (own / "submitted" / "dan").mkdir()
    (own / "submitted" / "dan" / f"{NAME}.ipynb").write_text("PK\3\4 a Word file")
    (own / "submitted" / "eve").mkdir()

    told: list[str] = []
    rows = {(row.student, row.exercise): row for row in grading.grade(own, seconds=4, tell=told.append)}

    points = {student: [rows[student, each].points for each in ("0.1", "0.2", "0.3")] for student, _ in rows}
    assert points == {"ada": [0, 2, 0], "ben": [0, 0, 0], "cleo": [1, 2, 2], "dan": [0, 0, 0], "eve": [0, 0, 0]}
    assert "no end within 4 seconds" in rows["ada", "0.1"].mistake
    assert "characters printed" in rows["ada", "0.3"].mistake
    flipped = checks.starting.share_lost.mistakes[0].advice
    assert rows["ben", "0.1"].mistake == flipped
    assert "tried to end the process" in rows["ben", "0.2"].mistake
    assert rows["ben", "0.3"].mistake
    assert rows["cleo", "0.3"].notes == "the exercise's cell was split into 2: they are graded as one"
    assert "is no notebook" in rows["dan", "0.1"].mistake
    assert "was not submitted" in rows["eve", "0.1"].mistake
    assert told == [f"{name}: {sum(points[name]):g} of 5 points" for name in points]

    grading.write_csv(list(rows.values()), own / "grades.csv")
    with (own / "grades.csv").open(newline="", encoding="utf-8") as file:
        named = {(line["student"], line["exercise"]): line["mistake"] for line in csv.DictReader(file)}
    assert named["ben", "0.1"] == flipped
    assert "cleo" in grading.table(list(rows.values()))


class Outcome:
    """Stands in for the run of a submission; remembers which answers were in it."""

    def __init__(self, dies_of: str) -> None:
        self.dies_of, self.runs = dies_of, []

    def __call__(self, *arguments):
        notebook = arguments[3]
        answered = [number for number in ("0.1", "0.2", "0.3") if "Not" not in self.answer(notebook, number)]
        self.runs.append(answered)
        empty = {"scores": {}, "errors": {}, "evidence": {}, "problem": "the notebook ended its own grading"}
        if self.dies_of in answered:
            return empty
        right = {number: judged(number, getattr(checks.starting, NAMES[number]).reference) for number in answered}
        scores = {f"graded-{number.replace('.', '-')}": 1.0 for number in answered}
        return {**empty, "scores": scores, "evidence": right}

    def answer(self, notebook, number: str) -> str:
        assert place(notebook, f"exercise-{number.replace('.', '-')}") >= 0
        return cell(notebook, f"exercise-{number.replace('.', '-')}").source


NAMES = {"0.1": "share_lost", "0.2": "average_accuracy", "0.3": "shows_forgetting"}


def judged(number: str, answer) -> dict:
    """Return the evidence that judging an answer leaves."""
    kept: list[dict] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "_keep", kept.append)
        with contextlib.suppress(AssertionError):
            judging.judge(number, answer)
    return json.loads(json.dumps(kept[0]))


def test_an_answer_that_takes_its_kernel_with_it_costs_the_others_nothing(folder, tmp_path, monkeypatch):
    own = tmp_path / "assignment"
    shutil.copytree(folder, own)
    hand_in(own, "finn", {})
    run = Outcome(dies_of="0.2")
    monkeypatch.setattr(grading, "_run", run)
    rows = grading.grade(own, tell=lambda _: None)
    assert run.runs == [["0.1", "0.2", "0.3"], ["0.1"], ["0.2"], ["0.3"]]
    assert [row.points for row in rows] == [1.0, 0.0, 2.0]
    assert rows[1].mistake == "the notebook ended its own grading"


def test_points_that_the_numbers_do_not_bear_out_are_not_given(folder, tmp_path, monkeypatch):
    own = tmp_path / "assignment"
    shutil.copytree(folder, own)
    hand_in(own, "gil", {})
    wrong = {number: judged(number, lambda *inputs: 0.5) for number in NAMES}
    for each in wrong.values():
        each["message"] = None  # as a notebook would write it that had reached into its check
    scores = {f"graded-{number.replace('.', '-')}": 2.0 for number in NAMES}
    outcome = {"scores": scores, "errors": {}, "evidence": wrong, "problem": ""}
    monkeypatch.setattr(grading, "_run", lambda *_: outcome)
    rows = grading.grade(own, tell=lambda _: None)
    assert [row.points for row in rows] == [0.0, 0.0, 0.0]
    assert all("made its own check pass" in row.notes and row.mistake for row in rows)
    monkeypatch.setattr(grading, "_run", lambda *_: {**outcome, "evidence": {}})
    assert [row.points for row in grading.grade(own, tell=lambda _: None)] == [0.0, 0.0, 0.0]


def test_nothing_built_or_nothing_submitted_is_an_error(folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="build an assignment there first"):
        grading.grade(tmp_path)
    shutil.copytree(folder, tmp_path / "own")
    with pytest.raises(ValueError, match="put each student's notebooks"):
        grading.grade(tmp_path / "own")
    assert package.Settings.load(tmp_path) is None


# The judge


@pytest.mark.parametrize("number", NAMES)
def test_a_right_answer_is_right_twice_and_a_known_mistake_has_its_name_twice(number: str):
    exercise = judging.exercise_of(number)
    assert judging.confirm(judged(number, exercise.reference)) is None
    for mistake in exercise.mistakes:
        evidence = judged(number, mistake.imitate)
        assert mistake.advice in evidence["message"]
        assert judging.confirm(evidence) == evidence["message"]


def test_an_unsolved_exercise_and_a_crash_give_no_numbers_and_no_points():
    def unsolved(*inputs):
        raise NotImplementedError

    def crash(*inputs):
        raise KeyError("labels")

    assert "not solved" in str(judging.confirm(judged("0.1", unsolved)))
    assert "KeyError: 'labels'" in str(judging.confirm(judged("0.1", crash)))


def test_what_a_notebook_did_to_its_own_checks_does_not_reach_the_judge(monkeypatch, capsys):
    module = importlib.import_module("cfhelpers.course.checks.exercise")
    monkeypatch.setattr(module, "_solved", {"0.1"})
    monkeypatch.setattr(module.Exercise, "__call__", lambda self, answer: answer)
    monkeypatch.setattr(checks.starting.share_lost.__class__, "_compare", lambda *_: None, raising=False)
    with pytest.raises(AssertionError, match=r"where 0\.75 is right|sign is flipped"):
        judging.judge("0.1", lambda before, after, chance: 0.5)
    assert sys.modules["cfhelpers.course.checks.exercise"] is module
    assert "is solved" not in capsys.readouterr().out


@pytest.mark.parametrize("numbers", [None, 3, {"x": "text"}, {"x": [[1], [1, 2]]}, {}])
def test_made_up_evidence_is_no_answer(numbers):
    assert judging.confirm({"number": "0.1", "numbers": numbers, "message": None})


def test_what_an_answer_prints_is_not_taken_for_a_failure(capsys):
    def answer(before, after, chance):
        print("thinking", file=sys.stderr)
        return np.float64((before - after) / (before - chance))

    judging.judge("0.1", answer)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == "Exercise 0.1 is solved.\n"


def test_there_is_no_judge_for_an_unknown_exercise():
    with pytest.raises(ValueError, match=r"no exercise 99\.9"):
        judging.exercise_of("99.9")


# The confinement


PROBE = """
import json, os, pathlib, socket, sys

def attempt(action):
    try:
        return repr(action())
    except (OSError, MemoryError) as error:
        return type(error).__name__

own, outside, hidden = sys.argv[1:]
result = {
    "own": attempt(lambda: pathlib.Path(own, "new.txt").write_text("x")),
    "outside": attempt(lambda: pathlib.Path(outside, "new.txt").write_text("x")),
    "deleted": attempt(lambda: os.remove(os.path.join(outside, "kept.txt"))),
    "hidden": attempt(lambda: os.listdir(hidden)),
    "network": attempt(lambda: socket.create_connection(("192.0.2.1", 80), 5)),
    "remount": os.system("mount -o remount,bind,rw / 2>/dev/null") == 0,
    "large file": attempt(lambda: pathlib.Path("large").write_bytes(b"0" * 2_000_000)),
    "removed": attempt(lambda: os.remove("large")),
    "memory": attempt(lambda: len(bytearray(500_000_000))),
    "others": len([name for name in os.listdir("/proc") if name.isdigit()]) > 10,
    "secret": os.environ.get("SECRET"),
}
pathlib.Path("answer.json").write_text(json.dumps(result))
"""


@needs_confinement
def test_a_confined_command_reaches_nothing_but_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "a token")
    own, outside, hidden = (tmp_path / name for name in ("own", "outside", "hidden"))
    for folder in (own, outside, hidden):
        folder.mkdir()
        (folder / "kept.txt").write_text("kept")
    limits = confinement.Limits(seconds=30, memory=200_000_000, disk=1_000_000)
    command = [sys.executable, "-c", PROBE, str(own), str(outside), str(hidden)]
    finished = confinement.run(command, own, answer="answer.json", hidden=[hidden], limits=limits)
    assert finished.answer is not None, finished.log
    assert json.loads(finished.answer) == {
        "own": "1",
        "outside": "OSError",
        "deleted": "OSError",
        "hidden": "[]",
        "network": "OSError",
        "remount": False,
        "large file": "OSError",
        "removed": "None",
        "memory": "MemoryError",
        "others": False,
        "secret": None,
    }
    assert [path.name for path in own.iterdir()] == ["kept.txt"]
    assert (outside / "kept.txt").read_text() == "kept"


@needs_confinement
def test_a_confined_command_has_no_more_time_than_it_was_given(tmp_path: Path):
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while True: pass'])\nwhile True: pass"
    limits = confinement.Limits(seconds=1)
    finished = confinement.run([sys.executable, "-c", code], tmp_path, answer="none", limits=limits)
    assert finished.out_of_time
    assert finished.answer is None


def test_without_namespaces_grading_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(confinement.shutil, "which", lambda name: None)
    with pytest.raises(confinement.NotConfined, match="unshare"):
        confinement.run(["true"], tmp_path, answer="none")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is refused before")
@pytest.mark.parametrize("setting", ["0", "1", None])
def test_ubuntu_is_told_how_to_allow_it(setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    refuses = tmp_path / "unshare"
    refuses.write_text(
        "#!/bin/sh\necho 'unshare: write failed /proc/self/uid_map: Operation not permitted' >&2\nexit 1\n"
    )
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(confinement, "_FORBIDDEN_BY_UBUNTU", tmp_path / "setting")
    if setting:
        (tmp_path / "setting").write_text(f"{setting}\n")
    with pytest.raises(confinement.NotConfined, match="uid_map") as raised:
        confinement.run(["true"], tmp_path, answer="none")
    assert ("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in str(raised.value)) == (setting == "1")


def test_windows_which_limits_nothing_grades_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys, "platform", "win32")
    for started in (confinement.run, partial(confinement.run_unconfined, limits=confinement.Limits(), environment={})):
        with pytest.raises(confinement.NotConfined):
            started(["true"], tmp_path, answer="none")
    monkeypatch.setattr(command, "_grade", lambda *_: confinement.run(["true"], tmp_path, answer="none"))
    assert command.main(["grade", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "in WSL" in said
    assert "--without-confinement" not in said  # it would refuse as well


def test_without_confinement_there_are_still_limits(tmp_path: Path):
    code = "open('answer', 'w').write('done')\nbytearray(500_000_000)"
    limits = confinement.Limits(seconds=20, memory=200_000_000)
    command = [sys.executable, "-c", code]
    finished = confinement.run_unconfined(command, tmp_path, answer="answer", limits=limits, environment={})
    assert finished.answer == b"done"
    assert "MemoryError" in finished.log
    limits = confinement.Limits(seconds=1)
    command = [sys.executable, "-c", "while True: pass"]
    assert confinement.run_unconfined(command, tmp_path, answer="x", limits=limits, environment={}).out_of_time
