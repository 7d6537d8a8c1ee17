"""Chapter 7's experiments: what was chosen in one is what the others have, and rows side by side belong together."""

import numpy as np
import pytest

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_07


def chosen(experiment: str) -> list[dict]:
    records = results.load("07", profile="tiny", experiment=experiment)
    best = results.chosen([record for record in records if record.extra["stage"] == "report"])
    return [best[name].method for name in sorted(best)]


@pytest.mark.parametrize(
    ("experiment", "methods"),
    [("steps x 4", chapter_07.CHOSEN_FOR_LONG)],
)
def test_what_is_not_tuned_has_what_its_neighbour_chose(experiment, methods):
    assert chosen(experiment) == [{"name": method.name, **method.settings()} for method in methods]


def test_every_choice_is_shown_at_the_share_that_was_chosen_for_the_draw():
    best = results.chosen(results.load("07", profile="tiny", experiment="which to keep"))
    shares = {method.settings().get("choice", "random"): method.share for method in chapter_07.AT_ONE_SHARE}
    assert shares == dict.fromkeys(best, best["random"].method["share"])


@pytest.mark.parametrize("people", chapter_07.PEOPLE)
def test_people_are_taught_until_recall_rises_no_more(people):
    """Validation recall in the last quarter of the steps, mean over seeds: up by less than 3 points."""
    records = results.load("07", profile="tiny", experiment=f"{people} people")
    (naive,) = [record for record in records if record.method["name"] == "naive"]
    own = [point for point in naive.curves if point["task"] == point["training"] == "people"]
    *_, before, last = sorted({point["step"] for point in own})
    recall = {step: np.mean([point["score"] for point in own if point["step"] == step]) for step in (before, last)}
    assert last == naive.plan["steps"] == chapter_07.PEOPLE[people]
    assert recall[last] - recall[before] < 0.03


def test_smollm2_learned_the_same_persona_as_in_chapter_3():
    """Its row stands beside those of chapter 3, so the first task must be the very same."""
    ours = [record for record in results.load("07", profile="laptop") if record.extra["stage"] == "report"]
    assert [record.method["name"] for record in ours] == ["replay", "derpp"]
    (naive,) = [
        r for r in results.load("03", profile="laptop") if r.method["name"] == "naive" and r.extra["stage"] == "report"
    ]
    for record in ours:
        assert record.seeds == naive.seeds
        assert record.scores("persona", after="persona") == pytest.approx(naive.scores("persona", after="persona"))
