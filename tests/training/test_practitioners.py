"""A trainer of one's own: plain training without a word is refused, and every number means what it says."""

import contextlib
import copy
import io

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback

import cfhelpers as cf
from cfhelpers.methods import (
    EWC,
    L2SP,
    MAS,
    DERpp,
    EWCOnGenerations,
    Joint,
    Method,
    Naive,
    OnlineEWC,
    SynapticIntelligence,
)  # fmt: skip
from cfhelpers.tasks.encoding import Collator, encode_task
from cfhelpers.training.plans import Plan
from cfhelpers.training.precision import lost_share
from cfhelpers.training.trainer import ContinualMixin, ContinualTrainer
from tests import toys
from tests.training.test_trainer import (
    Pull,
    arguments,
    causal,
    classified,
    sequence_classifier,
    train,
    uneven_dialogues,
)


def old_batches():
    return encode_task(toys.TASKS["persona"], toys.tokenizer()).batches("train", 2)


def trainer_for(method, folder, *, model=None, base=ContinualTrainer, data=None, **changes):
    return base(
        method=method, model=model if model is not None else causal(), args=arguments(folder, **changes),
        train_dataset=data or uneven_dialogues(), data_collator=Collator(0),
    )  # fmt: skip


@pytest.mark.parametrize("make", [EWC, L2SP, MAS, OnlineEWC, EWCOnGenerations])
def test_a_method_that_protects_nothing_yet_is_refused(make, tmp_path):
    trainer = trainer_for(make(100.0), tmp_path)
    with pytest.raises(ValueError, match=r"protects nothing yet.*from_data"):
        trainer.train()
    method = make.from_data(trainer.model, old_batches(), strength=100.0)
    assert method.penalties
    trainer_for(method, tmp_path, model=trainer.model).train()


def test_joint_needs_a_sequence(tmp_path):
    with pytest.raises(ValueError, match="joint needs a sequence"):
        trainer_for(Joint(), tmp_path).train()


class Preparing(Method):
    """Would put something into the model."""

    name = "preparing"

    def prepare_model(self, model, task):
        return model


class Remembering(Method):
    """Keeps a number of each task, and has no other way to get it."""

    name = "remembering"
    kept: torch.Tensor | None = None

    def after_task(self, model, task):
        self.kept = torch.ones(1)

    def state_dict(self):
        return {} if self.kept is None else {"kept": self.kept}


def test_any_method_whose_hooks_are_not_called_here_is_refused(tmp_path):
    with pytest.raises(ValueError, match="its prepare_model is called by"):
        trainer_for(Preparing(), tmp_path).train()
    method = Remembering()
    with pytest.raises(ValueError, match=r"protects nothing yet.*learn_sequence"):
        trainer_for(method, tmp_path).train()
    method.kept = torch.ones(1)
    trainer_for(method, tmp_path).train()
    trainer_for(Naive(), tmp_path).train()


