"""A-GEM and DER++: hand-worked numbers, a loop in float64, accumulation, resuming, and what they may keep."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import TrainingArguments

from cfhelpers.methods import AGEM, DERpp
from cfhelpers.methods.agem import conflict
from cfhelpers.methods.derpp import logit_distance
from cfhelpers.methods.rehearsal import rows_of
from cfhelpers.tasks.encoding import Collator, encode_task
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys

MAKE = {
    "agem": lambda model, batches, **settings: AGEM.from_data(model, batches, 6, batch_size=4, **settings),
    "derpp": lambda model, batches, **settings: DERpp.from_data(model, batches, 6, batch_size=4, **settings),
}


def causal(**changes: Any) -> nn.Module:
    return toys.causal_model(**({"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0} | changes))


def words(seed: int, count: int) -> Dataset:
    """Sequences of different lengths whose first two tokens are no target."""
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(5, 19, (4 + row % 5,), generator=generator).tolist() for row in range(count)]
    return Dataset.from_dict({"input_ids": ids, "labels": [[-100, -100, *row[2:]] for row in ids]})


def batches(data: Dataset, size: int = 5) -> list[dict[str, torch.Tensor]]:
    rows = data.to_list()
    return [Collator(0)(rows[start : start + size]) for start in range(0, len(rows), size)]


def trainer(model, method, folder, **changes) -> Any:
    settings = {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-2,
        "optim": "sgd", "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "remove_unused_columns": False, "lr_scheduler_type": "constant", "max_grad_norm": 0.0,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    return ContinualTrainer(
        method=method, model=model, args=TrainingArguments(**(settings | changes)), train_dataset=words(2, 16),
        data_collator=Collator(0),
    )  # fmt: skip


# A-GEM ---------------------------------------------------------------------------------------------------------------


class Plane(nn.Module):
    """Two weights and one more; the old batch's loss has the gradient that the test asks for."""

    def __init__(self, gradient: list[float], reference: list[float]) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.second = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.reference = torch.tensor(reference, dtype=torch.float64)
        self.first.grad = torch.tensor(gradient[:2], dtype=torch.float64)
        self.second.grad = torch.tensor(gradient[2:], dtype=torch.float64)

    def forward(self, **batch: torch.Tensor) -> SimpleNamespace:
        loss = (torch.cat([self.first, self.second]) * self.reference).sum()
        return SimpleNamespace(loss=loss)

    def gradient(self) -> list[float]:
        assert self.first.grad is not None
        assert self.second.grad is not None
        return [*self.first.grad.tolist(), *self.second.grad.tolist()]


