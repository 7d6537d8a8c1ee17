"""How good the checks are: measured on right and wrong answers as learners write them."""

import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path

import pytest

from cfhelpers.course.homework import exercises, teaching
from cfhelpers.course.homework.judging import exercise_of
from tests.course.answers import Answers, all_answers, judge, whole
from tests.course.answers.__main__ import imitation

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = list(all_answers())
pytestmark = pytest.mark.filterwarnings("ignore")  # wrong answers may warn of whatever they do wrong

each_exercise = pytest.mark.parametrize("answers", ANSWERS, ids=lambda answers: answers.number)


@cache
def verdicts(number: str) -> dict[str, str]:
    """Return what the check says against each wrong answer to an exercise."""
    (answers,) = (each for each in ANSWERS if each.number == number)
    return {code: judge(answers.exercise, answers.build(code)) for code in answers.wrong}


@each_exercise
def test_no_right_answer_is_rejected(answers: Answers):
    assert len(answers.right) >= 2
    assert [judge(answers.exercise, answers.build(code)) for code in answers.right] == [""] * len(answers.right)


@each_exercise
def test_documented_mistakes_are_named_by_their_own_words(answers: Answers):
    exercise = answers.exercise
    for mistake in exercise.mistakes:
        assert mistake.advice in judge(exercise, imitation(exercise, mistake))


def test_at_least_95_percent_of_other_wrong_answers_are_rejected():
    found = [(f"{a.number}:\n{code}", message) for a in ANSWERS for code, message in verdicts(a.number).items()]
    passed = [code for code, message in found if not message]
    assert len(found) >= 200
    assert len(passed) <= 0.05 * len(found), "\n".join(passed)


@each_exercise
def test_most_wrong_answers_to_each_exercise_are_rejected(answers: Answers):
    assert len(answers.wrong) >= 10
    assert len(set(answers.wrong)) == len(answers.wrong)
    rejected = [bool(message) for message in verdicts(answers.number).values()]
    assert sum(rejected) >= 0.9 * len(rejected)


def test_the_tables_for_teachers_have_every_exercise_that_was_measured():
    page = ROOT / "notebooks" / "TEACHING.md"
    for name in ("exercises", "checks"):
        numbers = set(re.findall(r"^\| (\d+\.\d+) ", teaching.current(page, name), re.MULTILINE))
        assert {answers.number for answers in ANSWERS} <= numbers, "run: python -m tests.course.answers"


def test_every_exercise_has_its_goal_in_the_table():
    table = teaching.goals(ROOT)
    for source in exercises.sources(ROOT):
        for each in exercises.read(source):
            assert f"| {each.number} {each.title} |" in table


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n")
    teaching.replace(page, "a", "new")
    assert page.read_text() == "before\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\nafter\n"
    assert teaching.current(page, "a") == "new"
    with pytest.raises(ValueError, match="no marks"):
        teaching.replace(page, "b", "new")


def whole_answers() -> tuple[list, list]:
    for chapter in pkgutil.iter_modules(whole.__path__):
        importlib.import_module(f"{whole.__name__}.{chapter.name}")
    return whole.RIGHT, whole.WRONG


@pytest.mark.parametrize(("number", "answer"), whole_answers()[0])
def test_a_right_answer_in_any_style_is_accepted(number, answer):
    assert judge(exercise_of(number), answer) == ""


@pytest.mark.parametrize(("number", "says", "answer"), whole_answers()[1])
def test_a_wrong_answer_is_told_what_is_wrong_with_it(number, says, answer):
    message = judge(exercise_of(number), answer)
    assert message.startswith(f"Exercise {number}: {says}")
