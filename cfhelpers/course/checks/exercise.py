"""How an exercise is checked: run the answer on small inputs where every known mistake gives its own wrong number."""

from __future__ import annotations

import linecache
import re
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = dict[str, NDArray[np.float64]]
"""What an answer gave on the check's inputs, by name; the last word of a name says which part of the answer it is."""

LINE_WIDTH = 96
"""Characters in a line of a failed check: JupyterLab breaks longer ones inside words."""

GO_ON = (
    "To go on without solving it now, let the function's body be `raise NotImplementedError` again and run its cell: "
    "the notebook then takes the library's version."
)

_solved: set[str] = set()
# What is done with a gradient, in the words of the error that None gives.
_OF_A_GRADIENT = (
    r"\*\*|pow|grad|unsupported operand|no attribute "
    r"'(data|detach|clone|square_?|abs|item|sum|mean|norm|flatten|double|float|cpu|numpy|mul|zero_)'"
)
# PyTorch's own NotImplementedErrors: a kernel for integers or a backend that is missing, a module without its forward,
# a tensor without data, two distributions without a divergence.
_OF_TORCH = r"not implemented for|missing the required|Could not run '|out of meta tensor|No KL\(p"


class CheckFailed(AssertionError):
    """An answer is wrong; the message says how, for the person who wrote it."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the traceback: the message, the learner's own line, and how to go on."""
        parts = [f"{type(self).__name__}: {self}", *_place_in_a_cell(self.__cause__), *getattr(self, "__notes__", [])]
        return [line for part in parts for line in textwrap.wrap(part, LINE_WIDTH, break_long_words=False)]


def _place_in_a_cell(error: BaseException | None) -> list[str]:
    """Say which line of the notebook's own code stopped, if it was that: the innermost one."""
    if error is None:
        return []
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == "__main__"
    ]
    if not frames:
        return []
    file, line = frames[-1]
    return [f"It stopped in line {line} of the cell: {linecache.getline(file, line).strip()}"]


@dataclass(frozen=True)
class Mistake:
    """A mistake that is known to happen, and a function that makes it.

    Attributes:
        advice: What was done, and what to do instead.
        imitate: An answer with this mistake in it; its wrong numbers are how the mistake is recognised.
        part: The part of the answer that it spoils; empty if it spoils the whole.
        assumes: A part that must be right: where that is wrong, this one is wrong for another reason.
    """

    advice: str
    imitate: Callable[..., Any]
    part: str = ""
    assumes: str = ""


