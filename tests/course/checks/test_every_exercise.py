"""What is true of every exercise's check; the other files have each chapter's right and wrong answers."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from cfhelpers import checks
from cfhelpers.course.checks import CheckFailed
from cfhelpers.course.results import REPOSITORY
from tests.course.checks.answers import rewritten
from tests.course.checks.exercises import CHAPTERS, EXERCISES

MISTAKES = [(number, index) for number, exercise in EXERCISES.items() for index in range(len(exercise.mistakes))]


class Empty(nn.Module):
    """A class whose methods are still to be written, or return nothing."""

    def __init__(self, *inputs):
        super().__init__()

    def value(self, model):
        return self.body()

    def loss(self, model, batch):
        return self.body()

    def add_prompt(self, vectors):
        return self.body()

    def forward(self, *inputs):
        return self.body()

    def body(self):
        return None


class Unwritten(Empty):
    def body(self):
        raise NotImplementedError


def unwritten(*inputs):
    raise NotImplementedError


def test_every_chapters_exercises_are_here():
    packages = {name for name in checks.__all__ if hasattr(getattr(checks, name), "__path__")}
    assert {chapter.__name__.rpartition(".")[2] for chapter in CHAPTERS} == packages
    assert len({number.split(".")[0] for number in EXERCISES}) == len(CHAPTERS)


@pytest.mark.parametrize("number", EXERCISES)
def test_an_unsolved_exercise_says_so_and_hands_on_the_library(number, capsys):
    exercise = EXERCISES[number]
    assert exercise(Unwritten if isinstance(exercise.library, type) else unwritten) is exercise.library
    assert capsys.readouterr().out == (
        f"Exercise {number} is not solved yet: the notebook goes on with the library's version.\n"
    )
    with pytest.raises(CheckFailed, match=f"Exercise {number} has not been solved"):
        checks.require_solved(number)


@pytest.mark.parametrize("number", EXERCISES)
def test_the_librarys_version_is_itself_a_correct_answer(number, capsys):
    exercise = EXERCISES[number]
    answer = rewritten(exercise.library)
    assert exercise(answer) is answer
    assert capsys.readouterr().out == f"Exercise {number} is solved: {exercise.verified}.\n"
    checks.require_solved(number)


@pytest.mark.parametrize("number", [number for number in EXERCISES if number not in ("4.4", "6.2")])
def test_an_answer_without_a_return_is_told_so(number):
    """4.4 fills .grad and 6.2 is judged by its parameters: nothing is returned there."""
    empty = Empty if isinstance(EXERCISES[number].library, type) else lambda *inputs: None
    with pytest.raises(CheckFailed, match=r"None: the (answer|function) has to end with a return|return two numbers"):
        EXERCISES[number](empty)


@pytest.mark.parametrize("number", EXERCISES)
def test_an_exception_is_passed_on_with_the_place_to_read(number):
    def crash(*inputs):
        raise KeyError("labels")

    with pytest.raises(CheckFailed, match=f"stopped with KeyError: 'labels'.*{EXERCISES[number].reread}") as failure:
        EXERCISES[number](crash)
    assert isinstance(failure.value.__cause__, KeyError)


@pytest.mark.parametrize("number", EXERCISES)
def test_pytorchs_own_not_implemented_error_is_no_unwritten_answer(number):
    def integers(*inputs):
        return torch.tensor([1, 2]).softmax(0)

    with pytest.raises(CheckFailed, match=r"stopped with NotImplementedError: .* not implemented for 'Long'"):
        EXERCISES[number](integers)
    with pytest.raises(CheckFailed, match=r"stopped with NotImplementedError: Module .* is missing"):
        EXERCISES[number](lambda *inputs: torch.nn.Module()(*inputs))
    with pytest.raises(CheckFailed, match="stopped with NotImplementedError: Cannot copy out of meta tensor"):
        EXERCISES[number](lambda *inputs: torch.empty(1, device="meta").cpu())
    with pytest.raises(CheckFailed, match="stopped with NotImplementedError: Could not run 'aten::"):
        EXERCISES[number](lambda *inputs: torch.eye(2).to_sparse().clamp(0))
    beta, categorical = torch.distributions.Beta(1.0, 1.0), torch.distributions.Categorical(torch.ones(2))
    with pytest.raises(CheckFailed, match=r"stopped with NotImplementedError: No KL\(p"):
        EXERCISES[number](lambda *inputs: torch.distributions.kl_divergence(beta, categorical))


@pytest.mark.parametrize("number", EXERCISES)
def test_checking_draws_no_random_numbers_from_the_notebook(number):
    before, python = torch.get_rng_state(), random.getstate()
    EXERCISES[number](rewritten(EXERCISES[number].reference))
    assert torch.equal(before, torch.get_rng_state())
    assert random.getstate() == python


@pytest.mark.parametrize(("number", "index"), MISTAKES)
def test_every_known_mistake_is_called_by_its_own_name(number, index):
    exercise = EXERCISES[number]
    mistake = exercise.mistakes[index]
    answer = mistake.imitate
    if number == "1.1" and mistake.part:  # spoil this of the two numbers alone

        def answer(results):
            right, wrong = exercise.reference(results), mistake.imitate(results)
            return (wrong[0], right[1]) if mistake.part == "backward transfer" else (right[0], wrong[1])

    with pytest.raises(CheckFailed) as failure:
        exercise(answer)
    assert str(failure.value) == f"Exercise {number}: {mistake.advice} Read again: “{exercise.reread}”."


@pytest.mark.parametrize("number", EXERCISES)
def test_no_mistake_hides_within_the_tolerance(number):
    """A mistake must be off by far more than the tolerance, or two machines could judge differently."""
    exercise = EXERCISES[number]
    right = exercise._numbers(exercise.reference)
    for mistake in exercise.mistakes:
        wrong = exercise._numbers(mistake.imitate)
        assert any(
            name not in wrong
            or wrong[name].shape != right[name].shape
            or not np.isfinite(wrong[name]).all()
            or np.max(np.abs(wrong[name] - right[name])) > 10 * exercise.tolerance * np.max(np.abs(right[name]))
            for name in right
            if name.endswith(mistake.part)
        ), mistake.advice


@pytest.mark.parametrize("number", EXERCISES)
def test_the_place_to_read_again_is_a_heading_of_the_notebook(number):
    (path,) = (REPOSITORY / "notebooks" / "source").glob(f"{int(number.split('.')[0]):02}_*.py")
    source = path.read_text()
    assert f"# {EXERCISES[number].reread}\n" in source
    assert f"### Exercise {number} ·" in source


def test_a_wrong_answer_takes_back_that_the_exercise_was_solved():
    exercise = EXERCISES["1.1"]
    exercise(rewritten(exercise.reference))
    with pytest.raises(CheckFailed):
        exercise(lambda results: (0.0, 0.0))
    with pytest.raises(CheckFailed, match=r"1\.1 has not been solved"):
        checks.require_solved("1.1")
