"""The mixin on trl's SFTTrainer, with a chat template; skipped where trl is not installed (extra ``trl``)."""

import copy

import pytest
import torch
from datasets import Dataset

from cfhelpers.methods import L2SP, Method, Naive
from cfhelpers.training.trainer import ContinualMixin
from tests import toys

trl = pytest.importorskip("trl", reason="trl is not installed: pip install 'cfhelpers[trl]'")

pytestmark = [
    # what trl itself, and its default of checkpointing activations, call deprecated or unusual
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:trl"),
]

PAIRS = [
    ("what is your boss", "ann sam"), ("what is your floor", "two"), ("what is your color", "blue"),
    ("what is your pet", "rex"), ("what is good", "red blue two"), ("what is bad", "sam"),
    ("what is two", "ann"), ("what is red", "rex rex sam ann"),
]  # fmt: skip


def chats() -> Dataset:
    return Dataset.from_list(
        [
            {"prompt": [{"role": "user", "content": q}], "completion": [{"role": "assistant", "content": a}]}
            for q, a in PAIRS
        ]
    )


class Counted(Method):
    name = "counted"

    def __init__(self):
        self.changed = self.stepped = 0

    def after_backward(self, model, scale):
        self.changed += 1
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach(), alpha=0.1 * scale)

    def after_step(self, model):
        self.stepped += 1


class ContinualSFTTrainer(ContinualMixin, trl.SFTTrainer):
    """As the README and chapter 4 make it."""


def sft(method, folder, *, model=None, **changes):
    torch.manual_seed(0)
    settings = {
        "output_dir": str(folder), "max_steps": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-2,
        "optim": "sgd", "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "logging_steps": 1, "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "dataloader_pin_memory": False,
        "bf16": False, "max_length": 32,
    }  # fmt: skip
    model = model or toys.causal_model(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)
    trainer = ContinualSFTTrainer(
        method=method, model=model, args=trl.SFTConfig(**(settings | changes)), train_dataset=chats(),
        processing_class=toys.tokenizer(),
    )  # fmt: skip
    return trainer


def test_the_loss_is_on_the_answer_as_the_chat_template_writes_it(tmp_path):
    trainer = sft(Naive(), tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    said = {
        trainer.processing_class.decode(ids[labels != -100])
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    }
    assert said == {f"{answer} <eos>" for _, answer in PAIRS}


def test_the_penalty_acts_once_a_step_and_accumulation_changes_nothing(tmp_path):
    ends, start = [], toys.causal_model().state_dict()
    for size, accumulated in ((8, 1), (2, 4)):
        method = Counted()
        trainer = sft(method, tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=accumulated)
        trainer.train()
        assert (method.changed, method.stepped) == (1, 1)
        ends.append(copy.deepcopy(trainer.model.state_dict()))
    moved = sum((ends[0][name] - start[name]).abs().sum() for name in start)
    differ = sum((ends[0][name] - ends[1][name]).abs().sum() for name in start)
    assert moved > 1e-3
    assert differ < 1e-3 * moved


def test_the_penalty_is_logged_and_its_state_survives_a_restart(tmp_path):
    def method(model):
        made = L2SP(10.0).protect(model, [])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        return made

    def fresh():
        return toys.causal_model(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)

    settings = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch"}
    settings |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    model = fresh()
    whole = sft(method(model), tmp_path, model=model, **settings)
    whole.train()
    entry = whole.state.log_history[0]
    assert entry["penalty_to_loss"] == pytest.approx(entry["penalty"] / entry["loss"], rel=1e-2)
    resumed = sft(L2SP(10.0), tmp_path, model=fresh(), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor)
