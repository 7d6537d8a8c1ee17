"""What a GPU does in another way than a CPU: the fused kernel, and rows shared with an embedding taken out at once.

Without a GPU the kernel runs in Triton's interpreter, where Triton is installed (``tests/conftest.py``).
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from cfhelpers.fisher import fisher_diagonal, squares
from cfhelpers.fisher.contributions import Outer
from tests.fisher.test_fisher import batches_for, model_of, oracle, relative_error

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
ON_CUDA = pytest.mark.skipif(not CUDA, reason="needs a CUDA device")


@pytest.fixture
def fused() -> ModuleType:
    """The kernel's module, interpreted where there is no GPU."""
    pytest.importorskip("triton")
    return importlib.import_module("cfhelpers.fisher.fused")


def by_definition(left: Tensor, right: Tensor, power: int) -> Tensor:
    return torch.einsum("btm,btn->bmn", left.double(), right.double()).abs().pow(power).sum(0)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize(("examples", "tokens", "m", "n"), [(5, 37, 70, 150), (3, 1, 128, 128), (4, 64, 200, 9)])
def test_the_kernel_adds_what_the_definition_says(
    examples: int, tokens: int, m: int, n: int, splits: int, power: Any, fused: ModuleType
) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(examples, tokens, m, device=DEVICE), torch.randn(examples, tokens, n, device=DEVICE)
    before = torch.rand(m, n, device=DEVICE)
    total = before.clone()
    fused.add_raised_outer_(total, left, right, power, splits)
    truth = by_definition(left, right, power) + before
    assert float((total - truth).norm() / truth.norm()) < 1e-6


def test_the_kernel_follows_strides_and_takes_half_precision(fused: ModuleType) -> None:
    torch.manual_seed(0)
    left = torch.randn(40, 3, 33, device=DEVICE).transpose(0, 1)
    right = torch.randn(3, 20, 40, device=DEVICE).mT
    for dtype, other in (
        (torch.float32, torch.float32),
        (torch.float16, torch.float16),
        (torch.float16, torch.float32),
    ):
        total = torch.zeros(33, 20, device=DEVICE)
        fused.add_raised_outer_(total, left.to(dtype), right.to(other), 2, 2)
        truth = by_definition(left.to(dtype), right.to(other), 2)
        assert float((total - truth).norm() / truth.norm()) < 1e-6


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_CUDA)])
@pytest.mark.parametrize("power", [1, 2])
def test_rows_shared_with_an_embedding_are_taken_out_at_once(device: str, power: Any) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(4, 6, 11), torch.randn(4, 6, 5)
    ids = torch.randint(-1, 11, (4, 9))
    truth, parts = torch.zeros(11, 5), squares.KeptRows(ids, torch.zeros(11, 5))
    squares.add_raised_outer_(truth, Outer(left, right), None, power, parts)
    total = torch.zeros(11, 5, device=device)
    kept = squares.KeptRows(ids.to(device), total)
    squares._add_in_batches_(total, kept.take_from_(left.to(device), right.to(device)), right.to(device), power)
    torch.testing.assert_close(total.cpu(), truth)
    torch.testing.assert_close(kept.values[kept.skipped :].cpu(), parts.values[parts.skipped :])


@ON_CUDA
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "roberta"])
def test_with_triton_and_without(kind: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squares, "HAS_TRITON", fast and importlib.util.find_spec("triton") is not None)
    model, batches = model_of(kind), batches_for(kind, (4, 3))
    truth = oracle(model, batches)
    first, second = (fisher_diagonal(copy.deepcopy(model).to(DEVICE), batches) for _ in range(2))
    assert relative_error({name: value.cpu() for name, value in first.items()}, truth) < 2e-6
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_gpu_path_is_right_for_a_whole_model(monkeypatch: pytest.MonkeyPatch, fused: ModuleType) -> None:
    def everything_fused(total: Tensor, outer: Outer, _spans: Any, power: Any, kept: Any = None) -> None:
        left = outer.left if kept is None else kept.take_from_(outer.left, outer.right)
        fused.add_raised_outer_(total, left, outer.right, power, 2)

    monkeypatch.setattr(squares, "add_raised_outer_", everything_fused)
    for kind in ("gpt2", "roberta"):
        model, batches = model_of(kind), batches_for(kind, (4, 3))
        truth = oracle(model, batches)
        estimate = fisher_diagonal(model.to(DEVICE), batches)
        assert relative_error({name: value.cpu() for name, value in estimate.items()}, truth) < 2e-6
