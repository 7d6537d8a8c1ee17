"""OSF: what is held is held as far as the optimizer lets it, weights keep what is learned, gaps of peft are refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import OSFConfig, inject_adapter_in_model
from torch import nn

from cfhelpers.methods import OrthogonalSubspace
from cfhelpers.methods.adapters import target_names
from cfhelpers.methods.orthogonal_subspace import decompose, osf_layers, settle, share_in_held_directions
from tests import toys
from tests.methods.test_lora import PLAN, SHORT, encoded, learn, trainer_of

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 9, 6, 8, 3]])


def encoder():
    model = toys.classifier().double().eval()
    model.add_head("sst2", 2)
    return model.double()


def trained(optimizer: type[torch.optim.Optimizer], preserved: float = 0.5):
    """Return a decomposed encoder after three steps, and its weights before."""
    model = encoder()
    before = {name: model.get_submodule(name).weight.detach().clone() for name in target_names(model, "all")}
    decompose(model, list(before), preserved)
    optimizer = optimizer([p for name, p in model.named_parameters() if "osf_svd_params" in name], lr=1e-2)
    for labels in ([0, 1], [1, 1], [1, 0]):
        optimizer.zero_grad()
        model(input_ids=IDS, labels=torch.tensor(labels)).loss.backward()
        optimizer.step()
    return model, before


def held_share(model, before, preserved: float) -> float:
    """Say the same as ``share_in_held_directions`` from the weights alone, with NumPy."""
    free = whole = 0.0
    settle(model)
    for name, weight in before.items():
        old = weight.numpy()
        u, _, vt = np.linalg.svd(old)
        held = int(min(old.shape) * preserved)
        change = model.get_submodule(name).weight.detach().numpy() - old
        free += np.sum((u[:, held:].T @ change @ vt[held:].T) ** 2)
        whole += np.sum(change**2)
    return 1 - free / whole


@pytest.mark.parametrize("preserved", [0.25, 0.5])
def test_gradient_descent_leaves_the_held_directions_alone_and_adamw_does_not(preserved):
    model, before = trained(torch.optim.SGD, preserved)
    assert share_in_held_directions(model) == pytest.approx(0, abs=1e-5)
    assert held_share(model, before, preserved) == pytest.approx(0, abs=1e-5)
    model, before = trained(torch.optim.AdamW, preserved)
    found = share_in_held_directions(model)
    assert found > 1e-3
    assert found == pytest.approx(held_share(model, before, preserved), rel=1e-3)


def test_nothing_changes_until_something_is_learned_and_then_the_weights_have_it():
    plain, model = encoder(), encoder()
    layers = target_names(model, "all")
    decompose(model, layers, 0.5)
    assert list(osf_layers(model)) == layers
    assert math.isnan(share_in_held_directions(model)) or share_in_held_directions(model) == 0
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=IDS).logits, plain(input_ids=IDS).logits)
    model, before = trained(torch.optim.AdamW)
    with torch.no_grad():
        learned = model(input_ids=IDS).logits
        settle(model)
        torch.testing.assert_close(model(input_ids=IDS).logits, learned)
    assert not osf_layers(model)
    assert all(type(model.get_submodule(name)) is nn.Linear for name in layers)
    assert any(not torch.equal(model.get_submodule(name).weight, weight) for name, weight in before.items())


def test_a_task_is_decomposed_where_the_last_one_left_the_weights():
    both = learn(OrthogonalSubspace(learning_rate=1e-2), "roberta", PLAN)
    again = toys.runtime().load("roberta").model
    first = learn(OrthogonalSubspace(learning_rate=1e-2), "roberta", PLAN, stop_after=1).model
    settle(first)
    for name in target_names(again, "all"):
        layer = both.model.get_submodule(name)
        base = layer.get_base_layer().weight
        assert torch.equal(base, first.get_submodule(name).weight)
        assert not torch.equal(base, again.get_submodule(name).weight)
        u, _, _ = np.linalg.svd(base.detach().numpy())
        held = int(min(base.shape) * 0.5)
        start = layer._osf_U_low_init["osf"].numpy()
        np.testing.assert_allclose(u[:, :held].T @ start, 0, atol=1e-5)


def test_only_the_free_part_and_the_tasks_head_train():
    first, both = (learn(OrthogonalSubspace(), "roberta", stop_after=stop) for stop in (1, None))
    trainable = {name for name, each in both.model.named_parameters() if each.requires_grad}
    assert {name.partition(".")[0] for name in trainable} == {"body", "heads"}
    assert all(".osf_svd_params." in name or name.startswith("heads.topics.") for name in trainable)
    before, after = first.model.state_dict(), both.model.state_dict()
    still = [name for name in before if ".osf" not in name and "_osf" not in name and ".base_layer.weight" not in name]
    assert any("embeddings" in name for name in still)
    assert any("heads.sst2" in name for name in still)
    assert all(torch.equal(before[name], after[name]) for name in still)
    assert both.record.stored_bytes == 0


def test_with_nothing_held_the_linear_weights_train_whole_and_the_rest_stays_frozen():
    before = toys.runtime().load("roberta").model.state_dict()
    model = learn(OrthogonalSubspace(0.0, learning_rate=1e-2), "roberta", PLAN).model
    assert not osf_layers(model)
    linear = {f"{name}.weight" for name in target_names(model, "all")}
    trainable = {name for name, each in model.named_parameters() if each.requires_grad}
    assert {name for name in trainable if name.startswith("body.")} == linear
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, model.state_dict()[name])}
    assert moved == linear


@pytest.mark.parametrize("preserved", [0.0, 0.25])
def test_a_toy_is_learned(preserved):
    matrix = learn(
        OrthogonalSubspace(preserved, learning_rate=2e-2), "roberta", replace(PLAN, steps=80)
    ).record.matrix()
    assert matrix[0, 0] == 1.0
    assert matrix[1, 1] == 1.0


def test_a_checkpoint_resumes_with_the_directions_it_held(tmp_path):
    method = OrthogonalSubspace(learning_rate=1e-2)
    parts = []
    for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        trainer = trainer_of(method, tmp_path / folder, steps, "roberta")
        trainer.method.require_ready = lambda model: None  # the model is prepared here by hand
        trainer.train(resume_from_checkpoint=steps == 4 and folder == "parts")
        parts.append(trainer.model.state_dict())
    for name, tensor in parts[0].items():
        assert torch.equal(tensor, parts[2][name]), name


def test_a_model_whose_layers_peft_passes_over_is_refused_by_name():
    model = toys.causal_model()
    inject_adapter_in_model(OSFConfig(target_modules=target_names(model, "all")), model, "osf")
    assert not osf_layers(model), "peft says nothing and trains nothing: if this fails, it has learned Conv1D"
    with pytest.raises(ValueError, match=r"OSF decomposes nn\.Linear layers only, and GPT2LMHeadModel has Conv1D"):
        learn(OrthogonalSubspace(), "dialogpt", SHORT)
    with pytest.raises(ValueError, match="a sequence of tasks"):
        OrthogonalSubspace().require_ready(encoder())


def test_impossible_settings_are_refused():
    for share in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            OrthogonalSubspace(share)
    with pytest.raises(ValueError, match="targets must be"):
        OrthogonalSubspace(targets="lm_head")
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        OrthogonalSubspace(learning_rate=0.0)


def test_the_second_task_prepares_nothing_twice():
    method, model = OrthogonalSubspace(), toys.classifier()
    for index in (0, 1):
        model = method.prepare_model(model, encoded("roberta", index))
    assert all(not hasattr(layer.get_base_layer(), "base_layer") for layer in osf_layers(model).values())
