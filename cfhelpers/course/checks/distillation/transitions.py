"""Exercise 8.3: what was lost and what was gained, item by item, corrected for guessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

Answers = list[bool]
Pair = tuple[float, float]


def _cases() -> dict[str, tuple[Answers, Answers, float]]:
    generator = np.random.default_rng(4)

    def drawn(n: int, before: float, after: float, chance: float) -> tuple[Answers, Answers, float]:
        return (generator.random(n) < before).tolist(), (generator.random(n) < after).tolist(), chance

    return {
        "nobody guesses": drawn(40, 0.8, 0.5, 0.0),
        "four choices": drawn(57, 0.7, 0.4, 0.25),
        "two choices": drawn(31, 0.6, 0.6, 0.5),
        "all known before": ([True] * 9, [True] * 4 + [False] * 5, 0.25),
    }


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (before, after, chance) in _cases().items():
        given = list(before), list(after)
        found = answer(*given, chance)
        if given != (before, after):
            raise CheckFailed("your code changed the lists it was given.")
        if found is None:
            raise CheckFailed("the answer is None: the function has to end with a return statement.")
        if not isinstance(found, tuple | list | np.ndarray | torch.Tensor) or len(found) != 2:
            raise CheckFailed("return two numbers, lost and gained.")
        numbers[f"{case}: lost"], numbers[f"{case}: gained"] = number(found[0], "lost"), number(found[1], "gained")
    return numbers


def _counted(before: Answers, after: Answers) -> tuple[float, float, float, float]:
    """Return the shares right → wrong, wrong → right, wrong → wrong and right → right."""
    first, second = np.array(before), np.array(after)
    parts = (first & ~second, ~first & second, ~first & ~second, first & second)
    return tuple(float(part.mean()) for part in parts)  # pyright: ignore[reportReturnType]  # four


def _right(before: Answers, after: Answers, chance: float) -> Pair:
    lost, gained, wrong, _ = _counted(before, after)
    unknown = wrong / (1 - chance) ** 2
    return lost / (1 - chance) - chance * unknown, gained / (1 - chance) - chance * unknown


def _library(before: Answers, after: Answers, chance: float) -> Pair:
    found = metrics.transitions(before, after, chance=chance)
    return found.lost, found.gained


def _from(rule: Callable[[float, float, float, float, float], Pair]) -> Callable[[Answers, Answers, float], Pair]:
    return lambda before, after, chance: rule(*_counted(before, after), chance)


def _swapped(before: Answers, after: Answers, chance: float) -> Pair:
    lost, gained = _right(before, after, chance)
    return gained, lost


def _net(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    """Return what the two accuracies alone say."""
    change = lost - gained
    return max(change, 0.0) / (1 - c), max(-change, 0.0) / (1 - c)


def _corrected(lost: float, gained: float, wrong: float, chance: float) -> Pair:
    luck = chance * wrong / (1 - chance) ** 2
    return lost / (1 - chance) - luck, gained / (1 - chance) - luck


def _minus(luck: Callable[[float, float], float], *, divided: bool = False) -> Callable[..., Pair]:
    """Subtract some other share of luck, from the wrong both times and from chance, from both."""
    return _from(
        lambda lost, gained, wrong, right, c: (
            lost / (1 - c if divided else 1) - luck(wrong, c),
            gained / (1 - c if divided else 1) - luck(wrong, c),
        )
    )


def _cut_off(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    corrected = _corrected(lost, gained, wrong, c)
    return max(corrected[0], 0.0), max(corrected[1], 0.0)


def _of_their_own(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    return lost / (lost + right), gained / (gained + wrong) if gained + wrong else 0.0


def _of_their_own_divided(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    shares = _of_their_own(lost, gained, wrong, right, c)
    return shares[0] / (1 - c), shares[1] / (1 - c)


def _absolute(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    corrected = _corrected(lost, gained, wrong, c)
    return abs(corrected[0]), abs(corrected[1])


def _net_corrected(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    net = (lost - gained) / (1 - c)
    return net, -net


def _net_uncorrected(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    return max(lost - gained, 0.0), max(gained - lost, 0.0)


def _only_lost(lost: float, gained: float, wrong: float, right: float, c: float) -> Pair:
    return _corrected(lost, gained, wrong, c)[0], gained


_UNKNOWN = "Of items unknown both times, c (1 − c) change either way by luck."

lost_and_gained = Exercise(
    number="8.3",
    reread="Lost, gained, or guessed",
    verified="both shares are of all items and free of what guessing alone moves",
    reference=_right,
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake(f"nothing is corrected for guessing. {_UNKNOWN}", _minus(lambda wrong, c: 0.0)),
        Mistake("lost and gained have changed places.", _swapped),
        Mistake(
            "this is the net change of the accuracy: what was lost and what was gained cancel in it. Compare item by "
            "item.",
            _from(_net),
        ),
        Mistake(
            "this is the net change of the accuracy, uncorrected: what was lost and what was gained cancel in it. "
            "Compare item by item.",
            _from(_net_uncorrected),
        ),
        Mistake(
            "the guesses are subtracted, but an item that was known and is not any more is still guessed right with "
            "probability c: divide by 1 − c.",
            _minus(lambda wrong, c: c * wrong / (1 - c)),
        ),
        Mistake(f"only the division by 1 − c is there. {_UNKNOWN}", _minus(lambda wrong, c: 0.0, divided=True)),
        Mistake(
            "the share wrong both times was taken for the share unknown both times. Some unknown items are guessed: "
            "divide by (1 − c)².",
            _minus(lambda wrong, c: c * wrong, divided=True),
        ),
        Mistake(
            "what is subtracted lacks one division by 1 − c. Subtract c·u, where u, the share unknown both times, is "
            "the share wrong both times divided by (1 − c)².",
            _minus(lambda wrong, c: c * wrong / (1 - c), divided=True),
        ),
        Mistake(
            "1 − c is squared above as well: what is observed is divided by 1 − c once.",
            _from(lambda lost, gained, wrong, right, c: _corrected(lost / (1 - c), gained / (1 - c), wrong, c)),
        ),
        Mistake(
            "the share right both times was taken for the share wrong both times.",
            _from(lambda lost, gained, wrong, right, c: _corrected(lost, gained, right, c)),
        ),
        Mistake(
            "this is what the two accuracies say: the share right before, and the share right after.",
            _from(lambda lost, gained, wrong, right, c: (lost + right, gained + right)),
        ),
        Mistake(
            "these are counts. Divide by the number of items.",
            lambda before, after, c: tuple(len(before) * each for each in _right(before, after, c)),
        ),
        Mistake(
            "these are counts, and nothing is corrected for guessing. Divide by the number of items.",
            lambda before, after, c: tuple(len(before) * each for each in _counted(before, after)[:2]),
        ),
        Mistake(
            "these are in percent. Return shares.",
            lambda before, after, c: tuple(100 * each for each in _right(before, after, c)),
        ),
        Mistake(
            "both are multiplied by 1 − c. An item that is not known any more is still guessed right with probability "
            "c: divide by 1 − c.",
            _from(lambda lost, gained, wrong, right, c: (lost * (1 - c), gained * (1 - c))),
        ),
        Mistake(
            "what was lost is a share of what was right before, what was gained of what was wrong before; and they are "
            "divided by 1 − c. Both are shares of all items.",
            _from(_of_their_own_divided),
        ),
        Mistake(
            "both are divided by the number of items that changed. They are shares of all items.",
            _from(lambda lost, gained, wrong, right, c: (lost / (lost + gained), gained / (lost + gained))),
        ),
        Mistake(
            "only what was gained is corrected. Guesses turn wrong as often as they turn right.",
            _from(lambda lost, gained, wrong, right, c: (lost, _corrected(lost, gained, wrong, c)[1])),
        ),
        Mistake(
            "u itself was subtracted. Of the unknown items only the share c is guessed right: subtract c·u.",
            _minus(lambda wrong, c: wrong / (1 - c) ** 2 if c else 0.0, divided=True),
        ),
        Mistake(
            "c² u was subtracted. Subtract c·u.",
            _minus(lambda wrong, c: c * c * wrong / (1 - c) ** 2, divided=True),
        ),
        Mistake(
            "lost and gained were subtracted from each other, corrected: what was lost and what was gained cancel in "
            "it.",
            _from(_net_corrected),
        ),
        Mistake(
            "absolute values were taken. Leave small negative numbers.",
            _from(_absolute),
        ),
        Mistake("chance itself was subtracted, as if every item were guessed.", _minus(lambda wrong, c: c)),
        Mistake(
            "c (1 − c) was subtracted, as if every item were guessed. Only the unknown ones are.",
            _minus(lambda wrong, c: c * (1 - c)),
        ),
        Mistake(
            "what was lost is divided by what was right before, what was gained by what was wrong. Both are shares of "
            "all items.",
            _from(_of_their_own),
        ),
        Mistake(
            "negative estimates were cut off at zero: over many tests their mean would then be too high.",
            _from(_cut_off),
        ),
        Mistake(
            "the correction has the wrong sign.",
            _minus(lambda wrong, c: -c * wrong / (1 - c) ** 2, divided=True),
        ),
        Mistake("only what was lost is corrected. Guesses turn right as often as they turn wrong.", _from(_only_lost)),
        Mistake(
            "chance was subtracted from each share, which was then divided by 1 − c. That corrects an accuracy; of two "
            "tests, only the items unknown both times move by luck: subtract c·u.",
            _from(lambda lost, gained, wrong, right, c: ((lost - c) / (1 - c), (gained - c) / (1 - c))),
        ),
        Mistake(
            "c·u was subtracted before the division by 1 − c. Divide what is observed, then subtract.",
            _from(
                lambda lost, gained, wrong, right, c: (
                    (lost - c * wrong / (1 - c) ** 2) / (1 - c),
                    (gained - c * wrong / (1 - c) ** 2) / (1 - c),
                )
            ),
        ),
        Mistake(
            "(1 − c) u was subtracted. Of the unknown items the share c is guessed right: subtract c·u.",
            _minus(lambda wrong, c: wrong / (1 - c), divided=True),
        ),
    ],
)
