"""However a batch is laid out (padded on the left, packed, streamed), the examples in it are the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from datasets import Dataset
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal, mas_importance, padding
from tests.fisher.test_fisher import (
    VOCABULARY,
    batches_for,
    causal_model,
    classifier,
    examples_of,
    model_of,
    oracle,
    relative_error,
)


def on_the_left(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same texts with their padding in front of them."""
    shifts = (batch["attention_mask"] == 0).sum(1)
    turned = {
        name: torch.stack([row.roll(int(by)) for row, by in zip(value, shifts, strict=True)])
        if value.dim() == 2
        else value
        for name, value in batch.items()
    }
    return turned


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "roberta"])
def test_padding_on_the_left_changes_nothing(kind: str) -> None:
    model, batches = model_of(kind), batches_for(kind, (5, 3))
    left = [on_the_left(batch) for batch in batches]
    assert any(not bool(batch["attention_mask"][:, 0].all()) for batch in left)
    assert relative_error(fisher_diagonal(model, left), oracle(model, batches)) < 1e-5
    assert relative_error(mas_importance(model, left), mas_importance(model, batches)) < 1e-5


@pytest.mark.parametrize("explicit", ["as generate does", "one row for all"])
def test_position_ids_that_are_given_move_along(explicit: str) -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    left = on_the_left(batch)
    if explicit == "as generate does":
        left["position_ids"] = (left["attention_mask"].cumsum(1) - 1).masked_fill(left["attention_mask"] == 0, 1)
        assert relative_error(fisher_diagonal(model, [left]), oracle(model, [batch])) < 1e-5
    else:  # padding is counted, because the caller says so
        left["position_ids"] = torch.arange(left["input_ids"].shape[1])[None]
        ones = [
            {n: v[:, -int(left["attention_mask"][i].sum()) :] for n, v in row.items()}
            for i, row in enumerate({n: v[i : i + 1] if len(v) > 1 else v for n, v in left.items()} for i in range(5))
        ]
        assert relative_error(fisher_diagonal(model, [left]), fisher_diagonal(model, ones)) < 1e-5


def test_left_padding_of_an_encoder_alone() -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    torch.manual_seed(0)
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32,
        )
    )  # fmt: skip
    (batch,) = batches_for("gpt2", (4,))
    labels = torch.randint(3, 40, (4, batch["input_ids"].shape[1]), generator=torch.Generator().manual_seed(3))
    right = batch | {"labels": labels}  # as long as the questions: the mask is not that of the labels all the same
    left = on_the_left(batch) | {"labels": labels}
    found = fisher_diagonal(model, [left])
    assert found.n_targets == labels.numel()
    assert relative_error(found, fisher_diagonal(model, [right])) < 1e-5


def test_left_padding_beside_a_mask_of_another_shape_is_refused() -> None:
    (batch,) = batches_for("gpt2", (3,))
    width = batch["input_ids"].shape[1]
    left = on_the_left(batch) | {"bias": torch.zeros(3, 1, width, width)}
    with pytest.raises(ValueError, match=r"padded on the left, and bias .*padding_side"):
        fisher_diagonal(causal_model("gpt2"), [left])


@pytest.mark.parametrize("extra", [0, 4])
def test_targets_under_the_padding_do_not_count(extra: int) -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    batch["labels"] = torch.where(batch["attention_mask"] == 1, batch["input_ids"], -100)
    copied = {n: F.pad(v, (0, extra)) for n, v in batch.items()}
    copied["labels"] = copied["input_ids"].clone()
    found = fisher_diagonal(model, [copied])
    assert found.n_targets == int(batch["attention_mask"].sum()) - 5
    assert relative_error(found, oracle(model, [batch])) < 1e-5


def packed(batch: dict[str, Tensor], rows: list[list[int]]) -> dict[str, Tensor]:
    """Examples one after the other in rows, padded at the end."""
    found: dict[str, list[Tensor]] = {name: [] for name in (*batch, "position_ids")}
    for row in rows:
        lengths = [int(batch["attention_mask"][i].sum()) for i in row]
        for name, value in batch.items():
            found[name].append(torch.cat([value[i, :n] for i, n in zip(row, lengths, strict=True)]))
        found["position_ids"].append(torch.cat([torch.arange(n) for n in lengths]))
    fill = {"labels": -100}
    return {n: nn.utils.rnn.pad_sequence(v, True, padding_value=fill.get(n, 0)) for n, v in found.items()}


