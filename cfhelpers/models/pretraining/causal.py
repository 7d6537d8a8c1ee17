"""Pretrain the small causal language model and write it, with its card, where the package finds it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cfhelpers.models.pretraining.artifact import adamw, one_thread, write_artifact
from cfhelpers.models.pretraining.corpus import Document, write_documents
from cfhelpers.models.pretraining.measure import measure
from cfhelpers.models.pretraining.tokenizer import BOT, END, PAD, USER, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

BUNDLED = Path(__file__).parent.parent / "bundled" / "causal"
CARD = {
    "what": "GPT-2 architecture, trained from nothing on the generated world of cfhelpers.tasks.world",
    "command": "python -m cfhelpers pretrain causal",
    "data": "cfhelpers/models/pretraining/corpus.py: questions about invented people, biographies, small talk and four "
    "text domains; no fact about the assistant",
}
_TOKENIZER_DOCUMENTS = 20_000


@dataclass(frozen=True)
class CausalRecipe:
    """Everything that decides the weights, besides the code and the versions.

    Attributes:
        steps: Optimizer steps.
        rows: Rows of ``length`` tokens per step.
        length: Tokens per row and context of the model.
        learning_rate: At its peak; warms up over the first 5 % and then falls along a cosine to a twentieth.
    """

    seed: int = 0
    steps: int = 1400
    rows: int = 16
    length: int = 128
    width: int = 128
    layers: int = 4
    attention_heads: int = 4
    vocabulary_size: int = 1536
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


def pretrain_causal(folder: Path | str = BUNDLED, recipe: CausalRecipe | None = None, *, progress: bool = True) -> Path:
    """Train the model from nothing and save it in ``folder``; on one machine the result is bitwise the same.

    Args:
        folder: Where model.safetensors, the configuration, the tokenizer and card.json are written.
        recipe: Sizes and steps; None: the recipe of the bundled model, about twelve minutes on one core.
        progress: Show a progress bar.

    Returns:
        The folder.
    """
    recipe = recipe or CausalRecipe()
    folder = Path(folder)
    with one_thread():
        started = time.perf_counter()
        tokenizer = train_tokenizer(
            _plain_texts(islice(write_documents(recipe.seed), _TOKENIZER_DOCUMENTS)), recipe.vocabulary_size
        )
        model = _new_model(recipe, tokenizer)
        _train(model, tokenizer, recipe, progress)
        card = {**CARD, "recipe": asdict(recipe), "seconds": round(time.perf_counter() - started)}
        write_artifact(folder, model, tokenizer, card, lambda _: measure(model, tokenizer, seed=recipe.seed))
    return folder


def _plain_texts(documents: Iterable[Document]) -> Iterator[str]:
    for document in documents:
        if isinstance(document, str):
            yield document
        else:
            yield from (text for turn in document for text in turn)


def _new_model(recipe: CausalRecipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    vocabulary = tokenizer.get_vocab()
    config = GPT2Config(
        vocab_size=recipe.vocabulary_size,
        n_positions=recipe.length,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.attention_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=vocabulary[END],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PAD],
    )
    torch.manual_seed(recipe.seed)
    return GPT2LMHeadModel(config)


def _rows(tokenizer: PreTrainedTokenizerFast, recipe: CausalRecipe) -> Iterator[list[int]]:
    """Pack whole documents into rows; every row begins with a document, as every conversation later does."""
    row: list[int] = []
    for document in write_documents(recipe.seed):
        ids = encode_document(tokenizer, document)
        if len(row) + len(ids) > recipe.length:
            # The last document is cut rather than the row padded: every position is trained.
            yield (row + ids)[: recipe.length]
            row = []
        else:
            row += ids


def encode_document(tokenizer: PreTrainedTokenizerFast, document: Document) -> list[int]:
    """Return the token ids of a conversation in chat form, or of a text, with the end token.

    The same ids as by ``apply_chat_template``, which would take a quarter of the training time.
    """
    if isinstance(document, str):
        return list(tokenizer(document + END)["input_ids"])
    turns = "".join(f"{USER}{question}{BOT}{answer}{END}" for question, answer in document)
    return list(tokenizer(turns)["input_ids"])


def _train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: CausalRecipe, progress: bool) -> None:
    from tqdm.auto import tqdm

    optimizer = adamw(model, recipe.learning_rate, recipe.weight_decay)
    warmup = max(1, recipe.steps // 20)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup),
            torch.optim.lr_scheduler.CosineAnnealingLR(
                optimizer, recipe.steps - warmup, eta_min=recipe.learning_rate / 20
            ),
        ],
        milestones=[warmup],
    )
    rows = _rows(tokenizer, recipe)
    model.train()
    bar = tqdm(range(recipe.steps), disable=not progress, desc="pretraining the causal model", mininterval=5)
    for _ in bar:
        input_ids = torch.tensor([next(rows) for _ in range(recipe.rows)])
        loss: Tensor = model(input_ids=input_ids, labels=input_ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()
