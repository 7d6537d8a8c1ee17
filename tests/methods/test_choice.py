"""Which examples are kept: by length, by loss and by features, each against a plain loop."""

import itertools
import random

import pytest
import torch
from datasets import Dataset

from cfhelpers.methods import Replay
from cfhelpers.methods.choice import choose_rows, herd
from cfhelpers.tasks.encoding import EncodedTask, encode_task
from tests import toys


def dialogue(sizes: list[int]) -> EncodedTask:
    """Rows of other lengths and other numbers of targets, so that batches are padded."""
    words = [f"{first} {second}" for first, second in itertools.product(toys.WORDS[:5], toys.WORDS[5:10])]
    pairs = {f"{words[number]} {'is ' * size}what": "blue " * (1 + number % 3) for number, size in enumerate(sizes)}
    return encode_task(toys.dialogue_task("persona", pairs), toys.tokenizer())


def by_hand(model, task: EncodedTask) -> tuple[list[float], torch.Tensor]:
    """Nats per target and normalised mean states, row by row without padding."""
    nats, features = [], []
    model.eval()
    for row in task.train.to_list():
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            outputs = model(ids, output_hidden_states=True)
        places = [place for place, label in enumerate(row["labels"]) if label != -100]
        log_p = outputs.logits[0].double().log_softmax(-1)
        nats.append(-sum(float(log_p[place - 1, row["labels"][place]]) for place in places) / len(places))
        state = torch.stack([outputs.hidden_states[-1][0, place - 1].double() for place in places]).mean(dim=0)
        features.append(state / state.norm())
    return nats, torch.stack(features)


@pytest.mark.parametrize("size", [1, 4, 9])
def test_the_hardest_have_the_largest_loss_per_target(size):
    model, task = toys.causal_model(), dialogue([3, 0, 5, 2, 8, 1, 4, 0, 6])
    nats, _ = by_hand(model, task)
    expected = sorted(range(len(nats)), key=lambda row: -nats[row])[:size]
    model.train()
    assert choose_rows("hardest", model, task, size, random.Random(0)) == expected
    assert model.training


@pytest.mark.parametrize("size", [1, 3, 9])
def test_herding_takes_what_brings_the_mean_nearest(size):
    model, task = toys.causal_model(), dialogue([3, 0, 5, 2, 8, 1, 4, 0, 6])
    _, features = by_hand(model, task)
    expected: list[int] = []
    for _ in range(size):
        left = [row for row in range(len(features)) if row not in expected]
        distance = {row: float((features[[*expected, row]].mean(0) - features.mean(0)).norm()) for row in left}
        expected.append(min(left, key=distance.__getitem__))
    assert choose_rows("herding", model, task, size, random.Random(0)) == expected


def test_herding_by_hand():
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0], [7.0, 0.0]], dtype=torch.float64)  # their mean is 3
    assert herd(features, 3) == [2, 1, 3]  # 4; then (4 + 1) / 2; then 12 / 3, where 0 gives 5 / 3
    assert sorted(herd(features, 4)) == [0, 1, 2, 3]


def test_one_of_each_length_takes_short_and_long_alike_and_draws_within_a_length():
    sizes = [0] * 6 + [3] * 6 + [9] * 6
    random.Random(1).shuffle(sizes)
    task = dialogue(sizes)
    kept = [choose_rows("lengths", toys.causal_model(), task, 3, random.Random(seed)) for seed in range(200)]
    assert all(sorted(sizes[row] for row in rows) == [0, 3, 9] for rows in kept)
    counts = torch.bincount(torch.tensor(kept).flatten(), minlength=18)
    assert counts.min() >= 15  # 200 / 6 of each; fewer than 15 has a probability below 1e-3 for all of them together
    every = choose_rows("lengths", toys.causal_model(), task, 40, random.Random(0))
    assert sorted(every) == list(range(18))


@pytest.mark.parametrize("choice", ["lengths", "hardest", "herding"])
def test_replay_keeps_the_chosen_rows_of_the_training_split_alone(choice):
    model, task = toys.causal_model(), dialogue([3, 0, 5, 2, 8, 1])
    method = Replay(3, choice=choice)
    method.after_task(model, task)
    expected = choose_rows(choice, model, task, 3, random.Random("0-persona"))
    assert [row["input_ids"] for row in method.kept["persona"]] == [task.train[row]["input_ids"] for row in expected]
    assert method.settings() == {"buffer_size": 3, "share": 0.5, "choice": choice}
    drawn = Replay(3)
    drawn.after_task(model, task)
    assert "choice" not in drawn.settings()


def test_a_choice_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="random, lengths, hardest, herding"):
        Replay(3, choice="easiest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs buffer_size"):
        Replay(fraction=0.5, choice="herding")
    with pytest.raises(ValueError, match="which learn_sequence knows"):
        Replay.from_data(Dataset.from_dict({"input_ids": [[1]], "labels": [[1]]}), 1, choice="lengths")
    classified = encode_task(toys.TASKS["sst2"], toys.tokenizer())
    with pytest.raises(ValueError, match="'sst2' is to be classified"):
        choose_rows("hardest", toys.classifier(), classified, 2, random.Random(0))
