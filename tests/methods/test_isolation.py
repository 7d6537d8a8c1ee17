"""Methods that keep tasks apart: frozen means frozen, an old task's outputs stay bitwise, saved is what is loaded."""

import copy
import functools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from cfhelpers.methods import (
    FreezeBottom,
    Naive,
    ProgressiveNetwork,
    ProgressivePrompts,
    PromptTuning,
    SeparateModels,
)
from cfhelpers.methods.prompt_tuning import SHARED
from cfhelpers.models.columns import Column, ColumnedModel
from cfhelpers.models.layers import embeddings_of, layers_of
from cfhelpers.models.prompted import without_prompts
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys

PLAN = Plan(steps=6, batch_size=2, learning_rate=1e-2, curve_points=1)
SEQUENCES = {"roberta": ("sst2", "topics"), "dialogpt": ("persona", "workplace")}
both_kinds = pytest.mark.parametrize("role", SEQUENCES)

TOGETHER = [
    ProgressivePrompts(3, learning_rate=0.1),
    ProgressivePrompts(3, learning_rate=0.01, bottleneck=4),
    PromptTuning(3, learning_rate=0.1),
    ProgressiveNetwork(4, learning_rate=0.1),
]
isolating = pytest.mark.parametrize("method", TOGETHER, ids=lambda method: f"{method.name}")


def once(method, role, *, plan=PLAN, **settings):
    return learn_once(toys.runtime(), role, SEQUENCES[role], method, plan=plan, progress=False, **settings)


@functools.cache
def whole(method, role):
    """Return a finished run of one of the methods above; tests share it and change nothing."""
    return once(method, role)


def logits(learned, task, method=None):
    model = (method or learned.method).prediction_model(learned.model, task).eval()
    with torch.no_grad():
        return [
            model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
            for batch in task.batches("test", 2)
        ]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def bare(model):
    return model.base if isinstance(model, ColumnedModel) else without_prompts(model)


@both_kinds
@isolating
def test_nothing_old_changes_while_a_new_task_is_learned(method, role):
    first = once(method, role, stop_after=1)
    untouched = toys.runtime().load(role).model
    task = first.tasks[0]
    before = logits(first, task)
    kept = copy.deepcopy(first.method.state_dict())
    heads = {name: tensor.clone() for name, tensor in bare(first.model).state_dict().items() if "heads." in name}

    both = whole(method, role)
    # The same run up to there, or what follows would compare different models.
    assert same(before, logits(both, task))
    for name, tensor in untouched.state_dict().items():
        assert torch.equal(tensor, bare(both.model).state_dict()[name]), f"the frozen model's {name} moved"
    for name, tensor in heads.items():
        assert torch.equal(tensor, bare(both.model).state_dict()[name]), f"the old head's {name} moved"
    (group,) = kept
    old, now = kept[group][task.name], both.method.state_dict()[group][task.name]
    if "residual.0.bias" not in old:  # a reparametrised prompt is folded; its outputs are compared above
        assert old.keys() == now.keys()
        assert all(torch.equal(old[name], now[name]) for name in old)
    newest = both.method.state_dict()[group][both.tasks[1].name]
    assert any(bool(tensor.any()) for tensor in newest.values())
    np.testing.assert_array_equal(both.record.matrix()[0, 0], both.record.matrix()[1, 0])


@both_kinds
@isolating
def test_only_the_new_part_and_the_new_head_are_trained(method, role):
    learned = whole(method, role)
    trained = {name for name, parameter in learned.model.named_parameters() if parameter.requires_grad}
    heads = {name for name in trained if "heads." in name}
    assert all(f"heads.{learned.tasks[1].name}." in name for name in heads)
    rest = trained - heads
    # The newest prompt stands first, the newest column last.
    place = ".columns.1." if isinstance(method, ProgressiveNetwork) else ".prompts.0."
    assert rest
    assert all(place in f".{name}" for name in rest)


@isolating
def test_a_later_task_is_learned_with_its_own_part(method):
    plan = Plan(steps=60, batch_size=4, learning_rate=1e-2, curve_points=1)
    record = once(method, "roberta", plan=plan).record
    assert record.matrix()[1].tolist() == [1.0, 1.0]


