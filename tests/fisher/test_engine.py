"""The batched engine: right on every architecture and for every use of a layer, honest about what it cannot do."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal, loop, selfcheck, squares
from tests.fisher.test_fisher import (
    KINDS,
    VOCABULARY,
    batches_for,
    causal_model,
    classifier,
    examples_of,
    gradients,
    mean_of_squares,
    model_of,
    oracle,
    relative_error,
    warned_of,
)

# Toys that sum over padding say so; tests/fisher/test_layout.py is about that.
pytestmark = pytest.mark.filterwarnings("ignore:.*reads padding")

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


@pytest.fixture(autouse=True)
def forget_verdicts() -> None:
    """Let every test's model be checked anew."""
    selfcheck._known.clear()


@pytest.fixture
def looped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples went through the loop one by one, in every call after the self-check."""
    counted: list[int] = []
    plain = loop.Loop.add

    def counting(self: loop.Loop, batch: Any, likelihood: Any) -> None:
        counted.append(len(batch) if self.parameters else 0)
        plain(self, batch, likelihood)

    monkeypatch.setattr(loop.Loop, "add", counting)
    return counted


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_goes_through_the_hooks(
    kind: str, device: str, looped: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    model, batches = model_of(kind), batches_for(kind, (4, 3, 2))
    estimate = fisher_diagonal(model.to(device), batches)
    assert relative_error({n: v.cpu() for n, v in estimate.items()}, oracle(model.cpu(), batches)) < 2e-6
    assert looped == [2]  # the self-check
    assert warned_of(caplog) == []


def test_the_self_check_runs_once_for_a_class_of_models(looped: list[int]) -> None:
    batches = batches_for("gpt2")
    for _ in range(3):
        fisher_diagonal(causal_model("gpt2"), batches)
    assert looped == [2]
    model = causal_model("gpt2")
    model.get_parameter("transformer.wte.weight").requires_grad_(False)
    fisher_diagonal(model, batches)
    assert looped == [2, 2]


def test_left_padding() -> None:
    model, batches = causal_model("llama"), batches_for("gpt2", (4,))
    flipped = [{name: value.flip(1) for name, value in batch.items()} for batch in batches]
    for batch in flipped:
        # The first token has nothing before it to be predicted from.
        batch["labels"][batch["attention_mask"].cumsum(1) == 1] = -100
        batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of([{n: v.flip(1) for n, v in batch.items() if n != "position_ids"} for batch in flipped]):
        row = {name: value.flip(1) for name, value in row.items()}
        labels = row.pop("labels")
        loss = F.cross_entropy(double(**row).logits[0, :-1], labels[0, 1:], reduction="sum", ignore_index=-100)
        found.append(gradients(double, loss))
    assert relative_error(fisher_diagonal(model, flipped), mean_of_squares(found, 4)) < 1e-5


def test_padding_that_is_attended_to_is_part_of_the_example(looped: list[int]) -> None:
    # Without attention to the mask, padded positions carry gradients, and skipping them would be wrong.
    class Unmasked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            return self.head(self.embed(input_ids)).tanh().mean(1)

    model, (batch,) = Unmasked(), batches_for("bert", (5,))
    rows = [{name: value[i : i + 1] for name, value in batch.items()} for i in range(5)]
    double = copy.deepcopy(model).double()
    found = [gradients(double, F.cross_entropy(double(r["input_ids"], r["attention_mask"]), r["labels"])) for r in rows]
    assert relative_error(fisher_diagonal(model, [batch]), mean_of_squares(found, 5)) < 1e-5
    assert looped == [2]


def test_the_padding_row_of_an_embedding_gets_no_gradient_even_where_it_is_attended_to(looped: list[int]) -> None:
    model, (batch,) = classifier("bert"), batches_for("bert", (4,))
    batch = {"input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 0), "labels": batch["labels"]}
    batch["input_ids"][:, 1] = 0
    estimate = fisher_diagonal(model, [batch])
    assert looped == [2]
    assert relative_error(estimate, fisher_diagonal(model, list(_singles([batch])))) < 1e-5
    assert float(estimate["bert.embeddings.word_embeddings.weight"][0].sum()) == 0


@pytest.mark.parametrize("variant", ["sample", "empirical"])
def test_every_variant_and_unit_agrees_with_the_loop(variant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = causal_model("gpt2").double(), batches_for("gpt2")
    for unit in ("sequence", "token"):
        fast = fisher_diagonal(model, batches, variant=variant, unit=cast(Any, unit), draws=3)
        singles = list(_singles(batches))
        assert (
            relative_error(fisher_diagonal(model, singles, variant=variant, unit=cast(Any, unit), draws=3), fast) < 1e-6
        )


def _singles(batches: list[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    for batch in batches:
        for row in range(len(batch["labels"])):
            yield {name: value[row : row + 1] for name, value in batch.items()}


def test_exact_agrees_with_the_loop() -> None:
    model, batches = classifier("roberta"), batches_for("roberta")
    fast = fisher_diagonal(model, batches, variant="exact")
    assert relative_error(fisher_diagonal(model, list(_singles(batches)), variant="exact"), fast) < 1e-5


FROZEN: dict[str, Callable[[str], bool]] = {
    "the embeddings": lambda name: "wte" in name or "wpe" in name,
    "the first layer": lambda name: ".h.0." in name,
    "the last layer": lambda name: ".h.1." in name,
    "all weights but the biases": lambda name: not name.endswith("bias"),
    "all but one norm": lambda name: "ln_f.weight" not in name,
}


@pytest.mark.parametrize("part", FROZEN)
def test_frozen_parts(part: str, looped: list[int]) -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not FROZEN[part](name))
    assert relative_error(fisher_diagonal(model, batches), oracle(model, batches)) < 2e-6
    assert looped == [2]


def test_untied_head() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())  # type: ignore[union-attr]
    assert relative_error(fisher_diagonal(model, batches), oracle(model, batches)) < 2e-6


def test_sequence_to_sequence_loops_over_the_position_bias_alone(caplog: pytest.LogCaptureFixture) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))
    batches = batches_for("gpt2", (4,))
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of(batches):
        found.append(gradients(double, F.cross_entropy(double(**row).logits[0], row["labels"][0], reduction="sum")))
    with caplog.at_level(logging.WARNING, "cfhelpers.fisher"):
        estimate = fisher_diagonal(model, batches)
    assert relative_error(estimate, mean_of_squares(found, 4)) < 2e-6
    assert len(caplog.records) == 2
    assert all("relative_attention_bias" in record.getMessage() for record in caplog.records)


# peft 0.21 still asks transformers 5.23 for a property under its old name.
PEFT_WARNING = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def _adapted(kind: str, **settings: Any) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(cast(Any, model_of(kind)), LoraConfig(r=2, lora_dropout=0.1, **settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    return model


@PEFT_WARNING
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "task_type": "CAUSAL_LM"}),
        ("llama", {"target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}),
        ("llama", {"target_modules": ["q_proj"]}),
        ("roberta", {"target_modules": ["query"], "task_type": "SEQ_CLS"}),
    ],
)
def test_adapters(kind: str, settings: dict[str, Any], device: str, looped: list[int]) -> None:
    model, batches = _adapted(kind, **settings).to(device), batches_for(kind)
    estimate = fisher_diagonal(model, batches)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert set(estimate) == trainable
    assert relative_error({n: v.cpu() for n, v in estimate.items()}, oracle(model.cpu(), batches)) < 2e-6
    assert looped == [2]


@PEFT_WARNING
def test_soft_prompts() -> None:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    model = get_peft_model(
        cast(Any, causal_model("gpt2")), PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    )
    batches = batches_for("gpt2")
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of(batches):
        logits = double(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).logits[0, 3:-1]
        loss = F.cross_entropy(logits, row["labels"][0, 1:], reduction="sum", ignore_index=-100)
        found.append(gradients(double, loss))
    assert relative_error(fisher_diagonal(model, batches), mean_of_squares(found, 5)) < 2e-6


def test_embedded_inputs() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    embedded = []
    for batch in batches:
        states = model.get_parameter("transformer.wte.weight").detach()[batch["input_ids"]]
        embedded.append({"inputs_embeds": states, **{n: v for n, v in batch.items() if n != "input_ids"}})
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of(embedded):
        row["inputs_embeds"] = row["inputs_embeds"][:, : row["labels"].shape[1]].double()
        labels = row.pop("labels")
        loss = F.cross_entropy(double(**row).logits[0, :-1], labels[0, 1:], reduction="sum", ignore_index=-100)
        found.append(gradients(double, loss))
    estimate = fisher_diagonal(model, embedded)
    assert relative_error(estimate, mean_of_squares(found, 5)) < 2e-6


@pytest.mark.parametrize("device", DEVICES)
def test_autocast_and_bfloat16(device: str) -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    truth = oracle(model, batches)
    model = model.to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        mixed = fisher_diagonal(model, batches)
    half = fisher_diagonal(copy.deepcopy(model).bfloat16(), batches)
    for estimate in (mixed, half):
        for name in truth:
            if float(truth[name].norm()) > 1e-4 * max(float(value.norm()) for value in truth.values()):
                assert float((estimate[name].cpu() - truth[name]).norm() / truth[name].norm()) < 0.1


class Unusual(nn.Module):
    """A causal model from parts, with one part that is used in an unusual way."""

    def __init__(self, part: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.part = part
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.linear = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, VOCABULARY)
        if part == "a bare parameter":
            self.scale = nn.Parameter(torch.rand(8))
        if part == "an attention module":
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        if part == "a convolution":
            self.convolution = nn.Conv1d(8, 8, 1)
        if part == "a parametrised weight":
            nn.utils.parametrizations.weight_norm(self.linear)
        if part == "a linear under a misleading name":
            self.linear = Doubled(8, 8)
        if part == "a norm under a misleading name":
            self.norm = ShiftedRMSNorm(8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        states = self.embed(input_ids)
        match self.part:
            case "a layer used twice":
                states = self.linear(self.linear(states).relu())
            case "a norm used twice":
                states = self.norm(self.linear(self.norm(states)))
            case "an embedding used twice":
                states = self.linear(states) + self.embed(input_ids.flip(1))
            case "a bare parameter":
                states = self.linear(states) * self.scale
            case "an attention module":
                states = states + self.attention(states, states, states)[0]
            case "a convolution":
                states = self.convolution(self.linear(states).mT).mT
            case "a weight used outside of its layer":
                states = self.linear(states) + states @ self.linear.weight
            case "a weight used only outside of its layer":
                states = F.linear(states, self.linear.weight, self.linear.bias)
            case "tokens before examples":
                states = self.linear(states.transpose(0, 1)).transpose(0, 1)
            case "examples and tokens in one dimension":
                states = self.linear(states.flatten(0, 1)).view_as(states)
            case "a head without its own weight":
                return F.linear(self.linear(states), self.embed.weight)
            case "an edit in place":
                states += 1.0
                states = self.linear(states)
            case "an edit of a linear layer's output in place":
                states = self.linear(states).mul_(2.0)
            case "a branch that is cut":
                states = states + self.linear(states).detach()
            case _:
                states = self.linear(states)
        return self.head(self.norm(states).relu())


class Doubled(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class ShiftedRMSNorm(nn.Module):
    """Called a norm, but its scale is squared."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 1)
        self.eps = 1e-6

    def forward(self, states: Tensor) -> Tensor:
        return F.rms_norm(states, states.shape[-1:], eps=self.eps) * self.weight.square()


