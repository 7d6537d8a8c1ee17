"""What prompt methods share: a frozen model, and vectors in front of its input that are learned in its place."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from cfhelpers.methods.base import Method
from cfhelpers.models.prompted import with_prompts, without_prompts
from cfhelpers.models.soft_prompt import SoftPrompt
from cfhelpers.tasks.encoding import EncodedTask


class PromptMethod(Method):
    """Learn prompts and, for classification, one head per task; nothing else ever changes.

    Args:
        length: Vectors P of each prompt.
        learning_rate: Of prompts and heads; usually ten times or more what suits all weights.
        bottleneck: Width of the residual reparametrisation's hidden layer; None learns the vectors themselves.
        words: For each task, by name, the token ids whose embeddings its prompt starts from, repeated or cut to
            ``length``. A task that is not named starts from tokens drawn from the vocabulary.

    Raises:
        ValueError: A length or bottleneck below 1, a learning rate that is not positive, or a task without any word.
    """

    own_first_task = True

    def __init__(
        self,
        length: int = 10,
        *,
        learning_rate: float = 3e-2,
        bottleneck: int | None = None,
        words: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        if length < 1 or (bottleneck is not None and bottleneck < 1):
            raise ValueError(f"length and bottleneck must be at least 1, got {length} and {bottleneck}.")
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {learning_rate}.")
        self.length, self.learning_rate, self.bottleneck = length, learning_rate, bottleneck
        self.words = {task: [int(token) for token in tokens] for task, tokens in (words or {}).items()}
        if empty := [task for task, tokens in self.words.items() if not tokens]:
            raise ValueError(f"words has no token for {empty[0]!r}.")
        self.prompts: dict[str, SoftPrompt] = {}

    def prompt_names(self, task_name: str) -> list[str]:
        """Return the names of the prompts that a task's texts stand behind, the one to be learned first."""
        raise NotImplementedError

    def add_prompt(self, model: nn.Module, name: str, token_ids: Sequence[int] | None = None) -> SoftPrompt:
        """Make a new prompt out of rows of the model's embedding; all earlier prompts are folded and frozen.

        Args:
            model: A classifier or causal language model, with or without prompts.
            name: Of the prompt; usually its task's.
            token_ids: Words to start from, as token ids; None draws different tokens of the vocabulary by the name.

        Raises:
            ValueError: There is a prompt of this name already, or a token id that the model does not have.
        """
        if name in self.prompts:
            raise ValueError(f"There already is a prompt named {name!r}; prompts: {list(self.prompts)}.")
        bare: Any = without_prompts(model)
        embedding = getattr(bare, "body", bare).get_input_embeddings().weight
        generator = torch.Generator().manual_seed(zlib.crc32(f"prompt/{getattr(bare, 'seed', 0)}/{name}".encode()))
        if token_ids is None:
            token_ids = torch.randperm(len(embedding), generator=generator)[: self.length].tolist()
        if not token_ids or min(token_ids) < 0 or max(token_ids) >= len(embedding):
            raise ValueError(f"token_ids must be one or more ids from 0 to {len(embedding) - 1}, got {token_ids}.")
        rows = [token_ids[index % len(token_ids)] for index in range(self.length)]
        for earlier in self.prompts.values():
            earlier.fold()
            earlier.requires_grad_(False)
        self.prompts[name] = SoftPrompt(embedding[rows], bottleneck=self.bottleneck, generator=generator)
        return self.prompts[name]

    def prepare_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Freeze all but the task's prompt and head, and put the prompts in front."""
        bare: Any = super().prepare_model(without_prompts(model), task)
        bare.requires_grad_(False)
        if task.task.kind == "classification":
            bare.heads[task.name].requires_grad_(True)
        names = self.prompt_names(task.name)
        if names[0] not in self.prompts:
            self.add_prompt(bare, names[0], self.words.get(task.name))
        return with_prompts(bare, [self.prompts[name] for name in names])

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model behind the task's own prompts; behind none while the task has not been learned."""
        names = self.prompt_names(task.name)
        if names[0] not in self.prompts:
            return without_prompts(model)
        return with_prompts(model, [self.prompts[name] for name in names])

    def settings(self) -> dict[str, Any]:
        """Return length, rate and how prompts begin."""
        return {
            "length": self.length,
            "learning_rate": self.learning_rate,
            "bottleneck": self.bottleneck,
            "words": self.words or None,
        }

    def stored_bytes(self) -> int:
        """Return the size of the prompts, folded; heads are part of the model for every method."""
        return sum(prompt.vectors.numel() * prompt.vectors.element_size() for prompt in self.prompts.values())

    def state_dict(self) -> dict[str, Any]:
        """Return every prompt by name: ``vectors`` and, where one is still being learned, ``residual.…``."""
        return {"prompts": {name: dict(prompt.state_dict()) for name, prompt in self.prompts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over prompts; those that a model reads already are filled in place."""
        for name, tensors in state["prompts"].items():
            hidden = tensors.get("residual.0.bias")
            bottleneck = None if hidden is None else len(hidden)
            known = self.prompts.get(name)
            if known is None or (known.residual is None) != (hidden is None):
                known = self.prompts[name] = SoftPrompt(tensors["vectors"], bottleneck=bottleneck)
            known.load_state_dict(tensors)
