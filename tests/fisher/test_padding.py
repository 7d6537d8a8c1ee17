"""Padding is cut off where a model is indifferent to it, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal, padding
from cfhelpers.fisher.spans import ActiveSpans
from tests.fisher.test_fisher import VOCABULARY, batches_for, causal_model, model_of, oracle, relative_error

# Toys that sum over padding say so; tests/fisher/test_layout.py is about that.
pytestmark = pytest.mark.filterwarnings("ignore:.*reads padding")


@pytest.fixture(autouse=True)
def forget() -> None:
    """Let every test's model be tried anew."""
    padding._indifferent.clear()


@pytest.fixture
def shapes() -> list[tuple[int, ...]]:
    """What a model was called with."""
    return []


def watched(model: nn.Module, shapes: list[tuple[int, ...]]) -> nn.Module:
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return model


def wide(batch: dict[str, Tensor], extra: int) -> dict[str, Tensor]:
    fill = {"input_ids": 1, "attention_mask": 0, "labels": -100}
    return {n: torch.cat([v, torch.full((len(v), extra), fill[n])], 1) if v.dim() == 2 else v for n, v in batch.items()}


@pytest.mark.parametrize("kind", ["gpt2", "roberta", "llama"])
def test_padding_to_a_maximal_length_costs_nothing(kind: str, shapes: list[tuple[int, ...]]) -> None:
    model, (batch,) = watched(model_of(kind), shapes), batches_for(kind, (5,))
    estimate = fisher_diagonal(model, [wide(batch, 20)])
    assert shapes[-1] == batch["input_ids"].shape
    assert relative_error(estimate, oracle(model, [batch])) < 2e-6


def test_a_batch_of_unequal_lengths_is_halved(monkeypatch: pytest.MonkeyPatch, shapes: list[tuple[int, ...]]) -> None:
    monkeypatch.setattr(padding, "SMALLEST", 11)  # more than one example has
    model, batches = watched(causal_model("gpt2"), shapes), batches_for("gpt2", (8, 5))
    fisher_diagonal(model, batches)
    shapes.clear()  # of the self-check
    estimate = fisher_diagonal(model, batches)
    assert {shape[0] for shape in shapes} <= {2, 3, 4, 5}
    assert len(shapes) > 2
    assert relative_error(estimate, oracle(model, batches)) < 2e-6


def test_draws_do_not_depend_on_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = causal_model("gpt2").double(), batches_for("gpt2", (8,))
    whole = fisher_diagonal(model, batches, variant="sample", unit="token")
    monkeypatch.setattr(padding, "SMALLEST", 8)
    assert relative_error(fisher_diagonal(model, batches, variant="sample", unit="token"), whole) < 1e-6


def test_the_batched_variant_keeps_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2", (8,))
    whole = fisher_diagonal(model, batches, variant="batched")
    monkeypatch.setattr(padding, "SMALLEST", 1)
    assert relative_error(fisher_diagonal(model, batches, variant="batched"), whole) == 0


class Averaging(nn.Module):
    """Counts padding in its mean, with a weight of its own."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head, self.weight = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 3), weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        weights = torch.where(attention_mask == 1, 1.0, self.weight)[..., None]
        return self.head((weights * self.embed(input_ids)).sum(1) / weights.sum(1))


def _unusual() -> Iterator[tuple[str, nn.Module, dict[str, Tensor]]]:
    batch, classes = (wide(batches_for(kind, (4,))[0], 3) for kind in ("gpt2", "bert"))
    mask, width = batch["attention_mask"], batch["input_ids"].shape[1]
    yield "a model that sees padding", Averaging(), classes
    yield "a model that sees it a little", Averaging(2e-3), classes
    yield "a hole in the mask", causal_model("gpt2"), batch | {"attention_mask": mask.index_fill(1, torch.tensor(1), 0)}
    four = torch.zeros(4, 1, width, width)
    yield "a tensor of another shape", causal_model("gpt2"), batch | {"extra": four}


@pytest.mark.parametrize("case", [case for case, _, _ in _unusual()])
def test_what_is_not_known_to_be_safe_is_left_alone(case: str, shapes: list[tuple[int, ...]]) -> None:
    _, model, batch = next(each for each in _unusual() if each[0] == case)
    fisher_diagonal(watched(model, shapes), [batch])
    assert shapes[-1] == batch["input_ids"].shape


def test_an_example_without_padding_does_not_settle_it() -> None:
    # Tried on a batch without padding, every model would look indifferent.
    (batch,) = batches_for("bert", (4,))
    full = {name: value[:, :4] if value.dim() == 2 else value for name, value in batch.items()}
    model = Averaging()
    singles: list[Any] = [{n: v[i : i + 1] for n, v in b.items()} for b in (full, batch) for i in range(4)]
    assert relative_error(fisher_diagonal(model, [full, batch]), fisher_diagonal(model, singles)) < 1e-5
    assert list(padding._indifferent.values()) == [False]


def test_a_setting_that_no_configuration_tells_settles_it_for_itself_alone() -> None:
    batch = wide(batches_for("bert", (4,))[0], 3)
    fisher_diagonal(Averaging(0.0), [batch])
    singles = [{n: v[i : i + 1] for n, v in batch.items()} for i in range(4)]
    assert relative_error(fisher_diagonal(Averaging(), [batch]), fisher_diagonal(Averaging(), singles)) < 1e-5


def test_spans_are_those_of_the_rows_that_are_not_all_zero() -> None:
    gradient, spans = torch.randn(3, 5, 4), ActiveSpans()
    assert spans.of(gradient) is None
    gradient[0, 3:] = 0
    gradient[1, :2] = 0
    gradient[2] = 0
    gradient[..., 0] = 0  # zero in one column says nothing
    assert spans.of(gradient) == [(0, 3), (2, 5), (0, 0)]
    gradient[0, 4, 3] = 1e-30  # what was silent in the layer before need not be here
    assert spans.of(gradient) == [(0, 5), (2, 5), (0, 0)]
    assert spans.of(gradient[:, :4].clone()) == [(0, 3), (2, 4), (0, 0)]
