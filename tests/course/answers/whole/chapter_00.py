"""Answers to the exercises of chapter 0, each a whole function or class.

Beside a wrong one stands what the check has to say of it; nothing where it only has to be rejected.
"""

# Learners write as they like.
# ruff: noqa

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.course.answers.whole import right, wrong


@wrong("0.1", "parentheses are missing")  # missing parentheses in the numerator/denominator: precedence
def share_lost(before, after, chance):
    return before - after / before - chance


@wrong("0.1", "you divide by what is left")  # divides by after - chance
def share_lost(before, after, chance):
    return (before - after) / (after - chance)


@wrong("0.1", "this is the share that was kept")  # returns what is kept, not lost
def share_lost(before, after, chance):
    return (after - chance) / (before - chance)


@wrong("0.1", "a gain counts as a loss")  # absolute value: an improvement counts as loss
def share_lost(before, after, chance):
    return abs(before - after) / (before - chance)


@wrong("0.1", "this is the share lost in percent")  # in percent
def share_lost(before, after, chance):
    return 100 * (before - after) / (before - chance)


@wrong("0.1", "you divide by what a perfect model would know above chance")  # divides by 1 - chance
def share_lost(before, after, chance):
    return (before - after) / (1 - chance)


@wrong("0.1", "the result is rounded")  # rounds to two digits
def share_lost(before, after, chance):
    return round((before - after) / (before - chance), 1)


@right("0.1")  # one minus kept
def share_lost(before, after, chance):
    kept = (after - chance) / (before - chance)
    return 1 - kept


@right("0.1")  # numpy
def share_lost(before, after, chance):
    learned = np.subtract(before, chance)
    return float(np.divide(before - after, learned))


@wrong("0.2", "this is the diagonal")  # diagonal mean
def average_accuracy(results):
    return float(np.mean(np.diag(results)))


@wrong("0.2", "you average over the whole matrix")  # mean of the whole matrix, nan skipped
def average_accuracy(results):
    return float(np.nanmean(results))


@wrong("0.2", "")  # last column
def average_accuracy(results):
    return float(np.nanmean(results[:, -1]))


@wrong("0.2", "the last task is left out")  # leaves out the last task
def average_accuracy(results):
    return float(results[-1, :-1].mean())


@wrong("0.2", "this is a sum")  # sum without dividing
def average_accuracy(results):
    return float(results[-1].sum())


@wrong("0.2", "the sum is divided by T − 1")  # divides by T-1
def average_accuracy(results):
    T = len(results)
    return float(results[T - 1].sum() / (T - 1))


@wrong("0.2", "this is the last row's first score")  # return inside the loop
def average_accuracy(results):
    total = 0.0
    for j in range(results.shape[1]):
        total += results[-1, j]
        return total / results.shape[1]


@right("0.2")  # loop
def average_accuracy(results):
    total = 0.0
    T = results.shape[0]
    for j in range(T):
        total += results[T - 1][j]
    return float(total / T)


@right("0.2")  # numpy average
def average_accuracy(results):
    return np.average(results[-1, :])


@wrong("0.3", "your code stopped on an experiment whose tested task")  # does not check unseen examples
def shows_forgetting(experiment):
    tested = experiment["tested"]
    learned = experiment["learned"]
    i = learned.index(tested)
    later = learned[i + 1 :]
    return bool(later) and tested in experiment["tested after"] and any(t in experiment["tested after"] for t in later)


@wrong("0.3", "you count the scores")  # only asks whether tested twice
def shows_forgetting(e):
    return e["split"] == "test" and len(e["tested after"]) >= 2


@wrong("0.3", "you ask only whether the last task is another one and was followed by ")  # no before score needed
def shows_forgetting(e):
    return (
        e["tested"] in e["learned"]
        and e["split"] == "test"
        and e["learned"][-1] != e["tested"]
        and e["learned"][-1] in e["tested after"]
    )


@wrong("0.3", "you do not look at the order")  # after: any other task, also one learned before
def shows_forgetting(e):
    others = [t for t in e["learned"] if t != e["tested"]]
    return (
        e["split"] == "test"
        and len(others) > 0
        and e["tested"] in e["tested after"]
        and any(t in e["tested after"] for t in others)
    )


