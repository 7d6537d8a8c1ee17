"""Replay: a fair draw, fair shares, nothing from the test split, and really mixed into a trainer's data."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments

from cfhelpers.methods import Replay
from cfhelpers.methods.mixing import reservoir_sample
from cfhelpers.tasks.encoding import Collator, EncodedTask, encode_task
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys


def rows(number: int, lengths: list[int]) -> Dataset:
    """Rows whose first token says the task, in thousands, and the row."""
    ids = [[1000 * number + row, *[1] * (length - 1)] for row, length in enumerate(lengths)]
    return Dataset.from_dict({"input_ids": ids, "labels": ids})


def task(number: int, lengths: list[int]) -> EncodedTask:
    data = rows(number, lengths)
    empty = rows(number, [])
    text = toys.TASKS["persona"]
    return EncodedTask(text.__class__(**{**vars(text), "name": f"task {number}"}), data, empty, empty, Collator(0), 0)


def replayed(dataset) -> list[list[int]]:
    return [row["input_ids"] for row in dataset if row["input_ids"][0] < 9000]


def tasks_of(ids) -> Counter:
    return Counter(row[0] // 1000 for row in ids)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
@pytest.mark.parametrize(("new", "share"), [(20, 0.3), (60, 0.3), (100, 0.25), (16, 0.9)])
def test_old_tasks_are_replayed_alike_and_each_kept_row_equally_often(tasks, new, share):
    method = Replay(16, share=share)
    for number in range(1, tasks + 1):
        method.after_task(None, task(number, [2] * 20))
    mixed = method.training_data(task(9, [2] * new), [])
    ids = replayed(mixed)
    assert len(ids) == round(new * share / (1 - share)) == len(mixed) - new
    per_task = tasks_of(ids)
    assert max(per_task.values()) - min(per_task[number] for number in range(1, tasks + 1)) <= 1
    for number, kept in enumerate(method.kept.values(), start=1):
        used = Counter(row[0] for row in ids)
        counts = [used[row["input_ids"][0]] for row in kept]
        assert max(counts) - min(counts) <= 1, number


def test_which_task_gets_the_odd_row_is_drawn_and_not_always_the_first():
    first = Counter()
    for seed in range(60):
        method = Replay(4, share=0.1, seed=seed)
        for number in (1, 2, 3):
            method.after_task(None, task(number, [2] * 8))
        (only,) = tasks_of(replayed(method.training_data(task(9, [2] * 9), [])))
        first[only] += 1
    assert min(first[number] for number in (1, 2, 3)) >= 8


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_share_by_tokens_is_one_of_tokens_and_tasks_of_other_lengths_get_equal_parts(share):
    lengths = {1: [3, 5] * 20, 2: [30, 50] * 20}
    method = Replay(40, share=share, by="tokens")
    for number, each in lengths.items():
        method.after_task(None, task(number, each))
    mixed = method.training_data(task(9, [10] * 300), [])
    old = sum(len(ids) for ids in replayed(mixed))
    assert abs(old - 3000 * share / (1 - share)) <= 25
    tokens = {n: sum(len(ids) for ids in replayed(mixed) if ids[0] // 1000 == n) for n in (1, 2)}
    assert abs(tokens[1] - tokens[2]) <= 50
    assert method.settings() == {"buffer_size": 40, "share": share, "by": "tokens"}


@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.2, 1.0])
def test_a_fraction_is_one_of_the_tokens(fraction):
    lengths = [2 + (7 * row) % 40 for row in range(200)]
    method = Replay(fraction=fraction)
    method.after_task(None, task(1, lengths))
    kept = sum(len(row["input_ids"]) for row in method.kept["task 1"])
    assert abs(kept - max(2, fraction * sum(lengths))) <= 42
    assert (len(method.kept["task 1"]) == 200) == (fraction == 1)


def test_every_row_of_a_task_is_kept_with_the_same_probability():
    counts = Counter()
    for seed in range(2000):
        method = Replay(3, seed=seed)
        method.after_task(None, task(1, [2] * 12))
        counts.update(row["input_ids"][0] - 1000 for row in method.kept["task 1"])
    chi_square = sum((counts[row] - 500) ** 2 / 500 for row in range(12))
    assert chi_square < 31.3  # 0.1 % of uniform draws exceed it with 11 degrees of freedom


def test_a_reservoir_is_uniform_over_ten_thousand_streams():
    generator = random.Random(0)
    counts, pairs = Counter(), Counter()
    for _ in range(10_000):
        kept = sorted(reservoir_sample(iter(range(10)), 3, generator))
        counts.update(kept)
        pairs[kept[0], kept[1], kept[2]] += 1
    # Without replacement the counts vary less than independent draws: their chi-square is (1 − 3/10) · χ²(9).
    chi_square = sum((counts[item] - 3000) ** 2 / (3000 * 0.7) * 0.9 for item in range(10))
    assert 1.15 < chi_square < 27.9  # 0.1 % below, 0.1 % above
    every_set = sum((pairs[each] - 10_000 / 120) ** 2 / (10_000 / 120) for each in pairs)
    assert len(pairs) == 120
    assert every_set < 173.6  # χ²(119), 0.1 %
    assert sorted(reservoir_sample(iter(range(3)), 5, generator)) == [0, 1, 2]
    with pytest.raises(ValueError, match="at least 1 item"):
        reservoir_sample([1], 0, generator)


def test_no_test_or_validation_example_ever_comes_into_the_buffer():
    pairs = {"what is your color": "blue", "what is your pet": "rex"}
    made = toys.dialogue_task("persona", pairs)
    other = toys.dialogue_task("persona", {"what is your boss": "ann"})
    made = made.__class__(**{**vars(made), "validation": other.train, "test": other.train})
    encoded = encode_task(made, toys.tokenizer())
    for method in (Replay(100), Replay(fraction=1.0)):
        method.after_task(None, encoded)
        assert sorted(map(str, method.kept["persona"])) == sorted(str(row) for row in encoded.train)
        held_out = [str(row) for split in (encoded.validation, encoded.test) for row in split]
        assert not set(held_out) & set(map(str, method.kept["persona"]))


def arguments(folder, **changes) -> TrainingArguments:
    settings = {
        "output_dir": str(folder), "max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-2,
        "report_to": "none", "disable_tqdm": True, "use_cpu": True, "remove_unused_columns": False,
        "save_strategy": "no", "dataloader_pin_memory": False,
    }  # fmt: skip
    return TrainingArguments(**(settings | changes))


def words(seed: int, count: int) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(5, 19, (4 + row % 5,), generator=generator).tolist() for row in range(count)]
    return Dataset.from_dict({"input_ids": ids, "labels": ids})


def trainer(method, data, folder, **changes) -> Any:
    return ContinualTrainer(
        method=method, model=toys.causal_model(), args=arguments(folder, **changes), train_dataset=data,
        data_collator=Collator(0),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["dataset", "list", "torch format"])
def test_a_trainer_really_trains_on_old_rows(kind, tmp_path):
    old, new = words(1, 20), words(2, 30)
    if kind == "torch format":
        new = new.with_format("torch")
    given = new.to_list() if kind == "list" else new
    made = trainer(Replay.from_data(old, 5, share=0.25), given, tmp_path)
    mixed: Any = made.train_dataset
    seen = Counter(str(list(map(int, mixed[row]["input_ids"]))) for row in range(30, 40))
    assert len(mixed) == 40
    assert set(seen.values()) == {2}
    assert set(seen) <= set(map(str, old["input_ids"]))
    made.train()


def test_data_given_by_position_are_mixed_as_well(tmp_path):
    method = Replay.from_data(words(1, 20), 5, share=0.5)
    made = ContinualTrainer(toys.causal_model(), arguments(tmp_path), Collator(0), words(2, 30), method=method)
    assert len(made.train_dataset) == 60


def test_several_old_data_sets_get_equal_parts_and_a_stream_is_sampled(tmp_path):
    old = {"one": words(1, 20), "two": words(3, 40).to_iterable_dataset()}
    method = Replay.from_data(old, 6, share=0.5)
    assert [len(kept) for kept in method.kept.values()] == [6, 6]
    assert len(trainer(method, words(2, 24), tmp_path).train_dataset) == 48
    with pytest.raises(ValueError, match="give buffer_size in place of fraction"):
        Replay.from_data(old["two"], fraction=0.5)


def test_what_cannot_be_mixed_is_refused(tmp_path):
    method = Replay.from_data(words(1, 20), 5)
    with pytest.raises(ValueError, match=r"not into a stream \(IterableDataset\)"):
        trainer(method, words(2, 30).to_iterable_dataset(), tmp_path)
    with pytest.raises(ValueError, match=r"different columns: input_ids, labels and input_ids, labels, weight"):
        trainer(method, words(2, 30).add_column("weight", [1.0] * 30), tmp_path)
    texts = Dataset.from_dict({"input_ids": ["a b"] * 9, "labels": [0] * 9})
    with pytest.raises(ValueError, match="do not fit the types"):
        trainer(method, texts, tmp_path)
    with pytest.raises(ValueError, match=r"make it with Replay\.from_data"):
        trainer(Replay(5), words(2, 30), tmp_path)
    with pytest.raises(ValueError, match="no old examples"):
        Replay.from_data(words(1, 0), 5)
    with pytest.raises(ValueError, match="every label of the old data is −100"):
        Replay.from_data([{"input_ids": [5, 6], "labels": [5, -100]}] * 3, 2)
    with pytest.raises(ValueError, match="training data are empty"):
        trainer(method, words(2, 0), tmp_path)
    with pytest.raises(ValueError, match="less than half a row"):
        trainer(Replay.from_data(words(1, 20), 5, share=0.01), words(2, 30), tmp_path)
    plain = Dataset.from_dict({"text": ["a"] * 9})
    with pytest.raises(ValueError, match="by tokens needs rows with input_ids"):
        trainer(Replay.from_data(plain, 5, by="tokens"), plain, tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either buffer_size"),
        ({"buffer_size": 3, "fraction": 0.1}, "either buffer_size"),
        ({"buffer_size": 0}, "at least 1"),
        ({"fraction": 0.0}, r"in \(0, 1\]"),
        ({"fraction": 1.5}, r"in \(0, 1\]"),
        ({"buffer_size": 3, "share": 1.0}, "between 0 and 1"),
        ({"buffer_size": 3, "by": "words"}, "one of examples, tokens"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Replay(**settings)


def test_resuming_equals_never_having_stopped_and_another_buffer_is_refused(tmp_path):
    settings = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}
    whole = trainer(Replay.from_data(words(1, 20), 5), words(2, 30), tmp_path / "whole", **settings)
    whole.train()
    assert whole.model is not None
    resumed = trainer(Replay.from_data(words(1, 20), 5), words(2, 30), tmp_path / "resumed", **settings)
    checkpoint = str(tmp_path / "whole" / "checkpoint-3")
    resumed.train(resume_from_checkpoint=checkpoint)
    assert resumed.model is not None
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor)
    other = trainer(Replay.from_data(words(1, 20), 5, seed=1), words(2, 30), tmp_path / "other", **settings)
    with pytest.raises(ValueError, match="not the ones in the training data"):
        other.train(resume_from_checkpoint=checkpoint)


def test_stored_bytes_are_eight_for_each_token_and_label():
    method = Replay.from_data(rows(1, [4, 4]), 2)
    assert method.stored_bytes() == 2 * 8 * 8