class OwnLoss(Trainer):
    """May end tasks by itself, in a callback."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)


class MixedOwnLoss(ContinualMixin, OwnLoss):
    pass


def test_over_a_loss_of_one_s_own_it_is_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="ewc protects nothing yet"):
        trainer_for(EWC(1.0), tmp_path, base=MixedOwnLoss).train()


def test_l2sp_looks_at_no_data():
    model = causal()
    assert L2SP.from_data(model, None, strength=2.0).strength == 2.0


def test_synaptic_intelligence_across_two_trainers(tmp_path, caplog):
    model, method = causal(), SynapticIntelligence(10.0)
    first = trainer_for(method, tmp_path, model=model, max_steps=3)
    first.train()
    assert "measures. End the task with method.protect" in caplog.text
    assert method.penalties == []
    second = trainer_for(method, tmp_path, model=model)
    with pytest.raises(ValueError, match=r"3 steps of a task that has not ended.*method\.protect\(model\)"):
        second.train()
    first.train()  # the same task goes on
    assert method.n_steps == 6
    method.protect(model)
    assert float(method.total["transformer.wte.weight"].sum()) > 0
    second = trainer_for(method, tmp_path, model=model, max_steps=2)
    second.train()
    assert second.state.log_history[1]["penalty"] > 0


def test_importances_of_another_model_are_refused_when_the_trainer_is_built(tmp_path):
    from peft import LoraConfig, inject_adapter_in_model

    model = causal()
    method, size = EWC.from_data(model, old_batches(), strength=1.0), len(toys.tokenizer())
    resized = copy.deepcopy(model)
    resized.resize_token_embeddings(size + 3, mean_resizing=False)
    for refuse in (
        lambda: trainer_for(method, tmp_path, model=resized),
        lambda: cf.suggest_strength(resized, method, old_batches(), learning_rate=1e-3),
    ):
        with pytest.raises(ValueError, match=r"shapes differ for 'transformer\.wte\.weight'.*resized"):
            refuse()
    lora = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    adapted = inject_adapter_in_model(lora, copy.deepcopy(model))
    with pytest.raises(ValueError, match=r"has adapters of peft"):
        trainer_for(method, tmp_path, model=adapted)
    of_adapter = EWC.from_data(adapted, old_batches(), strength=1.0)
    with pytest.raises(ValueError, match=r"has adapters of peft"):
        trainer_for(of_adapter, tmp_path, model=causal())
    adapted.requires_grad_(False)
    adapted.transformer.wte.requires_grad_(True)
    with pytest.raises(ValueError, match="only parameters that are frozen"):
        trainer_for(of_adapter, tmp_path, model=adapted)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers for it
def test_an_adapter_that_no_longer_answers_protects_nothing(tmp_path):
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    model = get_peft_model(causal(), lora)
    method = EWC.from_data(model, old_batches(), strength=1.0)
    trainer_for(method, tmp_path, model=model)
    model.add_adapter("new", lora)
    model.set_adapter("new")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    with pytest.raises(ValueError, match=r"protects only adapter 'default', which is not in use \(active: new\)"):
        trainer_for(method, tmp_path, model=model)
    model.base_model.set_adapter(["default", "new"])
    trainer_for(method, tmp_path, model=model)


def step_of(weight, size, base=ContinualTrainer, make=causal, data=None, tmp_path=None, **changes):
    """The movement that one step of SGD makes, with an extra loss of so much weight."""
    model = make()
    start = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    function = changes.pop("compute_loss_func", None)
    method = Pull(weight)
    method.after_backward = lambda model, scale: None
    trainer = base(
        method=method, model=model, train_dataset=data or uneven_dialogues(), data_collator=Collator(0),
        compute_loss_func=function,
        args=arguments(tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=16 // size, **changes),
    )  # fmt: skip
    trainer.train()
    return torch.cat([p.detach().flatten() for p in model.parameters()]) - start


class SaysMean(Trainer):
    """A mean over the micro-batch, whether or not it says so."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        output = model(**inputs)
        return (output.loss, output) if return_outputs else output.loss


class SaysNo(ContinualMixin, SaysMean):
    loss_is_scaled_for_ga = False


class SaysYes(ContinualMixin, SaysMean):
    loss_is_scaled_for_ga = True


class SaysNothing(ContinualMixin, SaysMean):
    pass


def mean_loss(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


@pytest.mark.parametrize("base", [ContinualTrainer, SaysNo, SaysYes, SaysNothing])
@pytest.mark.parametrize("setting", ["own", "smoothed", "function"])
def test_the_extra_loss_of_a_step_is_one_mean_however_the_trainer_scales(base, setting, tmp_path):
    settings = {
        "own": {}, "smoothed": {"label_smoothing_factor": 0.1}, "function": {"compute_loss_func": mean_loss}
    }[setting]  # fmt: skip

    def extra(size):  # SGD is linear: the extra loss's own part
        steps = [step_of(weight, size, base, tmp_path=tmp_path, **settings) for weight in (0.0, 50.0)]
        return steps[1] - steps[0]

    whole = extra(16)
    assert float(whole.norm()) > 1e-2
    for size in (4, 2):
        assert float((extra(size) - whole).norm() / whole.norm()) < 1e-3


@pytest.mark.parametrize(
    ("accepts", "function", "count", "scaled"),
    [(True, None, 5, True), (True, None, None, False), (False, None, 5, False), (False, mean_loss, 5, True)],
)
def test_an_older_trainer_is_asked_for_what_it_knows(accepts, function, count, scaled, monkeypatch):
    """As Colab's transformers 5.15, which has no ``loss_is_scaled_for_ga``; .ci/colab runs this whole file there."""

    class Old(ContinualMixin):
        model_accepts_loss_kwargs, compute_loss_func = accepts, staticmethod(function) if function else None

    monkeypatch.setattr("cfhelpers.training.trainer.Trainer", object)
    assert Old.__new__(Old)._is_scaled(count) is scaled


def test_a_classifier_s_extra_loss_sees_its_labels_under_smoothing(tmp_path):
    one, four = (
        step_of(5.0, size, make=sequence_classifier, data=classified(), tmp_path=tmp_path, label_smoothing_factor=0.1)
        for size in (16, 4)
    )
    assert float((one - four).norm() / one.norm()) < 1e-3


class CountFirst(Trainer):
    def compute_loss(self, model, inputs, num_items_in_batch=None, return_outputs=False):
        assert not isinstance(num_items_in_batch, bool)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


class MixedCountFirst(ContinualMixin, CountFirst):
    pass


@pytest.mark.parametrize("base", [MixedOwnLoss, MixedCountFirst])
def test_the_arguments_of_compute_loss_may_stand_in_any_order(base, tmp_path):
    trainer_for(Pull(), tmp_path, base=base).train()
    trainer_for(Naive(), tmp_path, base=base).train()


class Asks(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_log = control.should_log or state.global_step == 3


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ({"logging_steps": 2}, [2, 4, 6]),
        ({"logging_strategy": "epoch", "logging_steps": 500}, [4, 6]),
        ({"logging_strategy": "epoch", "gradient_accumulation_steps": 3, "max_steps": 3}, [2, 3]),
        ({"logging_first_step": True, "logging_steps": 4}, [1, 4]),
        ({"logging_steps": 0.5}, [3, 6]),
        ({"logging_strategy": "no", "logging_steps": 1}, []),
    ],
)  # fmt: skip
def test_every_logged_step_has_its_penalty_and_no_other_is_measured(settings, at, tmp_path):
    model = causal()

    class Counted(L2SP):
        measured = 0

        def diagnostics(self, model):
            self.measured += 1
            return super().diagnostics(model)

    method = Counted.from_data(model, None, strength=10.0)
    trainer = trainer_for(
        method, tmp_path, model=model, **{"max_steps": 6, "per_device_train_batch_size": 4, **settings}
    )
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in logged] == at
    assert all({"penalty", "penalty_to_loss", "penalty_to_task_gradient"} <= set(entry) for entry in logged)
    assert method.measured == len(at)