def test_progressive_prompts_stand_newest_first_and_old_tasks_read_their_own():
    method = whole(TOGETHER[0], "roberta").method
    assert method.prompt_names("sst2") == ["sst2"]
    assert method.prompt_names("topics") == ["topics", "sst2"]
    assert method.prompt_names("third") == ["third", "topics", "sst2"]
    alone = whole(TOGETHER[2], "roberta").method
    assert alone.prompt_names("topics") == ["topics"]
    assert method.stored_bytes() == alone.stored_bytes() == 2 * 3 * 16 * 4


def test_learned_alone_in_any_order_a_task_scores_the_same():
    plan = Plan(steps=6, batch_size=2, learning_rate=1e-2, curve_points=1)
    for method in (PromptTuning(3), FreezeBottom(first_task_too=True, learning_rate=0.01), SeparateModels()):
        one = learn_once(toys.runtime(), "roberta", ("sst2", "topics"), method, plan=plan, progress=False)
        other = learn_once(toys.runtime(), "roberta", ("topics", "sst2"), method, plan=plan, progress=False)
        for learned in (one, other):
            learned.scored = {task.name: logits(learned, task) for task in learned.tasks}
        assert same(one.scored["sst2"], other.scored["sst2"])
        assert same(one.scored["topics"], other.scored["topics"])


def test_a_shared_prompt_goes_on_and_can_forget():
    first = once(PromptTuning(3, shared=True, learning_rate=0.1), "roberta", stop_after=1)
    before = logits(first, first.tasks[0])
    both = once(PromptTuning(3, shared=True, learning_rate=0.1), "roberta")
    assert list(both.method.prompts) == [SHARED]
    assert not same(before, logits(both, both.tasks[0]))
    assert both.method.stored_bytes() == 3 * 16 * 4


def test_a_prompt_starts_from_words_or_from_the_vocabulary():
    model = toys.causal_model()
    table = model.get_input_embeddings().weight
    method = ProgressivePrompts(5)
    assert torch.equal(method.add_prompt(model, "a", [7, 9]).vectors, table[[7, 9, 7, 9, 7]])
    assert torch.equal(method.add_prompt(model, "b", [2, 3, 4, 5, 6, 7, 8]).vectors, table[[2, 3, 4, 5, 6]])
    drawn = method.add_prompt(model, "c").vectors
    rows = [int((table == vector).all(dim=1).nonzero()) for vector in drawn]
    assert len(set(rows)) == 5
    assert torch.equal(ProgressivePrompts(5).add_prompt(model, "c").vectors, drawn)  # by its name, whatever came before
    assert not torch.equal(ProgressivePrompts(5).add_prompt(model, "d").vectors, drawn)
    named = once(ProgressivePrompts(2, learning_rate=1e-9, words={"topics": [7, 9]}), "roberta").method
    words = toys.classifier().body.get_input_embeddings().weight[[7, 9]]
    torch.testing.assert_close(named.prompts["topics"].vectors, words)
    with pytest.raises(ValueError, match="already is a prompt named 'a'"):
        method.add_prompt(model, "a")
    with pytest.raises(ValueError, match="ids from 0 to 19"):
        method.add_prompt(model, "e", [20])


FRESH = """
import sys, torch
from cfhelpers.course.results import make_method
from cfhelpers.tasks.encoding import encode_task
from tests import toys

for saved in torch.load(sys.argv[1], weights_only=True):
    model = toys.runtime().load(saved["role"]).model
    tasks = [encode_task(toys.TASKS[name], toys.tokenizer(), task_id=i) for i, name in enumerate(saved["tasks"])]
    if saved["heads"]:
        for task in tasks:
            model.add_head(task.name, len(task.task.label_names))
        model.load_state_dict({**model.state_dict(), **saved["heads"]})
    method = make_method(saved["settings"])
    method.load_state_dict(saved["state"])
    for task, logits in zip(tasks, saved["logits"], strict=True):
        own = method.prediction_model(model, task).eval()
        with torch.no_grad():
            for batch, expected in zip(task.batches("test", 2), logits, strict=True):
                batch.pop("labels")
                assert torch.equal(own(**batch).logits, expected), saved["settings"]
    print("same")
"""


