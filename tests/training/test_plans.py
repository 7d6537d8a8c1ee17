"""What is compared has one plan; what a reader waits for is never longer, and nothing else differs."""

from dataclasses import replace

import pytest

from cfhelpers.methods import Naive
from cfhelpers.training.plans import LIVE_PLANS, PLANS, Plan
from cfhelpers.training.records import merge_seeds
from cfhelpers.training.sequence import learn_once
from tests import toys


def test_a_live_plan_is_the_stored_one_or_shorter():
    assert LIVE_PLANS.keys() == PLANS.keys()
    for key, stored in PLANS.items():
        live = LIVE_PLANS[key]
        assert live.learning_rate == stored.learning_rate
        assert live.steps * live.batch_size <= stored.steps * stored.batch_size
        assert key[0] == "laptop" or live == stored  # tiny repeats its stored runs; full has a graphics card


def test_a_run_without_a_plan_of_its_own_takes_the_live_one(monkeypatch):
    monkeypatch.setitem(LIVE_PLANS, ("tiny", "dialogue"), live := replace(PLANS["tiny", "dialogue"], steps=2))
    learned = learn_once(toys.runtime(0), "dialogpt", ["persona"], Naive(), progress=False)
    assert learned.plan == live
    assert learned.record.plan["steps"] == 2


def test_a_plan_may_ask_fewer_questions_and_trains_on_all():
    plan = Plan(2, 2, 1e-3, curve_points=1)
    whole = learn_once(toys.runtime(0), "dialogpt", ["persona"], Naive(), plan=plan, progress=False)
    few = learn_once(toys.runtime(0), "dialogpt", ["persona"], Naive(), plan=replace(plan, asked=1), progress=False)
    (task,), (all_of_it,) = few.tasks, whole.tasks
    assert [len(task.validation), len(task.test), len(task.train)] == [1, 1, len(all_of_it.train)]
    assert len(all_of_it.test) > 1
    assert task.test[0] == all_of_it.test[0]
    for one, other in zip(few.model.parameters(), whole.model.parameters(), strict=True):
        assert one.equal(other)  # what is asked does not change what is learned


def test_seeds_of_older_records_whose_plans_say_less_can_be_merged():
    plan = Plan(2, 2, 1e-3, curve_points=1)
    older, newer = (
        learn_once(toys.runtime(seed), "dialogpt", ["persona"], Naive(), plan=plan, progress=False).record
        for seed in (0, 1)
    )
    older.plan = {name: value for name, value in older.plan.items() if value is not None}
    assert merge_seeds([older, newer]).seeds == [0, 1]
    newer.plan["asked"] = 1
    with pytest.raises(ValueError, match="differ in plan"):
        merge_seeds([older, newer])
