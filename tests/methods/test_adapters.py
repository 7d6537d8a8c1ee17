"""Adapters: the update is what the formula says, switching leaves no trace, a merge is the mean, traps are refused."""

import copy
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from cfhelpers.methods.adapter_files import load_adapters, save_adapters
from cfhelpers.methods.adapters import (
    adapted_layers,
    adapter_names,
    adapter_parameters,
    add_adapter,
    mean_update,
    merge_adapters,
    target_names,
    updates,
    using_adapters,
)
from tests import toys

# peft 0.21 still asks transformers 5.23 for a property under its old name.
PEFT_WARNING = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 6, 8, 3]])


def llama():
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, pad_token_id=0))


def encoder():
    model = toys.classifier()
    model.add_head("sst2", 2)
    return model


MODELS = {"gpt2": toys.causal_model, "llama": llama, "roberta": encoder}


def adapted(kind: str, names=("one", "two"), rank: int = 2):
    """Return a model in float64 with adapters whose A and B are all random, in evaluation mode."""
    model = MODELS[kind]().double().eval()
    layers = target_names(model, "all")
    generator = torch.Generator().manual_seed(5)
    for name in names:
        add_adapter(model, name, rank=rank, alpha=6.0, layers=layers)
        for parameter in adapter_parameters(model, name).values():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 5
    return model.double()


def by_hand(kind: str, model, weights) -> torch.nn.Module:
    """Return the plain model with sum of weight · (α/r) B A in its weights, worked out layer by layer."""
    plain = MODELS[kind]().double().eval()
    for name, layer in adapted_layers(model).items():
        base = plain.get_submodule(name)
        for adapter, weight in weights.items():
            a, b = (getattr(layer, each)[adapter].weight.detach() for each in ("lora_A", "lora_B"))
            product = torch.zeros(b.shape[0], a.shape[1], dtype=torch.float64)
            for k in range(a.shape[0]):
                product += torch.outer(b[:, k], a[k])
            change = weight * 6.0 / a.shape[0] * product
            base.weight.data += change.T if isinstance(base, Conv1D) else change
    return plain


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("weights", [{"one": 1.0}, {"two": 1.0}, {"one": 0.5, "two": 0.5}, {"two": -1.0}, {}])
def test_the_update_is_b_times_a_transposed_where_weights_are(kind, weights):
    model = adapted(kind)
    with using_adapters(model, weights), torch.no_grad():
        logits = model(input_ids=IDS).logits
    torch.testing.assert_close(logits, by_hand(kind, model, weights)(input_ids=IDS).logits, rtol=0, atol=1e-9)


def bert():
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    return BertModel(BertConfig(**sizes, num_attention_heads=2))


@pytest.mark.parametrize(
    ("make", "attention", "mlp"),
    [
        (toys.causal_model, {"c_attn", "c_proj"}, {"c_fc", "c_proj"}),
        (llama, {"q_proj", "k_proj", "v_proj", "o_proj"}, {"gate_proj", "up_proj", "down_proj"}),
        (encoder, {"query", "key", "value", "dense"}, {"dense"}),
        (bert, {"query", "key", "value", "dense"}, {"dense"}),
    ],
)
def test_targets_are_the_linear_layers_of_the_blocks(make, attention, mlp):
    model = make()
    found = {kind: target_names(model, kind) for kind in ("attention", "mlp", "all")}
    assert {name.rpartition(".")[2] for name in found["attention"]} == attention
    assert {name.rpartition(".")[2] for name in found["mlp"]} == mlp
    assert sorted(found["all"]) == sorted(found["attention"] + found["mlp"])
    assert not set(found["attention"]) & set(found["mlp"])
    add_adapter(model, "one", rank=1, alpha=1, layers=found["mlp"])
    assert target_names(model, "all") == found["all"]  # also when some have an adapter already


