"""QuadraticPenalty: value and gradient by hand, in every precision, and each way in which it must not fail silently."""

from __future__ import annotations

import copy
import io
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cfhelpers.fisher import Importance
from cfhelpers.methods.penalty import ENTRIES, QuadraticPenalty


class Two(nn.Module):
    """Two parameters, so that everything can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.second = nn.Parameter(torch.tensor([[3.0]]))


IMPORTANCE = {"first": torch.tensor([2.0, 0.5]), "second": torch.tensor([[4.0]])}


def moved() -> tuple[Two, QuadraticPenalty]:
    """A penalty at (1, 2, 3) with strength 3, and its model at (2, 4, 2)."""
    model = Two()
    penalty = QuadraticPenalty(IMPORTANCE, model, 3.0)
    with torch.no_grad():
        model.first.copy_(torch.tensor([2.0, 4.0]))
        model.second.fill_(2.0)
    return model, penalty


def test_value_by_hand() -> None:
    model, penalty = moved()
    # 3/2 (2·1² + 0.5·2² + 4·1²) = 12
    assert penalty.value(model).item() == 12.0


def test_gradient_by_hand_and_added_to_what_is_there() -> None:
    model, penalty = moved()
    model.first.grad = torch.tensor([10.0, 20.0])
    penalty.add_gradient_(model)
    # 3·(2·1, 0.5·2) and 3·4·(-1); a parameter without a gradient gets one.
    torch.testing.assert_close(model.first.grad, torch.tensor([16.0, 23.0]))
    torch.testing.assert_close(model.second.grad, torch.tensor([[-12.0]]))


def test_gradient_is_that_of_the_value() -> None:
    model, penalty = moved()
    expected = torch.autograd.grad(penalty.value(model), list(model.parameters()))
    penalty.add_gradient_(model, scale=8.0)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 8.0 * gradient)
        assert not parameter.grad.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model = Two().to(dtype)
    penalty = QuadraticPenalty(IMPORTANCE, model, 3.0)
    with torch.no_grad():
        model.first.copy_(torch.tensor([2.0, 4.0]))
    penalty.add_gradient_(model)
    assert model.first.grad is not None
    assert model.first.grad.dtype == dtype
    torch.testing.assert_close(model.first.grad.float(), torch.tensor([6.0, 3.0]))
    assert penalty.value(model).dtype == torch.float32


def test_parameters_of_several_precisions() -> None:
    model, penalty = moved()
    model.second = nn.Parameter(model.second.detach().bfloat16())
    penalty.add_gradient_(model)
    assert model.second.grad is not None
    assert model.first.grad is not None
    assert float(model.second.grad) == -12.0
    assert model.first.grad.tolist() == [6.0, 3.0]


def test_many_and_large_parameters_all_get_their_gradient() -> None:
    model = nn.ModuleList([nn.Linear(3000, 1500, bias=False) for _ in range(3)] + [nn.Linear(2, 2) for _ in range(4)])
    importance = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    penalty = QuadraticPenalty(importance, model, 1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    penalty.add_gradient_(model)
    assert all(p.grad is not None and torch.allclose(p.grad, torch.ones(()), atol=1e-5) for p in model.parameters())


def test_anchor_is_a_copy() -> None:
    # Mistake 15: an anchor that aliases the live weights gives a penalty that is always zero.
    model = Two()
    for anchor in (model, dict(model.named_parameters()), model.state_dict()):
        start = float(model.second.detach())
        penalty = QuadraticPenalty(IMPORTANCE, anchor, 1.0)
        with torch.no_grad():
            model.second.add_(1.0)
        assert penalty.value(model).item() == 2.0
        assert float(penalty.anchor["second"]) == start
        assert not any(tensor.requires_grad for tensor in penalty.anchor.values())


def test_several_micro_batches_add_it_once() -> None:
    # Mistake 17: called once after the last backward pass, 1 × 4 and 2 × 2 give the same gradient.
    totals = []
    for micro in (1, 2):
        model, penalty = moved()
        for chunk in torch.arange(4.0).chunk(micro):
            (chunk.sum() * model.first.sum() / 4).backward()
        penalty.add_gradient_(model)
        totals.append(model.first.grad)
    assert torch.equal(totals[0], totals[1])


def test_frozen_parameters_are_left_alone() -> None:
    model, penalty = moved()
    model.first.requires_grad_(False)
    penalty.add_gradient_(model)
    assert model.first.grad is None
    assert model.second.grad is not None


def test_a_new_head_is_not_penalised() -> None:
    model, penalty = moved()
    model.head = nn.Linear(2, 2)
    penalty.add_gradient_(model)
    assert model.head.weight.grad is None
    assert penalty.value(model).item() == 12.0


def test_wrapped_models_are_recognised() -> None:
    # Mistake 18: a prefix must not switch the penalty off.
    model, penalty = moved()
    assert penalty.value(nn.DataParallel(model)).item() == 12.0
    compiled = cast(nn.Module, torch.compile(model, backend="eager"))
    assert penalty.value(compiled).item() == 12.0
    torch.testing.assert_close(
        QuadraticPenalty(IMPORTANCE, nn.DataParallel(model), 1.0).anchor["first"], model.first.data
    )


def test_a_tied_weight_counts_once() -> None:
    from tests.fisher.test_fisher import causal_model

    model = causal_model("gpt2")
    importance = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    penalty = QuadraticPenalty(importance, model, 2.0)
    with torch.no_grad():
        model.get_parameter("transformer.wte.weight").add_(1.0)
    assert penalty.value(model).item() == pytest.approx(model.get_parameter("transformer.wte.weight").numel())


def fisher_of(model: nn.Module, seed: int = 0) -> Importance:
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.rand(p.shape, generator=generator) ** 4 for name, p in model.named_parameters()}
    return Importance(tensors, n_examples=1, variant="sample")


def large_and_small() -> nn.Module:
    """One tensor that is worked on in slices, some that are not, and one that is not contiguous."""
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Linear(1100, 1000), nn.Linear(5, 4), nn.Linear(1100, 1000, bias=False)])
    model[2].weight = nn.Parameter(model[2].weight.detach().T)
    return model


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_stored_importance_gives_the_gradient_of_its_own_values(dtype: Any, precision: torch.dtype) -> None:
    model = large_and_small().to(precision)
    stored = fisher_of(model).stored(dtype=dtype, device="cpu")
    expanded = QuadraticPenalty(dict(stored), model, 3.0)
    penalty = QuadraticPenalty(stored, model, 3.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    gradients = []
    for each in (expanded, penalty):
        model.zero_grad()
        each.add_gradient_(model, scale=2.0)
        gradients.append([cast("Tensor", parameter.grad) for parameter in model.parameters()])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*gradients, strict=True))
    assert penalty.value(model).item() == expanded.value(model).item()
    assert {each.values.dtype for each in penalty.stored.values()} == {getattr(torch, dtype)}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_stored_importance_is_never_expanded_as_a_whole(dtype: Any) -> None:
    model = nn.Linear(4000, 1500)
    penalty = QuadraticPenalty(fisher_of(model).stored(dtype=dtype), model, 1.0)
    penalty.add_gradient_(model)
    with _Largest() as largest:
        penalty.add_gradient_(model)
    assert largest.entries <= ENTRIES
    kept = [each.values for each in penalty.stored.values()] + list(penalty.anchor.values())
    assert sum(each.numel() * each.element_size() for each in kept) == 6 * 1501 * 4000 - 6 * (4000 - 1500)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_without_an_importance_every_trainable_entry_weighs_one_and_nothing_is_kept_for_it(precision) -> None:
    model = large_and_small().to(precision)
    model[1].bias.requires_grad_(False)
    ones = {name: torch.ones(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    plain, explicit = QuadraticPenalty(None, model, 3.0), QuadraticPenalty(ones, model, 3.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    gradients = []
    for each in (plain, explicit):
        model.zero_grad()
        each.add_gradient_(model, scale=2.0)
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.requires_grad])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*gradients, strict=True))
    assert model[1].bias.grad is None
    assert plain.value(model).item() == explicit.value(model).item() > 0
    assert all(torch.equal(plain.importance[name], weight) for name, weight in ones.items())
    assert plain.importance.keys() == ones.keys()
    again = QuadraticPenalty.from_state(plain.state_dict(), 3.0)
    assert again.value(model).item() == plain.value(model).item()
    kept = [each.values for each in again.stored.values()]
    assert sum(each.untyped_storage().nbytes() for each in kept) == 4 * len(ones)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="protect nothing"):
        QuadraticPenalty(None, model, 1.0)


def test_without_an_importance_no_temporary_is_as_large_as_a_large_parameter() -> None:
    model = nn.Linear(4000, 1500)
    penalty = QuadraticPenalty(None, model, 1.0)
    penalty.add_gradient_(model)
    with _Largest() as largest:
        penalty.add_gradient_(model)
    assert largest.entries <= ENTRIES


class _Largest(TorchDispatchMode):
    """The entries of the largest tensor that is newly made."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() not in known:
                self.entries = max(self.entries, each.numel())
        return made


