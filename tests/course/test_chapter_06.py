"""Chapter 6's experiment: the other order has the chosen settings, orders are read together, costs are counted."""

import copy

import pytest
import torch

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_06
from cfhelpers.methods import Naive, ProgressivePrompts
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from tests import toys


def reported():
    records = results.load("06", profile="tiny")
    return [record for record in records if record.extra["stage"] == "report"]


def test_the_other_order_has_what_the_first_one_chose():
    chosen = {chapter_06.method_name(record): record.method for record in results.chosen(reported()).values()}
    other = chapter_06.EXPERIMENTS[1]
    wanted = {"progressive prompts", "progressive network", "frozen bottom"}
    found = {}
    for method in other.plain:
        settings = {"name": method.name, **method.settings()}
        names = [name for name in wanted if chosen[name]["name"] == method.name]
        found |= dict.fromkeys(names, settings)
    assert found == {name: chosen[name] for name in wanted}
    shared = next(method for method in chapter_06.EXPERIMENTS[0].plain if method.name == "prompt_tuning")
    assert shared.learning_rate == chosen["one prompt per task"]["learning_rate"]


def test_both_orders_hold_what_the_chapter_compares():
    first, second = chapter_06.by_order(reported()).items()
    assert first[0].split(" → ") == second[0].split(" → ")[::-1] == list(chapter_06.FOUR_TASKS)
    assert {"naive", "progressive prompts", *chapter_06.BY_ITSELF} <= set(second[1]) <= set(first[1])
    for name in chapter_06.BY_ITSELF:
        for task in chapter_06.FOUR_TASKS:
            one, other = (named[name].scores(task, after=task) for named in (first[1], second[1]))
            assert one.tolist() == other.tolist()


@pytest.mark.parametrize("method", [Naive(), ProgressivePrompts(3)], ids=lambda method: method.name)
def test_measuring_a_step_counts_vectors_and_leaves_the_model_as_it_was(method):
    plan = Plan(steps=2, batch_size=2, learning_rate=1e-2, curve_points=1)
    seen = []

    def measure(learned):
        before = copy.deepcopy(learned.model.state_dict())
        random = torch.get_rng_state()
        found = chapter_06.measure_step(learned)
        assert all(torch.equal(tensor, before[name]) for name, tensor in learned.model.state_dict().items())
        assert all(parameter.grad is None for parameter in learned.model.parameters())
        assert torch.equal(random, torch.get_rng_state())
        seen.append(found)
        return found

    learn_once(toys.runtime(), "roberta", ("sst2", "topics"), method, plan=plan, measure=measure, progress=False)
    assert seen[0] == {}
    vectors = [0.0, 0.0] if method.name == "naive" else [3.0, 6.0]
    assert [each["prompt vectors"] for each in seen[1:]] == vectors
    assert all(each["step milliseconds"] > 0 for each in seen[1:])