@pytest.mark.parametrize("rows", [[[0, 1, 2, 3, 4]], [[0, 1], [2], [3, 4]]])
@pytest.mark.parametrize("masked", [True, False])
def test_packed_rows_are_taken_apart(rows: list[list[int]], masked: bool) -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    batch["labels"][:, 1] = batch["input_ids"][:, 1]  # the target next to a border
    together = packed(batch, rows)
    together["labels"][together["position_ids"] == 0] = -100
    together["cu_seq_lens_q"] = torch.tensor([0, 3, 9])
    together["max_length_q"] = 9  # type: ignore[assignment]
    if not masked:
        del together["attention_mask"]
    for unit in ("sequence", "token"):
        found = fisher_diagonal(model, [together], unit=unit, draws=1 if unit == "sequence" else 40)
        assert found.n_examples == 5
        if unit == "sequence":
            assert relative_error(found, oracle(model, [batch])) < 1e-5
    assert fisher_diagonal(model, [together], max_examples=3).n_examples == 3


def test_packed_embeddings_are_taken_apart() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    together = packed(batch, [[0, 1], [2], [3, 4]])
    together["labels"][together["position_ids"] == 0] = -100
    together["inputs_embeds"] = model.get_input_embeddings()(together.pop("input_ids")).detach()
    found = fisher_diagonal(model, [together])
    assert found.n_examples == 5
    outputs_only = [name for name in found if "wte" not in name]  # the tied embedding has its output part alone
    wanted = oracle(model, [batch])
    for name in outputs_only:
        torch.testing.assert_close(found[name], wanted[name].float(), rtol=1e-4, atol=1e-8)


def _packed_without_positions() -> dict[str, dict[str, Any]]:
    ids = torch.randint(3, 20, (2, 8))
    plain = {"input_ids": ids, "labels": ids}
    blocks = torch.block_diag(torch.ones(3, 3), torch.ones(5, 5)).tril().bool().expand(2, 1, 8, 8)
    return {
        "cu_seq_lens": plain | {"cu_seq_lens_q": torch.tensor([0, 3, 8, 16])},
        "seq_idx": plain | {"seq_idx": torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]] * 2)},
        "document ids": plain | {"document_ids": torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]] * 2)},
        "segment ids": plain | {"segment_ids": torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0]] * 2)},
        "a numbered mask": plain | {"attention_mask": torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0]] * 2)},
        "blocks of a mask": plain | {"attention_mask": blocks},
        "blocks of an added mask": plain | {"attention_mask": torch.zeros(2, 1, 8, 8).masked_fill(~blocks, -1e9)},
        "trl's lengths": plain | {"seq_lengths": torch.tensor([[3, 5], [8, 0]])},
        "a label for the row": {
            "input_ids": ids, "labels": torch.tensor([0, 1]), "position_ids": torch.tensor([[0, 1, 2, 3] * 2] * 2)
        },
    }  # fmt: skip


def test_packed_rows_with_one_row_of_positions_for_all_are_taken_apart() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    together = packed(batch, [[0, 1, 2, 3, 4]])
    together["labels"][together["position_ids"] == 0] = -100
    together["position_ids"] = together["position_ids"][0]
    found = fisher_diagonal(model, [together])
    assert found.n_examples == 5
    assert relative_error(found, oracle(model, [batch])) < 1e-5


def test_segments_of_two_texts_with_one_class_are_no_packing() -> None:
    model, (batch,) = classifier("bert"), batches_for("bert", (3,))
    segments = {"segment_ids": (torch.arange(batch["input_ids"].shape[1]) > 2).long().expand_as(batch["input_ids"])}
    assert fisher_diagonal(model, [batch | segments]).n_examples == 3


@pytest.mark.parametrize("case", _packed_without_positions())
def test_packed_rows_that_cannot_be_taken_apart_are_refused(case: str) -> None:
    model = classifier("bert") if case == "a label for the row" else causal_model("gpt2")
    with pytest.raises(ValueError, match=r"one row|packed rows"):
        fisher_diagonal(model, [_packed_without_positions()[case]])


