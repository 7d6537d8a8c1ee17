"""Measure a pretrained encoder: hidden words it guesses, and what it learns sooner than random weights do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cfhelpers.models.classifier import MultiTaskClassifier
from cfhelpers.models.pretraining.encoder_corpus import write_documents
from cfhelpers.tasks import make_task
from cfhelpers.tasks.encoding import EncodedTask, encode_task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DOCUMENTS = 500
# Far from any seed that a recipe uses: documents the model has not been trained on.
HELD_OUT_SEED = 1_000_000


@dataclass(frozen=True)
class Budget:
    """The same for pretrained and random weights: optimizer steps, examples per step, AdamW's learning rate."""

    steps: int = 80
    batch_size: int = 32
    learning_rate: float = 1e-3


def measure(
    folder: Path,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    budget: Budget | None = None,
    tasks: tuple[str, ...] = ("sst2", "mnli"),
) -> dict[str, Any]:
    """Return fill-mask accuracy on unseen documents, and test accuracy after fine-tuning, against random weights.

    Args:
        folder: Where the masked language model and its tokenizer are.
        seeds: Of the task, the head and, for random weights, the encoder.
        budget: How long each task is trained.
        tasks: Which tasks are learned.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    budget = budget or Budget()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    masked_lm = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    scores: dict[str, Any] = {}
    for name in tasks:
        scores[name] = {
            start: [round(learn(name, folder, seed, budget, pretrained=start == "pretrained"), 4) for seed in seeds]
            for start in ("pretrained", "random")
        }
    return {
        "fill-mask accuracy": round(fill_mask_accuracy(masked_lm, tokenizer), 4),
        "fine-tuning": {"budget": asdict(budget), "seeds": list(seeds), "test accuracy": scores},
    }


@torch.no_grad()
def fill_mask_accuracy(model: PreTrainedModel, tokenizer: Any, documents: int = DOCUMENTS) -> float:
    """Share of tokens guessed right, each fifth token of unseen documents hidden at a time."""
    model.eval()
    hits = count = 0
    for texts in islice(write_documents(HELD_OUT_SEED), documents):
        input_ids = tokenizer(*texts, return_tensors="pt")["input_ids"]
        # Row r hides the tokens r, r + 5, r + 10 …; special tokens are never asked for.
        rows = input_ids.repeat(5, 1)
        asked = (torch.arange(rows.shape[1]) % 5 == torch.arange(5)[:, None]) & (rows >= 4)
        logits = model(input_ids=rows.masked_fill(asked, tokenizer.mask_token_id)).logits
        hits += int((logits.argmax(-1) == rows)[asked].sum())
        count += int(asked.sum())
    return hits / count


def learn(name: str, folder: Path, seed: int, budget: Budget, *, pretrained: bool) -> float:
    """Fine-tune on one task and return test accuracy; without ``pretrained`` the same architecture starts at random."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    torch.manual_seed(seed)
    if pretrained:
        body = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
    else:
        body = AutoModel.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, add_pooling_layer=False)
    task = make_task(name, "tiny", seed=seed)
    model = MultiTaskClassifier(body, seed=seed)
    model.add_head(name, len(task.label_names))
    encoded = encode_task(task, AutoTokenizer.from_pretrained(folder))
    _fine_tune(model, encoded, budget, seed)
    return accuracy(model, encoded)


def _fine_tune(model: nn.Module, encoded: EncodedTask, budget: Budget, seed: int) -> None:
    """AdamW, a warm-up of a tenth of the steps (random weights need one), then linearly to zero; gradients clipped."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.learning_rate, weight_decay=0.0)
    warmup = max(1, budget.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (budget.steps - step) / max(1, budget.steps - warmup))
    )
    examples = encoded.train.to_list()
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(budget.steps):
        chosen = torch.randint(len(examples), (budget.batch_size,), generator=generator).tolist()
        model(**encoded.collate([examples[index] for index in chosen])).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, encoded: EncodedTask) -> float:
    """Share of test examples classified right."""
    hits = sum(
        int((model(**batch).logits.argmax(-1) == batch["labels"]).sum()) for batch in encoded.batches("test", 100)
    )
    return hits / len(encoded.test)