@dataclass(frozen=True)
class Exercise:
    """One exercise: call it with the learner's answer, and go on with what it returns.

    Attributes:
        number: As in the notebook, for instance "3.1".
        reread: Heading of the cell that explains what is needed.
        verified: What a correct answer has been shown to do.
        reference: A correct answer, kept plain; the numbers to compare with come from it.
        library: What the notebook goes on with while the exercise is unsolved.
        examine: Runs an answer on the inputs and returns its numbers; raises CheckFailed for what numbers cannot show.
        mistakes: Those that are known.
        tolerance: Relative difference that still counts as equal.
    """

    number: str
    reread: str
    verified: str
    reference: Callable[..., Any]
    library: Callable[..., Any]
    examine: Callable[[Callable[..., Any]], Numbers]
    mistakes: Sequence[Mistake] = field(default=())
    tolerance: float = 1e-3

    def __call__(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """Check an answer.

        Args:
            answer: The learner's function or class.

        Returns:
            The answer if it is right, the library's version if it was not written yet.

        Raises:
            CheckFailed: The answer is wrong.
        """
        _solved.discard(self.number)
        try:
            # After this cell has run once, the name of an unwritten answer is bound to the library's version.
            if answer is self.library:
                raise NotImplementedError
            given = self._numbers(answer)
        except NotImplementedError as error:
            if re.search(_OF_TORCH, str(error)):
                raise self._failure(_explain(error)) from error
            print(f"Exercise {self.number} is not solved yet: the notebook goes on with the library's version.")
            return self.library
        except CheckFailed as failure:
            raise self._failure(str(failure)) from failure.__cause__
        except Exception as error:
            raise self._failure(_explain(error)) from error
        self._compare(given)
        _solved.add(self.number)
        print(f"Exercise {self.number} is solved: {self.verified}.")
        return answer

    def _numbers(self, answer: Callable[..., Any]) -> Numbers:
        """Run an answer with fixed random numbers, whatever it draws."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            return self.examine(answer)

    def _compare(self, given: Numbers) -> None:
        expected = self._numbers(self.reference)
        _check_names(given, expected, self._failure)
        wrong = [name for name in expected if not self._equal(given[name], expected[name])]
        if not wrong:
            return
        for mistake in self.mistakes:
            concerned = [name for name in expected if name.endswith(mistake.part)]
            if set(concerned).isdisjoint(wrong):
                continue
            if mistake.assumes and any(name.endswith(mistake.assumes) for name in wrong):
                continue
            imitated = self._numbers(mistake.imitate)
            if all(self._equal(given[name], imitated[name]) for name in concerned):
                raise self._failure(mistake.advice)
        raise self._failure(_describe(wrong, given, expected))

    def _equal(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
        if one.shape != other.shape:
            return False
        scale = float(np.max(np.abs(other[np.isfinite(other)]), initial=0.0))
        return bool(np.allclose(one, other, rtol=self.tolerance, atol=1e-2 * self.tolerance * scale, equal_nan=True))

    def _failure(self, advice: str) -> CheckFailed:
        failure = CheckFailed(f"Exercise {self.number}: {advice} Read again: “{self.reread}”.")
        failure.add_note(GO_ON)
        return failure


def require_solved(number: str) -> None:
    """Fail unless the exercise was solved in this session; for the cell that a teacher grades.

    Args:
        number: For instance "3.1".

    Raises:
        CheckFailed: The exercise is unsolved or its answer is wrong.
    """
    if number not in _solved:
        raise CheckFailed(
            f"Exercise {number} has not been solved: no correct answer to it was checked in this session."
        )


def number(value: Any, what: str) -> NDArray[np.float64]:
    """Return one number that an answer gave as an array of shape [].

    Raises:
        CheckFailed: It is not one number.
    """
    if value is None:
        raise CheckFailed(f"{what} is None: the answer has to end with a return statement.")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise CheckFailed(f"{what} must be one number, not a value of type {type(value).__name__}.") from None
    if array.size != 1:
        raise CheckFailed(f"{what} must be one number, but it has shape {tuple(array.shape)}.")
    return array.reshape(())


def tensors(values: Any, what: str) -> Numbers:
    """Return a mapping from names to tensors that an answer gave as arrays.

    Raises:
        CheckFailed: It is not such a mapping.
    """
    if values is None:
        raise CheckFailed(f"{what} is None: the answer has to end with a return statement.")
    if not isinstance(values, Mapping):
        raise CheckFailed(f"{what} must be a dictionary from names to tensors, not {type(values).__name__}.")
    for name, value in values.items():
        if not isinstance(value, torch.Tensor):
            raise CheckFailed(f"{what}[{name!r}] must be a tensor, not {type(value).__name__}.")
    return {str(name): value.detach().double().cpu().numpy() for name, value in values.items()}


def _check_names(given: Numbers, expected: Numbers, failure: Callable[[str], CheckFailed]) -> None:
    for name in expected:
        if name not in given:
            case, part = _case_and_part(name)
            has = [repr(_case_and_part(each)[1]) for each in given if _case_and_part(each)[0] == case]
            raise failure(f"{case}the answer lacks {part!r}; it has {', '.join(has) or 'nothing'}.")
    if unknown := [name for name in given if name not in expected]:
        case, part = _case_and_part(unknown[0])
        raise failure(f"{case}the answer has an entry {part!r} that does not belong there.")


def _case_and_part(name: str) -> tuple[str, str]:
    """Split "case: part": a case names the inputs, and must not read as what is wrong with the answer."""
    case, found, part = name.partition(": ")
    return (f"in the case “{case}”: ", part) if found else ("", name)


def _describe(wrong: Sequence[str], given: Numbers, expected: Numbers) -> str:
    """Say of a wrong answer that no known mistake explains what can be seen from its numbers."""
    name = wrong[0]
    said = "".join(_case_and_part(name))
    if given[name].shape != expected[name].shape:
        return f"{said} has shape {given[name].shape}, but must have {expected[name].shape}."
    if np.isnan(given[name]).any() and not np.isnan(expected[name]).any():
        return f"{said} is NaN. Look for a division by zero, or for a NaN among the inputs that should be left out."
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = [each for each in wrong if given[each].shape == expected[each].shape]
        ratios = np.concatenate([(given[each] / expected[each]).ravel() for each in alike])
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) > 1 and ratios[0] != 0 and np.allclose(ratios, ratios[0], rtol=1e-3):
        return f"{said} is {ratios[0]:.4g} times what it should be, everywhere: a constant factor is wrong."
    if given[name].size == 1:
        return f"{said} is {given[name].item():.4g} where {expected[name].item():.4g} is right."
    worst = np.unravel_index(np.argmax(np.abs(given[name] - expected[name])), given[name].shape)
    place = ", ".join(str(int(index)) for index in worst)
    return f"{said}[{place}] is {given[name][worst]:.4g} where {expected[name][worst]:.4g} is right."


def _explain(error: Exception) -> str:
    """Say what stopped an answer, with the likely reason where the error alone does not tell it."""
    text = f"{type(error).__name__}: {error}"
    if "NoneType" in text and re.search(_OF_A_GRADIENT, text):
        return (
            f"your code stopped with {text}. A frozen parameter has no gradient: its .grad is None. "
            "Leave out parameters whose requires_grad is False."
        )
    if "One of the differentiated Tensors does not require grad" in text:
        return (
            f"your code stopped with {text}. A frozen parameter is among those that you ask gradients of. "
            "Leave out parameters whose requires_grad is False."
        )
    if "does not require grad" in text:
        return (
            f"your code stopped with {text}. Gradients are needed here: was the loss computed under torch.no_grad(), "
            "or detached?"
        )
    if "randomness" in text or "random operation" in text:
        return (
            f"your code stopped with {text}. The model was in training mode, where dropout draws random numbers. Call "
            "model.eval() first."
        )
    if "second time" in text:
        return (
            f"your code stopped with {text}. Give every backward pass through the same graph but the last "
            "retain_graph=True, or run the forward pass anew."
        )
    return f"your code stopped with {text}."