def test_the_anchor_is_not_rounded() -> None:
    model = large_and_small()
    penalty = QuadraticPenalty(fisher_of(model).stored(dtype="bfloat16"), model, 1.0)
    penalty.add_gradient_(model)
    assert all(not bool(cast("Tensor", parameter.grad).any()) for parameter in model.parameters())


def test_its_state_keeps_the_storage() -> None:
    model = large_and_small()
    penalty = QuadraticPenalty(fisher_of(model).stored(dtype="float16", device="cpu"), model, 2.0)
    file = io.BytesIO()
    torch.save(penalty.state_dict(), file)
    file.seek(0)
    again = QuadraticPenalty.from_state(torch.load(file, weights_only=True), 2.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert again.value(model).item() == penalty.value(model).item() > 0
    assert {each.values.dtype for each in again.stored.values()} == {torch.float16}
    assert again._device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_stays_on_the_cpu_while_the_model_is_on_cuda() -> None:
    model = large_and_small()
    stored = fisher_of(model).stored(dtype="float16", device="cpu")
    penalties = [QuadraticPenalty(dict(stored), model, 1.0), QuadraticPenalty(stored, model, 1.0)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    model = model.to("cuda")
    gradients = []
    for penalty in penalties:
        model.zero_grad()
        penalty.add_gradient_(model)
        gradients.append([cast("Tensor", parameter.grad) for parameter in model.parameters()])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*gradients, strict=True))
    assert penalties[0].value(model).item() == penalties[1].value(model).item()
    kept = [*penalties[1].anchor.values(), *(each.values for each in penalties[1].stored.values())]
    assert {each.device.type for each in kept} == {"cpu"}


