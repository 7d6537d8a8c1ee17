"""A base in four bits: refused by name where its library is not; where it is, adapters learn on it."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainingArguments

from cfhelpers.fisher.guard import estimating
from cfhelpers.fisher.packed import pass_gradients
from cfhelpers.methods import Naive
from cfhelpers.methods.adapters import add_adapter, merge_adapters, target_names
from cfhelpers.models import in_four_bits, weight_bytes
from cfhelpers.models.loading import LoadedModel
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys


def loaded(model, role: str) -> LoadedModel:
    return LoadedModel(model, toys.tokenizer(), role, "toy")


def test_without_its_library_it_says_what_to_do(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(ImportError, match=r"bitsandbytes, a library that is not installed: pip install bitsandbytes\."):
        in_four_bits(loaded(toys.causal_model(), "dialogpt"))


def test_the_bytes_of_a_plain_model_count_tied_weights_once():
    model = toys.causal_model()
    assert weight_bytes(model) == 4 * sum(each.numel() for each in set(model.parameters()))


def test_a_merge_into_packed_weights_is_refused():
    model = toys.causal_model()
    layers = target_names(model, "mlp")
    add_adapter(model, "one", rank=2, alpha=4, layers=layers)
    base = model.get_submodule(layers[0]).get_base_layer()
    base.weight = torch.nn.Parameter(torch.zeros(len(base.weight), 1, dtype=torch.uint8), requires_grad=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"transformer\.h\.0\.mlp\.c_fc has packed weights \(torch\.uint8\)"):
        merge_adapters(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


NEEDS_IT = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def packed_layer(bias: bool):
    """Return a linear layer in four bits, after an evaluation, and what a backward through it gave before."""
    from bitsandbytes.nn import Linear4bit

    torch.manual_seed(0)
    plain = torch.nn.Linear(64, 96, bias)
    layer = Linear4bit(64, 96, bias, compute_dtype=torch.float32, quant_type="nf4")
    layer.load_state_dict(plain.state_dict())
    layer = layer.to("cpu").requires_grad_(False)
    inputs = torch.randn(5, 64, requires_grad=True)
    (before,) = torch.autograd.grad(layer.train()(inputs).square().sum(), inputs)
    with torch.no_grad():
        layer.eval()(inputs.detach())
    return layer, inputs, before


@NEEDS_IT
@pytest.mark.parametrize("bias", [False, True])
def test_gradients_pass_after_an_evaluation_too(bias):
    layer, inputs, expected = packed_layer(bias)
    pass_gradients(layer)
    for mode in (True, False):
        (found,) = torch.autograd.grad(layer.train(mode)(inputs).square().sum(), inputs)
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)  # the scales were rounded to bfloat16
        with torch.no_grad():  # and the next evaluation does not undo it
            layer.eval()(inputs.detach())


@NEEDS_IT
def test_an_estimate_sees_to_it():
    layer, inputs, expected = packed_layer(False)
    with estimating(layer):
        found = torch.autograd.grad(layer(inputs).square().sum(), inputs)[0]
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def test_a_trainer_sees_to_it(tmp_path):
    model, task = toys.causal_model(), encode_task(toys.TASKS["persona"], toys.tokenizer())
    model.transformer.h[0].support_avx512bf16_for_cpu = True  # as a layer of bitsandbytes has it
    model.transformer.h[0].weight = SimpleNamespace(quant_state=None)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no"
    )
    ContinualTrainer(
        method=Naive(), model=model, args=arguments, train_dataset=task.train, data_collator=task.collate
    ).train()
    assert model.transformer.h[0].support_avx512bf16_for_cpu is False


@NEEDS_IT
def test_adapters_learn_on_a_base_in_four_bits_that_stays_as_it_is():
    plain = toys.causal_model(n_embd=64)
    model = in_four_bits(loaded(plain, "dialogpt")).model
    ids = torch.tensor([[2, 5, 6, 7, 3, 12, 1]])
    with torch.no_grad():
        exact, packed = plain.eval()(input_ids=ids).logits, model(input_ids=ids).logits
    error = float((packed - exact).norm() / exact.norm())
    assert 1e-3 < error < 0.3
    assert weight_bytes(model) < 0.5 * weight_bytes(plain)
    layers = target_names(model, "all")
    assert layers == target_names(plain, "all")
    assert not any(getattr(each, "support_avx512bf16_for_cpu", False) for each in model.modules())
    base = {name: each.clone() for name, each in model.named_parameters()}
    add_adapter(model, "one", rank=4, alpha=8, layers=layers)
    adapters = {name: each for name, each in model.named_parameters() if "lora_" in name}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in adapters)
    optimizer, losses = torch.optim.AdamW(adapters.values(), lr=1e-2), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    after = {name.replace(".base_layer", ""): each for name, each in model.named_parameters()}
    assert all(torch.equal(after[name], tensor) for name, tensor in base.items())
    with pytest.raises(ValueError, match="has packed weights"):
        merge_adapters(model)


def test_an_encoder_is_refused():
    with pytest.raises(ValueError, match="'roberta' is an encoder"):
        in_four_bits(loaded(toys.classifier(), "roberta"))