def test_what_cannot_be_adapted_is_refused():
    model = toys.causal_model()
    with pytest.raises(ValueError, match="'attention', 'mlp' or 'all'"):
        target_names(model, "everything")
    with pytest.raises(ValueError, match="no linear layers"):
        target_names(torch.nn.Linear(2, 2), "all")
    with pytest.raises(ValueError, match="no adapter 'one'"):
        adapter_parameters(model, "one")
    add_adapter(model, "one", rank=1, alpha=1, layers=target_names(model, "mlp"))
    with pytest.raises(ValueError, match="new name"):  # where peft would hand back the old one without a word
        add_adapter(model, "one", rank=1, alpha=1, layers=target_names(model, "mlp"))
    with pytest.raises(ValueError, match="without a dot"):
        add_adapter(model, "a.b", rank=1, alpha=1, layers=target_names(model, "mlp"))


def test_a_new_adapter_changes_nothing_yet_and_no_mode():
    model = toys.causal_model().eval()
    before = model(input_ids=IDS).logits
    add_adapter(model, "one", rank=4, alpha=16, layers=target_names(model, "all"))
    assert torch.equal(model(input_ids=IDS).logits, before)  # dropout is part of this model, and off


@pytest.mark.parametrize("fails", [False, True])
def test_switching_leaves_no_trace(fails):
    model = adapted("gpt2")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".one." in name)
    layer = next(iter(adapted_layers(model).values()))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = model(input_ids=IDS).logits
    try:
        with using_adapters(model, {"one": 0.25}):
            assert layer.active_adapters == ["one"]
            assert layer.scaling["one"] == 0.75
            if fails:
                raise KeyError("within")
    except KeyError:
        pass
    assert layer.active_adapters == ["two"]
    assert layer.scaling == {"one": 3.0, "two": 3.0}
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == trainable
    assert torch.equal(model(input_ids=IDS).logits, before)


@pytest.mark.parametrize("kind", MODELS)
def test_a_merge_is_the_mean_of_the_updates_in_a_plain_model(kind):
    model = adapted(kind, ("one", "two", "three"))
    expected = by_hand(kind, model, dict.fromkeys(("one", "two", "three"), 1 / 3))
    mean = mean_update(model)
    for name, change in mean.items():
        difference = expected.get_submodule(name).weight - adapted_layers(model)[name].get_base_layer().weight
        torch.testing.assert_close(change, difference.detach(), rtol=0, atol=1e-12)
    with using_adapters(model, dict.fromkeys(("one", "two", "three"), 1 / 3)), torch.no_grad():
        switched = model(input_ids=IDS).logits
    merged = merge_adapters(model)
    assert merged is model
    assert list(merged.state_dict()) == list(expected.state_dict())
    torch.testing.assert_close(merged(input_ids=IDS).logits, expected(input_ids=IDS).logits, rtol=0, atol=1e-9)
    torch.testing.assert_close(merged(input_ids=IDS).logits, switched, rtol=0, atol=1e-9)


def peft_model(base=None, names=("one", "two"), **settings):
    """Return peft's own model with random adapters, as a practitioner would bring it."""
    chosen = {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True} | settings
    model = get_peft_model(base or toys.causal_model(), LoraConfig(**chosen), names[0])
    for name in names[1:]:
        model.add_adapter(name, LoraConfig(**chosen))
    generator = torch.Generator().manual_seed(9)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) / 5
    return model.eval()


@PEFT_WARNING
@pytest.mark.parametrize("rslora", [False, True])
def test_the_mean_of_pefts_own_adapters_has_their_own_scale_and_no_cross_terms(rslora):
    model = peft_model(use_rslora=rslora)
    scale = 8 / (2 if rslora else 4)  # α/√r or α/r
    mean = mean_update(model)
    for name, layer in adapted_layers(model).items():
        products = [layer.lora_B[each].weight @ layer.lora_A[each].weight for each in ("one", "two")]
        expected = scale * (products[0] + products[1]) / 2
        torch.testing.assert_close(mean[name], expected.T.detach(), rtol=0, atol=1e-6)
    model.add_weighted_adapter(["one", "two"], [0.5, 0.5], "mixed", combination_type="linear")
    linear = updates(model, "mixed")
    assert all(float((linear[name] - mean[name]).norm() / mean[name].norm()) > 0.2 for name in mean)
    assert adapter_names(model) == ["one", "two", "mixed"]