@pytest.mark.parametrize(
    ("gradient", "reference", "projected"),
    [
        ([1.0, -2.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]),  # what goes against the axis is taken out
        ([1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [1.0, 2.0, 0.0]),  # no conflict: nothing changes
        ([3.0, -1.0, 2.0], [-1.0, 2.0, 0.0], [2.0, 1.0, 2.0]),  # g·r = −5, r·r = 5: g + r
        ([-1.0, -2.0, -2.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0]),  # exactly against: nothing is left
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_the_projection_by_hand(gradient, reference, projected, scale):
    model, method = Plane([scale * each for each in gradient], reference), AGEM(1)
    method.kept = {"old": [{"input_ids": [1], "labels": [1]}]}
    method.after_backward(model, scale)
    assert model.gradient() == pytest.approx([scale * each for each in projected])
    assert model.unused.grad is None
    assert method.projected == (gradient != projected)


def test_the_projection_never_points_against_the_old_gradient():
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        gradient, reference = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        model, method = Plane(gradient.tolist(), reference.tolist()), AGEM(1)
        method.kept = {"old": [{"input_ids": [1], "labels": [1]}]}
        method.after_backward(model, 1.0)
        along = float(np.dot(model.gradient(), reference.tolist()))
        wanted = float(gradient @ reference)
        assert along == pytest.approx(max(0.0, wanted), abs=1e-12)


def test_a_weight_that_only_the_old_task_uses_is_part_of_the_projection():
    gradients = {"a": torch.tensor([-2.0]), "head": None}
    assert conflict(gradients, {"a": torch.tensor([1.0]), "head": torch.tensor([1.0])}) == pytest.approx(-1.0)
    assert conflict({"a": torch.tensor([1.0])}, {}) == 0.0


def test_the_old_gradient_is_that_of_the_old_batch_and_leaves_nothing_behind():
    model, data = causal(), words(1, 20)
    method = AGEM.from_data(model, batches(data), 6, batch_size=4)
    parameters = dict(model.named_parameters())
    reference = method.reference_gradient(model, parameters)
    assert all(parameter.grad is None for parameter in parameters.values())
    method.draws = 0
    batch, rows = method.old_batch("cpu")
    assert len(rows) == 4
    model(**batch).loss.backward()
    for name, gradient in reference.items():
        torch.testing.assert_close(gradient, parameters[name].grad)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_old_data_without_a_target_are_refused(make):
    (batch,) = batches(words(1, 4))
    nothing = batch | {"labels": torch.full_like(batch["labels"], -100)}
    nothing["labels"][:, 0] = 7  # the first token is predicted by nothing
    with pytest.raises(ValueError, match=r"no old examples to keep: .*every label in it is −100"):
        make(causal(), [nothing])
    nothing["labels"][2, 3] = 7
    (kept,) = make(causal(), [nothing]).kept["old data"]
    assert kept["labels"][3] == 7


# DER++ ---------------------------------------------------------------------------------------------------------------


def test_the_distance_of_logits_by_hand():
    stored = [
        {"logits": torch.tensor([[3.0, 1.0]]), "columns": torch.tensor([[2, 0]], dtype=torch.int32)},
        {"logits": torch.tensor([[0.0, 0.0], [1.0, 1.0]]), "columns": torch.tensor([[0, 1], [1, 2]])},
    ]
    now = torch.tensor([[0.0, 9.0, 5.0], [1.0, 2.0, 9.0], [9.0, 1.0, 4.0]], dtype=torch.float64)
    # (5−3)² + (0−1)² + 1² + 2² + 0² + 3² = 19 over 6 stored logits
    assert float(logit_distance(now, stored)) == pytest.approx(19 / 6)


@pytest.mark.parametrize("top_k", [4, 100])
def test_the_rehearsal_loss_equals_a_loop_in_float64(top_k):
    model = causal(seed=3).double()
    method = DERpp.from_data(
        model, batches(words(1, 20)), 6, logit_weight=0.3, label_weight=0.7, batch_size=4, top_k=top_k
    )
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double())
    loss = method.rehearsal_loss(model).item()
    method.draws = 0
    _, rows = method.old_batch("cpu")
    squares, nats = [], []
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        before, after = teacher(ids).logits[0].detach(), model(ids).logits[0].detach()
        for position in range(1, ids.shape[1]):
            if row["labels"][position] != -100:
                nats.append(-float(after[position - 1].log_softmax(-1)[row["labels"][position]]))
                kept = sorted(range(20), key=lambda token: -float(before[position - 1, token]))[:top_k]
                squares += [float(after[position - 1, token] - before[position - 1, token]) ** 2 for token in kept]
    expected = 0.3 * sum(squares) / len(squares) + 0.7 * sum(nats) / len(nats)
    assert loss == pytest.approx(expected, rel=1e-5)  # logits are stored in float32


def test_logits_are_stored_in_evaluation_mode_and_do_not_move_with_the_model():
    model = causal(attn_pdrop=0.5, resid_pdrop=0.5).train()
    one, two = (DERpp.from_data(model, batches(words(1, 20)), 6) for _ in range(2))
    assert model.training
    for row, other in zip(one.kept["old data"], two.kept["old data"], strict=True):
        assert torch.equal(row["logits"], other["logits"])
    before = [row["logits"].clone() for row in one.kept["old data"]]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(row["logits"], kept) for row, kept in zip(one.kept["old data"], before, strict=True))


def test_a_classifier_is_rehearsed_with_every_head_of_its_own():
    model = toys.classifier().eval()
    tasks = [encode_task(toys.TASKS[name], toys.tokenizer(), task_id=i) for i, name in enumerate(("sst2", "topics"))]
    method = DERpp(2, logit_weight=1.0, label_weight=0.0)
    for task in tasks:
        model.add_head(task.name, len(task.task.label_names))
        method.after_task(model, task)
    assert [row["logits"].shape for row in method.kept["topics"]] == [(1, 3)] * 2
    assert method.rehearsal_loss(model).item() == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("settings", [{"logit_weight": -1.0}, {"logit_weight": 0.0, "label_weight": 0.0}, {"top_k": 0}])
def test_weights_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="finite numbers"):
        DERpp(4, **settings)
    with pytest.raises(ValueError, match="at least 1"):
        AGEM(0)