BATCHED = ["plain", "a layer used twice", "a norm used twice", "an embedding used twice", "an edit in place",
           "a branch that is cut"]  # fmt: skip
LOOPED = [
    "a bare parameter", "an attention module", "a convolution", "a parametrised weight",
    "a linear under a misleading name", "a norm under a misleading name", "a weight used outside of its layer",
    "a weight used only outside of its layer", "tokens before examples", "examples and tokens in one dimension",
    "a head without its own weight", "an edit of a linear layer's output in place",
]  # fmt: skip


@pytest.mark.parametrize("part", BATCHED + LOOPED)
def test_unusual_parts_are_right_all_the_same(part: str, looped: list[int], caplog: pytest.LogCaptureFixture) -> None:
    model, batches = Unusual(part), batches_for("gpt2", (4, 3))
    double, found = copy.deepcopy(model).double(), []
    for row in _singles(batches):
        logits = double(row["input_ids"])
        loss = F.cross_entropy(logits[0, :-1], row["labels"][0, 1:], reduction="sum", ignore_index=-100)
        found.append(gradients(double, loss))
    with caplog.at_level(logging.WARNING, "cfhelpers.fisher"):
        estimate = fisher_diagonal(model, batches)
    assert relative_error(estimate, mean_of_squares(found, 7)) < 1e-5
    assert bool(caplog.records) == (part in LOOPED)
    assert looped == ([2, 4, 3] if part in LOOPED else [2, 0, 0][: len(looped)])


