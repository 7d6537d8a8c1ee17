"""An assignment: what is chosen, what is handed out, what the teacher's edits survive."""

import csv
import json
import os
from pathlib import Path

import nbformat
import pytest

from cfhelpers.course.homework import assignment, command, exercises, otter, package, updating
from tests.course.homework.classroom import cell
from tests.course.homework.conftest import NAME, SMALL, write_chapter

ROOT = Path(__file__).resolve().parents[3]
SOURCES = exercises.sources(ROOT)


# What there is


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_chapter_lists_its_exercises(source: Path):
    found = exercises.read(source)
    assert len(found) >= 3
    assert all(each.number.split(".")[0] == str(int(source.name[:2])) for each in found)
    assert all(each.minutes > 0 and each.points > 0 and f"({each.answer})" in each.check for each in found)


def test_the_list_has_a_line_for_each_exercise_and_the_sums(root: Path):
    found = exercises.read(exercises.sources(root)[0])
    lines = exercises.table(found).splitlines()
    assert lines[2].split() == ["0.1", "the", "share", "lost", "★☆☆", "3", "1"]
    assert lines[-1].split() == ["all", "15", "5"]


def test_a_chapter_that_is_not_there_is_refused_by_name(root: Path):
    with pytest.raises(ValueError, match="no chapter begins with '77'; there are 00"):
        exercises.sources(root, ["77"])


def test_an_exercise_without_its_heading_is_refused(tmp_path: Path):
    path = write_chapter(tmp_path, SMALL.replace("★☆☆ 3 minutes", ""))
    with pytest.raises(ValueError, match=r"exercise 0\.1 has not a heading"):
        exercises.read(path)


# What is handed out


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_solution_is_handed_out_of_any_chapter(source: Path):
    made = assignment.make(source)
    text = "\n".join(each.source for each in made.student.cells)
    assert "HIDDEN" not in text
    assert "SOLUTION" not in text
    assert "judge(" not in text
    assert "require_solved" not in text
    assert "<summary>Solution</summary>" not in text
    for each in made.exercises:
        key = each.number.replace(".", "-")
        assert "raise NotImplementedError" in cell(made.student, f"exercise-{key}").source
        assert "NotImplementedError" not in cell(made.instructor, f"exercise-{key}").source
        assert cell(made.student, f"graded-{key}").metadata.nbgrader.points == each.points
        assert cell(made.student, f"check-{key}").metadata.editable is False
    key = [each.source for each in assignment.key_version(made.instructor).cells if each.cell_type == "code"]
    assert not any("raise NotImplementedError" in code or "###" in code for code in key)


def test_chosen_exercises_have_their_points_and_the_others_stay_as_practice(root: Path):
    made = assignment.make(exercises.sources(root)[0], points={"0.2": 4.5})
    assert [(each.number, each.points) for each in made.exercises] == [("0.2", 4.5)]
    text = "\n".join(each.source for each in made.student.cells)
    assert "4 minutes · 4.5 points" in text
    assert "3 minutes\n" in text
    assert "Solution</summary>" in text  # of exercise 0.1, which gives no points
    marks = [each.metadata.nbgrader.grade_id for each in made.student.cells if "nbgrader" in each.metadata]
    assert [mark for mark in marks if mark.startswith("graded")] == ["graded-0-2"]
    assert "raise NotImplementedError" in cell(made.student, "exercise-0-1").source


def test_another_seed_leaves_out_what_needs_the_stored_one(tmp_path: Path):
    text = SMALL + "\n    # %%\n    print(run.matrix(seed=0))\n"
    made = assignment.make(write_chapter(tmp_path, text), seed=7)
    student = "\n".join(each.source for each in made.student.cells)
    assert "cf.start(seed=7)" in student
    assert "matrix(seed=0)" not in student
    assert made.left_out == ["a cell that compares with the stored seed 0: print(run.matrix(seed=0))"]
    with pytest.raises(ValueError, match=r"no cf\.start"):
        assignment.make(write_chapter(tmp_path, SMALL.replace("run = cf.start(seed=0)", "run = None")), seed=7)


def test_the_folder_has_everything(folder: Path):
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        "homework.json",
        f"source/{NAME}.py",
        f"student/{NAME}.ipynb",
        f"key/{NAME}.ipynb",
        f"nbgrader/source/small/{NAME}.ipynb",
        f"nbgrader/release/small/{NAME}.ipynb",
        "nbgrader/gradebook.db",
        "nbgrader/nbgrader_config.py",
        f"otter/{NAME}/tests/q0_1.py",
        f"otter/{NAME}/otter_config.json",
    } <= found
    release = nbformat.read(folder / "nbgrader" / "release" / "small" / f"{NAME}.ipynb", as_version=4)
    student = nbformat.read(folder / "student" / f"{NAME}.ipynb", as_version=4)
    assert [each.source for each in release.cells] == [each.source for each in student.cells]


