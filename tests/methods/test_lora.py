"""LoRA: what is frozen stays so bit for bit, each mode answers as it says, runs resume, other methods work with it."""

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainingArguments

import cfhelpers as cf
from cfhelpers.evaluation.scores import evaluate_task
from cfhelpers.methods import EWC, L2SP, MAS, LoRA, Naive, OrthogonalLoRA, WiSEFT
from cfhelpers.methods.adapter_choice import ChosenAdapter
from cfhelpers.methods.adapters import adapted_layers, adapter_names, adapter_parameters, mean_update, using_adapters
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys

PLAN = Plan(steps=40, batch_size=2, learning_rate=1e-2, curve_points=2)
SHORT = replace(PLAN, steps=4, curve_points=1)
ROLES = {"dialogpt": ("persona", "workplace"), "roberta": ("sst2", "topics")}
METHODS = {
    "shared": LoRA(2), "told": LoRA(2, mode="told"), "chosen": LoRA(2, mode="chosen"),
    "merged": LoRA(2, mode="merged"), "orthogonal": OrthogonalLoRA(2),
}  # fmt: skip


def learn(method, role="dialogpt", plan=SHORT, **settings):
    return learn_once(toys.runtime(), role, ROLES[role], method, plan=plan, progress=False, **settings)


def encoded(learned_or_role, index: int):
    role = learned_or_role
    task = toys.TASKS[ROLES[role][index]]
    return encode_task(task, toys.tokenizer(), task_id=index)


def base_weights(model):
    """Return the weights that a model has without what peft and the heads added."""
    return {
        name.replace(".base_layer", ""): tensor
        for name, tensor in model.state_dict().items()
        if "lora_" not in name and not name.startswith("heads.")
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", METHODS)
def test_the_base_and_old_adapters_and_heads_do_not_change_by_a_bit(mode, role):
    first = learn(METHODS[mode], role, stop_after=1)
    untouched = toys.runtime().load(role).model.state_dict()
    one = base_weights(first.model)
    assert set(one) == {name for name in untouched if not name.startswith("heads.")}
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in one.items())
    both = learn(METHODS[mode], role)
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in base_weights(both.model).items())
    before = {name: tensor for name, tensor in first.model.state_dict().items() if "lora_" in name or "heads." in name}
    after = both.model.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert not changed if mode != "shared" else any("lora_B" in name for name in changed)
    assert not any(name.startswith("heads.") for name in changed)


@pytest.mark.parametrize("role", ROLES)
def test_the_first_task_told_answers_bit_for_bit_as_before_the_second(role):
    first, both = (learn(METHODS["told"], role, stop_after=stop) for stop in (1, None))
    task = encoded(role, 0)
    batch = next(iter(task.batches("test")))
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits = []
    for learned in (first, both):
        model = learned.method.prediction_model(learned.model, task).eval()
        with torch.no_grad():
            logits.append(model(**inputs).logits)
    assert torch.equal(*logits)
    untold = learn(METHODS["shared"], role).model.eval()
    assert not torch.equal(logits[0], untold(**inputs).logits)


def test_only_adapters_and_heads_train():
    model = toys.classifier()
    for index, method in ((0, METHODS["told"]), (1, METHODS["told"])):
        model = method.prepare_model(model, encoded("roberta", index))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {*adapter_parameters(model, "topics"), *(f"heads.topics.{each}" for each in _head(model))}
    shared = toys.classifier()
    for index in (0, 1):
        shared = METHODS["shared"].prepare_model(shared, encoded("roberta", index))
    assert {name.split(".")[1] for name, p in shared.named_parameters() if p.requires_grad and "heads" in name} == {
        "sst2",
        "topics",
    }
    assert adapter_names(shared) == ["shared"]


def _head(model):
    return [name for name, _ in model.heads["topics"].named_parameters()]


def test_a_toy_is_learned_by_each_mode_and_kept_when_the_task_is_told():
    methods = [*(LoRA(8, mode=mode, learning_rate=1e-2) for mode in ("shared", "told")), OrthogonalLoRA(8)]
    shared, told, orthogonal = (learn(replace_rate(method), plan=PLAN).record.matrix() for method in methods)
    assert shared[0, 0] == told[0, 0] == orthogonal[0, 0] == 1.0
    assert told.tolist()[1] == [1.0, 1.0]
    assert shared[1, 1] == orthogonal[1, 1] == 1.0
    assert shared[1, 0] < 1.0


def replace_rate(method):
    method = copy.deepcopy(method)
    method.learning_rate = 1e-2
    return method


