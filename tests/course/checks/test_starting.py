"""Chapter 0's exercises: other styles pass, other wrong answers do not."""

import numpy as np
import pytest

from cfhelpers.course.checks import CheckFailed, starting

# 0.1 The share lost --------------------------------------------------------------------------------------------------


def share_of_what_was_learned(before, after, chance):
    learned, left = before - chance, after - chance
    return 1 - left / learned


def share_in_numpy(before, after, chance):
    scores = np.array([before, after]) - chance
    return -np.diff(scores) / scores[0]


@pytest.mark.parametrize("answer", [share_of_what_was_learned, share_in_numpy])
def test_the_share_lost_passes_in_other_styles(answer):
    assert starting.share_lost(answer) is answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda b, a, c: b - a - c, "is -0.2 where 0.75 is right"),
        (lambda b, a, c: (b - a) / (b + c), "chance is added below the line"),
        (lambda b, a, c: (b - a) / (a + c), "where 0.75 is right"),
        (lambda b, a, c: b - a / (b - c), "parentheses are missing above the line"),
        (lambda b, a, c: (b - a - c) / (b - c), "subtracted above the line as well"),
        (lambda b, a, c: (b - a) / c if c else 0.0, "where"),
        (lambda b, a, c: (b - c) / (a - c), "where"),
        (lambda b, a, c: a / b - c, "where"),
        (lambda b, a, c: c, "where"),
        (lambda b, a, c: 0.75, r"0\.70 to 0\.76.* is 0\.75 where -0\.1333 is right"),
        (lambda b, a, c: round((b - a) / (b - c), 1), "the result is rounded"),
        (lambda b, a, c: int((b - a) / (b - c)), "is 0 where 0.75 is right"),
        (lambda b, a, c: 2 * (b - a) / (b - c), "2 times what it should be, everywhere"),
        (lambda b, a, c: (b - a) / 0.5, "is 0.6 where 0.75 is right"),
        (lambda b, a, c: (b - a) ** 2 / (b - c) ** 2, "where"),
        (lambda b, a, c: float("nan"), "is NaN"),
        (lambda b, a, c: f"{(b - a) / (b - c):.0%}", "one number, not a value of type str"),
        (lambda b, a, c: (b - a, b - c), r"has shape \(2,\)"),
        (lambda b, a, c: {"lost": (b - a) / (b - c)}, "one number, not a value of type dict"),
        (lambda b, a, c: (b - a) / (b - c - c), "stopped with ZeroDivisionError|where 0.75 is right"),
        (lambda b, a: b - a, "stopped with TypeError"),
    ],
)
def test_other_wrong_shares_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        starting.share_lost(answer)


# 0.2 The average accuracy --------------------------------------------------------------------------------------------


def average_by_hand(results):
    total = 0.0
    for task in range(len(results)):
        total += results[len(results) - 1][task]
    return total / len(results)


def average_with_axis(results):
    return results.mean(axis=1)[-1]


@pytest.mark.parametrize("answer", [average_by_hand, average_with_axis])
def test_the_average_passes_in_other_styles(answer):
    assert starting.average_accuracy(answer) is answer


