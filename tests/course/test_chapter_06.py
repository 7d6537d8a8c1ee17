"""Chapter 6's experiment: the other order has the chosen settings, orders are read together, costs are counted."""

import copy

import numpy as np
import pytest
import torch

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_05, chapter_06
from cfhelpers.methods import Naive, ProgressivePrompts, PromptTuning
from cfhelpers.training.plans import Plan
from cfhelpers.training.records import in_other_order
from cfhelpers.training.sequence import learn_once
from tests import toys


def reported():
    records = results.load("06", profile="tiny")
    return [record for record in records if record.extra["stage"] == "report"]


def test_the_other_order_has_what_the_first_one_chose():
    chosen = {chapter_06.method_name(record): record.method for record in results.chosen(reported()).values()}
    other = chapter_06.EXPERIMENTS[1]
    wanted = {"progressive prompts", "progressive network", "frozen bottom", "heads on a frozen body"}
    found = {}
    for method in other.plain:
        settings = {"name": method.name, **method.settings()}
        found |= {name: settings for name in wanted if chosen[name] == settings}
    assert found == {name: chosen[name] for name in wanted}
    shared = next(method for method in chapter_06.EXPERIMENTS[0].plain if method.name == "prompt_tuning")
    assert shared.learning_rate == chosen["one prompt per task"]["learning_rate"]


def test_references_follow_the_order_of_the_tasks_and_leave_out_what_was_not_run():
    first = next(iter(chapter_06.by_order(reported()).values()))
    found = chapter_06.references(first, chapter_06.FOUR_TASKS[::-1])
    assert set(found) == {"single_task", "joint"}
    for column, task in enumerate(chapter_06.FOUR_TASKS[::-1]):
        assert found["single_task"][:, column].tolist() == first["separate models"].scores(task, after=task).tolist()
        assert found["joint"][:, column].tolist() == first["joint"].scores(task, after="imdb").tolist()
    assert chapter_06.references({"naive": first["naive"]}, chapter_06.FOUR_TASKS) == {}


def test_a_reading_asks_every_pair_of_prompt_and_task_and_nothing_else(monkeypatch):
    """With a probe that says which vectors stand in front, and how many."""

    def probe(model, task):
        prompts = getattr(model.body, "prompts", [])
        assert len(prompts) <= 1
        return prompts[0].vectors.sum().item() if len(prompts) else 0.0

    monkeypatch.setattr(chapter_06, "linear_probe", probe)
    plan = Plan(steps=2, batch_size=2, learning_rate=1e-2, curve_points=1)
    learned = learn_once(
        toys.runtime(), "roberta", ("sst2", "topics"), PromptTuning(3), plan=plan, progress=False,
        measure=chapter_06.measure_reading,
    )  # fmt: skip
    expected = {
        f"{task} behind {name}": [[learned.method.prompts[name].vectors.sum().item() if name != "nothing" else 0.0]]
        for task in ("sst2", "topics")
        for name in ("nothing", "sst2", "topics")
    }
    assert learned.record.extra == expected


def test_both_orders_hold_what_the_chapter_compares():
    first, second = chapter_06.by_order(reported()).items()
    assert first[0].split(" → ") == second[0].split(" → ")[::-1] == list(chapter_06.FOUR_TASKS)
    assert {"naive", "progressive prompts", "one shared prompt", *chapter_06.BY_ITSELF} <= set(first[1])
    assert set(second[1]) == set(first[1]) - {"joint"}  # all tasks together have no order at the end
    assert all(len(record.seeds) >= 5 for named in (first[1], second[1]) for record in named.values())
    for name in chapter_06.BY_ITSELF:
        for task in chapter_06.FOUR_TASKS:
            one, other = (named[name].scores(task, after=task) for named in (first[1], second[1]))
            assert one.tolist() == other.tolist()


def test_heads_that_were_run_in_both_orders_score_the_same():
    """This is why what learns each task by itself may be read in an order in which it was not run."""
    heads = [each for each in reported() if chapter_06.method_name(each) == "heads on a frozen body"]
    (first,) = (each for each in heads if tuple(each.tasks) == chapter_06.FOUR_TASKS)
    (second,) = (each for each in heads if tuple(each.tasks) == chapter_06.FOUR_TASKS[::-1])
    np.testing.assert_array_equal(in_other_order(first, second.tasks).results, second.results)


def test_one_table_joins_both_chapters():
    """Every method that is asked for, in both orders, with the same seeds, steps and texts."""
    prompts = chapter_06.by_order(reported())
    adapters = chapter_05.by_order(results.load("05", profile="tiny"))
    assert list(prompts) == list(adapters)
    for order, named in prompts.items():
        both = {**named, **adapters[order]}
        found = [both[name] for name in chapter_06.TOGETHER if name != "joint"]
        assert {tuple(each.seeds) for each in found} == {(0, 1, 2, 3, 4)}
        assert {(each.plan["steps"], each.plan["batch_size"], each.plan["size"]) for each in found} == {(120, 16, None)}


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
