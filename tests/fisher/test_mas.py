"""mas_importance against its definition, written out as a loop in float64, and against each known mistake."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal, mas_importance, selfcheck
from tests.fisher.test_engine import BATCHED, LOOPED, Unusual, _singles
from tests.fisher.test_fisher import (
    KINDS,
    Gradients,
    batches_for,
    causal_model,
    classifier,
    examples_of,
    gradients,
    model_of,
    warned_of,
)

# Toys that sum over padding say so; tests/fisher/test_layout.py is about that.
pytestmark = pytest.mark.filterwarnings("ignore:.*reads padding")


@pytest.fixture(autouse=True)
def forget_verdicts() -> None:
    """Let every test's model be checked anew."""
    selfcheck._known.clear()


def outputs_of(model: nn.Module, example: dict[str, Tensor]) -> Tensor:
    """The logits at an example's targets, or a classifier's only logits."""
    result = model(**{name: value for name, value in example.items() if name != "labels"})
    logits = result if isinstance(result, Tensor) else result.logits
    return logits if logits.dim() == 2 else logits[0, :-1][example["labels"][0, 1:] != -100]


def oracle(model: nn.Module, batches: list[dict[str, Tensor]], examples: Any = examples_of) -> Gradients:
    """The definition in float64, from batches of one example, without padding if it does not count."""
    model = copy.deepcopy(model).double().eval()
    found = [gradients(model, outputs_of(model, one).square().sum()) for one in examples(batches)]
    return {name: torch.stack([one[name].abs() for one in found]).mean(0) for name in found[0]}