def average_that_fills_gaps(results):
    results[np.isnan(results)] = 0.0
    return results[-1].mean()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (average_that_fills_gaps, "changed the result matrix itself"),
        (lambda r: np.median(r[-1]), "median of the last row"),
        (lambda r: np.max(r[-1]), "largest score"),
        (lambda r: np.min(r[-1]), "smallest score"),
        (lambda r: r[-1, 0], "first task alone"),
        (lambda r: r[0, 0], "where"),
        (lambda r: r[-1].sum() / (len(r) - 1), "divided by T − 1"),
        (lambda r: r[-1].sum() / 3, "two tasks is 0.4333 where 0.65 is right"),
        (lambda r: r[1].mean(), "where 0.6667 is right"),
        (lambda r: np.nanmean(r[:, 0]), "first column"),
        (lambda r: np.nanmean(np.tril(r)), "where 0.6667 is right"),
        (lambda r: np.diagonal(r)[::-1][0] / 2, "where 0.6667 is right"),
        (lambda r: np.prod(r[-1]) ** (1 / len(r)), "where 0.6667 is right"),
        (lambda r: r[-1].std(), "where 0.6667 is right"),
        (lambda r: 1 - r[-1].mean(), "where 0.6667 is right"),
        (lambda r: -r[-1].mean(), "sign is wrong"),
        (lambda r: 0.0, "where"),
        (lambda r: r[-1], r"one number, but it has shape \(3,\)"),
        (lambda r: r.mean(axis=1), r"one number, but it has shape \(3,\)"),
        (lambda r: r[len(r)].mean(), "stopped with IndexError"),
        (lambda r: "0.67", r"three tasks is 0\.67 where|not a value of type str"),
        (lambda r: sum(r) / len(r), "one number, but it has shape"),
    ],
)
def test_other_wrong_averages_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        starting.average_accuracy(answer)


# 0.3 Evidence --------------------------------------------------------------------------------------------------------


def verdict_step_by_step(experiment):
    if experiment["split"] != "test":
        return False
    if experiment["tested"] not in experiment["tested after"]:
        return False
    seen = False
    for task in experiment["learned"]:
        if task == experiment["tested"]:
            seen = True
        elif seen and task in experiment["tested after"]:
            return True
    return False


def verdict_with_sets(experiment):
    learned, tested = experiment["learned"], experiment["tested"]
    later = set(learned[learned.index(tested) :]) - {tested} if tested in learned else set()
    moments = set(experiment["tested after"])
    return np.bool_(experiment["split"] == "test" and tested in moments and bool(later & moments))


@pytest.mark.parametrize("answer", [verdict_step_by_step, verdict_with_sets])
def test_verdicts_pass_in_other_styles(answer):
    assert starting.shows_forgetting(answer) is answer


def verdict_that_tidies_up(experiment):
    experiment["learned"].remove(experiment["tested"]) if experiment["tested"] in experiment["learned"] else None
    return True


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (verdict_that_tidies_up, "changed the experiment"),
        (lambda e: "yes", "must be True or False, not a value of type str"),
        (lambda e: ["sst2"] * 2, "must be True or False"),
        (lambda e: e["split"] == "test", "is 1 where 0 is right"),
        (lambda e: e["split"] == "train", "you ask for the training examples"),
        (lambda e: e["tested"] in e["learned"], "where"),
        (lambda e: e["tested"] in e["tested after"], "is 1 where 0 is right"),
        (lambda e: len(e["learned"]) > 1, "is 1 where 0 is right"),
        (lambda e: len(set(e["learned"])) > 1, "is 1 where 0 is right"),
        (lambda e: len(e["tested after"]) > 1, "is 1 where 0 is right"),
        (lambda e: len(set(e["tested after"])) > 1, "is 1 where 0 is right"),
        (lambda e: e["learned"][0] == e["tested"], "where"),
        (lambda e: e["learned"][-1] != e["tested"], "where"),
        (lambda e: e["learned"] == e["tested after"], "where"),
        (lambda e: e["tested after"][-1] == e["learned"][-1], "where"),
        (lambda e: e["tested after"][0] == e["tested"], "where"),
        (lambda e: verdict_step_by_step(e) and len(e["learned"]) == 2, "is 0 where 1 is right"),
        (lambda e: verdict_step_by_step(e) and "mnli" in e["learned"], "is 0 where 1 is right"),
        (lambda e: verdict_step_by_step(e) or e["split"] == "train", "on the training examples"),
        (lambda e: e["learned"].index(e["tested"]) >= 0, "was never learned: .*index.* does not find it"),
        (lambda e: e["after"], "stopped with KeyError"),
        (lambda e: e.learned, "stopped with AttributeError"),
    ],
)
def test_other_wrong_verdicts_are_rejected(answer, message):
    with pytest.raises(CheckFailed, match=message):
        starting.shows_forgetting(answer)
