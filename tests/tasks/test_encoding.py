"""Encoding: what is a target and what is not (mistakes 3, 4, 5 and 7 of published tutorials)."""

import dataclasses

import pytest
import torch
from datasets import Dataset

from cfhelpers.tasks.encoding import Collator, encode_dialogue, encode_question, encode_task
from cfhelpers.tasks.task import Task
from tests import toys


def words(ids) -> list[str]:
    return toys.tokenizer().convert_ids_to_tokens(list(ids))


def test_a_dialogue_is_one_sequence_and_only_the_answer_is_a_target():
    ids, labels = encode_dialogue(toys.tokenizer(), "what is your color", "blue")
    assert words(ids) == ["<user>", "what", "is", "your", "color", "<bot>", "blue", "<eos>"]
    assert labels[:6] == [-100] * 6
    assert words(labels[6:]) == ["blue", "<eos>"]
    assert encode_question(toys.tokenizer(), "what is your color") == ids[:6]


def test_padding_is_never_a_target_and_a_true_end_of_sequence_is():
    tokenizer = toys.tokenizer()
    tokenizer.pad_token = tokenizer.eos_token  # as with GPT-2, where hiding pads by their id would hide every end
    batch = next(iter(encode_task(toys.TASKS["workplace"], tokenizer).batches("train", 2)))
    ends = batch["labels"] == tokenizer.eos_token_id
    assert ends.sum(dim=1).tolist() == [1, 1]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert batch["attention_mask"].sum(dim=1).tolist() == [9, 8]
    assert "task_ids" not in batch


def test_text_is_joined_by_ends_and_cut_without_losing_a_token():
    texts = ["good bad red", "blue", "rex ann sam two"]
    split = Dataset.from_dict({"text": texts})
    task = Task("news", "text", split, split, split, "perplexity", False, float("nan"), float("nan"))
    encoded = encode_task(task, toys.tokenizer(), max_length=4)
    stream = [word for block in encoded.train["input_ids"] for word in words(block)]
    assert stream == ["good", "bad", "red", "<eos>", "blue", "<eos>", "rex", "ann", "sam", "two", "<eos>"]
    assert [len(block) for block in encoded.train["input_ids"]] == [4, 4, 3]
    assert list(encoded.train["labels"]) == list(encoded.train["input_ids"])


def test_pairs_of_sentences_go_into_one_sequence_with_the_tasks_number():
    split = Dataset.from_dict({"text": ["good", "bad color"], "text_pair": ["red", "two"], "label": [2, 0]})
    task = Task("mnli", "classification", split, split, split, "accuracy", True, 1.0, 1 / 3, ("a", "b", "c"))
    batch = next(iter(encode_task(task, toys.tokenizer(), task_id=3).batches("test", 8)))
    assert [words(row) for row in batch["input_ids"]] == [["good", "red", "<pad>"], ["bad", "color", "two"]]
    assert batch["labels"].tolist() == [2, 0]
    assert batch["task_ids"].tolist() == [3, 3]


def test_batches_can_be_read_again_and_cover_every_example_once():
    batches = encode_task(toys.TASKS["sst2"], toys.tokenizer()).batches("train", 3)
    assert len(batches) == 2
    first, second = list(batches), list(batches)
    assert [len(batch["labels"]) for batch in first] == [3, 1]
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(first, second, strict=True))


def test_what_cannot_be_encoded_is_refused():
    with pytest.raises(ValueError, match="9 tokens, more than max_length=8"):
        encode_task(toys.TASKS["workplace"], toys.tokenizer(), max_length=8)
    tokenizer = toys.tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="padding token"):
        encode_task(toys.TASKS["workplace"], tokenizer)
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = "{% for message in messages | reverse %}{{ message['content'] }} {% endfor %}"
    with pytest.raises(ValueError, match="instead of the answer"):
        encode_dialogue(tokenizer, "good", "bad")


def test_the_collator_keeps_ids_labels_and_mask_aligned():
    batch = Collator(7)([{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4], "labels": [4]}])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 7, 7]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_an_encoded_task_is_not_changed_by_accident():
    encoded = encode_task(toys.TASKS["sst2"], toys.tokenizer())
    with pytest.raises(dataclasses.FrozenInstanceError):
        encoded.task_id = 1


TURN = "{% for message in messages %}{% if message['role'] == 'user' %}<user> {{ message['content'] }} "


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("<bot> {% else %}{{ message['content'] }} <eos>{% endif %}{% endfor %}", "<user> what is <bot> rex <eos>"),
        (  # the prompt has an empty block that a finished turn has not
            "{% else %}<bot> {{ message['content'] }} <eos>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<bot> good bad {% endif %}",
            "<user> what is <bot> good bad rex <eos>",
        ),
        (  # a finished turn has one that the prompt has not: the model writes it
            "{% else %}<bot> good bad {{ message['content'] }} <eos>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<bot> {% endif %}",
            "<user> what is <bot> good bad rex <eos>",
        ),
    ],
)
def test_what_is_trained_is_what_is_generated(rest, expected):
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = TURN + rest
    ids, labels = encode_dialogue(tokenizer, "what is", "rex")
    prompt = encode_question(tokenizer, "what is")
    assert tokenizer.decode(ids) == expected
    assert ids[: len(prompt)] == prompt
    assert labels == [-100] * len(prompt) + ids[len(prompt) :]


def test_a_prompt_that_leaves_a_think_block_open_is_refused_with_a_way_out():
    tokenizer = toys.tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = (
        TURN + "{% else %}<bot> {{ message['content'] }} <eos>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<bot> <think> {% endif %}"
    )
    with pytest.raises(ValueError, match=r"opens a think block.*chat_template.*enable_thinking=False"):
        encode_dialogue(tokenizer, "what is", "rex")
