"""SynapticIntelligence against a training loop written by hand, and the properties that its paper claims."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainingArguments, default_data_collator

from cfhelpers.methods import Naive, SynapticIntelligence
from cfhelpers.tasks.encoding import Collator
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys
from tests.methods.test_accumulated import THIRD, check_gradient_and_diagnostics, move, weights
from tests.training.test_trainer import arguments, causal, train, uneven_dialogues

Tensors = dict[str, Tensor]
TASKS = ("persona", "workplace")
PLAN = Plan(steps=4, batch_size=2, learning_rate=1e-3, curve_points=1)


class Regression(nn.Module):
    """Mean squared error of a small network, or of a linear map, for which it is quadratic in the weights."""

    def __init__(self, hidden: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        linear = nn.Linear(3, 2)
        self.net = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 2)) if hidden else linear

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.net(inputs)
        return {"loss": (outputs - labels).square().mean(), "logits": outputs}


def regression_data(seed: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {"inputs": torch.randn(3, generator=generator), "labels": torch.randn(2, generator=generator)}
        for _ in range(16)
    ]


def learn(method, model: nn.Module, data: list[dict[str, Tensor]], settings: TrainingArguments) -> None:
    trainer = ContinualTrainer(
        method=method, model=model, args=settings, train_dataset=data, data_collator=default_data_collator
    )
    trainer.train()


def push(model: nn.Module) -> None:
    """Move the weights away from the anchor, so that the penalty pulls some of them against the task's gradient."""
    for parameter in model.parameters():
        parameter.data += 0.3


def by_hand(
    model: nn.Module, tasks: list, *, strength: float, damping: float, steps: int, rate: float, clip: float
) -> tuple[Tensors, Tensors, list[Tensors]]:
    """Train with plain gradient descent; return the importance and the anchor of all tasks, and each path integral."""
    parameters = dict(model.named_parameters())
    total: Tensors = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    anchor, paths = weights(model), []
    for data in tasks:
        push(model)
        whole = {name: torch.stack([row[name] for row in data]) for name in data[0]}
        start, path = weights(model), {name: torch.zeros_like(value) for name, value in total.items()}
        for _ in range(steps):
            gradients = torch.autograd.grad(model(**whole)["loss"], list(parameters.values()))
            of_task = dict(zip(parameters, gradients, strict=True))
            of_all = {n: g + strength * total[n] * (parameters[n].detach() - anchor[n]) for n, g in of_task.items()}
            norm = torch.stack([value.square().sum() for value in of_all.values()]).sum().sqrt()
            for name, parameter in parameters.items():
                change = -rate * of_all[name] * min(1.0, clip / float(norm))
                path[name] = path[name] - of_task[name] * change
                parameter.data += change
        anchor = weights(model)
        for name in total:
            total[name] = total[name] + path[name].clamp(min=0) / ((anchor[name] - start[name]) ** 2 + damping)
        paths.append(path)
    return total, anchor, paths


@pytest.mark.parametrize(("size", "accumulated"), [(16, 1), (4, 4)])
def test_two_tasks_equal_a_loop_written_by_hand(size, accumulated, tmp_path):
    tasks = [regression_data(1), regression_data(2)]
    truth = Regression().double()
    doubled = [[{name: value.double() for name, value in row.items()} for row in data] for data in tasks]
    steps, clip = 20, 0.5
    total, anchor, paths = by_hand(truth, doubled, strength=3.0, damping=0.05, steps=steps, rate=0.2, clip=clip)
    assert any(bool((path < -1e-4).any()) for path in paths[1].values())  # so that the clamp is tested

    model, method = Regression(), SynapticIntelligence(3.0, damping=0.05)
    settings = arguments(
        tmp_path, max_steps=steps, learning_rate=0.2, max_grad_norm=clip, gradient_accumulation_steps=accumulated,
        per_device_train_batch_size=size,
    )  # fmt: skip
    for data in tasks:
        push(model)
        learn(method, model, data, settings)
        method.protect(model, [])
    (penalty,) = method.penalties
    for name, value in total.items():
        torch.testing.assert_close(penalty.importance[name].double(), value, rtol=2e-3, atol=1e-4)
        torch.testing.assert_close(penalty.anchor[name].double(), anchor[name], rtol=1e-3, atol=1e-4)
    move(model, 5)
    check_gradient_and_diagnostics(method, model, total, anchor)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw_torch"])
def test_path_integrals_add_up_to_the_fall_of_the_loss(optimizer, tmp_path):
    model, data = Regression(hidden=0), regression_data(1)
    whole = {name: torch.stack([row[name] for row in data]) for name in data[0]}
    before = float(model(**whole)["loss"].detach())
    method = SynapticIntelligence(1.0)
    learn(method, model, data, arguments(tmp_path, max_steps=60, learning_rate=5e-3, optim=optimizer))
    fall = before - float(model(**whole)["loss"].detach())
    assert fall > 0.1 * before
    assert sum(float(path.sum()) for path in method.path.values()) == pytest.approx(fall, rel=0.03)


