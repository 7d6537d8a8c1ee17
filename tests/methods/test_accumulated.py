"""Methods with one penalty for all tasks: OnlineEWC and MAS against sums made by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from cfhelpers.fisher.oracle import fisher_by_hand, summed
from cfhelpers.methods import EWC, MAS, Method, OnlineEWC
from cfhelpers.tasks.encoding import EncodedTask, encode_task
from tests import toys

Tensors = dict[str, Tensor]
THIRD = toys.classification_task("third", ["good boss", "bad floor", "two"], [0, 1, 1], ("yes", "no"))
DIALOGUES = (toys.TASKS["persona"], toys.TASKS["workplace"], toys.dialogue_task("third", {"what is red": "sam sam"}))
CLASSIFICATION = (toys.TASKS["sst2"], toys.TASKS["topics"], THIRD)


def squared_norm(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The squared norm of one example's logits at its targets."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits, batch["labels"]
    return (logits[0, :-1][labels[0, 1:] != -100] if labels.dim() == 2 else logits).square().sum()


def mean_gradient(model: nn.Module, task: EncodedTask, output, power: int) -> Tensors:
    """Mean of |gradient|^power over the examples of a task, one by one in float64; 0 where nothing is reached."""
    return fisher_by_hand(copy.deepcopy(model).double().eval(), task.batches("train", 1), output, power=power)


def move(model: nn.Module, seed: int) -> None:
    """Stand in for training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def weights(model: nn.Module) -> Tensors:
    return {name: parameter.detach().double().clone() for name, parameter in model.named_parameters()}


def check_gradient_and_diagnostics(method: Method, model: nn.Module, expected: Tensors, anchor: Tensors) -> None:
    """Compare what the method adds to the gradients with strength · importance · distance, and what it reports."""
    distance = {name: value - anchor[name] for name, value in weights(model).items() if name in anchor}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    method.after_backward(model, 1.0)
    strength = method.settings()["strength"]
    for name, parameter in model.named_parameters():
        pull = strength * expected[name] * distance[name] if name in anchor else torch.zeros_like(parameter)
        # 1 was there before, and is rounded together with what is added
        torch.testing.assert_close(parameter.grad.double() - 1, pull.double(), rtol=1e-3, atol=1e-6)
    found = method.diagnostics(model)
    value = sum(float((expected[name] * distance[name].square()).sum()) for name in anchor)
    norm = math.sqrt(sum(float((expected[name] * distance[name]).square().sum()) for name in anchor))
    assert found["penalty"] == pytest.approx(strength / 2 * value, rel=1e-4)
    assert found["penalty_gradient_norm"] == pytest.approx(strength * norm, rel=1e-4)


CASES = [
    (OnlineEWC(3.0, decay=0.5), summed, 2, 0.5),
    (OnlineEWC(3.0), summed, 2, 1.0),
    (MAS(0.1), squared_norm, 1, 1.0),
]


@pytest.mark.parametrize("tasks", [DIALOGUES, CLASSIFICATION], ids=["dialogue", "classification"])
@pytest.mark.parametrize(("method", "output", "power", "decay"), CASES, ids=["half", "sum", "mas"])
def test_three_tasks_by_hand(method, output, power, decay, tasks):
    method = copy.deepcopy(method)
    model = toys.causal_model() if tasks is DIALOGUES else toys.classifier()
    expected: Tensors = {}
    for index, task in enumerate(tasks):
        encoded = encode_task(task, toys.tokenizer(), task_id=index)
        model = method.prepare_model(model, encoded)
        move(model, index)
        newest = mean_gradient(model, encoded, output, power)
        expected = {name: decay * expected.get(name, 0.0) + value for name, value in newest.items()}
        method.after_task(model, encoded)
        anchor = weights(model)
        assert len(method.penalties) == 1
        assert set(method.penalties[0].importance) == set(expected)
        moved = copy.deepcopy(model)
        move(moved, 10 + index)
        check_gradient_and_diagnostics(method, moved, expected, anchor)
    if tasks is CLASSIFICATION:
        # An old head that later tasks do not reach, and the head that came last.
        first, last = (method.penalties[0].importance[f"heads.{name}.out_proj.weight"] for name in ("sst2", "third"))
        assert float(first.sum()) > 0
        assert float(last.sum()) > 0


