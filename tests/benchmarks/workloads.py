"""The models and batches that the benchmarks measure: random weights, real shapes, batches sorted by length."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batches = list[dict[str, Tensor]]


@dataclass(frozen=True)
class Workload:
    """A model in evaluation mode with its batches.

    Attributes:
        name: A letter.
        description: One line.
        model: Random weights, seeded.
        batches: Longest first, right-padded.
    """

    name: str
    description: str
    model: nn.Module
    batches: Batches

    def to(self, device: str) -> Workload:
        """The same on a device."""
        batches = [{name: value.to(device) for name, value in batch.items()} for batch in self.batches]
        return Workload(self.name, self.description, self.model.to(device), batches)

    @property
    def examples(self) -> Batches:
        """Each example as a batch of its own, with its padding cut off."""
        return [
            {
                name: value[row : row + 1, : int(batch["attention_mask"][row].sum())]
                if value.dim() == 2
                else value[row : row + 1]
                for name, value in batch.items()
            }
            for batch in self.batches
            for row in range(len(batch["labels"]))
        ]


def _masks(number: int, shortest: int, longest: int, size: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(shortest, longest + 1, (number,), generator=generator).sort(descending=True).values
    return [(torch.arange(int(part.max()))[None] < part[:, None]).long() for part in lengths.split(size)]


def _causal(name: str, description: str, sizes: dict[str, int], masks: list[Tensor]) -> Workload:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    batches = []
    for mask in masks:
        ids = torch.randint(1, sizes["vocab_size"], mask.shape)
        batches.append({"input_ids": ids, "attention_mask": mask, "labels": ids.where(mask.bool(), -100)})
    return Workload(name, description, model, batches)


def workload_a() -> Workload:
    """A small GPT-2."""
    sizes = {"vocab_size": 4096, "n_positions": 256, "n_embd": 256, "n_layer": 4, "n_head": 4}
    return _causal("a", "GPT-2 4 x 256, vocabulary 4096, 64 examples of 16-128 tokens", sizes, _masks(64, 16, 128, 16))


def workload_b() -> Workload:
    """The shape of gpt2 (124M)."""
    sizes = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}
    return _causal("b", "GPT-2 12 x 768, vocabulary 50257, 8 examples of 64 tokens", sizes, _masks(8, 64, 64, 8))


def workload_c() -> Workload:
    """A RoBERTa classifier."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=4096, hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536,
        max_position_embeddings=130, num_labels=3,
    )  # fmt: skip
    batches = []
    for mask in _masks(64, 8, 64, 16):
        ids = torch.randint(3, 4096, mask.shape).where(mask.bool(), 1)
        batches.append({"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (len(mask),))})
    model = RobertaForSequenceClassification(config).eval()
    return Workload("c", "RoBERTa 6 x 384 classifier, 64 examples of 8-64 tokens", model, batches)


def workload_smollm2() -> Workload:
    """A real model, where its wheel is installed."""
    from cfhelpers.models.loading import load_model

    model, generator = load_model("dialogpt", "laptop").model, torch.Generator().manual_seed(1)
    batches = []
    for mask in _masks(8, 32, 64, 8):
        ids = torch.randint(3, model.config.vocab_size, mask.shape, generator=generator)
        batches.append({"input_ids": ids, "attention_mask": mask, "labels": ids.where(mask.bool(), -100)})
    return Workload("smollm2", "SmolLM2-135M (Llama architecture), 8 examples of 32-64 tokens", model, batches)


def workload_tiny() -> Workload:
    """Only to try the benchmark itself."""
    sizes = {"vocab_size": 61, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return _causal("tiny", "GPT-2 1 x 16, to try the benchmark itself", sizes, _masks(6, 4, 9, 3))


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "a": workload_a,
    "b": workload_b,
    "c": workload_c,
    "smollm2": workload_smollm2,
    "tiny": workload_tiny,
}


def known_name(name: str) -> str:
    """The name of a workload, for a parser of arguments."""
    if name not in WORKLOADS:
        raise argparse.ArgumentTypeError(f"there is no workload {name!r}; choose from {', '.join(WORKLOADS)}")
    return name
