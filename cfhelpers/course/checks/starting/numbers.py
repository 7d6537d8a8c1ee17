"""Exercises 0.1 and 0.2: what share of what was learned is lost, and how good a model is at everything in the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cfhelpers import metrics
from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, number

# Before, after, chance: a loss, a gain, a task with three classes, one that cannot be guessed, an end below chance.
_SCORES = ((0.90, 0.60, 0.50), (0.70, 0.76, 0.25), (0.95, 0.40, 1 / 3), (0.80, 0.20, 0.0), (0.85, 0.15, 0.40))


def _examine_share(answer: Callable[..., Any]) -> Numbers:
    return {
        f"the share lost from {before:.2f} to {after:.2f}, chance {chance:.2f},": number(
            answer(before, after, chance), "the share lost"
        )
        for before, after, chance in _SCORES
    }


def _share_lost(before: float, after: float, chance: float) -> float:
    return (before - after) / (before - chance)


share_lost = Exercise(
    number="0.1",
    reread="How much is that?",
    verified="it counts from chance, and a gain comes out negative",
    reference=_share_lost,
    library=lambda before, after, chance: (before - after) / (before - chance),
    examine=_examine_share,
    mistakes=[
        Mistake(
            "the sign is flipped: what got worse was lost, so a loss is before minus after, and positive.",
            lambda before, after, chance: (after - before) / (before - chance),
        ),
        Mistake(
            "chance is left out. A guess gets that much without having learned anything: divide by before minus "
            "chance.",
            lambda before, after, chance: (before - after) / before,
        ),
        Mistake(
            "this is the difference in points. A share of what had been learned divides it by before minus chance.",
            lambda before, after, chance: before - after,
        ),
        Mistake(
            "you divide by what a perfect model would know above chance. Divide by what this one had learned: before "
            "minus chance.",
            lambda before, after, chance: (before - after) / (1 - chance),
        ),
        Mistake(
            "you divide by what is left. Divide by what there was to lose: before minus chance.",
            lambda before, after, chance: (before - after) / (after - chance),
        ),
        Mistake(
            "this is the share that was kept. The share lost is what is missing to 1.",
            lambda before, after, chance: (after - chance) / (before - chance),
        ),
        Mistake(
            "this is the share that was kept, and chance is left out of it.",
            lambda before, after, chance: after / before,
        ),
        Mistake(
            "this is the share lost in percent. Return a share: 0.25, not 25.",
            lambda before, after, chance: 100 * _share_lost(before, after, chance),
        ),
        *(
            Mistake(
                "the result is rounded. Return it as it comes out; rounding is for printing.",
                lambda before, after, chance, digits=digits: round(_share_lost(before, after, chance), digits),
            )
            for digits in (2, 1, 0)
        ),
        Mistake(
            "parentheses are missing: without them only after is divided, by before alone. Write (before - after) / "
            "(before - chance).",
            lambda before, after, chance: before - after / before - chance,
        ),
        Mistake(
            "parentheses are missing below the line: chance is subtracted from the quotient. Write (before - after) / "
            "(before - chance).",
            lambda before, after, chance: (before - after) / before - chance,
        ),
        Mistake(
            "parentheses are missing above the line: only after is divided. Write (before - after) / "
            "(before - chance).",
            lambda before, after, chance: before - after / (before - chance),
        ),
        Mistake(
            "chance is subtracted above the line as well. What was lost is before minus after: chance is in both and "
            "goes away.",
            lambda before, after, chance: (before - after - chance) / (before - chance),
        ),
        Mistake(
            "chance is subtracted from the score after alone. Below chance a model can be, too: divide the loss by "
            "before minus chance.",
            lambda before, after, chance: (before - (after - chance)) / (before - chance),
        ),
        Mistake(
            "the share is cut off at 1. A model that ends below chance has lost more than it had above it.",
            lambda before, after, chance: min(1.0, _share_lost(before, after, chance)),
        ),
        Mistake(
            "the share is cut off at 0 and at 1. A gain is negative, and an end below chance gives more than 1: leave "
            "both.",
            lambda before, after, chance: min(1.0, max(0.0, _share_lost(before, after, chance))),
        ),
        Mistake(
            "a gain is cut off at zero. A task can get better while another is learned: leave it negative.",
            lambda before, after, chance: max(0.0, _share_lost(before, after, chance)),
        ),
        Mistake(
            "you divide by the score after. Divide by what there was to lose: before minus chance.",
            lambda before, after, chance: (before - after) / after,
        ),
        Mistake(
            "the fraction is upside down: (before - after) stands above the line, (before - chance) below it.",
            lambda before, after, chance: (before - chance) / (before - after),
        ),
        Mistake(
            "// cuts off what stands behind the point. Divide with /.",
            lambda before, after, chance: (before - after) // (before - chance),
        ),
        Mistake(
            "you divide by chance. Divide by what had been learned above it: before minus chance.",
            lambda before, after, chance: (before - after) / chance if chance else math.inf,
        ),
        Mistake(
            "chance is added below the line. What had been learned is what lies above it: before minus chance.",
            lambda before, after, chance: (before - after) / (before + chance),
        ),
        Mistake(
            "this is how much of the score after lies above chance, by its own size. Compare after with before.",
            lambda before, after, chance: (after - chance) / after,
        ),
        Mistake(
            "this is a product. A share is a quotient: divide by before minus chance.",
            lambda before, after, chance: (before - after) * (before - chance),
        ),
        Mistake(
            "a gain counts as a loss: without abs() it is negative, as it should be.",
            lambda before, after, chance: abs(_share_lost(before, after, chance)),
        ),
    ],
)

NAN = float("nan")

# Scores before a task is learned are missing once; a task is at its best after another one.
_MATRICES = {
    "three tasks": [[0.60, 0.35, 0.20], [0.90, 0.80, 0.15], [0.40, 0.65, 0.95]],
    "two tasks": [[0.85, NAN], [0.75, 0.55]],
    "four tasks": [[0.50, NAN, 0.1, 0.2], [0.35, 0.9, NAN, 0.3], [0.45, 0.6, 0.7, 0.4], [0.25, 0.65, 0.3, 0.8]],
}


def _examine_average(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, matrix in _MATRICES.items():
        results = np.array(matrix)
        numbers[f"the average accuracy of {case}"] = number(answer(results), "the average accuracy")
        if not np.array_equal(results, np.array(matrix), equal_nan=True):
            raise CheckFailed("your code changed the result matrix itself. Compute on a copy.")
    return numbers


def _average(results: Any) -> float:
    return float(np.mean(results[-1]))


_SWAPPED = (
    "rows and columns are swapped. R[i, j] is the score on task j (column) after training on task i (row): the end of "
    "training is the last row."
)
_EVERYTHING = "you average over the whole matrix. Only its last row is the end: what the model can do now."
_AT_FIRST = "this is the first row, when only one task had been learned. The end of training is the last row."

average_accuracy = Exercise(
    number="0.2",
    reread="The result matrix",
    verified="it is the mean of the last row, every task at the end",
    reference=_average,
    library=metrics.average_accuracy,
    examine=_examine_average,
    mistakes=[
        Mistake(_SWAPPED, lambda results: np.mean(results[:, -1])),
        Mistake(_SWAPPED, lambda results: np.nanmean(results[:, -1])),
        Mistake(_EVERYTHING, np.mean),
        Mistake(_EVERYTHING, np.nanmean),
        Mistake(_AT_FIRST, lambda results: np.mean(results[0])),
        Mistake(_AT_FIRST, lambda results: np.nanmean(results[0])),
        Mistake(
            "this is the diagonal: each task just after it was learned, before anything could be forgotten. Take the "
            "last row.",
            lambda results: np.mean(np.diagonal(results)),
        ),
        Mistake(
            "this is the newest task alone. Average over the whole last row.",
            lambda results: results[-1, -1],
        ),
        Mistake(
            "the last task is left out. That is right for forgetting, which cannot have happened to it yet; the "
            "average accuracy is over all tasks.",
            lambda results: np.mean(results[-1, :-1]),
        ),
        Mistake(
            "this is the last row's first score, divided: is there a return inside the loop?",
            lambda results: results[-1, 0] / len(results),
        ),
        Mistake(
            "this is the first task alone. Average over the whole last row (is there a return inside the loop?).",
            lambda results: results[-1, 0],
        ),
        Mistake(
            "the sum is divided by T − 1. Every task counts here, the last one too: divide by T.",
            lambda results: np.sum(results[-1]) / (len(results) - 1),
        ),
        Mistake("the sign is wrong: an average of scores is positive.", lambda results: -_average(results)),
        Mistake(
            "this is a sum. Divide it by the number of tasks.",
            lambda results: np.sum(results[-1]),
        ),
        Mistake(
            "this is the best score that each task ever had. What counts is the end, the last row.",
            lambda results: np.mean(np.nanmax(results, axis=0)),
        ),
        Mistake(
            "this is the row before the last, one task too early. The end of training is results[-1].",
            lambda results: np.mean(results[-2]),
        ),
        Mistake(
            "this is the row before the last, one task too early. The end of training is results[-1].",
            lambda results: np.nanmean(results[-2]),
        ),
        Mistake(
            "you average over every row from the diagonal to the left: each task at every time since it was learned. "
            "Only the last row is the end.",
            lambda results: np.mean(results[np.tril_indices(len(results))]),
        ),
        Mistake(
            "this is the first column: the first task at every time. The end of training is the last row.",
            lambda results: np.mean(results[:, 0]),
        ),
        Mistake("this is the median of the last row. Take the mean.", lambda results: np.median(results[-1])),
        Mistake("this is the largest score of the last row. Take the mean.", lambda results: np.max(results[-1])),
        Mistake("this is the smallest score of the last row. Take the mean.", lambda results: np.min(results[-1])),
        Mistake(
            "the result is rounded. Return it as it comes out; rounding is for printing.",
            lambda results: round(_average(results), 1),
        ),
        Mistake(
            "this is how the last row differs from the diagonal: a transfer, not an average accuracy.",
            lambda results: np.mean(results[-1] - np.diagonal(results)),
        ),
        Mistake(
            "the last task is left out, and the sum is divided by T. Every task counts: the mean of the last row.",
            lambda results: np.sum(results[-1, :-1]) / len(results),
        ),
        Mistake(
            "the first task is left out. Every task counts: the mean of the whole last row.",
            lambda results: np.mean(results[-1, 1:]),
        ),
        Mistake(
            "the mean of each row was taken, and then the mean of these. Only the last row is the end.",
            lambda results: np.mean([np.nanmean(row) for row in results]),
        ),
        Mistake(
            "the mean of each column was taken, and then the mean of these. Only the last row is the end.",
            lambda results: np.mean(np.nanmean(results, axis=0)),
        ),
        Mistake(
            "missing scores count as 0, and the whole matrix is averaged. Only its last row is the end.",
            lambda results: np.mean(np.nan_to_num(results)),
        ),
        Mistake(
            "the average is in percent, but the scores are shares.",
            lambda results: 100 * _average(results),
        ),
    ],
)