def test_saved_and_loaded_in_a_fresh_process_they_answer_bitwise_the_same(tmp_path):
    saved = []
    for role in SEQUENCES:
        for method in TOGETHER:
            learned = whole(method, role)
            heads = {name: tensor for name, tensor in bare(learned.model).state_dict().items() if "heads." in name}
            saved.append(
                {
                    "state": learned.method.state_dict(), "heads": heads, "role": role, "tasks": SEQUENCES[role],
                    "logits": [logits(learned, task) for task in learned.tasks],
                    "settings": {"name": method.name, **method.settings()},
                }
            )  # fmt: skip
    torch.save(saved, tmp_path / "saved.pt")
    command = [sys.executable, "-c", FRESH, str(tmp_path / "saved.pt")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.split() == ["same"] * len(saved), finished.stderr


def trainer(method, model, task, folder, steps):
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=2, learning_rate=1e-2, save_steps=2,
        remove_unused_columns=False, use_cpu=True, report_to="none", disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    return ContinualTrainer(
        method=method, model=model, args=arguments, train_dataset=task.train, data_collator=task.collate
    )


@both_kinds
@isolating
def test_a_checkpoint_resumes_in_the_middle_of_a_later_task(method, role, tmp_path):
    """With dropout off, so that an interrupted run must end bitwise where an uninterrupted one does."""

    def start():
        own = copy.deepcopy(method)
        model = toys.runtime().load(role).model
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tasks = [
            encode_task(toys.TASKS[name], toys.tokenizer(), task_id=index) for index, name in enumerate(SEQUENCES[role])
        ]
        model = own.prepare_model(model, tasks[0])
        trainer(own, model, tasks[0], tmp_path / "first", 2).train()
        own.after_task(model, tasks[0])
        return own, own.prepare_model(model, tasks[1]), tasks[1]

    whole, model, task = start()
    trainer(whole, model, task, tmp_path / "whole", 4).train()
    interrupted, other, task = start()
    trainer(interrupted, other, task, tmp_path / "cut", 2).train()
    resumed, third, task = start()
    trainer(resumed, third, task, tmp_path / "cut", 4).train(resume_from_checkpoint=True)
    expected, found = model.state_dict(), third.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not all(torch.equal(tensor, expected[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("model", [toys.classifier(), toys.causal_model()], ids=["encoder", "causal"])
def test_a_new_column_changes_nothing_and_a_full_one_computes_the_formula(model):
    model = model.double().eval()
    n_layers = len(layers_of(model))
    width = model.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    columns = [Column(width, n_layers, 3, earlier, generator=generator).double() for earlier in (0, 1)]
    ids = torch.tensor([[7, 8, 9], [10, 11, 12]])
    states_of = (lambda m: m.features(ids)) if hasattr(model, "features") else (lambda m: m(input_ids=ids).logits)
    if hasattr(model, "heads"):
        model.add_head("sst2", 2)
    plain = states_of(model)
    assert torch.equal(states_of(ColumnedModel(model, columns)), plain)
    for column in columns:
        torch.nn.init.normal_(column.output.weight, generator=generator)

    body = getattr(model, "body", model)
    hidden = body(input_ids=ids, output_hidden_states=True).hidden_states[:n_layers]
    below = [torch.nn.functional.layer_norm(states, (width,)) for states in hidden]
    first, second = [], []
    for layer in range(n_layers):
        one = columns[0].from_model[layer](below[layer])
        two = columns[1].from_model[layer](below[layer])
        if layer:
            one = one + first[-1] @ columns[0].from_itself[layer - 1].weight.T
            two = two + second[-1] @ columns[1].from_itself[layer - 1].weight.T
            two = two + first[-1] @ columns[1].from_columns[layer - 1][0].weight.T
        first.append(one.relu())
        second.append(two.relu())
    correction = second[-1] @ columns[1].output.weight.T + columns[1].output.bias
    if hasattr(model, "features"):
        expected = plain + correction.mean(dim=1)
    else:
        top = layers_of(model)[-1].register_forward_hook(lambda module, args, output: output + correction)
        expected = model(input_ids=ids).logits
        top.remove()
    torch.testing.assert_close(states_of(ColumnedModel(model, columns)), expected)
    assert torch.equal(states_of(model), plain), "a hook stayed on the model"


def test_columns_generate_with_the_cache_what_they_would_without():
    model = toys.causal_model().eval()
    column = Column(32, 2, 4, 0, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(column.output.weight, generator=torch.Generator().manual_seed(1))
    columned = copy.deepcopy(ColumnedModel(model, [column])).eval()
    ids = torch.tensor([[7, 8]])
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    written = columned.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)
    for _ in range(5):
        with torch.no_grad():
            ids = torch.cat([ids, columned(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(written, ids)
    assert not torch.equal(written, model.generate(input_ids=ids[:, :2], **settings))


def frozen(model):
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def test_the_bottom_is_frozen_from_the_second_task_on():
    for role, inside in {"roberta": "body.encoder.layer.0.", "dialogpt": "transformer.h.0."}.items():
        first = once(FreezeBottom(1), role, stop_after=1)
        assert frozen(first.model) == set()
        before = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
        both = once(FreezeBottom(1), role)
        held = frozen(both.model)
        outside = [name for name in held if not name.startswith(inside)]
        assert all("embeddings" in name or ".wte." in name or ".wpe." in name for name in outside)
        assert {name for name, _ in both.model.named_parameters() if name.startswith(inside)} <= held
        for name in held:
            assert torch.equal(both.model.state_dict()[name], before[name])
        # Bitwise what a run gives that goes on from a plainly learned first task.
        shared = once(Naive(), role, stop_after=1).then(FreezeBottom(1), progress=False)
        np.testing.assert_array_equal(both.record.results, shared.record.results)
    second = once(FreezeBottom(0), "dialogpt")
    assert frozen(second.model) == {"transformer.wte.weight", "transformer.wpe.weight"}


def test_a_trainer_of_ones_own_is_refused_until_something_is_frozen():
    model, method = toys.causal_model(), FreezeBottom(1, first_task_too=True)
    with pytest.raises(ValueError, match="has frozen nothing"):
        method.require_ready(model)
    task = encode_task(toys.TASKS["persona"], toys.tokenizer())
    method.require_ready(method.prepare_model(model, task))
    with pytest.raises(ValueError, match="needs a sequence of tasks"):
        PromptTuning(3).require_ready(model)


def test_heads_alone_leave_the_whole_body_as_it_was():
    learned = once(FreezeBottom(first_task_too=True, learning_rate=0.1), "roberta")
    untouched = toys.runtime().load("roberta").model.state_dict()
    assert all(torch.equal(tensor, learned.model.state_dict()[name]) for name, tensor in untouched.items())
    matrix = learned.record.matrix()
    assert matrix[0, 0] == matrix[1, 0]
    assert math.isnan(matrix[0, 1])


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(ValueError, match="nothing left to learn"):
        once(FreezeBottom(first_task_too=True), "dialogpt")
    with pytest.raises(ValueError, match="fewer than the 3"):
        once(FreezeBottom(3, first_task_too=True), "dialogpt")
    with pytest.raises(ValueError, match="layers must be"):
        FreezeBottom(-1)
    for make in (
        lambda **s: FreezeBottom(1, **s),
        lambda **s: ProgressiveNetwork(4, **s),
        lambda **s: PromptTuning(**s),
    ):
        with pytest.raises(ValueError, match="learning_rate"):
            make(learning_rate=0.0)
    with pytest.raises(ValueError, match="length"):
        PromptTuning(0)
    with pytest.raises(ValueError, match="no token for 'a'"):
        ProgressivePrompts(words={"a": []})
    with pytest.raises(ValueError, match="no stack"):
        layers_of(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="at least one"):
        ColumnedModel(toys.causal_model(), [])


def test_layers_and_embeddings_are_found_in_every_kind():
    classifier, causal = toys.classifier(), toys.causal_model()
    assert layers_of(classifier) is classifier.body.encoder.layer
    assert layers_of(causal) is causal.transformer.h
    assert causal.transformer.wpe in embeddings_of(causal)
    assert classifier.body.embeddings in embeddings_of(classifier)


def test_separate_models_answer_each_for_its_own_task():
    learned = once(SeparateModels(), "roberta")
    first = once(Naive(), "roberta", stop_after=1)
    assert same(logits(learned, learned.tasks[0]), logits(first, first.tasks[0]))
    alone = learn_once(toys.runtime(), "roberta", ("topics",), Naive(), plan=PLAN, progress=False)
    assert learned.record.matrix()[1, 1] == alone.record.matrix()[0, 0]
    again = SeparateModels()
    again.load_state_dict(learned.method.state_dict())
    assert same(logits(learned, learned.tasks[0], again), logits(first, first.tasks[0]))


def test_a_shared_first_task_is_not_taken_by_who_needs_one_of_their_own():
    first = once(Naive(), "roberta", stop_after=1)
    for method in (PromptTuning(3), SeparateModels(), FreezeBottom(first_task_too=True)):
        assert method.own_first_task
        continued = first.then(method, progress=False)
        np.testing.assert_array_equal(continued.record.results, once(method, "roberta").record.results)
