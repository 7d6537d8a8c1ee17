"""Distillation: losses against loops in float64, teachers that stay, accumulation that changes nothing."""

import copy
import math

import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments

from cfhelpers.methods import (
    EWC,
    L2SP,
    Combined,
    EntropyGated,
    Joint,
    LwF,
    Naive,
    OnlineEWC,
    Replay,
    SelfDistillation,
    SelfDistillationFineTuning,
    SynapticIntelligence,
    self_distillation_fine_tuning,
)
from cfhelpers.methods.divergence import divergence, predictions
from cfhelpers.methods.entropy_gated import gate
from cfhelpers.methods.kept_outputs import KeptOutputs, row_keys
from cfhelpers.methods.self_distillation import common_beginning
from cfhelpers.tasks.encoding import Collator
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys

NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}


def causal(seed=0):
    return toys.causal_model(seed, **NO_DROPOUT)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def classifier(seed=0):
    model = toys.classifier(seed)
    model.add_head("old", 2)
    return without_dropout(model)


def with_new_head(model):
    model = copy.deepcopy(model)
    model.add_head("new", 3)
    return without_dropout(model)


def moved(model, seed=5, scale=0.05):
    model, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def dialogues():
    """Sixteen sequences of very different lengths; the first tokens of each are no targets."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(5, 19, (3 + (7 * index) % 23,), generator=generator).tolist() for index in range(16)]
    return Dataset.from_dict({"input_ids": rows, "labels": [[-100, *row[1:]] for row in rows]})


def texts():
    data = dialogues()
    return Dataset.from_dict(
        {"input_ids": data["input_ids"], "labels": [i % 3 for i in range(16)], "task_ids": [1] * 16}
    )


def batch_of(data, rows=range(16)):
    return Collator(0)([data[row] for row in rows])


def softmax64(logits):
    logits = logits.detach().double()
    powers = (logits - logits.max()).exp()
    return powers / powers.sum()


def kl64(p, q):
    return sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True))


def causal_by_hand(student, teacher, data, temperature, direction):
    """Sum over all targets of T² KL, one unpadded row and one position after the other, in float64."""
    student, teacher, total, count = (
        copy.deepcopy(student).double().eval(),
        copy.deepcopy(teacher).double().eval(),
        0.0,
        0,
    )
    for row in data:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            ours, theirs = student(input_ids=ids).logits[0], teacher(input_ids=ids).logits[0]
        for t in range(1, ids.shape[1]):
            if row["labels"][t] != -100:
                p, q = softmax64(theirs[t - 1] / temperature), softmax64(ours[t - 1] / temperature)
                total += temperature**2 * (kl64(p, q) if direction == "forward" else kl64(q, p))
                count += 1
    return total, count


# The divergence ------------------------------------------------------------------------------------------------------


def test_the_divergence_of_two_coins_is_the_one_worked_by_hand():
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])  # (3/4, 1/4) and (1/2, 1/2)
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert divergence(student, teacher).item() == pytest.approx(forward, rel=1e-5)
    assert divergence(student, teacher, direction="reverse").item() == pytest.approx(reverse, rel=1e-5)


def test_temperature_softens_and_its_square_keeps_the_size_of_the_gradient():
    student = torch.tensor([[0.2, -0.1, 0.05]], requires_grad=True)
    teacher = torch.tensor([[-0.1, 0.15, 0.1]])
    sizes = []
    for temperature in (1.0, 20.0, 40.0):
        student.grad = None
        divergence(student, teacher, temperature=temperature).sum().backward()
        sizes.append(float(student.grad.norm()))
        p, q = softmax64(teacher[0] / temperature), softmax64(student[0].detach() / temperature)
        value = divergence(student, teacher, temperature=temperature).item()
        assert value == pytest.approx(temperature**2 * kl64(p, q), rel=1e-3)
    assert sizes[1] == pytest.approx(sizes[2], rel=1e-2)
    assert sizes[0] == pytest.approx(sizes[2], rel=0.2)  # without T² it would be 1600 times as large


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_lwf_sums_over_targets_only_as_a_float64_loop_does(temperature, direction):
    teacher, data = causal(), dialogues()
    student = moved(teacher).train()
    method = LwF(0.7, temperature=temperature, direction=direction).protect(teacher)
    batch = batch_of(data)
    loss = method.extra_loss(student, batch, student(**batch), torch.tensor(50))
    total, _ = causal_by_hand(student, teacher, data, temperature, direction)
    assert loss.item() == pytest.approx(0.7 * total / 50, rel=1e-4)


def test_lwf_answers_new_texts_with_every_old_head_and_no_new_one():
    old, data = classifier(), texts()
    old.add_head("older", 4)
    old = without_dropout(old)
    student = with_new_head(moved(old)).train()
    method = LwF(1.0, temperature=2.0).protect(old)
    batch = batch_of(data)
    batch["task_ids"] = torch.full((16,), 2)
    batch["labels"][3] = -100  # no example: counts nowhere
    loss = method.extra_loss(student, batch, student(**batch), torch.tensor(15))
    total, student, old = 0.0, student.double().eval(), copy.deepcopy(old).double().eval()
    for number, row in enumerate(data):
        ids = torch.tensor([row["input_ids"]])
        for head in ("old", "older") if number != 3 else ():
            with torch.no_grad():
                ours, theirs = (m.heads[head](m.features(ids))[0] / 2 for m in (student, old))
            total += 4 * kl64(softmax64(theirs), softmax64(ours))
    assert loss.item() == pytest.approx(total / 15, rel=1e-4)


def test_a_model_that_has_not_moved_is_at_no_distance_and_before_the_first_task_there_is_no_loss():
    model, batch = causal(), batch_of(dialogues())
    assert LwF(1.0).extra_loss(model, batch, model(**batch), torch.tensor(9)) is None
    assert SelfDistillation(1.0).extra_loss(model, batch, model(**batch), torch.tensor(9)) is None
    loss = LwF(1.0).protect(model).extra_loss(model, batch, model(**batch), torch.tensor(9))
    assert abs(loss.item()) < 1e-5


# The teacher ---------------------------------------------------------------------------------------------------------


def test_the_teacher_stays_in_evaluation_mode_without_gradients_and_where_it_was():
    model = toys.causal_model().train()  # with dropout
    original = model.forward
    model.forward = lambda *args, **kwargs: original(*args, **kwargs)  # as trl and accelerate do
    method, batch = LwF(1.0).protect(model), batch_of(dialogues())
    before = copy.deepcopy(method.teacher.state_dict())
    answers = [predictions(method.teacher, batch, None, None)[0] for _ in range(2)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    method.extra_loss(model, batch, model(**batch), torch.tensor(9)).backward()
    assert torch.equal(*answers)
    assert torch.equal(predictions(method.teacher, batch, None, None)[0], answers[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())


# Kept outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("make", ["causal", "classifier"])
def test_with_all_outcomes_kept_nothing_is_lost(make, direction):
    old, data = (causal(), dialogues()) if make == "causal" else (classifier(), texts())
    student = moved(old if make == "causal" else with_new_head(old))
    rows = [15, 3, 8]  # in another order and with another padding than they were kept in
    batch, losses = batch_of(data, rows), []
    for top_k in (None, 20):
        method = LwF(1.0, direction=direction, top_k=top_k).protect(
            old, [batch_of(data, range(5, 16)), batch_of(data, range(5))]
        )
        losses.append(method.extra_loss(student, batch, student(**batch), torch.tensor(9)).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_the_kept_outcomes_give_the_divergence_of_k_outcomes_and_the_rest():
    teacher, data = causal(), dialogues()
    student, batch = moved(teacher), batch_of(dialogues())
    kept = KeptOutputs.of(teacher, [batch], top_k=3, temperature=2.0, heads=None)
    ours, theirs = (predictions(model, batch, None, None)[0] for model in (student, teacher))
    exact, found, by_hand = 0.0, kept.divergence([ours], batch, "forward")[0].sum().item(), 0.0
    for own, other in zip(ours, theirs, strict=True):
        p, q = softmax64(other / 2), softmax64(own / 2)
        exact += 4 * kl64(p, q)
        best = p.topk(3).indices
        p, q = ([*each[best], 1 - each[best].sum()] for each in (p, q))
        by_hand += 4 * kl64(p, q)
    assert found == pytest.approx(by_hand, rel=1e-3)
    assert found < exact
    n_targets = len(theirs)
    assert kept.stored_bytes() == n_targets * (3 * 4 + 4 * 4)  # three int32 tokens, four float32 log-probabilities
    assert kept.rest == pytest.approx(
        sum(float(1 - softmax64(row / 2).topk(3).values.sum()) for row in theirs) / n_targets, rel=1e-3
    )
    assert len(data) == len(kept.spans)


def test_a_row_that_was_not_kept_is_refused():
    method = LwF(1.0, top_k=4).protect(causal(), [batch_of(dialogues(), range(8))])
    batch, model = batch_of(dialogues(), [7, 8]), causal()
    with pytest.raises(ValueError, match="not among those whose teacher's outputs were kept"):
        method.extra_loss(model, batch, model(**batch), torch.tensor(9))
    with pytest.raises(ValueError, match="no batch to keep"):
        LwF(1.0, top_k=4).protect(causal(), [])
    with pytest.raises(ValueError, match="needs a teacher"):
        LwF(1.0).keep([batch])


def test_a_rows_key_does_not_depend_on_its_padding_but_on_its_targets():
    data = dialogues()
    alone, among = row_keys(batch_of(data, [0])), row_keys(batch_of(data, [0, 3]))
    assert alone[0] == among[0] != among[1]
    batch = batch_of(data, [0])
    batch["labels"][0, 1] = -100
    assert row_keys(batch)[0][0] != alone[0][0]
    with pytest.raises(ValueError, match="without labels"):
        row_keys({"input_ids": batch["input_ids"]})


# Own texts -----------------------------------------------------------------------------------------------------------


def test_own_texts_begin_as_the_old_task_did_and_are_compared_with_what_the_writer_predicted():
    writer, data = causal(), dialogues()
    rows = [[2, 7, *row] for row in data["input_ids"]]
    batches = [Collator(0)([{"input_ids": row, "labels": row} for row in rows])]
    assert common_beginning(batches) == [2, 7]
    assert common_beginning([batch_of(data)]) == []
    method = SelfDistillation(0.5, count=5, length=9, top_k=20).protect(writer, batches)
    assert method.texts["input_ids"][:, :2].tolist() == [[2, 7]] * 5
    assert (method.texts["labels"] == -100).equal(method.texts["attention_mask"] == 0)
    student, batch = moved(writer), batch_of(data, range(7))
    loss = method.extra_loss(student, batch, None, torch.tensor(10)).item()
    written = [
        {
            name: tensor[row][method.texts["attention_mask"][row].bool()].tolist()
            for name, tensor in method.texts.items()
        }
        for row in (0, 1, 2, 3, 4, 0, 1)  # seven new examples: seven texts, beginning anew after the fifth
    ]
    total, _ = causal_by_hand(student, writer, written, 1.0, "forward")
    assert method.next_text == 2
    assert loss == pytest.approx(0.5 * total / 10, rel=1e-4)


def test_a_classifier_has_no_texts_of_its_own():
    plan = Plan(steps=1, batch_size=2, learning_rate=1e-3, curve_points=1)
    with pytest.raises(ValueError, match="for a classifier take LwF"):
        learn_once(toys.runtime(), "roberta", ["sst2", "topics"], SelfDistillation(1.0), plan=plan, progress=False)


# The entropy gate ----------------------------------------------------------------------------------------------------


def test_the_gate_is_the_entropy_of_the_most_probable_over_its_largest_value():
    assert gate(torch.zeros(1, 30)).item() == pytest.approx(1.0)
    assert gate(torch.tensor([[40.0, 0.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-6)
    assert gate(torch.tensor([[math.log(3.0), 0.0]]), 20).item() == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    )
    assert gate(torch.tensor([[1.0, 1.0, -50.0, 0.0]]), 2).item() == pytest.approx(1.0)  # the two most probable only


@pytest.mark.parametrize("make", ["causal", "classifier"])
def test_the_gated_loss_is_the_loss_weighed_target_by_target(make):
    model, data = (causal(), dialogues()) if make == "causal" else (with_new_head(classifier()), texts())
    batch, n = batch_of(data), torch.tensor(40)
    output = model(**batch, num_items_in_batch=n)
    found = output.loss + EntropyGated(top_k=5).extra_loss(model, batch, output, n)
    total = 0.0
    for logits, labels in zip(output.logits.double(), batch["labels"], strict=True):
        pairs = zip(logits[:-1], labels[1:], strict=True) if labels.dim() else [(logits, labels)]
        for each, target in pairs:
            if target != -100:
                best = softmax64(each.topk(min(5, len(each))).values)
                entropy = -sum(float(p) * math.log(float(p)) for p in best) / math.log(len(best))
                total -= entropy * math.log(float(softmax64(each)[target]))
    assert found.item() == pytest.approx(total / 40, rel=1e-4)


# Self-distillation fine-tuning ---------------------------------------------------------------------------------------


def scripted(model, beginnings, *, length):
    """In place of draws: an answer that depends on its question alone."""
    return [[5 + (sum(each) + place) % 14 for place in range(1 + sum(each) % length)] for each in beginnings]


def test_the_teacher_reads_the_answer_and_the_question_again(monkeypatch):
    monkeypatch.setattr(self_distillation_fine_tuning, "write_on", scripted)
    old, data, n = causal(), dialogues(), torch.tensor(40)
    student, batch = moved(old), batch_of(data)
    output = student(**batch, num_items_in_batch=n)
    found = output.loss + SelfDistillationFineTuning(length=5).protect(old).extra_loss(student, batch, output, n)
    student, old, total = copy.deepcopy(student).double().eval(), old.double().eval(), 0.0
    for row in data:
        question = row["input_ids"][:1]  # what stands before the first target
        (answer,) = scripted(None, [question], length=5)
        nats = []
        for place in range(len(answer)):
            with torch.no_grad():
                ours = student(input_ids=torch.tensor([question + answer[:place]])).logits[0, -1]
                shown = row["input_ids"] + question + answer[:place]
                theirs = old(input_ids=torch.tensor([shown])).logits[0, -1]
            nats.append(kl64(softmax64(ours), softmax64(theirs)))
        total += (len(row["input_ids"]) - 1) * sum(nats) / len(nats)
    assert found.item() == pytest.approx(total / 40, rel=1e-4)


def test_only_questions_with_answers_can_be_answered():
    method, old = SelfDistillationFineTuning(), causal()
    batch, n = batch_of(dialogues()), torch.tensor(40)
    assert method.extra_loss(old, batch, old(**batch), n) is None  # the first task has nothing before it
    method.protect(old)
    batch["labels"][3] = batch["input_ids"][3]
    with pytest.raises(ValueError, match=r"a question .* and then an answer"):
        method.extra_loss(old, batch, old(**batch), n)
    with pytest.raises(ValueError, match=r"a question .* and then an answer"):
        method.extra_loss(old, batch_of(texts()), None, n)
    with pytest.raises(ValueError, match="needs tasks of dialogue, and 'sst2' is none"):
        learn_once(
            toys.runtime(),
            "roberta",
            ["sst2", "topics"],
            SelfDistillationFineTuning(),
            plan=Plan(1, 2, 1e-3, 1),
            progress=False,
        )


def test_what_is_written_at_a_step_is_the_students_own(monkeypatch):
    asked = []
    monkeypatch.setattr(
        self_distillation_fine_tuning,
        "write_on",
        lambda model, *a, **k: asked.append(model) or scripted(model, *a, **k),
    )
    old = causal()
    student, batch = moved(old), batch_of(dialogues())
    SelfDistillationFineTuning().protect(old).extra_loss(student, batch, student(**batch), torch.tensor(40))
    assert asked == [student]


# In a trainer --------------------------------------------------------------------------------------------------------


def arguments(folder, **changes):
    settings = {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-2,
        "optim": "sgd", "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "remove_unused_columns": False, "logging_steps": 1, "lr_scheduler_type": "constant", "max_grad_norm": 0.0,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    return TrainingArguments(**(settings | changes))


def trained(model, data, method, folder, resume=None, **changes):
    trainer = ContinualTrainer(
        method=method, model=model, args=arguments(folder, **changes), train_dataset=data, data_collator=Collator(0)
    )
    trainer.train(resume_from_checkpoint=resume)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


METHODS = {
    "forward": lambda: LwF(2.0),
    "reverse": lambda: LwF(2.0, temperature=1.0, direction="reverse"),
    "kept": lambda: LwF(2.0, top_k=3),
    "own texts": lambda: SelfDistillation(2.0, count=7, length=12),
    "gated": lambda: EntropyGated(top_k=5),
    "combined": lambda: Combined([L2SP(3.0), LwF(2.0), EntropyGated(top_k=5)]),
    "sdft": lambda: SelfDistillationFineTuning(length=4),
}
FOR_CLASSIFIERS = ("forward", "reverse", "kept", "gated", "combined")
CASES = [("causal", name) for name in METHODS] + [("classifier", name) for name in FOR_CLASSIFIERS]


def setting(make, name):
    """Return a student that has moved away from an old model, the new data, and a method that remembers the old."""
    old, data = (causal(), dialogues()) if make == "causal" else (classifier(), texts())
    method = METHODS[name]()
    if hasattr(method, "protect"):
        method.protect(old, [batch_of(data)])
    return moved(old if make == "causal" else with_new_head(old)), data, method


@pytest.mark.parametrize(("make", "name"), CASES)
def test_four_micro_batches_of_four_equal_one_batch_of_sixteen(make, name, tmp_path, monkeypatch):
    monkeypatch.setattr(self_distillation_fine_tuning, "write_on", scripted)  # no draws, which batches would change
    ends = []
    for size in (16, 4):
        student, data, method = setting(make, name)
        start = torch.cat([parameter.detach().flatten().clone() for parameter in student.parameters()])
        changes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 16 // size}
        ends.append(trained(student, data, method, tmp_path, **changes))
    student, data, _ = setting(make, name)
    plain = trained(student, data, Naive(), tmp_path)
    step = float((ends[0] - start).norm())
    assert float((ends[0] - ends[1]).norm()) < 1e-4 * step
    assert float((ends[0] - plain).norm()) > 1e-2 * step  # the method does something


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_resumed_run_comes_to_the_same_numbers(make, name, tmp_path):
    student, data, method = setting(make, name)
    changes = {
        "per_device_train_batch_size": 5,
        "max_steps": 6,
        "optim": "adamw_torch",
        "save_strategy": "steps",
        "save_steps": 3,
    }
    whole = trained(student, data, method, tmp_path, **changes)
    student, data, _ = setting(make, name)
    fresh = METHODS[name]()
    resumed = trained(student, data, fresh, tmp_path, resume=str(tmp_path / "checkpoint-3"), **changes)
    assert torch.equal(whole, resumed)
    assert fresh.stored_bytes() == method.stored_bytes()


@pytest.mark.parametrize(
    ("role", "tasks", "method"),
    [
        ("dialogpt", ["persona", "workplace"], LwF(1.0)),
        ("dialogpt", ["persona", "workplace"], LwF(1.0, top_k=4)),
        ("dialogpt", ["persona", "workplace"], SelfDistillation(1.0, count=4, length=12)),
        ("dialogpt", ["persona", "workplace"], EntropyGated()),
        ("dialogpt", ["persona", "workplace"], SelfDistillationFineTuning(length=3)),
        ("dialogpt", ["persona", "workplace"], Combined([EWC(10.0), Replay(1), LwF(1.0)])),
        ("roberta", ["sst2", "topics"], LwF(1.0)),
        ("roberta", ["sst2", "topics"], LwF(1.0, top_k=4)),
    ],
)
def test_each_method_goes_through_a_sequence(role, tasks, method):
    from dataclasses import replace

    from cfhelpers.training.plans import PLANS

    plan = replace(
        PLANS["tiny", "dialogue" if role == "dialogpt" else "classification"], steps=3, batch_size=2, curve_points=1
    )
    learned = learn_once(toys.runtime(), role, tasks, method, plan=plan, progress=False)
    assert learned.record.stored_bytes == learned.method.stored_bytes()
    assert (learned.record.stored_bytes > 0) is not isinstance(method, EntropyGated)


def test_the_size_of_a_teacher_counts_tied_weights_once():
    model = causal()
    assert LwF(1.0).protect(model).stored_bytes() == 4 * sum(parameter.numel() for parameter in model.parameters())


# Together ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([LwF(1.0)], "at least two"),
        ([LwF(1.0), LwF(2.0)], "'lwf' twice"),
        ([LwF(1.0), Joint()], "'joint' restarts from the base"),
        ([EWC(1.0), L2SP(1.0)], "'ewc' and 'l2sp' both pull on the weights"),
        ([OnlineEWC(1.0), SynapticIntelligence(1.0)], "both pull on the weights"),
        ([Replay(2), LwF(1.0, top_k=3)], "'replay' and 'lwf' both decide what is trained on"),
        ([LwF(1.0), Combined([EWC(1.0), Replay(2)])], "cannot hold another Combined"),
    ],
)
def test_what_cannot_be_combined_is_refused_by_name(methods, message):
    with pytest.raises(ValueError, match=message):
        Combined(methods)


def test_a_method_with_a_rate_of_its_own_cannot_be_combined():
    adapter = Naive()
    adapter.learning_rate = 1e-2
    with pytest.raises(ValueError, match="'naive' trains weights of its own"):
        Combined([adapter, LwF(1.0)])
    with pytest.raises(TypeError, match="not str"):
        Combined(["lwf", LwF(1.0)])


def test_combined_losses_and_gradients_are_the_sums_of_the_parts():
    old, batch = causal(), batch_of(dialogues())
    student, n = moved(old), torch.tensor(30)
    parts = [L2SP(3.0).protect(old, []), LwF(2.0).protect(old), EntropyGated()]
    together = Combined([L2SP(3.0), LwF(2.0), EntropyGated()]).protect(old)
    output = student(**batch)
    losses = [each.extra_loss(student, batch, output, n).item() for each in parts[1:]]
    assert together.extra_loss(student, batch, output, n).item() == pytest.approx(sum(losses), rel=1e-6)
    gradients = []
    for method in (parts[0], together):
        student.zero_grad()
        student(**batch).loss.backward()
        method.after_backward(student, 1.0)
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in student.parameters()]))
    assert torch.equal(*gradients)
    assert together.diagnostics(student) == parts[0].diagnostics(student)
    assert Combined([SynapticIntelligence(1.0), LwF(1.0)]).own_first_task
    assert not together.own_first_task


def test_a_combination_is_ready_where_each_of_its_methods_is():
    model = causal()
    with pytest.raises(ValueError, match="l2sp protects nothing yet"):
        Combined([L2SP(3.0), LwF(2.0)]).require_ready(model)
    Combined([L2SP(3.0), LwF(2.0), EntropyGated()]).protect(model).require_ready(model)
    with pytest.raises(ValueError, match="lwf protects nothing yet"):
        LwF(1.0).require_ready(model)


def test_a_combinations_state_is_refused_by_another():
    state = Combined([L2SP(3.0), LwF(2.0)]).state_dict()
    with pytest.raises(ValueError, match="of l2sp, lwf, not of entropy_gated, lwf"):
        Combined([LwF(2.0), EntropyGated()]).load_state_dict(state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LwF(-1.0), "strength"),
        (lambda: LwF(math.inf), "strength"),
        (lambda: LwF(1.0, temperature=0.0), "temperature"),
        (lambda: LwF(1.0, direction="both"), "direction"),
        (lambda: LwF(1.0, top_k=0), "top_k"),
        (lambda: SelfDistillation(1.0, count=0), "count"),
        (lambda: SelfDistillation(1.0, top_k=0), "top_k"),
        (lambda: EntropyGated(top_k=1), "top_k"),
        (lambda: SelfDistillationFineTuning(length=0), "length"),
        (lambda: KeptOutputs(0, 1.0), "top_k"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
