"""What a model is called with and what its loss may hold: patched forwards, autocast, mixtures, idle adapters."""

from __future__ import annotations

import contextlib
import copy
import types
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutput

from cfhelpers.fisher import fisher_diagonal, forward, mas_importance, selfcheck
from tests.fisher.test_fisher import (
    VOCABULARY,
    batches_for,
    causal_model,
    gradients,
    mean_of_squares,
    oracle,
    relative_error,
)


def test_a_forward_that_gives_no_logits_with_labels() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2")

    def saving(self: Any, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Any:
        output = type(self).forward(self, *args, labels=labels, **kwargs)
        output.logits = None if labels is not None else output.logits
        return output

    truth = oracle(model, batches)
    model.forward = types.MethodType(saving, model)
    assert relative_error(fisher_diagonal(model, batches), truth) < 1e-5
    assert "forward" in vars(model)


def test_a_forward_that_never_gives_logits_is_named() -> None:
    model = causal_model("gpt2")
    model.forward = lambda **inputs: CausalLMOutput(loss=torch.zeros(()))
    with pytest.raises(ValueError, match=r"del model\.forward"):
        fisher_diagonal(model, batches_for("gpt2"))


class Outputs(nn.Module):
    """A language model that hands out its logits in its own way."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.inner, self.how = causal_model("gpt2"), how

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
        return self.how(self.inner(input_ids=input_ids, attention_mask=attention_mask).logits)


@pytest.mark.parametrize("how", [lambda logits: [logits], lambda logits: (logits, None), lambda z: {"logits": z}])
def test_logits_in_any_container(how: Any) -> None:
    batches = batches_for("gpt2")
    found = fisher_diagonal(Outputs(how), batches)
    wanted = oracle(causal_model("gpt2"), batches)
    assert relative_error({name.removeprefix("inner."): value for name, value in found.items()}, wanted) < 1e-5


def test_logits_of_the_last_token_alone_are_named() -> None:
    with pytest.raises(ValueError, match=r"labels .* do not fit logits"):
        fisher_diagonal(Outputs(lambda logits: (logits[:, -1:],)), batches_for("gpt2"))


def test_accelerates_autocast_is_out_of_the_way() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # a test before this one may have chosen another precision

    model, batches = causal_model("gpt2"), batches_for("gpt2")
    truth, sampled = oracle(model, batches), fisher_diagonal(model, batches, variant="sample")
    prepared = Accelerator(mixed_precision="bf16", cpu=True).prepare(model)
    patched = prepared.forward
    assert relative_error(fisher_diagonal(prepared, batches), truth) < 1e-5
    assert relative_error(fisher_diagonal(prepared, batches, variant="sample"), sampled) == 0
    assert prepared.forward == patched
    assert prepared(**batches[0]).loss is not None


class Balanced(nn.Module):
    """A loss that holds something else besides the cross-entropy, of either convention."""

    def __init__(self, *, shift: bool, weight: float, own: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)
        self.shift, self.weight, self.own = shift, weight, own

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> CausalLMOutput:
        logits = self.head(self.embed(input_ids).cumsum(1).tanh())
        loss = None
        if labels is not None:
            ours, theirs = (logits[:, :-1], labels[:, 1:]) if self.shift else (logits, labels)
            loss = F.cross_entropy(ours.flatten(0, 1), theirs.flatten())
            if self.own:
                loss = loss**2
            loss = loss + self.weight * self.embed(input_ids).square().mean()
        return CausalLMOutput(loss=loss, logits=logits)


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.01, -2.5, 100.0])
@pytest.mark.parametrize("scale", [0.01, 20.0])
def test_the_convention_is_not_guessed_from_what_else_a_loss_holds(shift: bool, weight: float, scale: float) -> None:
    model, batches = Balanced(shift=shift, weight=weight), batches_for("gpt2")
    with torch.no_grad():
        model.head.weight.mul_(scale)
    batches = [{name: each for name, each in batch.items() if name != "attention_mask"} for batch in batches]
    double, found = copy.deepcopy(model).double(), []
    for batch in batches:
        for row in range(len(batch["labels"])):
            logits, labels = double(batch["input_ids"][row : row + 1]).logits[0], batch["labels"][row]
            logits, labels = (logits[:-1], labels[1:]) if shift else (logits, labels)
            found.append(gradients(double, F.cross_entropy(logits, labels, reduction="sum")))
    assert relative_error(fisher_diagonal(model, batches), mean_of_squares(found, len(found))) < 1e-4
    forward._known_shifts.clear()


def test_a_loss_that_is_no_cross_entropy_is_refused() -> None:
    ids = torch.randint(3, 40, (4, 6), generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="as their cross-entropy does"):
        fisher_diagonal(Balanced(shift=True, weight=0.0, own=True), [{"input_ids": ids, "labels": ids}])


def test_mixtures_of_experts_with_their_balancing_loss() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    for seed in range(3):
        torch.manual_seed(seed)
        model = MixtralForCausalLM(
            MixtralConfig(
                vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                num_key_value_heads=1, num_local_experts=4, output_router_logits=True, router_aux_loss_coef=0.02,
                max_position_embeddings=32,
            )
        )  # fmt: skip
        model.set_experts_implementation("eager")
        assert relative_error(fisher_diagonal(model, batches_for("gpt2")), oracle(model, batches_for("gpt2"))) < 1e-4


class Selected(nn.Module):
    """A layer that sees the tokens above 20 only, all examples' together, beside layers that see ``[B, T, D]``."""

    def __init__(self, *, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.inner, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8), nn.Linear(8, VOCABULARY)
        self.how = how

    def forward(self, input_ids: Tensor) -> Tensor:
        states, chosen = self.embed(input_ids), input_ids > 20
        out, flat = states.clone(), states.reshape(-1, 8)
        if self.how == "mask":
            out[chosen] = self.inner(states[chosen]).tanh()
        elif self.how == "index_select":
            out[chosen] = self.inner(flat.index_select(0, chosen.flatten().nonzero()[:, 0])).tanh()
        elif self.how == "masked_select":
            out[chosen] = self.inner(states.masked_select(chosen[..., None]).view(-1, 8)).tanh()
        else:
            out[chosen] = self.inner(flat[None, chosen.flatten().nonzero()[:, 0]].reshape(-1, 8)).tanh()
        return self.head(out)


@pytest.mark.parametrize("how", ["mask", "index_select", "masked_select", "a dimension before"])
def test_selected_tokens_are_not_taken_for_examples(how: str) -> None:
    # The first batch has one selected token an example, which fits; the second two of one and none of another.
    ids = (torch.tensor([[3, 30, 4], [31, 5, 6], [7, 8, 32]]), torch.tensor([[30, 31, 4], [3, 5, 6], [7, 8, 32]]))
    batches = [{"input_ids": each, "labels": each} for each in ids]
    model = Selected(how=how)
    alone = [{n: v[i : i + 1] for n, v in batch.items()} for batch in batches for i in range(3)]
    truth = fisher_diagonal(model, alone)
    for given in (batches, batches[::-1]):
        selfcheck._known.clear()
        assert relative_error(fisher_diagonal(model, given), truth) < 1e-5


def test_a_pooled_head_goes_through_the_hooks(caplog: pytest.LogCaptureFixture) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.body, self.head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            states = self.body(self.embed(input_ids)).tanh()
            return self.head(states[torch.arange(len(states)), attention_mask.sum(1) - 1])

    model, batches = Pooled(), batches_for("bert", (4, 3))
    alone = [{n: v[i : i + 1] for n, v in b.items()} for b in batches for i in range(len(b["labels"]))]
    selfcheck._known.clear()
    assert relative_error(fisher_diagonal(model, batches), fisher_diagonal(model, alone)) < 1e-5
    assert not [record for record in caplog.records if "one example at a time" in record.getMessage()]


def test_positions_that_are_shared_by_all_examples_in_a_later_batch_go_through_the_loop() -> None:
    from transformers import DebertaConfig, DebertaForSequenceClassification

    torch.manual_seed(0)
    model = DebertaForSequenceClassification(
        DebertaConfig(
            vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=32, num_labels=3, relative_attention=True, pos_att_type=["c2p", "p2c"],
        )
    )  # fmt: skip
    batches = batches_for("bert", (4, 3))
    assert relative_error(fisher_diagonal(model, batches), oracle(model, batches)) < 1e-4


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")  # peft asks transformers for it
@pytest.mark.parametrize("case", ["inactive", "disabled", "merged", "beside a head"])
def test_adapters_that_do_not_answer_are_refused(case: str) -> None:
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    model: Any = get_peft_model(causal_model("gpt2"), settings)
    if case in ("inactive", "beside a head"):
        model.add_adapter("other", settings)
        for name, parameter in model.named_parameters():
            head = case == "beside a head" and name.endswith("lm_head.weight")
            parameter.requires_grad_(".other." in name or head)
    elif case == "merged":
        model.merge_adapter()
    batches = batches_for("gpt2")
    with model.disable_adapter() if case == "disabled" else contextlib.nullcontext():
        if case == "disabled":
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("lora_" in name)
        for estimate in (fisher_diagonal, mas_importance):
            with pytest.raises(ValueError, match=r"is trainable but not in use .*set_adapter"):
                estimate(model, batches)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
def test_nothing_reached_is_refused_and_frozen_adapters_are_told_how_to_load() -> None:
    from peft import LoraConfig, get_peft_model

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.spare = nn.Embedding(VOCABULARY, VOCABULARY), nn.Linear(2, 2)
            self.embed.requires_grad_(False)

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.embed(input_ids)

    with pytest.raises(ValueError, match="nothing that the model says depends on"):
        fisher_diagonal(Idle(), batches_for("gpt2"))
    model = get_peft_model(causal_model("gpt2"), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="is_trainable=True"):
        fisher_diagonal(model, batches_for("gpt2"))


def test_no_float64_is_made_on_the_model_s_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac's GPU has none: signs and uniform numbers are turned into the model's precision on the host."""
    sent: list[torch.dtype] = []
    original = torch.Tensor.to

    def watched(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = original(self, *args, **kwargs)
        if any(isinstance(each, torch.device) for each in args):
            sent.append(out.dtype)
        return out

    monkeypatch.setattr(torch.Tensor, "to", watched)
    fisher_diagonal(causal_model("gpt2"), batches_for("gpt2"), variant="sample", unit="token")
    assert sent
    assert torch.float64 not in sent
