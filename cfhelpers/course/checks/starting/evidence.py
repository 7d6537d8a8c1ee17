"""Exercise 0.3: can an experiment show that something was forgotten?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

Experiment = dict[str, Any]


def _experiment(learned: str, tested: str, after: str, split: str = "test") -> Experiment:
    return {"learned": learned.split(), "tested": tested, "split": split, "tested after": after.split()}


# Sound ones, and others that each lack one thing.
_EXPERIMENTS = (
    _experiment("sst2 mnli", "sst2", "sst2 mnli"),
    _experiment("persona workplace", "persona", "persona workplace"),
    _experiment("imdb yelp topics", "yelp", "imdb yelp topics"),
    _experiment("imdb yelp topics", "yelp", "yelp topics"),
    _experiment("imdb yelp topics", "imdb", "imdb yelp"),
    _experiment("imdb yelp topics", "imdb", "imdb topics"),
    _experiment("persona", "persona", "persona"),
    _experiment("sst2 mnli", "mnli", "sst2 mnli"),
    _experiment("persona persona", "persona", "persona persona"),
    _experiment("sst2 mnli", "sst2", "sst2 mnli", split="train"),
    _experiment("imdb yelp topics", "imdb", "imdb topics", split="train"),
    _experiment("sst2 mnli", "sst2", "mnli"),
    _experiment("imdb yelp topics", "imdb", "yelp topics"),
    _experiment("sst2 mnli", "sst2", "sst2"),
    _experiment("imdb yelp topics", "yelp", "imdb yelp"),
    _experiment("sst2 mnli", "topics", "sst2 mnli"),
    _experiment("persona workplace persona", "persona", "persona workplace"),
    _experiment("sst2 mnli topics sst2", "sst2", "sst2 topics"),
    _experiment("sst2 mnli topics sst2", "sst2", "sst2 topics sst2"),
)


def _examine_verdicts(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for experiment in _EXPERIMENTS:
        given = copy.deepcopy(experiment)
        verdict = _asked(answer, given)
        if given != experiment:
            raise CheckFailed("your code changed the experiment that it was given. Only read it.")
        moments = ", ".join(experiment["tested after"])
        case = (
            f"the verdict (1 for yes, 0 for no) on learning {', '.join(experiment['learned'])}, then testing "
            f"{experiment['tested']} ({experiment['split']}) after {moments},"
        )
        numbers[case] = _truth(verdict)
    return numbers


def _truth(verdict: Any) -> NDArray[np.float64]:
    """Return 1 for True and 0 for False, whichever library they come from."""
    if verdict is None:
        raise CheckFailed(
            "the verdict is None: the answer has to end with a return statement, on every way through it."
        )
    if isinstance(verdict, bool | int | float | np.bool | np.number | np.ndarray | torch.Tensor):
        return number(bool(number(verdict, "the verdict, True or False,")), "the verdict")
    raise CheckFailed(
        f"the verdict must be True or False, not a value of type {type(verdict).__name__}. (“and” and “or” return one "
        "of their operands; bool(…) makes a truth value of it.)"
    )


def _asked(answer: Callable[..., Any], experiment: Experiment) -> Any:
    try:
        return answer(experiment)
    except ValueError as error:
        if "not in" not in str(error) or experiment["tested"] in experiment["learned"]:
            raise
        raise CheckFailed(
            f"your code stopped on an experiment whose tested task, {experiment['tested']!r}, was never learned: "
            ".index() does not find it. Ask first whether it is in “learned”; what was never learned cannot be "
            "forgotten."
        ) from error


def _later_tasks(experiment: Experiment) -> list[str]:
    """Return what was learned after the tested task and is another one."""
    learned, tested = experiment["learned"], experiment["tested"]
    if tested not in learned:
        return []
    return [task for task in learned[learned.index(tested) + 1 :] if task != tested]


def _unseen(experiment: Experiment) -> bool:
    return experiment["split"] == "test"


def _before(experiment: Experiment) -> bool:
    return experiment["tested"] in experiment["tested after"]


def _after(experiment: Experiment) -> bool:
    return any(task in experiment["tested after"] for task in _later_tasks(experiment))


def _shows_forgetting(experiment: Experiment) -> bool:
    return _unseen(experiment) and _before(experiment) and _after(experiment)


def _two_lessons(experiment: Experiment) -> bool:
    """Accept any second lesson, even the same task again."""
    learned, tested = experiment["learned"], experiment["tested"]
    later = learned[learned.index(tested) + 1 :] if tested in learned else []
    return _unseen(experiment) and _before(experiment) and any(task in experiment["tested after"] for task in later)


def _order_ignored(experiment: Experiment) -> bool:
    others = [task for task in experiment["learned"] if task != experiment["tested"]]
    in_both = experiment["tested"] in experiment["learned"] and _before(experiment)
    return _unseen(experiment) and in_both and any(task in experiment["tested after"] for task in others)


def _last_lesson(experiment: Experiment) -> bool:
    """Look behind the last time that the tested task was learned."""
    learned, tested = experiment["learned"], experiment["tested"]
    later = learned[len(learned) - learned[::-1].index(tested) :] if tested in learned else []
    return _unseen(experiment) and _before(experiment) and any(task in experiment["tested after"] for task in later)


shows_forgetting = Exercise(
    number="0.3",
    reread="What counts as evidence?",
    verified="it asks for another task in between, unseen examples, and a score before and after",
    reference=_shows_forgetting,
    library=lambda experiment: _shows_forgetting(experiment),
    examine=_examine_verdicts,
    mistakes=[
        Mistake(
            "you accept an experiment in which nothing else was learned after the tested task. “It still says blue” "
            "after learning “blue” shows learning, not remembering.",
            lambda e: _unseen(e) and _before(e),
        ),
        Mistake(
            "you accept the same task as its own successor. If old task and new task are one, the second lesson "
            "repeats the first: nothing can be forgotten.",
            _two_lessons,
        ),
        Mistake(
            "you accept a test on the training examples. They may be known by heart; only unseen examples, the split "
            "“test”, say what the model can still do.",
            lambda e: _before(e) and _after(e),
        ),
        Mistake(
            "you accept an experiment without a score from before. A low score at the end may have been low all along: "
            "the tested task has to stand among “tested after”.",
            lambda e: _unseen(e) and _after(e),
        ),
        Mistake(
            "you accept an experiment that was never tested after the other task. Forgetting shows when the other task "
            "has been learned: it has to stand among “tested after”.",
            lambda e: _unseen(e) and _before(e) and bool(_later_tasks(e)),
        ),
        Mistake(
            "you look behind the last time that the tested task was learned. It can be learned twice, and what came "
            "after the first time can show forgetting.",
            _last_lesson,
        ),
        Mistake(
            "you do not look at the order. A score before and after learning the tested task itself shows learning; "
            "the other task has to come later.",
            _order_ignored,
        ),
        Mistake(
            "you look at the last task only. With three tasks, a score after the second can show that the first was "
            "forgotten.",
            lambda e: _shows_forgetting(e) and e["learned"][-1] in e["tested after"],
        ),
        Mistake(
            "you look at the last task only: it need not be another one than the tested task, nor the one with a "
            "score. A score after any later task can show that the first was forgotten.",
            lambda e: (
                _shows_forgetting(e) and e["tested"] != e["learned"][-1] and e["learned"][-1] in e["tested after"]
            ),
        ),
        Mistake(
            "you ask only whether the last task is another one and was followed by a test. A score from before is "
            "needed as well, and the later score may stand after any later task.",
            lambda e: (
                _unseen(e)
                and e["tested"] in e["learned"]
                and e["learned"][-1] != e["tested"]
                and e["learned"][-1] in e["tested after"]
            ),
        ),
        Mistake(
            "you ask for a score after every task. One right after the tested task and one after any later task will "
            "do.",
            lambda e: (
                _unseen(e)
                and e["tested"] in e["learned"]
                and e["learned"][-1] != e["tested"]
                and set(e["learned"]) <= set(e["tested after"])
            ),
        ),
        Mistake(
            "you look at the first and the last score only. The one from before may stand anywhere among them, and "
            "what counts is whether a later score stands after another task.",
            lambda e: _unseen(e) and e["tested after"][0] == e["tested"] and e["tested after"][-1] != e["tested"],
        ),
        Mistake(
            "you ask that the first of the scores is the one right after the tested task. It may stand anywhere among "
            "“tested after”: a score from still earlier does no harm.",
            lambda e: _shows_forgetting(e) and e["tested after"][0] == e["tested"],
        ),
        Mistake(
            "you ask for a score after every task that came later. One after any of them will do.",
            lambda e: _shows_forgetting(e) and set(_later_tasks(e)) <= set(e["tested after"]),
        ),
        Mistake(
            "one of the two scores is enough for you: “or” where “and” belongs. It takes one from right after the "
            "tested task and one from after a later task.",
            lambda e: _unseen(e) and e["tested"] in e["learned"] and (_before(e) or _after(e)),
        ),
        Mistake(
            "you ask whether another task came later and whether there is a score after another task, but not whether "
            "these are the same. A score after an earlier task is none from after forgetting.",
            lambda e: (
                _unseen(e)
                and _before(e)
                and bool(_later_tasks(e))
                and any(moment != e["tested"] for moment in e["tested after"])
            ),
        ),
        Mistake(
            "you ask only whether the tested task is not the last one learned, and has a score of its own. A score "
            "after the later task is needed as well.",
            lambda e: _unseen(e) and _before(e) and e["tested"] in e["learned"] and e["learned"][-1] != e["tested"],
        ),
        Mistake(
            "you ask only whether another task was learned last. Without a score from before and one from after, "
            "nothing shows.",
            lambda e: _unseen(e) and e["learned"][-1] != e["tested"],
        ),
        Mistake(
            "you ask only whether there is a score after the last task. It takes one from before, too, and another "
            "task in between.",
            lambda e: _unseen(e) and e["tested"] in e["learned"] and e["learned"][-1] in e["tested after"],
        ),
        Mistake(
            "you count the scores. Two of them say nothing unless one stands right after the tested task and one after "
            "a later, other task.",
            lambda e: _unseen(e) and len(e["tested after"]) >= 2,
        ),
        Mistake(
            "you ask for the training examples, the wrong way round: the split has to be “test”, examples that the "
            "model has not seen.",
            lambda e: not _unseen(e) and _before(e) and _after(e),
        ),
        Mistake(
            "you ask for a score right after the very next task. A score after any later one will do.",
            lambda e: _shows_forgetting(e) and _later_tasks(e)[0] in e["tested after"],
        ),
        Mistake(
            "you look at the first task only. Any task that another one follows can be forgotten.",
            lambda e: _shows_forgetting(e) and e["learned"][0] == e["tested"],
        ),
        Mistake(
            "your verdicts are the wrong way round: return True for an experiment that can show forgetting.",
            lambda e: not _shows_forgetting(e),
        ),
        Mistake("you accept every experiment.", lambda e: True),
        Mistake("you accept no experiment.", lambda e: False),
    ],
)