PREFIXED = {f"module.{name}": weight for name, weight in IMPORTANCE.items()}
ADAPTED = {f"base_model.model.{name}": weight for name, weight in IMPORTANCE.items()}
RESIZED = IMPORTANCE | {"second": torch.ones(2, 1)}
BAD: dict[str, tuple[Any, Any, Any, str]] = {
    "nothing to protect": ({}, Two(), 1.0, "importance is empty"),
    "a wrapper's prefix": (PREFIXED, Two(), 1.0, r"no parameter named 'module.first'.*wrapper's prefix"),
    "an adapter's prefix": (ADAPTED, Two(), 1.0, r"'base_model.model.first'.*adapters of peft"),
    "another model": (IMPORTANCE | {"third": torch.ones(1)}, Two(), 1.0, r"no parameter named 'third'.*another model"),
    "a resized vocabulary": (RESIZED, Two(), 1.0, r"'second' \(\(2, 1\) in the importance, \(1, 1\).*vocabulary"),
    "a negative strength": (IMPORTANCE, Two(), -1.0, "strength must be finite and not negative"),
    "an infinite strength": (IMPORTANCE, Two(), float("inf"), "strength must be finite"),
    "a strength that is no number": (IMPORTANCE, Two(), "3", "strength must be a number"),
    "a strength that is a flag": (IMPORTANCE, Two(), True, "strength must be a number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(case: str) -> None:
    importance, anchor, strength, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        QuadraticPenalty(importance, anchor, strength)


@pytest.mark.parametrize("use", ["value", "add_gradient_"])
def test_another_model_at_use_is_a_clear_error(use: str) -> None:
    model, penalty = moved()
    other = copy.deepcopy(model)
    other.second = nn.Parameter(torch.ones(2, 1))  # Mistake 19.
    with pytest.raises(ValueError, match="vocabulary was resized"):
        getattr(penalty, use)(other)
    del other.second
    with pytest.raises(ValueError, match="model has no parameter named 'second'"):
        getattr(penalty, use)(other)
    assert model.first.grad is None


def test_a_failed_call_adds_nothing() -> None:
    model, penalty = moved()
    model.second = nn.Parameter(torch.ones(2, 1))
    with pytest.raises(ValueError, match="shapes differ"):
        penalty.add_gradient_(model)
    assert model.first.grad is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_moves_to_the_model_on_cuda() -> None:
    model, penalty = moved()
    model = model.to("cuda")
    penalty.add_gradient_(model)
    gradient: Tensor | None = model.first.grad
    assert gradient is not None
    assert gradient.tolist() == [6.0, 3.0]