def test_a_log_that_a_callback_asks_for_has_the_penalty(tmp_path):
    model = causal()
    trainer = trainer_for(
        L2SP.from_data(model, None, strength=10.0), tmp_path, model=model, max_steps=4, logging_steps=2
    )
    trainer.add_callback(Asks())
    trainer.train()
    entry = next(each for each in trainer.state.log_history if each["step"] == 3)
    assert entry["penalty"] > 0
    assert "penalty_to_task_gradient" not in entry


def test_what_is_predicted_is_what_is_counted(tmp_path):
    """Trainer counts GPT-2's first labels too, because the model does not name its loss."""
    data = uneven_dialogues()
    rows = data.map(lambda row: {"labels": row["input_ids"]})
    model = causal().eval()
    nats, targets = 0.0, 0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            nats += float(nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="sum"))
            targets += ids.shape[1] - 1
    trainer = ContinualTrainer(
        method=Naive(), model=model, args=arguments(tmp_path, per_device_eval_batch_size=16), eval_dataset=rows,
        train_dataset=rows, data_collator=Collator(0),
    )  # fmt: skip
    assert trainer.evaluate()["eval_loss"] == pytest.approx(nats / targets, rel=1e-4)
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "loss" in entry)
    assert logged["loss"] == pytest.approx(nats / targets, rel=1e-3)
    plain = Trainer(
        model=causal(), args=arguments(tmp_path, per_device_eval_batch_size=16), eval_dataset=rows,
        data_collator=Collator(0),
    )  # fmt: skip
    assert plain.evaluate()["eval_loss"] < 0.97 * nats / targets, "Trainer counts right by now: take ours out"


def test_what_a_classifier_s_loss_does_with_the_count_is_known_before_the_first_evaluation(tmp_path):
    """Otherwise two processes would each return a mean and multiply it by two."""
    trainer = ContinualTrainer(
        method=Naive(), model=sequence_classifier(), args=arguments(tmp_path), eval_dataset=classified(),
        data_collator=Collator(0),
    )  # fmt: skip
    assert trainer.model_accepts_loss_kwargs
    trainer.evaluate()
    assert not trainer.model_accepts_loss_kwargs