@wrong("0.3", "you look at the last task only")  # requires the last task to be the one tested after
def shows_forgetting(e):
    if e["split"] != "test":
        return False
    if e["tested"] not in e["learned"]:
        return False
    if e["learned"][-1] == e["tested"]:
        return False
    return e["tested"] in e["tested after"] and e["learned"][-1] in e["tested after"]


@wrong("0.3", "you ask for the training examples")  # split check inverted
def shows_forgetting(e):
    i = e["learned"].index(e["tested"]) if e["tested"] in e["learned"] else None
    if i is None or e["split"] == "test":
        return False
    return e["tested"] in e["tested after"] and any(t in e["tested after"] for t in e["learned"][i + 1 :])


@wrong(
    "0.3", "you accept an experiment in which nothing else was learned after the t"
)  # tested task counts itself as the later one (slice from i)
def shows_forgetting(e):
    if e["tested"] not in e["learned"] or e["split"] != "test":
        return False
    i = e["learned"].index(e["tested"])
    return e["tested"] in e["tested after"] and any(t in e["tested after"] for t in e["learned"][i:])


@right("0.3")  # guards
def shows_forgetting(e):
    name = e["tested"]
    if e["split"] != "test" or name not in e["learned"]:
        return False
    where = e["learned"].index(name)
    later = set(e["learned"][where + 1 :]) - {name}
    return name in e["tested after"] and bool(later & set(e["tested after"]))


@right("0.3")  # one expression with sets
def shows_forgetting(experiment: dict) -> bool:
    learned, tested = list(experiment["learned"]), experiment["tested"]
    after = set(experiment["tested after"])
    return all(
        [
            tested in learned,
            experiment["split"] == "test",
            tested in after,
            any(
                other in after
                for other in (learned[learned.index(tested) + 1 :] if tested in learned else [])
                if other != tested
            ),
        ]
    )


@wrong("0.3", "you ask for a score after every task")  # asks for a score after every task learned
def shows_forgetting(e):
    return (
        e["split"] == "test"
        and e["tested"] in e["learned"]
        and e["learned"][-1] != e["tested"]
        and all(t in e["tested after"] for t in e["learned"])
    )


@wrong("0.3", "you look at the first and the last score only")  # first moment is the task, last moment another
def shows_forgetting(e):
    a = e["tested after"]
    return e["split"] == "test" and a[0] == e["tested"] and a[-1] != e["tested"]


@wrong("0.3", "")  # more than one task learned and tested afterwards; split forgotten
def shows_forgetting(e):
    return len(set(e["learned"])) > 1 and e["tested"] in e["tested after"] and len(e["tested after"]) > 1


@wrong("0.3", "you ask only whether another task was learned last")  # only: split test and last learned is another
def shows_forgetting(e):
    return e["split"] == "test" and e["learned"][-1] != e["tested"]


@wrong(
    "0.3", "you ask only whether there is a score after the last task"
)  # returns True when anything was tested after the last task
def shows_forgetting(e):
    return e["split"] == "test" and e["tested"] in e["learned"] and e["learned"][-1] in e["tested after"]


@wrong("0.3", "the verdict must be True or False, not a value of type set")  # what “and” returns
def shows_forgetting(e):
    learned, tested = e["learned"], e["tested"]
    later = set(learned[learned.index(tested) :]) - {tested} if tested in learned else set()
    return e["split"] == "test" and tested in e["tested after"] and later & set(e["tested after"])


@wrong("0.3", "you ask that the first of the scores is the one right after the tested task")
def shows_forgetting(e):
    learned, tested, after = e["learned"], e["tested"], e["tested after"]
    later = learned[learned.index(tested) + 1 :] if tested in learned else []
    return e["split"] == "test" and after[0] == tested and any(x in after for x in later if x != tested)


@wrong("0.3", "you ask for a score after every task that came later")
def shows_forgetting(e):
    learned, tested, after = e["learned"], e["tested"], e["tested after"]
    later = [x for x in learned[learned.index(tested) :] if x != tested] if tested in learned else []
    return e["split"] == "test" and tested in after and bool(later) and all(x in after for x in later)


wrong("0.1", "the fraction is upside down")(lambda before, after, chance: (before - chance) / (before - after))
wrong("0.2", "this is the row before the last")(lambda results: np.nanmean(results[len(results) - 2]))
