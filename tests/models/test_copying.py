"""A copy of a model answers with its own weights, whatever was put on the original."""

import copy
import functools
import types

import pytest
import torch
from torch import nn

from cfhelpers.models.copying import copy_model, frozen_copy
from tests import toys

IDS = torch.tensor([[3, 5, 7, 9], [4, 6, 8, 10]])


def by_closure(model):
    original = model.forward
    model.forward = lambda *args, **kwargs: original(*args, **kwargs)


def by_partial(model):
    model.forward = functools.partial(type(model).forward, model)


def by_method(model):
    """As trl does, with the bound original kept aside as accelerate does."""
    original = model.forward
    model._original_forward = original

    def forward(self, *args, **kwargs):
        return original(*args, **kwargs)

    model.forward = types.MethodType(forward, model)


def on_a_layer(model):
    layer = model.transformer.h[0].mlp
    by_closure(layer)


PATCHES = [by_closure, by_partial, by_method, on_a_layer]


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def move(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))


@pytest.mark.parametrize("patch", PATCHES)
def test_the_copy_stays_where_it_was_when_the_original_moves(patch):
    model = toys.causal_model().eval()
    patch(model)
    before, twin = logits(model), copy_model(model)
    patched = [vars(module).get("forward") for module in model.modules()]
    assert torch.equal(logits(twin), before)
    move(model)
    assert torch.equal(logits(twin), before)
    assert not torch.equal(logits(model), before)
    assert any(each is not None for each in patched)  # the original is left as it was
    assert patched == [vars(module).get("forward") for module in model.modules()]
    own = {id(parameter) for parameter in model.parameters()}
    assert own.isdisjoint(id(parameter) for parameter in twin.parameters())
    move(twin)
    assert not torch.equal(logits(twin), before)


@pytest.mark.parametrize("patch", [by_closure, by_method])
def test_why_a_deep_copy_is_not_enough(patch):
    model = toys.causal_model().eval()
    patch(model)
    before, twin = logits(model), copy.deepcopy(model)
    move(model)
    assert not torch.equal(logits(twin), before), "copy.deepcopy would do: copying.py is not needed any more"


def test_accelerates_autocast_forward_is_not_followed():
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # a test before this one may have chosen another precision

    model = toys.causal_model().eval()
    before = logits(model)
    prepared = Accelerator(mixed_precision="bf16", cpu=True).prepare(model)
    twin = copy_model(prepared)
    move(prepared)
    assert "forward" in vars(prepared)
    assert torch.equal(logits(twin), before)


def test_a_teacher_is_in_evaluation_mode_and_frozen_and_ties_its_weights():
    model = toys.causal_model().train()
    by_closure(model)
    teacher = frozen_copy(model)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert teacher.lm_head.weight is teacher.transformer.wte.weight
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_whose_weights_are_elsewhere_is_refused():
    with torch.device("meta"):
        model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="weight is on the meta device"):
        copy_model(model)
