"""What is compared has one plan; what a reader waits for is never longer, and nothing else differs."""

from dataclasses import replace

from cfhelpers.methods import Naive
from cfhelpers.training.plans import LIVE_PLANS, PLANS
from cfhelpers.training.sequence import learn_once
from tests import toys


def test_a_live_plan_is_the_stored_one_or_shorter():
    assert LIVE_PLANS.keys() == PLANS.keys()
    for key, stored in PLANS.items():
        live = LIVE_PLANS[key]
        assert replace(live, steps=stored.steps, curve_points=stored.curve_points) == stored
        assert live.steps <= stored.steps
        assert key[0] == "laptop" or live == stored  # tiny repeats its stored runs; full has a graphics card


def test_a_run_without_a_plan_of_its_own_takes_the_live_one(monkeypatch):
    monkeypatch.setitem(LIVE_PLANS, ("tiny", "dialogue"), live := replace(PLANS["tiny", "dialogue"], steps=2))
    learned = learn_once(toys.runtime(0), "dialogpt", ["persona"], Naive(), progress=False)
    assert learned.plan == live
    assert learned.record.plan["steps"] == 2
