"""Generative replay: whole texts are learned, own texts are written and mixed in, nothing of a classifier."""

from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments

from cfhelpers.methods import GenerativeReplay
from cfhelpers.methods.generative_replay import common_start
from cfhelpers.tasks.encoding import Collator, encode_task
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from cfhelpers.training.trainer import ContinualTrainer
from tests import toys

PLAN = Plan(steps=40, batch_size=2, learning_rate=1e-2, curve_points=2)


def test_the_model_writes_its_own_old_dialogues_and_learns_the_new_ones_beside_them():
    method = GenerativeReplay(16, share=0.5, length=16)
    learned = learn_once(toys.runtime(), "dialogpt", ["persona", "workplace"], method, plan=PLAN, progress=False)
    written = [row["input_ids"] for row in learned.method.kept["own texts"]]  # pyright: ignore[reportAttributeAccessIssue]  # GenerativeReplay
    assert len(written) == 16
    old = encode_task(toys.TASKS["persona"], toys.tokenizer()).train["input_ids"]
    assert sum(ids in old for ids in written) > 8  # learned by heart, questions and all
    matrix = learned.record.matrix()
    assert matrix[0, 0] == 1.0
    assert matrix[1, 1] > matrix[0, 1] == 0.0


def test_questions_are_targets_too():
    task = encode_task(toys.TASKS["persona"], toys.tokenizer())
    data = GenerativeReplay(4).training_data(task, [])
    assert data["labels"] == data["input_ids"] == task.train["input_ids"]


def test_a_share_of_the_training_examples_is_written():
    task, method = encode_task(toys.TASKS["persona"], toys.tokenizer()), GenerativeReplay(5, share=0.6)
    method.kept = {"own texts": [{"input_ids": [7, 8 + row], "labels": [7, 8 + row]} for row in range(5)]}
    data = method.training_data(task, [])
    assert [row["input_ids"][0] == 7 for row in data] == [False, False, True, True, True]


def test_a_classifier_writes_no_texts():
    with pytest.raises(ValueError, match="a classifier writes no texts"):
        GenerativeReplay(4).training_data(encode_task(toys.TASKS["sst2"], toys.tokenizer()), [])


def test_texts_begin_as_the_tasks_own_do():
    assert common_start([[2, 5, 7, 1], [2, 5, 9, 1], [2, 5, 7, 8]]) == [2, 5]
    assert common_start([[2, 5], [3, 5]]) == []
    assert common_start([[2, 5, 7], [2, 5, 7]]) == [2, 5]


@pytest.mark.parametrize("masks", [False, True])
def test_in_a_trainer(masks, tmp_path):
    ids = [[5 + row % 7, 6, 7] for row in range(20)]
    columns = {"input_ids": ids, "labels": ids} | ({"attention_mask": [[1] * 3] * 20} if masks else {})
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=4, per_device_train_batch_size=4, report_to="none", disable_tqdm=True,
        use_cpu=True, remove_unused_columns=False, save_steps=2, dataloader_pin_memory=False,
    )  # fmt: skip

    def trained(checkpoint: str | None) -> Any:
        method = GenerativeReplay.from_model(toys.causal_model(1), n_texts=6, share=0.5, length=8, prompt=[2])
        assert all(row["input_ids"][0] == 2 and len(row["input_ids"]) <= 8 for row in method.kept["own texts"])
        trainer: Any = ContinualTrainer(
            model=toys.causal_model(), args=arguments, method=method, train_dataset=Dataset.from_dict(columns),
            data_collator=Collator(0),
        )  # fmt: skip
        assert len(trainer.train_dataset) == 40
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer.model

    whole, resumed = trained(None), trained(str(tmp_path / "checkpoint-2"))
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor)


def test_a_method_that_has_written_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"make it with GenerativeReplay\.from_model"):
        GenerativeReplay(4).mix([{"input_ids": [1]}])
    with pytest.raises(ValueError, match="n_texts must be at least 1"):
        GenerativeReplay(0)
    with pytest.raises(ValueError, match="share"):
        GenerativeReplay(4, share=0.0)
