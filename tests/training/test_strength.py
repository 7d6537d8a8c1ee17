"""The suggested strength: the two gradients are equal where the probe arrives, and the sweep agrees with it."""

import copy

import numpy as np
import pytest
import torch

import cfhelpers as cf
from cfhelpers.course import results
from cfhelpers.methods import EWC, L2SP, OnlineEWC
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training.plans import PLANS
from tests import toys


def encoded(name):
    return encode_task(toys.TASKS[name], toys.tokenizer())


@pytest.fixture
def model():
    return toys.causal_model()


def protected(method, model):
    return method.protect(model, encoded("persona").batches("train"))


@pytest.mark.parametrize("make", [lambda: L2SP(7.0), lambda: EWC(7.0, variant="sample"), lambda: OnlineEWC(7.0)])
def test_the_gradients_are_in_the_wanted_ratio_where_the_probe_arrives(make, model):
    before, mode = copy.deepcopy(model.state_dict()), model.training
    method, batches = protected(make(), model), list(encoded("workplace").batches("train", 1))
    strength = cf.suggest_strength(model, method, batches, learning_rate=1e-2, steps=3, ratio=0.5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training == mode
    assert method.strength == 7.0

    probe = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(3):  # two batches: the first comes round again
        optimizer.zero_grad()
        probe(**batches[step % 2]).loss.backward()
        optimizer.step()
    probe.zero_grad()
    (sum(probe(**batch).loss for batch in batches) / 2).backward()
    task = torch.cat([p.grad.flatten() for p in probe.parameters()]).norm()
    method.strength = strength
    probe.zero_grad()
    method.after_backward(probe, 1.0)
    penalty = torch.cat([p.grad.flatten() for p in probe.parameters()]).norm()
    assert float(penalty / task) == pytest.approx(0.5, rel=1e-3)


def test_the_scale_of_the_importance_is_in_it(model):
    batches = encoded("workplace").batches("train")
    method = protected(EWC(1.0), model)
    strength = cf.suggest_strength(model, method, batches, learning_rate=1e-2)
    method.penalties[0] = cf.QuadraticPenalty(
        {name: 100 * tensor for name, tensor in method.penalties[0].importance.items()}, model, 1.0
    )
    assert cf.suggest_strength(model, method, batches, learning_rate=1e-2) == pytest.approx(strength / 100, rel=1e-4)


def test_bad_input_is_named(model):
    batches = encoded("workplace").batches("train")
    method = protected(L2SP(1.0), model)
    with pytest.raises(ValueError, match="protects nothing yet"):
        cf.suggest_strength(model, EWC(1.0), batches, learning_rate=1e-2)
    with pytest.raises(ValueError, match="protects nothing yet"):
        cf.suggest_strength(model, cf.methods.Naive(), batches, learning_rate=1e-2)
    with pytest.raises(ValueError, match="at least one batch"):
        cf.suggest_strength(model, method, [], learning_rate=1e-2)
    for wrong in ({"steps": 0}, {"learning_rate": 0.0}, {"ratio": -1.0}, {"ratio": float("nan")}):
        with pytest.raises(ValueError, match="steps must be at least 1"):
            cf.suggest_strength(model, method, batches, **({"learning_rate": 1e-2} | wrong))
    nothing = L2SP(1.0)
    nothing.penalties = [
        cf.QuadraticPenalty({name: 0 * p.detach() for name, p in model.named_parameters()}, model, 1.0)
    ]
    with pytest.raises(ValueError, match="does not pull at all"):
        cf.suggest_strength(model, nothing, batches, learning_rate=1e-2)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="loss on the new data is nan"):
        cf.suggest_strength(model, method, batches, learning_rate=1e-2)


def good_strengths(name):
    """Strengths that reach at least 80 % of what the best strength gains over naive training, on selection seeds.

    What counts is the mean of both domains' nats per token on validation texts, by which strengths are chosen.
    """
    stored = results.load("04", profile="tiny", experiment="two domains")
    (naive,) = (r for r in stored if r.extra["stage"] == "rate selection" and r.extra["chosen"])
    tried = [r for r in stored if r.extra["stage"] == "selection" and r.extra["sweep"] == name]
    nats = {record.method["strength"]: np.log(record.selection).mean() for record in tried}
    without, best = np.log(naive.selection).mean(), min(nats.values())
    assert best < without
    return [strength for strength, reached in nats.items() if without - reached >= 0.8 * (without - best)]


@pytest.mark.parametrize("seed", [2, 3])
def test_what_it_suggests_for_chapter_4_lies_where_the_sweep_is_good(seed):
    """For every method, on seeds on which its number of steps was not chosen."""
    plan = PLANS["tiny", "text"]
    run = cf.start(seed=seed, profile="tiny")
    taught = cf.learn_once(run, "gpt2", ["wikitext", "dialogue"], cf.methods.Naive(), stop_after=1, progress=False)
    old, new = taught.tasks
    for method in (EWC(1.0, variant="sample"), L2SP(1.0), cf.methods.MAS(1.0)):
        method.protect(taught.model, old.batches("train"))
        suggested = cf.suggest_strength(
            taught.model, method, new.batches("train", plan.batch_size), learning_rate=plan.learning_rate
        )
        good = good_strengths(method.name)
        assert min(good) <= suggested <= max(good), (method.name, suggested, good)
