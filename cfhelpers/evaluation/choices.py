"""Multiple choice: which of a few given answers a model finds most probable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from cfhelpers.evaluation.scores import evaluating
from cfhelpers.tasks.encoding import IGNORED, Collator, encode_dialogue

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def choose_answers(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], options: Sequence[Sequence[str]]
) -> list[int]:
    """Return for each question the option whose tokens have the highest mean log-probability.

    The mean, not the sum, so that short answers have no advantage. Who knows nothing is right with probability 1/k.

    Args:
        model: A causal language model; its mode is restored.
        tokenizer: Its tokenizer, with a chat template and a padding token.
        questions: What the user says.
        options: For each question the answers to choose from.

    Raises:
        ValueError: There is not one list of options, with something in it, for each question.
    """
    if len(options) != len(questions) or not all(options):
        raise ValueError(f"{len(questions)} questions need as many lists of options, got {len(options)}.")
    pad_token_id, device = tokenizer.pad_token_id, next(model.parameters()).device
    collate = Collator(int(pad_token_id))  # pyright: ignore[reportArgumentType]  # one number, not a list
    chosen = []
    with evaluating(model):
        for question, answers in zip(questions, options, strict=True):
            rows = [encode_dialogue(tokenizer, question, answer) for answer in answers]
            batch = collate([{"input_ids": ids, "labels": labels} for ids, labels in rows])
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            targets = batch["labels"][:, 1:]
            nats = nn.functional.cross_entropy(
                logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
            )
            chosen.append(int(torch.argmin(nats.sum(dim=1) / (targets != IGNORED).sum(dim=1))))
    return chosen