def test_a_penalty_beyond_float16_is_refused(tmp_path):
    model = causal().half()
    method = L2SP.from_data(model, None, strength=1e7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    with pytest.raises(ValueError, match=r"float16's largest number, 65504.*float32"):
        method.after_backward(model, 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: DERpp.from_data(model, old_batches(), 4, batch_size=2, label_weight=1e6),  # NaN
        lambda model: L2SP.from_data(model, None, strength=1e6),  # each entry can be told, but not their norm
    ],
    ids=["derpp", "l2sp"],
)
def test_float16_gradients_whose_norm_cannot_be_told_are_refused(make, tmp_path):
    model = causal().half()
    method = make(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    trainer = trainer_for(method, tmp_path, model=model)
    with pytest.raises(ValueError, match=r"norm is (inf|nan): weights kept in float16"):
        trainer.train()


def test_bfloat16_weights_that_do_not_move_are_named(tmp_path):
    model = causal()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.4)  # its neighbours in bfloat16 are 2⁻⁹ away, half of which is 9.8e-4
    assert lost_share(model, 1e-5) == 0
    model = model.bfloat16()
    assert lost_share(model, 9.7e-4) == 1
    assert lost_share(model, 9.8e-4) == 0
    fresh = nn.Linear(4, 4, dtype=torch.bfloat16)
    nn.init.zeros_(fresh.weight)  # as biases and the second factor of an adapter begin
    nn.init.constant_(fresh.bias, 0.4)
    assert lost_share(fresh, 1e-5) == 4 / 20
    moved = model.transformer.wte.weight
    for rate, stays in ((9.0e-4, True), (1.1e-3, False)):
        assert bool(((moved.detach() + rate) == moved).all()) == stays
    method = L2SP.from_data(model, None, strength=1.0)
    with pytest.raises(ValueError, match=r"bfloat16, where a step of the learning rate 0.0001 .*100%.*float32"):
        cf.suggest_strength(model, method, old_batches(), learning_rate=1e-4)
    with pytest.warns(UserWarning, match="rounded away for 100% of them"):
        trainer_for(method, tmp_path, model=model, learning_rate=1e-4).train()


def test_the_suggestion_for_bfloat16_is_that_for_float32(tmp_path):
    model = causal()
    batches = list(encode_task(toys.TASKS["workplace"], toys.tokenizer()).batches("train", 2))
    half = copy.deepcopy(model).bfloat16()
    found = [
        cf.suggest_strength(each, L2SP.from_data(each, None, strength=1.0), batches, learning_rate=2e-3)
        for each in (model, half)
    ]
    assert found[1] == pytest.approx(found[0], rel=0.1)


def test_single_examples_are_taken_for_the_suggestion_as_for_the_importance():
    model, rows = causal(), list(uneven_dialogues())
    method = EWC.from_data(model, rows, strength=1.0)
    batches = [Collator(0)(rows[:4]), Collator(0)(rows[4:8])]
    one = cf.suggest_strength(model, method, rows, learning_rate=1e-3, steps=2, batch_size=4)
    assert one == pytest.approx(cf.suggest_strength(model, method, batches, learning_rate=1e-3, steps=2), rel=1e-5)


def test_the_probe_runs_on_its_own_weights():
    model = causal()
    method, batches = L2SP.from_data(model, None, strength=1.0), list(old_batches())
    right = cf.suggest_strength(model, method, batches, learning_rate=1e-3)
    original = model.forward
    model.forward = lambda *args, **kwargs: original(*args, **kwargs)  # deepcopy hands such a function on
    assert cf.suggest_strength(model, method, batches, learning_rate=1e-3) == right
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_unknown_variant_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown variant 'sampled'; choose one of exact, sample"):
        EWC(3000.0, variant="sampled")
    with pytest.raises(ValueError, match="unknown unit 'word'; choose one of"):
        OnlineEWC(3000.0, unit="word")


def test_a_classification_task_for_a_chat_model_is_named():
    tasks = [toys.TASKS["sst2"], toys.TASKS["topics"]]
    with pytest.raises(
        ValueError, match=r"'dialogpt' is a causal language model, and the task 'sst2' .*classification"
    ):
        cf.learn_once(toys.runtime(), "dialogpt", tasks, Naive(), progress=False)
    with pytest.raises(ValueError, match="'sst2' is a classification task, and GPT2LMHeadModel has no heads"):
        Naive().prepare_model(causal(), encode_task(tasks[0], toys.tokenizer()))


def test_a_first_task_of_a_sequence_needs_nothing_to_protect():
    run = toys.runtime()
    plan = Plan(2, 2, 1e-3)
    for method in (EWC(1.0), SynapticIntelligence(1.0), Joint()):
        learned = cf.learn_once(
            run, "dialogpt", [toys.TASKS["persona"], toys.TASKS["workplace"]], method, plan=plan, progress=False
        )
        assert learned.n_learned == 2


def test_the_trainer_still_trains(tmp_path):
    assert train(causal(), uneven_dialogues(), Naive(), tmp_path).state.global_step == 1
