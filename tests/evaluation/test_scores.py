"""Scores against hand-made answers and against generation."""

import math

import pytest
import torch
from torch import nn

from cfhelpers.evaluation.scores import _Draw, answer_questions, evaluate_task, evaluating, linear_probe
from cfhelpers.methods import Naive
from cfhelpers.tasks.encoding import IGNORED, encode_question, encode_task
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from tests import toys


@pytest.fixture(scope="module")
def half_trained():
    """A model that has learned one of the two personas' answers, or so."""
    plan = Plan(12, 2, 1e-2, 1)
    return learn_once(toys.runtime(), "dialogpt", ["persona"], Naive(), plan=plan, progress=False)


@pytest.mark.parametrize("name", ["persona", "workplace"])
def test_recall_is_what_greedy_generation_gets_right(half_trained, name):
    task = encode_task(toys.TASKS[name], half_trained.tokenizer)
    rows = toys.TASKS[name].test
    replies = answer_questions(half_trained.model, half_trained.tokenizer, list(rows["question"]), max_new_tokens=4)
    right = sum(reply == answer for reply, answer in zip(replies, rows["answer"], strict=True))
    assert evaluate_task(half_trained.model, task) == right / len(rows)


def test_perplexity_is_over_all_tokens_whatever_the_batches(half_trained):
    model = half_trained.model
    rows = [["good", "bad", "red"], ["blue"], ["rex", "ann", "sam", "two", "red"]]
    from datasets import Dataset

    from cfhelpers.tasks.task import Task

    split = Dataset.from_dict({"text": [" ".join(row) for row in rows]})
    task = Task("news", "text", split, split, split, "perplexity", False, math.nan, math.nan)
    encoded = encode_task(task, half_trained.tokenizer, max_length=4)
    nats, tokens = 0.0, 0
    with evaluating(model):
        for block in encoded.test["input_ids"]:
            logits = model(input_ids=torch.tensor([block])).logits[0]
            for position in range(len(block) - 1):
                nats -= float(logits[position].log_softmax(-1)[block[position + 1]])
                tokens += 1
    for batch_size in (1, 2, 3):
        assert evaluate_task(model, encoded, batch_size=batch_size) == pytest.approx(math.exp(nats / tokens), rel=1e-5)


def test_accuracy_uses_the_tasks_own_head():
    model = toys.classifier()
    for name in ("sst2", "topics"):
        model.add_head(name, len(toys.TASKS[name].label_names))
    with torch.no_grad():
        for name, favourite in (("sst2", 1), ("topics", 2)):
            model.heads[name].out_proj.weight.zero_()
            model.heads[name].out_proj.bias.copy_(torch.eye(len(toys.TASKS[name].label_names))[favourite])
    sst2 = encode_task(toys.TASKS["sst2"], toys.tokenizer(), task_id=0)
    topics = encode_task(toys.TASKS["topics"], toys.tokenizer(), task_id=1)
    assert evaluate_task(model, sst2) == 0.5
    assert evaluate_task(model, topics, batch_size=2) == pytest.approx(1 / 3)


def test_evaluating_gives_every_module_its_own_mode_back_even_after_an_error():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    model[1].eval()
    model[0].train()

    def fail():
        with evaluating(model):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


def test_a_linear_probe_reads_what_the_features_hold_and_leaves_the_model_alone():
    model = toys.classifier().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = encode_task(toys.TASKS["sst2"], toys.tokenizer())
    assert linear_probe(model, task) == 1.0  # four texts with different features can be told apart

    class Blind(type(model)):
        def features(self, input_ids, attention_mask=None):
            return torch.zeros(len(input_ids), 16)

    model.__class__ = Blind
    assert linear_probe(model, task) == 0.5
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_answers_repeat_with_a_seed_and_vary_without(half_trained):
    def ask(seed, temperature):
        return answer_questions(
            half_trained.model, half_trained.tokenizer, ["what is your floor"] * 4, temperature=temperature, seed=seed
        )

    assert ask(0, 5.0) == ask(0, 5.0)
    assert ask(0, 5.0) != ask(1, 5.0)
    assert len(set(ask(0, 0.0))) == 1
    state = torch.get_rng_state()
    ask(3, 1.0)
    assert torch.equal(state, torch.get_rng_state())


QUESTIONS = ["good", "what is your floor", "red blue red", "rex", "what is your name or what is your floor", "ann sam"]


@pytest.mark.parametrize("temperature", [0.0, 3.0])
@pytest.mark.parametrize("batch_size", [2, 4, 64])
def test_answers_do_not_depend_on_who_is_asked_beside(half_trained, temperature, batch_size):
    def ask(questions, batch_size):
        settings = {"temperature": temperature, "batch_size": batch_size, "seed": 5}
        return answer_questions(half_trained.model, half_trained.tokenizer, questions, **settings)

    alone = ask(QUESTIONS, 1)
    assert len(set(alone)) > 1
    assert len({len(half_trained.tokenizer(question)["input_ids"]) for question in QUESTIONS}) > 2
    assert ask(QUESTIONS, batch_size) == alone
    assert ask(QUESTIONS[:3], batch_size) == alone[:3]  # others behind it change nothing


def test_greedy_answers_are_the_largest_logit_of_the_unpadded_text_token_by_token(half_trained):
    model, tokenizer = half_trained.model, half_trained.tokenizer
    for question, answer in zip(
        QUESTIONS, answer_questions(model, tokenizer, QUESTIONS, max_new_tokens=5), strict=True
    ):
        ids = encode_question(tokenizer, question)
        start = len(ids)
        with evaluating(model):
            while len(ids) < start + 5 and (len(ids) == start or ids[-1] != tokenizer.eos_token_id):
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert answer == tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_draws_follow_the_softmax_of_the_top_k():
    logits = torch.tensor([2.0, -1.0, 0.5, 1.0, 0.0])
    n, temperature, k = 4000, 1.7, 3
    draw = _Draw(temperature, k, [torch.Generator().manual_seed(index) for index in range(n)])
    counts = torch.bincount(draw(torch.zeros(n, 1), logits.expand(n, -1)).argmax(dim=1), minlength=5) / n
    expected = torch.zeros(5)
    kept = [0, 3, 2]
    expected[kept] = torch.softmax(logits[kept] / temperature, dim=0)
    assert counts[1] == counts[4] == 0
    assert torch.allclose(counts, expected, atol=4 * math.sqrt(0.25 / n))


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"temperature": math.nan}, {"top_k": 0}, {"batch_size": 0}]
)
def test_bad_controls_are_refused(half_trained, settings):
    with pytest.raises(ValueError, match="must be"):
        answer_questions(half_trained.model, half_trained.tokenizer, ["good"], **settings)


def test_labels_never_reach_the_model_while_scoring():
    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, **inputs):
            assert "labels" not in inputs
            logits = torch.zeros(*inputs["input_ids"].shape, 30)
            return type("Output", (), {"logits": logits})

    task = encode_task(toys.TASKS["persona"], toys.tokenizer())
    assert evaluate_task(Spy(), task) == 0.0
    assert IGNORED == -100