def test_the_rate_is_the_methods_own_and_the_size_is_that_of_the_adapters():
    learned = learn(LoRA(3, mode="told", targets="mlp", learning_rate=0.5), stop_after=1)
    sizes = [each.numel() for name, each in learned.model.named_parameters() if "lora_" in name]
    assert learned.method.trained_parameters == sum(sizes) == 2 * 3 * (32 + 128) * 2  # layers, rank, widths, matrices
    assert learned.record.stored_bytes == 4 * sum(sizes)
    assert learned.record.method["learning_rate"] == 0.5
    b = next(each for name, each in learned.model.named_parameters() if "lora_B" in name)
    assert float(b.detach().abs().max()) > 0.5  # Adam's first steps are as long as the rate


def test_merged_answers_with_the_mean_of_the_updates():
    learned = learn(METHODS["merged"])
    task = learned.tasks[0]
    plain = toys.runtime().load("dialogpt").model
    for name, change in mean_update(learned.model).items():
        plain.get_submodule(name).weight.data += change
    batch = next(iter(task.batches("test")))
    merged = learned.method.prediction_model(learned.model, task)
    with torch.no_grad():
        expected = plain.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        merged.eval()
        found = merged(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert merged.config is learned.model.config  # what the wrapper lacks is found on the model
    written = merged.generate(input_ids=batch["input_ids"][:1, :4], max_new_tokens=3, do_sample=False)
    torch.testing.assert_close(
        written, plain.generate(input_ids=batch["input_ids"][:1, :4], max_new_tokens=3, do_sample=False)
    )


def test_a_task_that_has_no_adapter_yet_is_answered_by_the_bare_model():
    learned = learn(METHODS["told"], stop_after=1)
    untouched = toys.runtime().load("dialogpt").model
    bare = evaluate_task(learned.method.prediction_model(learned.model, learned.tasks[1]), learned.tasks[1])
    assert bare == evaluate_task(untouched, learned.tasks[1])
    assert learned.method.prediction_model(untouched, learned.tasks[1]) is untouched


def test_chosen_weighs_adapters_by_the_tokens_so_far_and_mixes_what_comes_next():
    learned = learn(replace_rate(METHODS["chosen"]), plan=PLAN)
    model, ids = learned.model.eval(), torch.tensor([[2, 5, 6, 7, 8, 3, 12, 1], [2, 5, 6, 7, 10, 3, 14, 13]])
    found = ChosenAdapter(model, ["persona", "workplace"])(input_ids=ids).logits
    for row in range(2):
        for position in range(ids.shape[1]):
            prefix, weights, predictions = ids[row : row + 1, : position + 1], [], []
            for name in ("persona", "workplace"):
                with using_adapters(model, {name: 1.0}), torch.no_grad():
                    p = model(input_ids=prefix).logits[0].double().softmax(-1)
                weights.append(math.prod(float(p[t, prefix[0, t + 1]]) for t in range(position)))
                predictions.append(p[-1])
            mixed = sum(w * p for w, p in zip(weights, predictions, strict=True)) / sum(weights)
            torch.testing.assert_close(found[row, position].exp().double(), mixed, rtol=1e-4, atol=1e-6)


def test_padding_does_not_take_part_in_the_choice():
    learned = learn(replace_rate(METHODS["chosen"]), plan=PLAN)
    chooser = ChosenAdapter(learned.model.eval(), ["persona", "workplace"])
    ids = torch.tensor([[2, 5, 6, 7, 8]])
    padded, mask = torch.tensor([[2, 5, 6, 7, 8, 0, 0]]), torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    short, long = chooser.weights(ids, torch.ones_like(ids)), chooser.weights(padded, mask)
    torch.testing.assert_close(short, long[:, :, :5])
    torch.testing.assert_close(long[:, :, 5], long[:, :, 4])
    torch.testing.assert_close(short[:, :, 0], torch.full((2, 1), 0.5))  # before anything was read
    name = ["persona", "workplace"][int(short[:, 0, -1].argmax())]
    with using_adapters(learned.model, {name: 1.0}):
        expected = learned.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4)
    assert torch.equal(chooser.generate(ids, max_new_tokens=4), expected)
    with pytest.raises(ValueError, match="one prompt at a time"):
        chooser.generate(ids.repeat(2, 1))


def test_an_encoders_text_that_goes_to_another_head_is_answered_wrong():
    learned = learn(METHODS["chosen"], "roberta")
    model = learned.model.eval()
    chooser = ChosenAdapter(model, ["sst2", "topics"])
    ids, task_ids = torch.tensor([[5, 8], [9, 9], [10, 19], [18, 11]]), torch.tensor([0, 1, 0, 1])
    found = chooser(input_ids=ids, task_ids=task_ids).logits
    for row in range(4):
        doubts = []
        for number, name in enumerate(("sst2", "topics")):
            with using_adapters(model, {name: 1.0}), torch.no_grad():
                p = model(input_ids=ids[row : row + 1], task_ids=torch.tensor([number])).logits[0].softmax(-1)
            doubts.append((float(-(p * p.log()).sum()) / math.log(len(p)), p))
        chosen = min((0, 1), key=lambda number: doubts[number][0])
        if chosen == task_ids[row]:
            p = doubts[chosen][1]
            torch.testing.assert_close(found[row, : len(p)].softmax(-1), p)
            assert found[row, -1] == -torch.inf
        else:
            assert int(found[row].argmax()) == 3  # a column that is no class
    assert 0 <= evaluate_task(chooser, learned.tasks[0]) <= 1