@PEFT_WARNING
def test_merging_pefts_model_leaves_the_base_model_and_its_mode():
    model = peft_model()
    mean = mean_update(model)
    base = model.get_base_model()
    merged = merge_adapters(base)
    untouched = toys.causal_model()
    for name, parameter in untouched.named_parameters():
        change = mean.get(f"base_model.model.{name.removesuffix('.weight')}", torch.zeros(()))
        torch.testing.assert_close(merged.get_parameter(name), parameter + change, rtol=0, atol=1e-7)
    assert not any(module.training for module in merged.modules())


@PEFT_WARNING
def test_a_merge_that_could_not_be_the_mean_is_refused():
    with pytest.raises(ValueError, match="DoRA"):
        mean_update(peft_model(use_dora=True))
    with pytest.warns(UserWarning, match="tied"):
        tied = peft_model(target_modules=["lm_head"], fan_in_fan_out=False)
    with pytest.raises(ValueError, match="tied to that of another layer"):
        mean_update(tied)
    with pytest.raises(ValueError, match="tied to that of another layer"):  # of this, peft says nothing at all
        mean_update(peft_model(target_modules=["wte"], fan_in_fan_out=False))
    for start in ("pissa", "olora"):
        moved = peft_model(init_lora_weights=start)
        with pytest.raises(ValueError, match=f"init_lora_weights='{start}'"):
            mean_update(moved)
        mean_update(moved, ["one"])  # alone, base and update belong together
    merged = peft_model()
    merged.merge_adapter(["one"])
    with pytest.raises(ValueError, match="merged into the weights already"):
        merge_adapters(merged.get_base_model())
    with pytest.raises(ValueError, match="no adapter 'three'"):
        mean_update(peft_model(), ["one", "three"])
    with pytest.raises(ValueError, match="named twice"):
        mean_update(peft_model(), ["one", "one"])
    with pytest.raises(ValueError, match="no adapter to merge"):
        mean_update(toys.causal_model())


READ = """
import sys, torch
from cfhelpers.methods.adapter_files import load_adapters
from tests import toys
model = load_adapters({"gpt2": toys.causal_model, "roberta": toys.classifier}[sys.argv[1]]().eval(), sys.argv[2])
assert not any(parameter.requires_grad for parameter in model.parameters())
torch.save(model(input_ids=torch.tensor([[2, 5, 6, 7, 3], [2, 9, 6, 8, 3]])).logits, sys.argv[3])
"""


@pytest.mark.parametrize("kind", ["gpt2", "roberta"])
def test_adapters_from_a_file_give_the_same_outputs_in_a_fresh_process(kind, tmp_path):
    model = adapted(kind).float()
    if kind == "roberta":
        with torch.no_grad():
            model.heads["sst2"].dense.bias += 1.0
    save_adapters(model, tmp_path / "adapters.safetensors")
    files = [str(tmp_path / name) for name in ("adapters.safetensors", "logits.pt")]
    subprocess.run([sys.executable, "-c", READ, kind, *files], check=True, timeout=120)
    assert torch.equal(torch.load(files[1]), model(input_ids=IDS).logits.detach())
    size = (tmp_path / "adapters.safetensors").stat().st_size
    kept = [name for name in model.state_dict() if "lora_" in name or name.startswith("heads.")]
    assert size < 8000 + sum(4 * model.get_parameter(name).numel() for name in kept)


def test_a_file_of_something_else_is_refused(tmp_path):
    model = adapted("gpt2").float()
    path = tmp_path / "adapters.safetensors"
    save_adapters(model, path)
    with pytest.raises(ValueError, match="another model"):
        load_adapters(toys.causal_model(n_embd=16), path)
    with pytest.raises(ValueError, match="new name"):
        load_adapters(copy.deepcopy(model), path)
    with pytest.raises(ValueError, match="no adapters"):
        save_adapters(toys.causal_model(), path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not written by save_adapters"):
        load_adapters(toys.causal_model(), path)