def test_the_loss_scalers_scale_and_its_skipped_steps_leave_no_trace():
    model, method = Regression(), SynapticIntelligence(1.0)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1024 * 0.5)
    method.after_backward(model, 1024.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.25)
    method.after_step(model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("inf"))
    method.after_backward(model, 1024.0)
    method.after_step(model)
    for path in method.path.values():
        torch.testing.assert_close(path, torch.full_like(path, 0.125))
    method.protect(model, [])
    importance = method.penalties[0].importance["net.0.bias"]
    torch.testing.assert_close(importance, torch.full_like(importance, 0.125 / (0.0625 + 1e-3)))


def test_resuming_in_the_middle_of_a_task_equals_never_having_stopped(tmp_path):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "optim": "adamw_torch"}

    def method(model: nn.Module) -> SynapticIntelligence:
        made = SynapticIntelligence(10.0)
        train(model, uneven_dialogues(), made, tmp_path / "first", max_steps=2, learning_rate=0.05)
        return made.protect(model, [])

    model = causal()
    whole = method(model)
    train(model, uneven_dialogues(), whole, tmp_path / "whole", **settings)
    resumed, fresh = causal(), SynapticIntelligence(10.0)
    checkpoint = str(tmp_path / "whole" / "checkpoint-3")
    train_on = ContinualTrainer(
        method=fresh, model=resumed, args=arguments(tmp_path / "resumed", **settings),
        train_dataset=uneven_dialogues(), data_collator=Collator(0),
    )  # fmt: skip
    train_on.train(resume_from_checkpoint=checkpoint)
    assert fresh.n_steps == whole.n_steps == 6
    for one, other in ((fresh.path, whole.path), (fresh.start, whole.start), (weights(resumed), weights(model))):
        for name, tensor in other.items():
            torch.testing.assert_close(one[name], tensor)
    for each, end in ((whole, model), (fresh, resumed)):
        each.protect(end, [])
    for name, tensor in whole.penalties[0].importance.items():
        assert float(tensor.sum()) > 0
        torch.testing.assert_close(fresh.penalties[0].importance[name], tensor)
        torch.testing.assert_close(fresh.penalties[0].anchor[name], whole.penalties[0].anchor[name])
    assert fresh.total.n_examples == whole.total.n_examples == 8


def test_watching_the_first_task_changes_nothing_in_it():
    plain, watched = (
        learn_once(toys.runtime(), "dialogpt", TASKS, method, plan=PLAN, stop_after=1, progress=False)
        for method in (Naive(), SynapticIntelligence(1.0))
    )
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], tensor)
    importance = watched.method.penalties[0].importance
    assert sum(float(tensor.sum()) for tensor in importance.values()) > 0
    assert watched.method.total.n_examples == PLAN.steps
    n = sum(parameter.numel() for parameter in plain.model.parameters())
    assert watched.method.stored_bytes() == 8 * n


def test_heads_come_with_their_tasks_and_the_second_record_has_a_penalty():
    learned = learn_once(
        toys.runtime(), "roberta", ("sst2", "topics", THIRD), SynapticIntelligence(1.0), plan=PLAN, progress=False
    )
    method = learned.method
    heads = {name.split(".")[1] for name in method.total if name.startswith("heads.")}
    assert heads == {"sst2", "topics"}  # what comes after the last task is nobody's concern
    assert all(float(method.total[f"heads.{name}.out_proj.weight"].sum()) > 0 for name in heads)
    assert set(method.path) == set(dict(learned.model.named_parameters()))
    both = 8 * sum(tensor.numel() for tensor in method.total.values())
    assert learned.record.stored_bytes == both
    assert ["penalty" in entry for entry in learned.record.losses] == [
        entry["training"] != "sst2" for entry in learned.record.losses
    ]


def count_learned(learned) -> dict[str, float]:
    return {"n": float(learned.n_learned)}


def test_going_on_from_a_plain_first_task_begins_anew_and_leaves_it_alone():
    first = learn_once(toys.runtime(), "dialogpt", TASKS, Naive(), plan=PLAN, stop_after=1, progress=False)
    before = copy.deepcopy(first.model.state_dict())
    went_on = first.then(SynapticIntelligence(1.0), measure=count_learned, progress=False)
    assert went_on.method.total.n_examples == PLAN.steps
    assert went_on.record.plan == first.record.plan
    assert went_on.record.seeds == first.record.seeds
    assert went_on.record.extra == {"untouched n": [0.0], "n": [[1.0, 2.0]]}
    assert first.n_learned == 1
    assert all(torch.equal(tensor, first.model.state_dict()[name]) for name, tensor in before.items())


def test_what_it_cannot_work_with_is_refused():
    with pytest.raises(ValueError, match="watched no step"):
        SynapticIntelligence(1.0).protect(Regression(), [])
    for damping in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="damping"):
            SynapticIntelligence(1.0, damping=damping)
    with pytest.raises(ValueError, match="strength"):
        SynapticIntelligence(-1.0)