@pytest.mark.parametrize("mode", ["told", "orthogonal"])
def test_evaluation_along_the_way_does_not_disturb_training(mode):
    seldom, often = (learn(METHODS[mode], plan=replace(SHORT, curve_points=points)) for points in (1, 4))
    for name, tensor in seldom.model.state_dict().items():
        assert torch.equal(tensor, often.model.state_dict()[name]), name


def test_going_on_from_a_plain_first_task_is_a_run_from_the_beginning():
    first = learn(Naive(), stop_after=1)
    for method in (LoRA(2), OrthogonalLoRA(2)):
        whole, continued = learn(method), first.then(method, progress=False)
        assert whole.record.results == continued.record.results
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, continued.model.state_dict()[name])


def trainer_of(method, folder, steps, role="dialogpt"):
    model, tasks = toys.runtime().load(role).model, [encoded(role, index) for index in (0, 1)]
    torch.manual_seed(3)
    for task in tasks:
        model = method.prepare_model(model, task)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_steps=2, per_device_train_batch_size=2, learning_rate=1e-2,
        lr_scheduler_type="constant", use_cpu=True, report_to="none", disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    return ContinualTrainer(
        method=method, model=model, args=arguments, train_dataset=tasks[1].train, data_collator=tasks[1].collate
    )


@pytest.mark.filterwarnings("ignore:.*missing keys in the checkpoint:UserWarning")  # GPT-2's tied head, saved once
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", ["shared", "told", "orthogonal"])
def test_a_checkpoint_resumes_bit_for_bit(mode, role, tmp_path):
    whole = trainer_of(copy.deepcopy(METHODS[mode]), tmp_path / "whole", 4, role)
    whole.train()
    trainer_of(copy.deepcopy(METHODS[mode]), tmp_path / "parts", 2, role).train()
    resumed = trainer_of(copy.deepcopy(METHODS[mode]), tmp_path / "parts", 4, role)
    resumed.method.sizes = {}
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 4
    assert resumed.method.sizes == whole.method.sizes != {}
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_impossible_settings_are_refused():
    for wrong in ({"rank": 0}, {"alpha": 0}, {"learning_rate": -1}):
        with pytest.raises(ValueError, match="must be positive"):
            LoRA(**wrong)
    with pytest.raises(ValueError, match="mode must be"):
        LoRA(mode="linear")
    with pytest.raises(ValueError, match="targets must be"):
        LoRA(targets="lm_head")
    for strength in (-1.0, math.inf):
        with pytest.raises(ValueError, match="finite number"):
            OrthogonalLoRA(strength=strength)


# O-LoRA ---------------------------------------------------------------------------------------------------------------


def orthogonal_setting(strength=0.7):
    method = OrthogonalLoRA(2, strength=strength)
    model = toys.causal_model()
    for index in (0, 1):
        model = method.prepare_model(model, encoded("dialogpt", index))
    return method, model


def test_the_pull_towards_orthogonality_is_the_gradient_of_its_loss():
    method, model = orthogonal_setting()
    value = torch.zeros(())
    for layer in adapted_layers(model).values():
        old, new = layer.lora_A["persona"].weight, layer.lora_A["workplace"].weight
        for i in range(2):
            for k in range(2):
                value = value + 0.7 * (old[i] @ new[k]) ** 2
    expected = dict(zip(_news(model), torch.autograd.grad(value, list(_news(model).values())), strict=True))
    for parameter in adapter_parameters(model, "workplace").values():
        parameter.grad = torch.ones_like(parameter)
    method.after_backward(model, 4.0)
    for name, gradient in expected.items():
        torch.testing.assert_close(model.get_parameter(name).grad, 1 + 4 * gradient, rtol=1e-4, atol=1e-6)
    found = method.diagnostics(model)
    assert found["penalty"] == pytest.approx(float(value.detach()), rel=1e-4)
    norm = math.sqrt(sum(float(each.square().sum()) for each in expected.values()))
    assert found["penalty_gradient_norm"] == pytest.approx(norm, rel=1e-4)


def _news(model):
    return {name: each for name, each in model.named_parameters() if ".lora_A.workplace." in name}