class TwoHeads(nn.Module):
    """Each example goes to the head of its task, as in a classifier of several tasks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.heads = nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 3)])

    def forward(self, input_ids: Tensor, task_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        pooled = self.embed(input_ids).mean(1)
        if bool((task_ids == task_ids[0]).all()):
            return self.heads[int(task_ids[0])](pooled)
        logits = pooled.new_zeros(len(pooled), 3)
        for task, head in enumerate(self.heads):
            logits[task_ids == task] = head(pooled[task_ids == task])
        return logits


def test_mixed_tasks_in_a_later_batch_go_through_the_loop() -> None:
    model, (batch,) = TwoHeads(), batches_for("bert", (4,))
    one = batch | {"task_ids": torch.tensor([0, 0, 0, 0])}
    mixed = batch | {"task_ids": torch.tensor([0, 1, 1, 1])}
    truth = fisher_diagonal(model, list(_singles([one, mixed])))
    sampled = fisher_diagonal(model, list(_singles([one, mixed])), variant="sample", draws=2)
    assert relative_error(fisher_diagonal(model, [one, mixed]), truth) < 1e-5
    assert relative_error(fisher_diagonal(model, [one, mixed], variant="sample", draws=2), sampled) < 1e-5
    selfcheck._known.clear()
    assert relative_error(fisher_diagonal(model, [mixed]), fisher_diagonal(model, list(_singles([mixed])))) < 1e-5
    assert truth.unused == ()
    other = batch | {"task_ids": torch.tensor([1, 1, 1, 1])}
    selfcheck._known.clear()
    assert (
        relative_error(fisher_diagonal(model, [one, other]), fisher_diagonal(model, list(_singles([one, other]))))
        < 1e-5
    )
    assert set(fisher_diagonal(model, [one]).unused) == {"heads.1.weight", "heads.1.bias"}


def test_a_batch_of_one_before_the_self_check_counts() -> None:
    """The self-check may borrow the sums only as long as nothing is in them."""
    model = model_of("gpt2").eval()
    first, second = batches_for("gpt2", (1, 4))
    selfcheck._known.clear()
    assert relative_error(fisher_diagonal(model, [first, second]), oracle(model, [first, second])) < 1e-5


def test_a_weight_first_used_outside_of_its_layer_in_a_later_batch() -> None:
    class Later(TwoHeads):
        def forward(self, input_ids: Tensor, task_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            logits = super().forward(input_ids, task_ids)
            return logits + self.embed(input_ids).sum(1) @ self.heads[1].weight.T if int(task_ids[0]) else logits

    (batch,) = batches_for("bert", (4,))
    first, second = (batch | {"task_ids": torch.full((4,), task)} for task in (0, 1))
    both = [first, second]
    assert relative_error(fisher_diagonal(Later(), both), fisher_diagonal(Later(), list(_singles(both)))) < 1e-5


def test_a_head_first_reached_in_a_later_batch_goes_through_the_hooks_from_then_on(looped: list[int]) -> None:
    model, (batch,) = TwoHeads(), batches_for("bert", (4,))
    batches = [batch | {"task_ids": torch.full((4,), task)} for task in (0, 1, 1)]
    truth = fisher_diagonal(model, list(_singles(batches)))
    looped.clear()
    selfcheck._known.clear()
    assert relative_error(fisher_diagonal(model, batches), truth) < 1e-5
    assert sum(looped) == 2 + 4 + 4, "two for the first check; the second batch to check it, and to count it"
    looped.clear()
    assert relative_error(fisher_diagonal(model, batches[::-1]), fisher_diagonal(model, batches)) < 1e-5
    assert sum(looped) == 0


class Experts(nn.Module):
    """Sends tokens, not examples, to one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)
        self.experts = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, input_ids: Tensor) -> Tensor:
        states = self.embed(input_ids)
        out = states.clone()
        for number, expert in enumerate(self.experts):
            here = input_ids % 2 == number
            if bool(here.any()):
                out[here] = states[here] + expert(states[here])
        return self.head(out)