@pytest.mark.parametrize("tasks", [DIALOGUES, CLASSIFICATION], ids=["dialogue", "classification"])
@pytest.mark.parametrize("method", [OnlineEWC(3.0, decay=0.5), MAS(0.1)], ids=lambda method: method.name)
def test_a_new_head_is_not_penalised_while_it_is_learned(method, tasks):
    method, model = copy.deepcopy(method), toys.causal_model() if tasks is DIALOGUES else toys.classifier()
    first, second = (encode_task(task, toys.tokenizer(), task_id=index) for index, task in enumerate(tasks[:2]))
    model = method.prepare_model(model, first)
    method.after_task(model, first)
    anchor, importance = weights(model), mean_gradient(model, first, *CASES[2 if method.name == "mas" else 0][1:3])
    model = method.prepare_model(model, second)
    move(model, 1)
    check_gradient_and_diagnostics(method, model, importance, anchor)


def test_memory_does_not_grow_with_the_tasks():
    online, several = OnlineEWC(1.0, decay=0.9), EWC(1.0)
    model = toys.causal_model()
    sizes = []
    for index, task in enumerate(DIALOGUES):
        encoded = encode_task(task, toys.tokenizer(), task_id=index)
        move(model, index)
        online.after_task(model, encoded)
        several.after_task(model, encoded)
        sizes.append((online.stored_bytes(), several.stored_bytes()))
    once = 8 * sum(parameter.numel() for parameter in model.parameters())
    assert sizes == [(once, once), (once, 2 * once), (once, 3 * once)]


@pytest.mark.parametrize(
    "make",
    [lambda: OnlineEWC(3.0, decay=0.5), lambda: OnlineEWC(3.0, decay=0.5, storage="bfloat16"), lambda: MAS(0.1)],
    ids=["online_ewc", "online_ewc in bfloat16", "mas"],
)
def test_a_loaded_state_goes_on_as_the_saved_one_would_have(make, tmp_path):
    whole, model = make(), toys.causal_model()
    first, second = (encode_task(task, toys.tokenizer(), task_id=index) for index, task in enumerate(DIALOGUES[:2]))
    fresh = make()
    fresh.load_state_dict(whole.state_dict())  # before any task
    assert fresh.penalties == []
    whole.after_task(model, first)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    loaded = make()
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    move(model, 1)
    for method in (whole, loaded):
        method.after_task(model, second)
    assert (loaded.total.n_examples, loaded.total.variant) == (whole.total.n_examples, whole.total.variant)
    for ours, theirs in zip(loaded.penalties, whole.penalties, strict=True):
        assert ours.stored.keys() == theirs.stored.keys()
        for name in theirs.importance:
            assert ours.stored[name].values.dtype == theirs.stored[name].values.dtype
            assert torch.equal(ours.importance[name], theirs.importance[name])
            assert torch.equal(ours.anchor[name], theirs.anchor[name])


def test_the_variant_and_the_unit_reach_the_estimate():
    model = toys.causal_model()
    batches = encode_task(DIALOGUES[0], toys.tokenizer()).batches("train")
    drawn = OnlineEWC.from_data(model, batches, strength=1.0, decay=0.5, variant="sample", unit="token", max_examples=1)
    assert (drawn.total.variant, drawn.total.unit, drawn.total.n_examples, drawn.decay) == ("sample", "token", 1, 0.5)
    assert MAS(1.0, max_examples=1).protect(model, batches).total.n_examples == 1


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_decay_outside_of_zero_and_one_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be between 0 and 1"):
        OnlineEWC(1.0, decay=decay)
