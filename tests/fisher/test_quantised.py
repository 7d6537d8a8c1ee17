"""Adapters on quantised weights (QLoRA): the layers below are foreign, frozen and packed in bytes."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal, selfcheck
from cfhelpers.methods.penalty import QuadraticPenalty
from tests.fisher.test_engine import PEFT_WARNING
from tests.fisher.test_fisher import batches_for, causal_model, classifier, oracle, relative_error, warned_of


class Params4bit(nn.Parameter):
    """Packed numbers under the name that bitsandbytes gives them."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Params4bit:
        return cast("Params4bit", torch.Tensor._make_subclass(cls, data, requires_grad))


class _Multiply(torch.autograd.Function):
    """Multiplies by weights that are unpacked in each direction anew and never kept, as bitsandbytes does."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Linear4bit) -> Tensor:
        ctx.layer = layer
        return inputs @ layer.unpacked(inputs.dtype).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.layer.unpacked(gradient.dtype), None


class Linear4bit(nn.Linear):
    """Two weights of sixteen levels to a byte, in a column, behind a forward of its own."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None, device="meta")
        step = float(plain.weight.abs().max()) / 7
        levels = (plain.weight.detach() / step).round().add(8).to(torch.uint8).flatten()
        self.weight = Params4bit((levels[::2] * 16 + levels[1::2])[:, None])
        self.bias = plain.bias
        self.step = step

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        levels = torch.stack([self.weight // 16, self.weight % 16], 1).view(self.out_features, self.in_features)
        return (levels.to(dtype) - 8) * self.step

    def forward(self, input: Tensor) -> Tensor:
        output = cast("Tensor", _Multiply.apply(input, self))
        return output if self.bias is None else output + self.bias


def quantised(model: nn.Module) -> nn.Module:
    """The model, frozen, with every linear layer but a head in four bits."""
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and module is not getattr(model, "lm_head", None) and "classifier" not in name:
            model.set_submodule(name, Linear4bit(module))
    return model


def adapted(kind: str) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    model = quantised(classifier(kind) if kind == "roberta" else causal_model(kind))
    targets = ["query", "value"] if kind == "roberta" else ["q_proj", "v_proj", "down_proj"]
    settings: dict[str, Any] = {"task_type": "SEQ_CLS" if kind == "roberta" else "CAUSAL_LM"}
    torch.manual_seed(0)
    model = get_peft_model(cast(Any, model), LoraConfig(r=2, target_modules=targets, **settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    return model


@PEFT_WARNING
@pytest.mark.parametrize("kind", ["llama", "roberta"])
def test_adapters_on_quantised_weights(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    selfcheck._known.clear()
    model, batches = adapted(kind), batches_for(kind)
    packed = {name: parameter.clone() for name, parameter in model.named_parameters() if parameter.dtype == torch.uint8}
    assert len(packed) == (12 if kind == "roberta" else 14)
    estimate = fisher_diagonal(model, batches)
    assert set(estimate) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("lora_A" in name for name in estimate)
    assert relative_error(estimate, oracle(model, batches)) < 1e-5
    assert warned_of(caplog) == [], "every adapter goes through the hooks"
    for name, parameter in model.named_parameters():
        if name in packed:
            assert type(parameter) is Params4bit
            assert torch.equal(parameter, packed[name])


@PEFT_WARNING
def test_a_penalty_on_the_adapters_of_a_quantised_model() -> None:
    model = adapted("llama")
    penalty = QuadraticPenalty(fisher_diagonal(model, batches_for("llama")), model, 1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    assert penalty.value(model).item() > 0
    penalty.add_gradient_(model)
    assert {name for name, p in model.named_parameters() if p.grad is not None} == set(penalty.importance)