def test_an_expert_first_reached_in_a_later_batch_by_as_many_tokens_as_there_are_examples() -> None:
    texts = (torch.tensor([[2, 4, 6, 8], [4, 2, 8, 6]]), torch.tensor([[1, 3, 2, 4], [2, 4, 6, 8]]))
    batches, model = [{"input_ids": ids, "labels": ids} for ids in texts], Experts()
    assert relative_error(fisher_diagonal(model, batches), fisher_diagonal(model, list(_singles(batches)))) < 1e-5


class Positions(nn.Embedding):
    """Counts its positions itself, like OPT's and BART's."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.cumsum(1) + 1)


class FaintPositions(nn.Module):
    """Its positions matter so little that two examples would not show a wrong rule."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.positions = nn.Embedding(VOCABULARY, 8), Positions(40, 8)
        self.head = nn.Linear(8, VOCABULARY)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.embed(input_ids) + 1e-4 * self.positions(attention_mask))


def test_an_embedding_with_a_forward_of_its_own_is_not_taken_for_a_plain_one() -> None:
    model, batches = FaintPositions(), batches_for("gpt2", (4, 3))
    found, truth = fisher_diagonal(model, batches), fisher_diagonal(model, list(_singles(batches)))
    assert relative_error(found, truth) < 1e-5
    name = "positions.weight"
    assert float((found[name] - truth[name]).norm() / truth[name].norm()) < 1e-4


