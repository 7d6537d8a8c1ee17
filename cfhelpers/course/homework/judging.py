"""The check of one answer: inside the kernel that runs a submission, and once more outside it.

Inside, a submission shares the process with its check and could reach into it. Two things stand against that: the check
is imported anew, untouched by what the notebook did to its own copy, and the numbers that the answer gave are written
down, so that :func:`confirm` compares them again in the grader's own process, which no submission enters.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfhelpers.course.checks.exercise import Exercise

EVIDENCE = "CF_EVIDENCE"
"""The environment variable with the folder that evidence is written to."""

MOST_CHARACTERS = 200_000
_UNSOLVED = "not solved: the stub is unchanged, or ends with NotImplementedError."


def exercise_of(number: str) -> Exercise:
    """Return the exercise of a number, from the checks that are imported now.

    Raises:
        ValueError: There is no such exercise.
    """
    from cfhelpers.course import checks

    for chapter in vars(checks).values():
        for each in vars(chapter).values() if isinstance(chapter, ModuleType) else ():
            if getattr(each, "number", None) == number and hasattr(each, "examine"):
                return each
    raise ValueError(f"there is no exercise {number} among the checks")


def judge(number: str, answer: Any) -> None:
    """Check an answer with the library's own check, whatever the notebook has made of its copy.

    Args:
        number: For instance "3.1".
        answer: The learner's function or class.

    Raises:
        AssertionError: The answer is wrong or the exercise unsolved; the message says which mistake it is.
        ValueError: There is no such exercise.
    """
    evidence: dict[str, Any] = {"number": number, "numbers": None, "message": None}
    problem = None
    with _untouched_library(), _quiet():
        exercise = importlib.import_module(__name__).exercise_of(number)

        def examine(given: Any) -> Any:
            numbers = exercise.examine(given)
            if given is answer:
                evidence["numbers"] = _as_lists(numbers)
            return numbers

        try:
            returned = dataclasses.replace(exercise, examine=examine)(answer)
        except AssertionError as failure:
            problem = str(failure)
        else:
            if returned is not answer:
                problem = f"Exercise {number}: {_UNSOLVED}"
    evidence["message"] = problem
    _keep(evidence)
    if problem:
        raise AssertionError(problem)
    print(f"Exercise {number} is solved.")


def confirm(evidence: dict[str, Any]) -> str | None:
    """Judge once more, from the numbers that an answer gave.

    Args:
        evidence: What :func:`judge` wrote down.

    Returns:
        The mistake, or None if the numbers are right.

    Raises:
        ValueError: There is no such exercise.
    """
    import numpy as np

    exercise = exercise_of(str(evidence["number"]))
    if evidence.get("numbers") is None:
        return str(evidence.get("message") or f"Exercise {exercise.number}: the answer gave no numbers.")
    try:
        recorded = {str(name): np.array(values, dtype=np.float64) for name, values in evidence["numbers"].items()}
    except (AttributeError, TypeError, ValueError):
        return f"Exercise {exercise.number}: what the answer gave are no numbers."

    def answer() -> None:
        """Stand in for the learner's answer."""

    def examine(given: Any) -> Any:
        return recorded if given is answer else exercise.examine(given)

    try:
        with _quiet():
            dataclasses.replace(exercise, examine=examine)(answer)
    except AssertionError as failure:
        return str(failure)
    return None


def guard(seconds: float) -> None:
    """Give every cell of the notebook that runs now a limit of time and of printed characters.

    Nor can a cell end the kernel from Python, which would cost the other exercises their points.

    Args:
        seconds: Of the processor, for each cell, or three times as many of the clock; then TimeoutError is raised in
            it, again and again if it is caught.
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"no end within {seconds:g} seconds: look for a loop whose condition never becomes false")

    def refuse(*_: Any) -> None:
        raise RuntimeError("the code tried to end the process that runs it")

    def begin(*_: Any) -> None:
        sys.stdout, sys.stderr = _Counting(sys.stdout), _Counting(sys.stderr)
        # Processor time, so that a busy machine does not make a right answer late; the clock for what only waits.
        for signal_number, timer, limit in (
            (signal.SIGPROF, signal.ITIMER_PROF, seconds),
            (signal.SIGALRM, signal.ITIMER_REAL, 3 * seconds),
        ):
            signal.signal(signal_number, stop)
            signal.setitimer(timer, limit, 1.0)

    def end(*_: Any) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout, sys.stderr = getattr(sys.stdout, "inner", sys.stdout), getattr(sys.stderr, "inner", sys.stderr)

    os._exit = os.abort = refuse
    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)


class _Counting:
    """A stream that takes so many characters and no more."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.left = getattr(inner, "inner", inner), MOST_CHARACTERS

    def write(self, text: str) -> int:
        self.left -= len(text)
        if self.left < 0:
            raise RuntimeError(f"more than {MOST_CHARACTERS:,} characters printed: look for a loop that prints")
        return self.inner.write(text)

    def flush(self) -> None:
        self.inner.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextlib.contextmanager
def _untouched_library() -> Iterator[None]:
    """Let imports find the library anew, as it is on the disk, and then the notebook's copy again."""

    def ours() -> list[str]:
        return [name for name in sys.modules if name == "cfhelpers" or name.startswith("cfhelpers.")]

    kept = {name: sys.modules.pop(name) for name in ours()}
    try:
        yield
    finally:
        for name in ours():
            del sys.modules[name]
        sys.modules.update(kept)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Swallow what an answer prints; nbgrader would take a warning on standard error for a failure."""
    with contextlib.redirect_stdout(_Counting(io.StringIO())), contextlib.redirect_stderr(_Counting(io.StringIO())):
        yield


def _as_lists(numbers: Any) -> dict[str, Any]:
    return {str(name): values.tolist() for name, values in numbers.items()}


def _keep(evidence: dict[str, Any]) -> None:
    if folder := os.environ.get(EVIDENCE):
        Path(folder, f"{evidence['number']}.json").write_text(json.dumps(evidence), "utf-8")
