"""The trainer: accumulation changes nothing, gradients are changed once, state survives a restart."""

import copy
import gc
import logging
import warnings
import weakref

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import RobertaConfig, RobertaForSequenceClassification, Trainer, TrainingArguments

from cfhelpers.methods import EWC, L2SP, EWCOnGenerations, Method, Naive, OnlineEWC
from cfhelpers.tasks.encoding import Collator, encode_task
from cfhelpers.training.trainer import ContinualMixin, ContinualTrainer
from tests import toys


class Pull(Method):
    """An extra loss and a penalty, to see both under accumulation."""

    name = "pull"

    def __init__(self, weight: float = 0.5) -> None:
        self.weight, self.changed, self.stepped = weight, 0, 0

    def extra_loss(self, model, inputs, outputs, num_items):
        counted = (inputs["labels"][..., 1:] != -100) if inputs["labels"].dim() > 1 else None
        squares = outputs.logits.square().mean(-1)
        return self.weight * (squares[:, :-1][counted] if counted is not None else squares).sum() / num_items

    def after_backward(self, model, scale):
        self.changed += 1
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=0.1 * scale)

    def after_step(self, model):
        self.stepped += 1


class Watcher(Naive):
    """Remembers which model each step was made on."""

    def __init__(self) -> None:
        self.seen: list[nn.Module] = []

    def after_step(self, model):
        self.seen.append(model)


def uneven_dialogues() -> Dataset:
    """Sixteen sequences of very different lengths, so that a mean of means differs from the mean."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(5, 19, (3 + (7 * index) % 23,), generator=generator).tolist() for index in range(16)]
    labels = [[-100, *row[1:]] for row in rows]
    return Dataset.from_dict({"input_ids": rows, "labels": labels})


def arguments(folder, **changes) -> TrainingArguments:
    settings = {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-2,
        "optim": "sgd", "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "remove_unused_columns": False, "logging_steps": 1, "lr_scheduler_type": "constant", "max_grad_norm": 0.0,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    return TrainingArguments(**(settings | changes))


def causal() -> nn.Module:
    return toys.causal_model(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)


def sequence_classifier() -> nn.Module:
    """RoBERTa's own classifier, whose loss takes num_items_in_batch and ignores it."""
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, id2label={0: 'a', 1: 'b', 2: 'c'}, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )  # fmt: skip
    return RobertaForSequenceClassification(config)


def classified() -> Dataset:
    data = uneven_dialogues()
    return Dataset.from_dict({"input_ids": data["input_ids"], "labels": [i % 3 for i in range(16)]})


