"""GPT-2's activation: the same numbers in one kernel, while an estimate runs and no longer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN, NewGELUActivation

from cfhelpers.fisher import fisher_diagonal
from cfhelpers.fisher.activations import fused_activations
from tests.toys import causal_model


def _value_and_slope(module: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = inputs.clone().requires_grad_()
    output = module(inputs)
    (slope,) = torch.autograd.grad(output.sum(), inputs)
    return output.detach(), slope


def test_same_values_and_slopes_and_restored() -> None:
    written_out = ACT2FN["gelu_new"]
    inputs = torch.linspace(-12, 12, 1001, dtype=torch.float64)
    expected = _value_and_slope(written_out, inputs)
    with fused_activations(nn.Sequential(written_out)):
        assert "forward" in vars(written_out)
        found = _value_and_slope(written_out, inputs)
    assert "forward" not in vars(written_out)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


def test_restored_after_an_error() -> None:
    model = causal_model()
    with pytest.raises(KeyboardInterrupt), fused_activations(model):
        raise KeyboardInterrupt
    assert not any("forward" in vars(module) for module in model.modules())


def test_somebody_s_own_forward_is_left_alone() -> None:
    module = ACT2FN["gelu_new"]
    module.forward = torch.relu
    with fused_activations(module):
        assert module.forward is torch.relu
    assert module.forward is torch.relu


def test_an_estimate_never_computes_the_eight_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    model = causal_model().eval()
    batches = [{"input_ids": torch.tensor([[5, 6, 7], [8, 9, 10]]), "labels": torch.tensor([[5, 6, 7], [8, 9, 10]])}]
    copied = copy.deepcopy(model).double()
    calls: list[int] = []
    usual = NewGELUActivation.forward

    def counted(self: NewGELUActivation, inputs: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return usual(self, inputs)

    monkeypatch.setattr(NewGELUActivation, "forward", counted)
    fisher = fisher_diagonal(model, batches)
    assert not calls
    total = {name: torch.zeros_like(parameter) for name, parameter in copied.named_parameters()}
    for ids in batches[0]["input_ids"]:
        copied.zero_grad()
        (copied(input_ids=ids[None], labels=ids[None]).loss * 2).backward()
        for name, parameter in copied.named_parameters():
            assert parameter.grad is not None
            total[name] += parameter.grad**2 / 2
    assert calls
    for name, expected in total.items():
        assert float((fisher[name] - expected).norm()) <= 1e-5 * float(expected.norm()) + 1e-12, name
