"""Which training examples a small memory keeps, where they are not just drawn: by length, loss or features."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cfhelpers.evaluation.scores import evaluating, model_inputs
from cfhelpers.tasks.encoding import IGNORED, EncodedTask

Choice = Literal["random", "lengths", "hardest", "herding"]


def choose_rows(choice: Choice, model: nn.Module, task: EncodedTask, size: int, generator: random.Random) -> list[int]:
    """Return the numbers of ``size`` training rows of a task, or of all where it has no more.

    - lengths: the rows in the order of their lengths are cut into ``size`` equal parts, and one is drawn of each.
    - hardest: the largest loss, in nats per target.
    - herding: the one after the other that brings the mean of the kept rows' features nearest to the mean of all
      (Welling, 2009; Rebuffi et al., 2017, "iCaRL", algorithm 4). A row's features are the model's last hidden states,
      averaged over the places where a target is predicted, with length 1.

    Args:
        choice: One of these; "random" is what ``Replay`` does without asking here.
        model: A causal language model, at the end of the task.
        task: Whose training split is chosen from.
        size: Rows to keep.
        generator: Draws, and decides between rows of one length.

    Raises:
        ValueError: "hardest" or "herding" of a classification task.
    """
    count = len(task.train)
    size = min(size, count)
    if choice == "lengths":
        return _one_of_each_length([len(row) for row in task.train["input_ids"]], size, generator)
    if task.task.kind == "classification":
        raise ValueError(f"choice={choice!r} asks a language model; {task.name!r} is to be classified: draw its rows.")
    nats, features = _nats_and_features(model, task)
    if choice == "hardest":
        return sorted(range(count), key=lambda row: -float(nats[row]))[:size]
    return herd(features, size)


def herd(features: Tensor, size: int) -> list[int]:
    """Return the numbers of ``size`` rows, each taken so that the mean of those taken comes nearest to that of all.

    Args:
        features: [N, D].
        size: At most N.
    """
    mean = features.mean(dim=0)
    taken: list[int] = []
    total = torch.zeros_like(mean)
    for number in range(1, size + 1):
        distances = ((total + features) / number - mean).square().sum(dim=1)
        distances[taken] = torch.inf
        taken.append(int(distances.argmin()))
        total += features[taken[-1]]
    return taken


def _one_of_each_length(lengths: Sequence[int], size: int, generator: random.Random) -> list[int]:
    mixed = generator.sample(range(len(lengths)), len(lengths))
    order = sorted(mixed, key=lengths.__getitem__)
    edges = [part * len(order) // size for part in range(size + 1)]
    return [generator.choice(order[start:end]) for start, end in itertools.pairwise(edges)]


def _nats_and_features(model: nn.Module, task: EncodedTask) -> tuple[Tensor, Tensor]:
    """Return the loss of each training row in nats per target, [N], and its features, [N, D], in float64."""
    nats: list[Tensor] = []
    features: list[Tensor] = []
    with evaluating(model):
        for batch in task.batches("train", 64):
            outputs = model(**model_inputs(model, batch), output_hidden_states=True)
            labels = batch["labels"].to(outputs.logits.device)[:, 1:]
            targets = (labels != IGNORED).double()
            log_p = outputs.logits[:, :-1].float().log_softmax(dim=-1)
            own = -log_p.gather(-1, labels.clamp(min=0)[..., None])[..., 0].double()
            states = outputs.hidden_states[-1][:, :-1].double()
            count = targets.sum(dim=1, keepdim=True)
            nats.append(((own * targets).sum(dim=1) / count[:, 0]).cpu())
            features.append(((states * targets[..., None]).sum(dim=1) / count).cpu())
    return torch.cat(nats), nn.functional.normalize(torch.cat(features), dim=1)