def test_old_updates_go_on_computing_and_the_first_task_has_no_pull():
    _, model = orthogonal_setting()
    assert all(layer.active_adapters == ["persona", "workplace"] for layer in adapted_layers(model).values())
    assert {name for name, each in model.named_parameters() if each.requires_grad} == set(
        adapter_parameters(model, "workplace")
    )
    alone = OrthogonalLoRA(2)
    model = alone.prepare_model(toys.causal_model(), encoded("dialogpt", 0))
    alone.after_backward(model, 1.0)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert alone.diagnostics(model) == {}


def test_a_strong_pull_makes_the_subspaces_orthogonal():
    def overlap(strength):
        model = learn(OrthogonalLoRA(2, strength=strength, learning_rate=1e-2), plan=PLAN).model
        return sum(
            float((layer.lora_A["persona"].weight @ layer.lora_A["workplace"].weight.T).square().sum().detach())
            for layer in adapted_layers(model).values()
        )

    assert overlap(100.0) < overlap(0.0) / 20


# With the methods of others, on a model that a practitioner wrapped ---------------------------------------------------


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21's own
@pytest.mark.parametrize("make", [EWC, L2SP, MAS])
def test_penalties_protect_the_adapter_of_a_peft_model(make, tmp_path):
    old, new = encoded("dialogpt", 0), encoded("dialogpt", 1)

    def trained(method, strength):
        torch.manual_seed(1)
        settings = LoraConfig(r=2, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
        model = get_peft_model(toys.causal_model(), settings)
        for task in (old, new):
            arguments = TrainingArguments(
                output_dir=str(tmp_path), max_steps=20, per_device_train_batch_size=2, learning_rate=1e-2,
                use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", remove_unused_columns=False,
                dataloader_pin_memory=False,
            )  # fmt: skip
            ContinualTrainer(
                method=Naive() if task is old else method,
                model=model,
                args=arguments,
                train_dataset=task.train,
                data_collator=task.collate,
            ).train()
            if task is old:
                anchor = {name: each.detach().clone() for name, each in model.named_parameters()}
                method.strength = strength
                method.after_task(model, task)
        moved = {name: float((each.detach() - anchor[name]).norm()) for name, each in model.named_parameters()}
        assert all((distance == 0) != ("lora_" in name) for name, distance in moved.items())
        assert {name for penalty in method.penalties for name in penalty.anchor} == {
            name for name in moved if "lora_" in name
        }
        return sum(moved.values())

    assert trained(make(1.0), 1e5) < 0.5 * trained(make(1.0), 1e-9)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21's own
def test_at_the_start_the_fisher_of_a_is_zero_and_that_of_b_is_not():
    model = get_peft_model(toys.causal_model(), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    fisher = cf.fisher_diagonal(model, encoded("dialogpt", 0).batches("train"), progress=False)
    assert all(float(each.abs().max()) == 0 for name, each in fisher.items() if "lora_A" in name)
    assert all(float(each.max()) > 0 for name, each in fisher.items() if "lora_B" in name)


# WiSE-FT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_interpolation_goes_part_of_the_way_and_disturbs_no_training(role):
    naive, half = learn(Naive(), role), learn(WiSEFT(0.5), role)
    start = learn(Naive(), role, stop_after=1).model.state_dict()
    after = half.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in naive.model.state_dict().items())
    with half.method.interpolated(half.model):
        for name, tensor in half.model.state_dict().items():
            expected = (start[name] + after[name]) / 2 if name in start else after[name]
            torch.testing.assert_close(tensor, expected)
    assert all(torch.equal(tensor, half.model.state_dict()[name]) for name, tensor in after.items())


@pytest.mark.parametrize("role", ROLES)
def test_all_the_way_is_plain_training_and_no_step_is_the_old_model(role):
    naive, whole, none = (learn(method, role).record for method in (Naive(), WiSEFT(1.0), WiSEFT(0.0)))
    assert str(whole.results) == str(naive.results)
    assert none.matrix()[1, 0] == none.matrix()[0, 0]


def test_the_next_task_begins_where_the_interpolation_ended():
    method, model = WiSEFT(0.25), toys.causal_model()
    task = SimpleNamespace()
    method.after_task(model, task)
    start = {name: each.detach().clone() for name, each in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    again = WiSEFT(0.25)
    again.load_state_dict(method.state_dict())
    for each in (method, again):
        moved = copy.deepcopy(model)
        each.after_task(moved, task)
        for name, parameter in moved.named_parameters():
            torch.testing.assert_close(parameter, start[name] + 0.25)
            assert torch.equal(each.before[name], parameter)
    assert method.stored_bytes() == 4 * sum(each.numel() for each in model.parameters())
    with pytest.raises(ValueError, match="share"):
        WiSEFT(1.5)