def test_otters_tests_call_the_librarys_check(folder: Path):
    text = (folder / "otter" / NAME / "tests" / "q0_2.py").read_text()
    assert 'judge("0.2", env["average_accuracy"])' in text
    assert "points = 2" in text
    compile(text, "q0_2.py", "exec")
    config = json.loads((folder / "otter" / NAME / "otter_config.json").read_text())
    (plugin,) = config["plugins"]
    assert plugin == {"cfhelpers.course.homework.otter_plugin.Prepare": {"handed_out": otter.HANDED_OUT}}
    assert nbformat.read(folder / "otter" / NAME / otter.HANDED_OUT, as_version=4).cells


# Updating


@pytest.fixture
def taught(tmp_path: Path) -> tuple[Path, Path]:
    """A chapter and the teacher's copy of it."""
    chapter = tmp_path / "00_small.py"
    chapter.write_text("".join(f"line {number}\n" for number in range(20)))
    own = updating.update(chapter, tmp_path / "source").path
    assert own.read_text() == chapter.read_text()
    return chapter, own


def change(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_edits_and_a_newer_chapter_go_together(taught):
    chapter, own = taught
    change(own, "line 3\n", "line 3, as I teach it\n")
    change(chapter, "line 15\n", "line 15, corrected\n")
    outcome = updating.update(chapter, own.parent)
    assert outcome.merged
    assert "line 3, as I teach it" in own.read_text()
    assert "line 15, corrected" in own.read_text()
    assert not updating.update(chapter, own.parent).merged


def test_clashes_are_listed_and_nothing_is_written_over_until_they_are_settled(taught):
    chapter, own = taught
    change(own, "line 3\n", "mine\n")
    change(chapter, "line 3\n", "theirs\n")
    change(chapter, "line 15\n", "line 15, corrected\n")
    before = own.read_text()
    for _ in range(2):  # again and again, until the teacher has chosen
        outcome = updating.update(chapter, own.parent)
        assert outcome.clashes == (("mine\n", "theirs\n"),)
        assert own.read_text() == before
    assert outcome.clash_file is not None
    text = outcome.clash_file.read_text()
    outcome.clash_file.write_text(
        text[: text.index("<<<<<<<")] + "mine\n" + text[text.index(">>>>>>> the chapter\n") + 20 :]
    )
    assert updating.update(chapter, own.parent).merged
    assert "mine\n" in own.read_text()
    assert "line 15, corrected" in own.read_text()
    assert not outcome.clash_file.exists()
    assert updating.update(chapter, own.parent) == updating.Update(own)


def test_an_edited_product_is_not_written_over_and_edits_in_the_source_reach_it(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)  # as in an environment that was not activated
    write_chapter(tmp_path)
    target = tmp_path / "hw"
    settings = package.Settings("hw", ["00"], {"0.1": 1.0}, None, "nbgrader")
    package.build(tmp_path, target, settings)
    student = target / "student" / f"{NAME}.ipynb"
    before = student.read_text()
    student.write_text(before.replace("A small chapter", "An edited chapter"))
    with pytest.raises(package.BuildError, match=rf"student/{NAME}\.ipynb.*Make your edits in source/"):
        package.build(tmp_path, target, settings)
    assert "An edited chapter" in student.read_text()
    student.write_text(before)
    change(target / "source" / f"{NAME}.py", "# 0 · A small chapter", "# 0 · My chapter")
    write_chapter(tmp_path, SMALL.replace("def above(score", "def above(  score"))
    said = package.build(tmp_path, target, settings)
    assert said[0] == f"{NAME}: your edits and the newer chapter went together"
    assert "My chapter" in student.read_text()
    assert "def above(  score" in student.read_text()
    write_chapter(tmp_path, SMALL.replace("# 0 · A small chapter", "# 0 · Another chapter"))
    with pytest.raises(package.BuildError, match=r"(?s)changed the same lines in 1 place.*My chapter.*Another chapter"):
        package.build(tmp_path, target, settings)
    assert "My chapter" in student.read_text()


# Commands


def test_choices_that_make_no_sense_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    target = ["--to", str(tmp_path / "hw")]
    for arguments, message in (
        (["build", *target], "say which chapters"),
        (["build", "99", *target], "no chapter begins with '99'"),
        (["build", "00", *target, "--exercises", "3.1"], "no exercise '3.1'"),
        (["build", "00", *target, "--exercises", "0.1=many"], "'many' is no number of points"),
        (["build", "00", *target, "--exercises", "0.1=0"], "more than 0 points"),
        (["grade", str(tmp_path)], "build an assignment there first"),
    ):
        assert command.main(arguments) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "hw").exists()


def test_list_shows_the_chapters(capsys: pytest.CaptureFixture):
    assert command.main(["list", "03"]) == 0
    assert "the Fisher diagonal" in capsys.readouterr().out


def test_a_csv_survives_commas_and_line_breaks(tmp_path: Path):
    from cfhelpers.course.homework import grading

    rows = [grading.Row("Ada, Countess", "0.1", 0.5, 1.0, 'a "mistake",\nor two', "")]
    grading.write_csv(rows, tmp_path / "grades.csv")
    with (tmp_path / "grades.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["student"] == "Ada, Countess"
    assert (line["exercise"], line["points"], line["out of"]) == ("0.1", "0.5", "1")
    assert line["mistake"] == 'a "mistake",\nor two'
