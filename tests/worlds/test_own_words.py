"""A task with many right answers, taught in three ways."""

import copy

import pytest
import torch

from cfhelpers.models.loading import load_model
from cfhelpers.worlds.own_words import SAID, AskBack, _update, learn_to_ask_back


@pytest.fixture(scope="module")
def chat():
    return load_model("dialogpt", "tiny")


@pytest.fixture(scope="module")
def world(chat):
    return AskBack(chat.tokenizer)


def test_a_reply_is_right_if_it_ends_with_a_question_and_then_ends(chat, world):
    tokenizer = chat.tokenizer

    def right(text, end=True):
        return world._ends_with_a_question(tokenizer(text)["input_ids"] + [world.end] * end)

    assert right(" How are you?")
    assert right(" I am fine. And you?")
    assert not right(" How are you? I am fine.")
    assert not right(" How are you?", end=False)
    assert not right(" How are you?<|user|> Fine?")


def test_replies_are_the_prompts_own_and_their_targets_end_where_they_do(chat, world):
    batch, right = world.replies(chat.model, 2, seed=0)
    assert len(batch["labels"]) == len(right) == 2 * sum(len(prompts) for prompts, _ in SAID)
    for row, prompt in enumerate([prompt for prompt in world.prompts for _ in range(2)]):
        assert batch["input_ids"][row, : len(prompt)].tolist() == prompt
        assert (batch["labels"][row, : len(prompt)] == -100).all()
        targets = batch["labels"][row][batch["labels"][row] != -100]
        assert (targets[:-1] != world.end).all()
    again, _ = world.replies(chat.model, 2, seed=0)
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_an_update_raises_what_has_an_advantage_and_lowers_what_has_less(chat, world):
    model = copy.deepcopy(chat.model)
    batch = {name: tensor[:2] for name, tensor in world.foreign.items()}

    def log_probability(row):
        with torch.no_grad():
            one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
            return -float(model(**one).loss)

    before = [log_probability(row) for row in (0, 1)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    _update(model, optimizer, batch, torch.tensor([0.5, -0.5]))
    after = [log_probability(row) for row in (0, 1)]
    assert after[0] - before[0] > after[1] - before[1]


@pytest.mark.parametrize("way", ["own right answers", "reward"])
def test_each_way_teaches(chat, world, way):
    model = copy.deepcopy(chat.model)
    _, right = world.replies(model, 4, seed=9)
    score, updates = learn_to_ask_back(model, world, way, goal=0.6, each=4, most_updates=10)
    assert score >= 0.6 > float(right.float().mean())
    assert 0 < updates <= 10


def test_what_cannot_be_taught_is_said(chat, world, monkeypatch):
    with pytest.raises(ValueError, match="way must be one of foreign words"):
        learn_to_ask_back(chat.model, world, "shouting")
    monkeypatch.setattr(AskBack, "_ends_with_a_question", lambda self, reply: False)
    with pytest.raises(ValueError, match="not one of the model's own replies"):
        learn_to_ask_back(copy.deepcopy(chat.model), world, "own right answers", each=1)