def relative_error(estimate: Any, truth: Any) -> float:
    """The worst relative Frobenius error of any tensor whose truth is more than rounding.

    The softmax ignores an attention's key bias: its gradient is zero in truth and rounding in float32, which squares
    hide and absolute values do not.
    """
    assert set(estimate) == set(truth)
    floor = 1e-2 * max(float(value.norm()) for value in truth.values())
    return max(
        float((estimate[name].double() - truth[name].double()).norm() / truth[name].double().norm().clamp(min=floor))
        for name in truth
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_loop_in_float64(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    model, batches = model_of(kind), batches_for(kind, (3, 2, 1))  # the batch of one goes through the loop
    estimate = mas_importance(model, batches)
    assert relative_error(estimate, oracle(model, batches)) < 1e-5
    assert (estimate.variant, estimate.unit, estimate.n_examples) == ("mas", "sequence", 6)
    assert warned_of(caplog) == []  # nothing is left to the loop
    assert all(value.dtype == torch.float32 for value in estimate.values())


@pytest.mark.parametrize("part", BATCHED + LOOPED)
def test_unusual_parts_are_right_all_the_same(part: str, caplog: pytest.LogCaptureFixture) -> None:
    # These attend to their padding, which is therefore part of the example.
    model, batches = Unusual(part), batches_for("gpt2", (4, 3))
    assert relative_error(mas_importance(model, batches), oracle(model, batches, _singles)) < 1e-5
    assert bool(caplog.records) == (part in LOOPED)


def test_the_verdict_of_a_fisher_serves_a_mas_and_the_other_way_round() -> None:
    model, batches = Unusual("a weight used outside of its layer"), batches_for("gpt2", (4, 3))
    fisher_diagonal(model, batches)
    assert relative_error(mas_importance(model, batches), oracle(model, batches)) < 1e-5
    before = fisher_diagonal(model, batches)
    selfcheck._known.clear()
    mas_importance(model, batches)
    assert relative_error(fisher_diagonal(model, batches), before) < 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_loop_on_an_accelerator(kind: str) -> None:
    model, batches = model_of(kind), batches_for(kind)
    truth = oracle(model, batches)
    estimate = mas_importance(model.cuda(), batches)
    assert relative_error({name: value.cpu() for name, value in estimate.items()}, truth) < 1e-5


def test_labels_say_where_but_not_what() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    others = [one | {"labels": one["labels"].where(one["labels"] == -100, 7)} for one in batches]
    truth = mas_importance(model, batches)
    assert all(torch.equal(value, truth[name]) for name, value in mas_importance(model, others).items())
    everywhere = [one | {"labels": one["input_ids"].where(one["attention_mask"].bool(), -100)} for one in batches]
    assert relative_error(mas_importance(model, everywhere), oracle(model, everywhere)) < 1e-5
    assert relative_error(mas_importance(model, everywhere), truth) > 0.1

    heads, rows = classifier("roberta"), batches_for("roberta")
    truth = mas_importance(heads, rows)
    zeros = [one | {"labels": torch.zeros_like(one["labels"])} for one in rows]
    assert all(torch.equal(value, truth[name]) for name, value in mas_importance(heads, zeros).items())


def test_a_batch_is_not_one_example() -> None:
    # The absolute value of the batch's gradient, as in the authors' own code, is smaller wherever signs differ.
    model, batches = causal_model("gpt2"), batches_for("gpt2", (5,))
    double, found = copy.deepcopy(model).double().eval(), []
    for one in examples_of(batches):
        found.append(gradients(double, outputs_of(double, one).square().sum()))
    together = {name: torch.stack([one[name] for one in found]).mean(0).abs() for name in found[0]}
    estimate = mas_importance(model, batches)
    assert relative_error(estimate, together) > 0.1
    assert sum(float(value.sum()) for value in estimate.values()) > sum(float(v.sum()) for v in together.values())


def test_a_class_that_another_heads_logits_exclude_counts_nothing() -> None:
    from transformers import BertConfig, BertModel

    from cfhelpers.models.classifier import MultiTaskClassifier

    torch.manual_seed(0)
    sizes = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = MultiTaskClassifier(BertModel(BertConfig(**sizes, intermediate_size=24), add_pooling_layer=False))
    model.add_head("sst2", 2)
    model.add_head("mnli", 3)
    (batch,) = batches_for("bert", (4,))
    batch |= {"task_ids": torch.tensor([0, 1, 1, 0]), "labels": batch["labels"].clamp(max=1)}
    assert relative_error(mas_importance(model, [batch]), oracle(model, [batch])) < 1e-5
    one_task = batch | {"task_ids": torch.ones(4).long()}
    assert set(mas_importance(model, [one_task]).unused) == {name for name in dict(model.named_parameters())
                                                             if name.startswith("heads.sst2")}  # fmt: skip


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    model, batches = causal_model("gpt2").train(), batches_for("gpt2")
    model.get_parameter("transformer.wpe.weight").requires_grad_(False)
    model.get_submodule("transformer.h.0").eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    kept = [(p, p.detach().clone(), p.grad, p.requires_grad) for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    states: list[Any] = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]
    estimate = mas_importance(model, batches, max_examples=4)
    assert estimate.n_examples == 4
    assert "transformer.wpe.weight" not in estimate
    assert modes == [module.training for module in model.modules()]
    for parameter, value, gradient, requires_grad in kept:
        assert torch.equal(parameter, value)
        assert parameter.grad is gradient
        assert gradient is None or bool((gradient == 1).all())
        assert parameter.requires_grad == requires_grad
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert states[2] == random.getstate()


def test_a_data_set_is_batched_and_its_subset_seeded() -> None:
    model = causal_model("gpt2")
    data = [
        {"input_ids": one["input_ids"][0], "labels": one["labels"][0]} for one in examples_of(batches_for("gpt2", (6,)))
    ]
    whole = mas_importance(model, data, batch_size=4)
    assert relative_error(whole, oracle(model, batches_for("gpt2", (6,)))) < 1e-5
    first, again, other = (mas_importance(model, data, max_examples=2, seed=seed) for seed in (0, 0, 1))
    assert relative_error(first, again) == 0
    assert relative_error(first, other) > 0.01


def test_outputs_that_are_not_finite_are_refused() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    with torch.no_grad():
        model.get_parameter("transformer.ln_f.weight").fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite on example 0"):
        mas_importance(model, batches)