def train(model, data, method, folder, **changes):
    trainer = ContinualTrainer(
        method=method, model=model, args=arguments(folder, **changes), train_dataset=data, data_collator=Collator(0)
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(("make_model", "make_data"), [(causal, uneven_dialogues), (sequence_classifier, classified)])
def test_four_micro_batches_of_four_equal_one_batch_of_sixteen(make_model, make_data, tmp_path):
    start = copy.deepcopy(make_model().state_dict())
    ends = []
    for size, accumulated in ((16, 1), (4, 4)):
        model, method = make_model(), Pull()
        train(
            model,
            make_data(),
            method,
            tmp_path,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulated,
        )
        assert (method.changed, method.stepped) == (1, 1)
        ends.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    moved = sum((ends[0][name] - start[name]).abs().sum() for name in start)
    differ = sum((ends[0][name] - ends[1][name]).abs().sum() for name in start)
    assert moved > 1e-3
    assert differ < 1e-4 * moved


def test_without_our_care_a_mean_loss_would_be_accumulated_too_strongly(tmp_path):
    """The reason for ``_does_loss_use_num_items``: what plain ``Trainer`` makes of RoBERTa's own head."""
    norms = []
    for size, accumulated in ((16, 1), (4, 4)):
        trainer = Trainer(
            model=sequence_classifier(),
            args=arguments(tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=accumulated),
            train_dataset=classified(),
            data_collator=Collator(0),
        )
        trainer.train()
        norms.append(trainer.state.log_history[0]["grad_norm"])
    assert norms[1] == pytest.approx(4 * norms[0], rel=1e-3)


def test_penalty_is_added_before_clipping(tmp_path):
    model = causal()
    method = L2SP(1e6)
    method.protect(model, [])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    trainer = train(model, uneven_dialogues(), method, tmp_path, max_grad_norm=1.0, learning_rate=1e-3, max_steps=1)
    logged = trainer.state.log_history[0]
    assert logged["grad_norm"] > 1e3  # what clipping saw
    n = sum(parameter.numel() for parameter in model.parameters())
    assert logged["penalty"] == pytest.approx(1e6 / 2 * n * 1e-4, rel=1e-3)
    assert logged["penalty_to_loss"] == pytest.approx(logged["penalty"] / logged["loss"], rel=1e-2)
    assert logged["penalty_to_task_gradient"] > 1e3


@pytest.mark.parametrize(("make_model", "make_data"), [(causal, uneven_dialogues), (sequence_classifier, classified)])
def test_the_penalty_is_weighed_against_the_loss_of_the_whole_step(make_model, make_data, tmp_path):
    model, method = make_model(), L2SP(1.0)
    method.protect(model, [])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    sizes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    logged = train(model, make_data(), method, tmp_path, max_steps=2, **sizes).state.log_history
    for entry in logged[:2]:
        assert entry["penalty_to_loss"] == pytest.approx(entry["penalty"] / entry["loss"], rel=1e-3)


def test_the_strength_of_a_method_can_be_set_anew():
    model, method = causal(), L2SP(1.0)
    method.protect(model, [])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    before = method.diagnostics(model)
    method.strength = 3.0
    assert method.settings() == {"strength": 3.0}
    assert method.diagnostics(model) == pytest.approx({name: 3 * value for name, value in before.items()})
    assert method.penalties[0].value(model).item() == pytest.approx(3 * before["penalty"], rel=1e-4)
    with pytest.raises(ValueError, match="finite number"):
        method.strength = float("nan")


def test_outputs_are_only_asked_for_where_the_method_looks_at_them(tmp_path):
    asked = []

    class Watched(Trainer):
        """Trl's trainer, for one, makes outputs in a second pass."""

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            asked.append(return_outputs)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    class Mixed(ContinualMixin, Watched):
        pass

    model = causal()
    for method in (L2SP.from_data(model, None, strength=1.0), Pull()):
        Mixed(
            method=method, model=model, args=arguments(tmp_path), train_dataset=uneven_dialogues(),
            data_collator=Collator(0),
        ).train()  # fmt: skip
    assert asked == [False, True]


def test_a_trainer_goes_with_its_last_user_and_adams_moments_with_it(tmp_path):
    trainer = train(causal(), uneven_dialogues(), Pull(), tmp_path, optim="adamw_torch", max_steps=2)
    gone, optimizer = weakref.ref(trainer), weakref.ref(trainer.optimizer.optimizer)
    gc.disable()  # it would find the cycle some day; a model of some size cannot wait for it
    try:
        del trainer
        assert gone() is None
        assert optimizer() is None
    finally:
        gc.enable()


def test_a_copied_trainer_calls_its_own_method_on_its_own_model(tmp_path):
    first = ContinualTrainer(
        method=Watcher(), model_init=causal, args=arguments(tmp_path, max_steps=2), train_dataset=uneven_dialogues(),
        data_collator=Collator(0),
    )  # fmt: skip
    second = copy.deepcopy(first)  # as Ray's search for hyperparameters pickles it; the model is then made anew
    second.method = Watcher()
    second.train()
    assert second.method.seen == [second.model] * 2
    assert first.method.seen == []


def test_evaluation_leaves_the_extra_loss_out(tmp_path):
    trainer = ContinualTrainer(
        method=Pull(weight=1e6), model=causal(), args=arguments(tmp_path), eval_dataset=uneven_dialogues(),
        train_dataset=uneven_dialogues(), data_collator=Collator(0),
    )  # fmt: skip
    assert trainer.evaluate()["eval_loss"] < 10


def test_resuming_equals_never_having_stopped(tmp_path, caplog):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "optim": "adamw_torch"}

    def method(model) -> EWC:
        torch.manual_seed(5)
        batches = encode_task(toys.TASKS["persona"], toys.tokenizer()).batches("train", 2)
        made = EWC.from_data(model, batches, strength=100.0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        return made

    model = causal()
    train(model, uneven_dialogues(), method(model), tmp_path / "whole", **settings)
    resumed = causal()
    fresh = EWC(100.0)
    trainer = ContinualTrainer(
        method=fresh, model=resumed, args=arguments(tmp_path / "resumed", **settings),
        train_dataset=uneven_dialogues(), data_collator=Collator(0),
    )  # fmt: skip
    logging.getLogger("transformers").addHandler(caplog.handler)
    with warnings.catch_warnings():
        trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "missing keys" not in caplog.text  # a tied head stands in a checkpoint once, as the embedding
    assert len(fresh.penalties) == 1
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)


