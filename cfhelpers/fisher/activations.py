"""GPT-2's activation in one step instead of eight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import nn


@contextmanager
def fused_activations(model: nn.Module) -> Iterator[None]:
    """Compute ``gelu_new`` with torch's own kernel of the same formula (Hendrycks and Gimpel, 2016), and restore it.

    ``transformers`` writes it out as eight operations, most of which keep a tensor for the backward pass.
    """
    found = [module for module in model.modules() if _is_written_out(module)]
    try:
        for module in found:
            module.forward = partial(F.gelu, approximate="tanh")
        yield
    finally:
        for module in found:
            del module.forward


def _is_written_out(module: nn.Module) -> bool:
    """A module with a ``forward`` of its own (somebody's wrapper) is left alone."""
    named_so = type(module).__module__ == "transformers.activations" and type(module).__name__ == "NewGELUActivation"
    return named_so and "forward" not in vars(module)