def test_a_mask_of_one_sequence_by_pairs_of_tokens_is_taken() -> None:
    model, (batch,) = causal_model("gpt2"), batches_for("gpt2", (5,))
    present = batch["attention_mask"].bool()
    width = present.shape[1]
    pairs = (torch.ones(width, width).tril().bool() & present[:, None, :])[:, None]
    found = fisher_diagonal(model, [batch | {"attention_mask": pairs}])
    assert relative_error(found, oracle(model, [batch])) < 1e-5
    turned = on_the_left(batch)
    shown = turned["attention_mask"].bool()
    opened = ((torch.ones(width, width).tril().bool() & shown[:, None, :]) | ~shown[:, :, None])[:, None]
    added = torch.zeros(opened.shape).masked_fill(~opened, -1e9)
    assert fisher_diagonal(model, [turned | {"attention_mask": added}]).n_examples == 5


def test_a_packed_data_set_is_refused() -> None:
    rows = [{"input_ids": [3, 4, 5, 6, 7], "labels": [3, 4, 5, 6, 7], "position_ids": [0, 1, 0, 1, 2]}] * 2
    with pytest.raises(ValueError, match="its rows are packed"):
        fisher_diagonal(causal_model("gpt2"), rows)


def rows_of(kind: str) -> Dataset:
    batches = batches_for(kind, (4, 3))
    return Dataset.from_list(
        [
            {"input_ids": one["input_ids"][0].tolist(), "labels": one["labels"][0].tolist(), "text": "words"}
            for one in examples_of(batches)
        ]
    )


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("form", ["stream", "tensors", "generator", "columns", "lists", "label"])
def test_single_examples_from_a_stream_equal_the_data_set(kind: str, form: str) -> None:
    rows, model = rows_of(kind), model_of(kind)
    stream: Any = {
        "stream": rows.to_iterable_dataset(),
        "tensors": rows.to_iterable_dataset().with_format("torch"),
        "generator": (dict(row) for row in rows),  # type: ignore[call-overload]
        "columns": rows.to_iterable_dataset().batch(3),
        "lists": [list(rows.select(range(3))), list(rows.select(range(3, 7)))],
        "label": rows.rename_column("labels", "label").to_iterable_dataset(),
    }[form]
    if form == "label" and kind == "gpt2":
        stream = rows.rename_column("labels", "label_ids").to_iterable_dataset()
    found = fisher_diagonal(model, stream, batch_size=3)
    assert found.n_examples == 7
    assert relative_error(found, fisher_diagonal(model, rows)) < 1e-5


def test_a_stream_of_something_else_is_named() -> None:
    with pytest.raises(ValueError, match=r"each batch must be a mapping .* got str"):
        fisher_diagonal(causal_model("gpt2"), iter(["a text"]))


class Averaging(nn.Module):
    """Counts padding in its mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embed(input_ids).tanh().mean(1))


def test_a_model_that_reads_padding_gets_examples_of_one_length_from_a_data_set() -> None:
    padding._indifferent.clear()
    rows, model = rows_of("bert"), Averaging()
    one = fisher_diagonal(model, rows, batch_size=1)
    for size in (2, 7):
        assert relative_error(fisher_diagonal(model, rows, batch_size=size), one) < 1e-5
        assert relative_error(fisher_diagonal(model, iter(rows), batch_size=size), one) < 1e-5


def test_of_given_batches_it_is_said_that_padding_is_read() -> None:
    padding._indifferent.clear()
    with pytest.warns(UserWarning, match="Averaging reads padding") as said:
        fisher_diagonal(Averaging(), batches_for("bert", (4, 3)))
    assert len(said) == 1


def test_fnet_reads_padding_and_is_right_all_the_same() -> None:
    from transformers import FNetConfig, FNetForSequenceClassification

    torch.manual_seed(0)
    model = FNetForSequenceClassification(
        FNetConfig(
            vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, intermediate_size=24,
            max_position_embeddings=32, num_labels=3,
        )
    )  # fmt: skip
    rows = rows_of("bert")
    truth = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in model.named_parameters()}
    twin = copy.deepcopy(model).double().eval()
    for row in rows:
        twin.zero_grad()
        F.cross_entropy(twin(torch.tensor([row["input_ids"]])).logits, torch.tensor([row["labels"]])).backward()
        for name, p in twin.named_parameters():
            truth[name] += p.grad**2 / len(rows)
    assert relative_error(fisher_diagonal(model, rows), truth) < 1e-4