@pytest.mark.parametrize(("storage", "error"), [("float16", 1e-3), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("kind", [EWC, OnlineEWC, EWCOnGenerations])
def test_an_importance_may_be_kept_in_half_precision(kind, storage, error):
    model = causal()
    batches = encode_task(toys.TASKS["persona"], toys.tokenizer()).batches("train", 2)
    length = {"length": 16} if kind is EWCOnGenerations else {}
    plain, half = (kind(100.0, storage=each, **length).protect(model, batches) for each in ("float32", storage))
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert (plain.stored_bytes(), half.stored_bytes()) == (8 * weights, 6 * weights)
    assert "storage" not in plain.settings()
    resumed = kind(**half.settings())
    resumed.load_state_dict(half.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    assert resumed.stored_bytes() == half.stored_bytes()
    assert resumed.diagnostics(model) == half.diagnostics(model)
    assert half.diagnostics(model) == pytest.approx(plain.diagnostics(model), rel=error)
    assert half.diagnostics(model) != plain.diagnostics(model)
    assert half.diagnostics(model)["penalty"] == pytest.approx(half.penalties[0].value(model).item(), rel=1e-4)


def test_l2sp_keeps_nothing_but_the_anchor():
    model = causal()
    method = L2SP(2.0).protect(model, [])
    parameters = list(model.parameters())
    assert method.stored_bytes() == 4 * sum(parameter.numel() for parameter in parameters) + 4 * len(parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.5)
    resumed = L2SP(2.0)
    resumed.load_state_dict(method.state_dict())
    expected = 2.0 / 2 * 0.25 * sum(parameter.numel() for parameter in parameters)
    assert resumed.diagnostics(model)["penalty"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("wrong", [{"variant": "sampled"}, {"unit": "word"}, {"storage": "int8"}])
def test_an_unknown_setting_of_ewc_is_refused_when_it_is_made(wrong):
    (name,) = wrong
    for kind in (EWC, OnlineEWC):
        with pytest.raises(ValueError, match=f"unknown {name} '{wrong[name]}'; choose one of"):
            kind(3000, **wrong)


def test_resuming_without_or_with_another_methods_state_is_refused(tmp_path):
    settings = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    trainer = train(causal(), uneven_dialogues(), Naive(), tmp_path, **settings)
    checkpoint = tmp_path / "checkpoint-1"
    trainer.method = EWC(1.0)
    with pytest.raises(ValueError, match="saved with 'naive'"):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    (checkpoint / "method.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no method\.pt"):
        trainer.train(resume_from_checkpoint=str(checkpoint))


def test_a_method_must_be_one(tmp_path):
    with pytest.raises(TypeError, match=r"cf\.methods\.Naive"):
        ContinualTrainer(
            method="ewc",
            model=causal(),
            args=arguments(tmp_path),
            train_dataset=uneven_dialogues(),
        )
