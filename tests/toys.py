"""Small things that tests share: a tokenizer, two tiny models, two tasks, a runtime that serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from cfhelpers.models.loading import LoadedModel, MultiTaskClassifier
from cfhelpers.tasks.task import Task
from cfhelpers.training.runtime import Runtime

WORDS = [
    "what",
    "is",
    "your",
    "color",
    "pet",
    "boss",
    "floor",
    "blue",
    "rex",
    "ann",
    "two",
    "red",
    "sam",
    "good",
    "bad",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}<user> {{ message['content'] }} <bot> "
    "{% else %}{{ message['content'] }} <eos>{% endif %}"
    "{% endfor %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer with a chat template."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<eos>", "<user>", "<bot>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=64
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def causal_model(seed: int = 0, **changes: Any) -> GPT2LMHeadModel:
    """Return a GPT-2 of two small layers, with dropout."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer()), "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    sizes |= {"initializer_range": 0.1}  # learns a few words by heart within forty steps
    return GPT2LMHeadModel(GPT2Config(**(sizes | changes), bos_token_id=1, eos_token_id=1, pad_token_id=0))


def classifier(seed: int = 0) -> MultiTaskClassifier:
    """Return a RoBERTa body of one small layer without heads."""
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        pad_token_id=0,
    )
    return MultiTaskClassifier(RobertaModel(config, add_pooling_layer=False), seed=seed)


def dialogue_task(name: str, pairs: dict[str, str]) -> Task:
    """Return a task whose splits ask the same questions: a toy to be learned by heart."""
    rows = {"question": list(pairs), "answer": list(pairs.values()), "fact": list(pairs), "phrasing": [0] * len(pairs)}
    split = Dataset.from_dict(rows)
    return Task(name, "dialogue", split, split, split, "recall", True, 1.0, 0.0)


def classification_task(name: str, texts: list[str], labels: list[int], label_names: tuple[str, ...]) -> Task:
    """Return a task whose splits are the same examples."""
    split = Dataset.from_dict({"text": texts, "label": labels})
    return Task(name, "classification", split, split, split, "accuracy", True, 1.0, 1 / len(label_names), label_names)


TASKS = {
    "persona": dialogue_task("persona", {"what is your color": "blue", "what is your pet": "rex"}),
    "workplace": dialogue_task("workplace", {"what is your boss": "ann sam", "what is your floor": "two"}),
    "sst2": classification_task(
        "sst2", ["good", "bad", "good color", "bad pet"], [1, 0, 1, 0], ("negative", "positive")
    ),
    "topics": classification_task("topics", ["color", "pet rex", "boss"], [0, 1, 2], ("colors", "pets", "people")),
}


@dataclass(frozen=True)
class ToyRuntime(Runtime):
    """A runtime whose models and tasks are toys."""

    def load(self, role: str) -> LoadedModel:
        """Return the toy for a role."""
        model = causal_model(self.seed) if role in ("dialogpt", "gpt2") else classifier(self.seed)
        return LoadedModel(model, tokenizer(), role, "toy")

    def tasks(self, *names: str, size: int | None = None) -> list[Task]:
        """Return toy tasks."""
        return [TASKS[name] for name in names]


def runtime(seed: int = 0) -> ToyRuntime:
    """Return a runtime of the tiny profile on the CPU."""
    return ToyRuntime("tiny", "asked for", "cpu", 1, seed)
