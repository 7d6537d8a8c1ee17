"""What both pretraining commands share: one thread, the optimizer, and a folder that appears whole with its card."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order would give other weights."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def adamw(model: PreTrainedModel, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and leaves biases and normalisation alone."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


def write_artifact(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    card: dict[str, Any],
    measure: Callable[[Path], dict[str, Any]],
) -> None:
    """Save weights, configuration, tokenizer and card.json beside ``folder`` and then move them into it.

    Args:
        folder: Keeps what it has until everything new has been written and measured.
        model: Stored in its present precision.
        tokenizer: Goes with the model.
        card: What the caller knows; versions, size, hash and measured quality are added.
        measure: Returns the quality of the model in a folder.
    """
    import transformers

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        beside = Path(name)
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        whole = {
            **card,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "stored as": str(model.dtype).removeprefix("torch."),
            "sha256": weights_hash(beside),
            "threads": 1,
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "measured": measure(beside),
        }
        (beside / "card.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for path in sorted(beside.iterdir()):
            os.replace(path, folder / path.name)


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of the weights file in ``folder``."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
