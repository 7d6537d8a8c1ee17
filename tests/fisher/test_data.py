"""What fisher_diagonal takes for data, and what it refuses before long work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal
from tests.fisher.test_fisher import batches_for, causal_model, classifier, examples_of, oracle, relative_error

# Toys that sum over padding say so; tests/fisher/test_layout.py is about that.
pytestmark = pytest.mark.filterwarnings("ignore:.*reads padding")

FILL = {"input_ids": 1, "labels": -100}


def examples(kind: str = "gpt2", number: int = 7) -> list[dict[str, list[int]]]:
    """Single examples of unequal length, as a data set holds them."""
    found = []
    for row in examples_of(batches_for(kind, (number,))):
        label = row["labels"]
        values = {"input_ids": row["input_ids"][0].tolist()}
        found.append(values | {"labels": label[0].tolist() if label.dim() == 2 else int(label)})
    return found


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_a_data_set_equals_its_batches(kind: str) -> None:
    from datasets import Dataset

    model = causal_model(kind) if kind == "gpt2" else classifier(kind)
    truth = oracle(model, batches_for(kind, (7,)))
    dataset = Dataset.from_list(examples(kind))
    assert relative_error(fisher_diagonal(model, dataset, batch_size=3), truth) < 1e-5
    assert relative_error(fisher_diagonal(model, dataset.with_format("torch"), batch_size=2), truth) < 1e-5
    assert relative_error(fisher_diagonal(model, examples(kind)), truth) < 1e-5


def test_a_collator_is_used_for_a_data_set() -> None:
    from datasets import Dataset

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        width = max(len(row["input_ids"]) for row in rows) + 2
        padded = {name: [row[name] + [fill] * (width - len(row[name])) for row in rows] for name, fill in FILL.items()}
        mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
        return {name: torch.tensor(value) for name, value in padded.items()} | {"attention_mask": torch.tensor(mask)}

    model = causal_model("gpt2")
    dataset = Dataset.from_list(examples())
    truth = oracle(model, batches_for("gpt2", (7,)))
    assert relative_error(fisher_diagonal(model, dataset, collate=collate, batch_size=4), truth) < 1e-5


def test_a_loader_and_a_one_shot_iterator() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    truth = oracle(model, batches)
    loader = torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    assert relative_error(fisher_diagonal(model, loader), truth) < 1e-5
    assert relative_error(fisher_diagonal(model, iter(batches)), truth) < 1e-5


def test_columns_the_model_does_not_name_are_left_out() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    extra = [batch | {"task_ids": torch.zeros(len(batch["labels"])).long(), "text": ["x"]} for batch in batches]
    assert relative_error(fisher_diagonal(model, extra), oracle(model, batches)) < 1e-5


def test_max_examples() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    first = {name: value[:3] for name, value in batch.items()}
    estimate = fisher_diagonal(model, [batch, batch], max_examples=3)
    assert estimate.n_examples == 3
    assert relative_error(estimate, oracle(model, [first])) < 1e-5
    subset = fisher_diagonal(model, examples(), max_examples=3, seed=1)
    assert subset.n_examples == 3
    assert relative_error(fisher_diagonal(model, examples(), max_examples=3, seed=1), subset) == 0
    assert relative_error(fisher_diagonal(model, examples(), max_examples=3, seed=2), subset) > 1e-3


def test_examples_without_targets_do_not_count() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (4,))
    kept = {name: value[:2].clone() for name, value in batch.items()}
    batch["labels"][2:] = -100
    empty = {name: value.clone() for name, value in batch.items()}
    empty["labels"][:] = -100
    estimate = fisher_diagonal(model, [empty, batch])
    assert estimate.n_examples == 2
    assert relative_error(estimate, oracle(model, [kept])) < 1e-5


class Masked(nn.Module):
    """Logits of -inf for the last class, as a classifier of several tasks returns them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        from transformers.modeling_outputs import SequenceClassifierOutput

        logits = self.layer(input_ids[:, :4].to(self.layer.weight.dtype))
        excluded = torch.tensor([False, False, True])
        return SequenceClassifierOutput(logits=logits.masked_fill(excluded, -torch.inf))


@pytest.mark.parametrize("variant", ["exact", "sample", "empirical", "batched"])
def test_excluded_classes_are_ignored(variant: Any) -> None:
    model, batch = Masked(), batches_for("bert", (6,))[0]
    batch["labels"] = batch["labels"].clamp(max=1)
    estimate = fisher_diagonal(model, [batch], variant=variant, draws=20)
    assert all(bool(torch.isfinite(value).all()) for value in estimate.values())
    assert float(estimate["layer.bias"][:2].min()) > 0
    assert float(estimate["layer.bias"][2]) == 0


def _nan(model: nn.Module) -> nn.Module:
    next(model.parameters()).data.fill_(torch.nan)
    return model


def _frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


GOOD = {"input_ids": torch.full((2, 5), 3), "labels": torch.full((2, 5), 3)}
BAD: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "an empty loader": (None, [], {}, "batches is empty"),
    "an exhausted iterator": (None, iter(()), {}, "batches is empty"),
    "one batch instead of many": (None, GOOD, {}, r"pass a list of batches: \[batch\]"),
    "no labels": (None, [{"input_ids": GOOD["input_ids"]}], {}, "has no labels"),
    "tuples": (None, [(1, 2)], {}, "must be a mapping"),
    "labels all -100": (None, [GOOD | {"labels": torch.full((2, 5), -100)}] * 3, {}, "every label is -100"),
    "float labels": (None, [GOOD | {"labels": torch.ones(2, 5)}], {}, "labels must be integers"),
    "a label outside the vocabulary": (None, [GOOD | {"labels": torch.full((2, 5), 99)}], {}, "label 99 is no class"),
    "a NaN loss": (_nan, [GOOD], {}, "loss is not finite on example 0"),
    "nothing trainable": (_frozen, [GOOD], {}, "no trainable parameters"),
    "exact for a language model": (None, [GOOD], {"variant": "exact"}, "variant='sample' draws each token"),
    "an unknown variant": (None, [GOOD], {"variant": "true"}, "unknown variant 'true'; choose one of exact"),
    "an unknown unit": (None, [GOOD], {"unit": "word"}, "unknown unit 'word'; choose one of sequence"),
    "no draws": (None, [GOOD], {"draws": 0}, "draws must be at least 1"),
    "no examples": (None, [GOOD], {"max_examples": 0}, "max_examples must be at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_clear_error(case: str) -> None:
    spoil, batches, settings, message = BAD[case]
    model = causal_model("gpt2")
    model = spoil(model) if spoil else model
    with pytest.raises(ValueError, match=message):
        fisher_diagonal(model, batches, **settings)


def test_all_ignored_never_calls_the_model() -> None:
    with pytest.raises(ValueError, match="every label is -100"):
        fisher_diagonal(_Uncallable(), [GOOD | {"labels": torch.full((2, 5), -100)}])


class _Uncallable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, input_ids: Tensor) -> Tensor:
        raise AssertionError("the model was called")