# Both ----------------------------------------------------------------------------------------------------------------


def end_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("settings", [{}, {"label_smoothing_factor": 0.1}], ids=["own loss", "label smoothing"])
@pytest.mark.parametrize("name", MAKE)
def test_four_micro_batches_of_four_equal_one_batch_of_sixteen(name, settings, tmp_path):
    start, ends = causal(), []
    for size in (16, 4):
        model = causal()
        method = MAKE[name](start, batches(words(1, 20)))
        sizes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 16 // size}
        trainer(model, method, tmp_path, **sizes, **settings).train()
        assert method.draws == 1
        ends.append(end_of(model))
    assert float((ends[0] - end_of(start)).norm()) > 1e-3
    assert float((ends[0] - ends[1]).norm()) < 1e-4 * float((ends[0] - end_of(start)).norm())


@pytest.mark.parametrize("name", MAKE)
def test_resuming_equals_never_having_stopped(name, tmp_path):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "optim": "adamw_torch"}
    whole = trainer(causal(), MAKE[name](causal(), batches(words(1, 20))), tmp_path / "whole", **settings)
    whole.train()
    # The resumed run's own buffer is another one, which the checkpoint's replaces.
    method = MAKE[name](causal(), batches(words(7, 20)), seed=0)
    resumed = trainer(causal(), method, tmp_path / "resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    torch.testing.assert_close(end_of(resumed.model), end_of(whole.model))
    assert method.draws == 6
    if isinstance(method, AGEM):
        assert method.projected == whole.method.projected


@pytest.mark.parametrize("name", MAKE)
def test_only_training_examples_are_kept_and_old_tasks_are_drawn_alike(name):
    method: Any = {"agem": AGEM(3, batch_size=5), "derpp": DERpp(3, batch_size=5)}[name]
    model = causal()
    for number, task in enumerate(("persona", "workplace")):
        encoded = encode_task(toys.TASKS[task], toys.tokenizer())
        part = words(10 + number, 8)
        method.after_task(model, encoded.__class__(**{**vars(encoded), "train": part}))
        kept = [row["input_ids"] for row in method.kept[task]]
        assert len(kept) == 3
        assert all(ids in part["input_ids"] for ids in kept)
    for _ in range(4):
        _, rows = method.old_batch("cpu")
        from_first = sum(any(row is each for each in method.kept["persona"]) for row in rows)
        assert len(rows) == 5
        assert from_first in (2, 3)


@pytest.mark.parametrize("name", MAKE)
def test_a_method_that_keeps_nothing_is_refused_by_the_trainer(name, tmp_path):
    method = {"agem": AGEM(3), "derpp": DERpp(3)}[name]
    with pytest.raises(ValueError, match=r"keeps no old examples yet: make it with \w+\.from_data"):
        trainer(causal(), method, tmp_path)
    with pytest.raises(ValueError, match="batches is empty"):
        MAKE[name](causal(), [])


def test_batches_become_rows_without_their_padding():
    data = words(1, 7)
    assert list(rows_of(batches(data))) == data.to_list()
    left = {"input_ids": torch.tensor([[0, 0, 5, 6]]), "attention_mask": torch.tensor([[0, 0, 1, 1]])}
    left["labels"] = torch.tensor([[-100, -100, 5, 6]])
    assert list(rows_of([left])) == [{"input_ids": [5, 6], "labels": [5, 6]}]
    classified = {"input_ids": torch.tensor([[5, 6]]), "labels": torch.tensor([1]), "task_ids": torch.tensor([2])}
    assert list(rows_of([classified])) == [{"input_ids": [5, 6], "labels": 1, "task_ids": 2}]
    for wrong, named in (({"input_ids": left["input_ids"]}, "input_ids"), (left | {"position_ids": 1}, "position_ids")):
        with pytest.raises(ValueError, match=rf"input_ids and labels.*{named}"):
            list(rows_of([wrong]))
    with pytest.raises(ValueError, match="got str"):
        list(rows_of(data.to_dict()))  # pyright: ignore[reportArgumentType]  # a data set is no list of batches