class ToyScaledWordEmbedding(nn.Embedding):
    """As Gemma, BART and their relatives write it."""

    embed_scale = 3.0

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.embed_scale


def test_a_scaled_word_embedding_tied_to_its_head_goes_through_the_hooks(looped: list[int]) -> None:
    model = Unusual("plain")
    model.embed = ToyScaledWordEmbedding(*model.embed.weight.shape)
    model.head.weight = model.embed.weight
    batches = batches_for("gpt2", (4, 3))
    truth = fisher_diagonal(model, list(_singles(batches)))
    looped.clear()
    selfcheck._known.clear()
    assert relative_error(fisher_diagonal(model, batches), truth) < 1e-5
    assert sum(looped) == 2


def test_a_gradient_laid_out_token_by_token() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.linear = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8)
            self.lstm, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, VOCABULARY)

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.head(self.lstm(self.linear(self.embed(input_ids)))[0])

    model, batches = Recurrent(), batches_for("gpt2", (4, 3))
    assert relative_error(fisher_diagonal(model, batches), fisher_diagonal(model, list(_singles(batches)))) < 1e-5


def test_a_verdict_is_not_taken_over_by_a_model_that_was_changed() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")
    fisher_diagonal(model, batches)
    handle = model.get_submodule("transformer.h.0.mlp.c_fc").register_forward_hook(lambda module, args, out: 0.5 * out)
    assert relative_error(fisher_diagonal(model, batches), fisher_diagonal(model, list(_singles(batches)))) < 1e-5
    handle.remove()
    plain = Unusual("plain")
    fisher_diagonal(plain, batches)
    plain.embed.scale_grad_by_freq = True
    found = fisher_diagonal(plain, batches)
    assert found.unused == ()
    assert relative_error(found, fisher_diagonal(plain, list(_singles(batches)))) < 1e-5


def test_our_own_classifier() -> None:
    from transformers import BertConfig, BertModel

    from cfhelpers.models.classifier import MultiTaskClassifier

    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = MultiTaskClassifier(BertModel(BertConfig(**sizes, intermediate_size=24), add_pooling_layer=False))
    model.add_head("sst2", 2)
    model.add_head("mnli", 3)
    (batch,) = batches_for("bert", (5,))
    batch |= {"task_ids": torch.ones(5).long(), "token_type_ids": batch["input_ids"] % 2}
    double, found = copy.deepcopy(model).double().eval(), []
    for row in examples_of([batch]):
        found.append(gradients(double, double(**row).loss))
    estimate = fisher_diagonal(model, [batch])
    assert relative_error(estimate, mean_of_squares(found, 5)) < 2e-6
    assert all(name.startswith("heads.sst2") for name in estimate.unused)
    assert estimate.unused


def test_gradient_checkpointing_changes_nothing() -> None:
    model, batches = causal_model("llama"), batches_for("gpt2")
    plain = fisher_diagonal(model, batches)
    for module in model.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = True  # type: ignore[assignment]
    assert relative_error(fisher_diagonal(model.train(), batches), plain) == 0


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("tile", ["TILE_ENTRIES", "SHARED_TILE_ENTRIES"])
def test_many_tiles_of_a_weight(tile: str, kind: str, looped: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 if tile == "TILE_ENTRIES" else 2)
    monkeypatch.setattr(squares, tile, 100)  # a few rows of a weight at a time
    model, batches = model_of(kind), batches_for(kind, (4, 3))
    assert relative_error(fisher_diagonal(model, batches), oracle(model, batches)) < 2e-6
    assert looped == [2], "the self-check found no difference"


def test_no_tensor_of_the_size_of_a_batch_of_weights() -> None:
    # Memory: a product [B, out, in] would be larger than every tensor that is really needed.
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                self.entries = max(self.entries, result.numel())
            return result

    model = nn.Sequential(nn.Embedding(VOCABULARY, 64), nn.Linear(64, 512), nn.Linear(512, VOCABULARY))
    batch = {"input": torch.randint(0, VOCABULARY, (16, 4)), "labels": torch.randint(0, VOCABULARY, (16, 4))}
    with Largest() as largest:
        fisher_diagonal(model, [batch])
    assert largest.entries <= 64 * 512
