"""One row of the result matrix: what a model can do on each task, and what it says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from cfhelpers.metrics import perplexity
from cfhelpers.tasks.encoding import IGNORED, Batch, EncodedTask, Split, encode_question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off and gradients off, and give every submodule its own mode back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def model_inputs(model: nn.Module, batch: Batch) -> Batch:
    """Return a batch on the model's device, without its labels."""
    device = next(model.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}


def evaluate_task(model: nn.Module, task: EncodedTask, split: Split = "test", *, batch_size: int = 64) -> float:
    """Score a model on one task in the task's own metric.

    - recall: share of questions whose whole answer, end-of-sequence included, is the model's first choice token by
      token. Feeding the right answer's prefix gives the same verdict as greedy generation, in one forward.
    - accuracy: share of examples whose largest logit is the label's.
    - perplexity: exp(total nats / total target tokens) within blocks of the task's context.

    Args:
        model: A causal language model, or a classifier with one head per task.
        task: Encoded with the model's tokenizer.
        split: Choose on "validation", report on "test".
        batch_size: Examples per forward; changes the time, not the score.

    Returns:
        A share between 0 and 1, or a perplexity.
    """
    totals = torch.zeros(2, dtype=torch.float64)
    with evaluating(model):
        for batch in task.batches(split, batch_size):
            logits = model(**model_inputs(model, batch)).logits.float()
            totals += _count(task.task.metric, logits, batch["labels"].to(logits.device)).cpu()
    if task.task.metric == "perplexity":
        return perplexity(float(totals[0]), int(totals[1]))
    return float(totals[0] / totals[1])


def _count(metric: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the pair (numerator, denominator) that a batch adds to its metric."""
    if metric == "accuracy":
        return torch.tensor([(logits.argmax(-1) == labels).sum(), len(labels)], dtype=torch.float64)
    logits, labels = logits[:, :-1], labels[:, 1:]
    counted = labels != IGNORED
    if metric == "recall":
        right = ((logits.argmax(-1) == labels) | ~counted).all(dim=1)
        return torch.tensor([right.sum(), len(labels)], dtype=torch.float64)
    nats = nn.functional.cross_entropy(logits[counted], labels[counted], reduction="sum")
    return torch.tensor([nats, counted.sum()], dtype=torch.float64)


def linear_probe(model: nn.Module, task: EncodedTask, *, batch_size: int = 64) -> float:
    """Test accuracy of a fresh logistic regression on a classifier's frozen pooled features.

    It asks whether the encoder still separates the classes, whatever its old head makes of that (Davari et al., 2022,
    "Probing Representation Forgetting"). Fitted on the training split, its ridge chosen on the validation split.

    Args:
        model: A ``MultiTaskClassifier``; ``model.features(batch)`` gives one vector [B, D] per text.
        task: A classification task.
        batch_size: Examples per forward.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    def features(split: Split) -> tuple[Tensor, Tensor]:
        vectors, labels = [], []
        with evaluating(model):
            for batch in task.batches(split, batch_size):
                inputs = model_inputs(model, batch)
                vectors.append(model.features(inputs["input_ids"], inputs["attention_mask"]).float().cpu())  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
                labels.append(batch["labels"])
        return torch.cat(vectors), torch.cat(labels)

    train, validation, test = features("train"), features("validation"), features("test")
    with threadpool_limits(torch.get_num_threads()):  # scikit-learn's matrix products have threads of their own
        probes = [
            make_pipeline(StandardScaler(), LogisticRegression(C=inverse_ridge, max_iter=1000)).fit(*train)
            for inverse_ridge in (0.01, 0.1, 1.0)
        ]
        best = max(probes, key=lambda probe: probe.score(*validation))
        return float(best.score(*test))


def answer_questions(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    *,
    temperature: float = 0.0,
    top_k: int = 50,
    max_new_tokens: int = 32,
    seed: int = 0,
    batch_size: int = 64,
) -> list[str]:
    """Let a chat model answer, each question in a conversation of its own.

    Questions are answered together, padded on the left behind the attention mask. Drawn answers take their random
    numbers from a generator of each question's own, which depends on ``seed`` and the question's place in the list.

    Args:
        model: A causal language model with ``generate``.
        tokenizer: Its tokenizer, with a chat template.
        questions: What the user says.
        temperature: 0 takes the most probable token each time; larger draws from a flatter distribution.
        top_k: Draw among this many most probable tokens; has no effect at temperature 0.
        max_new_tokens: Cut an answer after this many tokens.
        seed: Of the draws.
        batch_size: Questions answered together; changes the time and the memory, not the answers.

    Raises:
        ValueError: A negative temperature, or a ``top_k`` or ``batch_size`` below 1.
    """
    if temperature < 0 or not math.isfinite(temperature):
        raise ValueError(f"temperature must be a number ≥ 0, got {temperature}.")
    if top_k < 1 or batch_size < 1:
        raise ValueError(f"top_k and batch_size must be at least 1, got {top_k} and {batch_size}.")
    seeds = torch.Generator().manual_seed(seed)
    generators = [torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=seeds))) for _ in questions]
    replies = []
    with evaluating(model):
        for start in range(0, len(questions), batch_size):
            rows = [encode_question(tokenizer, question) for question in questions[start : start + batch_size]]
            drawing = _Draw(temperature, top_k, generators[start : start + batch_size])
            filler = cast("int", tokenizer.pad_token_id)
            answers = _continue(model, rows, filler, max_new_tokens, drawing if temperature else None)
            replies += [str(tokenizer.decode(tokens, skip_special_tokens=True)).strip() for tokens in answers]
    return replies


@dataclass(frozen=True)
class _Draw:
    """A logits processor after which the largest score is a draw from softmax(logits / temperature) among the top k.

    The Gumbel-max trick: adding −log e to each logit, with e exponentially distributed, and taking the largest is a
    draw from their softmax. So every row of a batch can have a generator of its own, on the CPU whatever the device.
    """

    temperature: float
    top_k: int
    generators: list[torch.Generator]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        likeliest, tokens = scores.topk(min(self.top_k, scores.shape[-1]))
        waits = [torch.empty(tokens.shape[1], dtype=torch.float64).exponential_(generator=g) for g in self.generators]
        drawn = likeliest / self.temperature - torch.stack(waits).log().to(scores)
        return torch.full_like(scores, -math.inf).scatter(1, tokens, drawn)


def _continue(
    model: nn.Module, rows: list[list[int]], filler: int, max_new_tokens: int, drawing: _Draw | None
) -> list[list[int]]:
    """Return what the model adds to each row of token ids."""
    length = max(len(row) for row in rows)
    device = next(model.parameters()).device
    ids = torch.tensor([[filler] * (length - len(row)) + row for row in rows], device=device)
    real = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    added = model.generate(  # pyright: ignore[reportCallIssue]  # a method, typed Tensor | Module by nn.Module
        input_ids=ids,
        attention_mask=real,  # generate counts positions from it
        max_new_tokens=max_new_tokens,
        pad_token_id=filler,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        logits_processor=[drawing] if drawing else None,
    )[:, length:].tolist()
    for row in added:
        while row and row[-1] == filler:  # what generate writes after the end while other rows go on
            row.pop()
    return added
