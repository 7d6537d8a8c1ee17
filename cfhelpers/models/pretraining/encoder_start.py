"""Where pretraining of the encoder starts: word vectors from counts, and attention that passes words on.

From an ordinary random start, ten minutes on one core are too few for masked language modelling to find out which
words belong together. Counting finds it out in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import RobertaForMaskedLM

# Pairs that never occur together would have -inf; a rare pair's estimate is cut off above.
LOWEST, HIGHEST = -1.0, 4.0


def start_from_counts(model: RobertaForMaskedLM, documents: Iterable[list[int]], *, special_tokens: int) -> None:
    """Set the word embeddings and the attention's weights, in place.

    Word embeddings are the leading singular vectors of the tokens' pointwise mutual information within documents
    (Levy & Goldberg, 2014), at the scale of the random ones. Each output projection is the transpose of its value
    projection, so that attention adds to a token a picture of what it attends to, in the same coordinates (after
    Trockman & Kolter, 2023, "Mimetic initialization of self-attention layers").

    Args:
        model: With random weights.
        documents: Token ids of each document.
        special_tokens: Ids below this keep their random embeddings.
    """
    embeddings = model.roberta.embeddings.word_embeddings.weight.data
    information, known = pointwise_mutual_information(documents, len(embeddings), special_tokens)
    left, values, _ = torch.linalg.svd(information)
    width = embeddings.shape[1]
    vectors = left[:, :width] * values[:width].sqrt()
    # Without a rotation the first coordinates would carry most of the variance.
    rotation = torch.linalg.qr(torch.randn(width, width))[0]
    embeddings[known] = (vectors @ rotation)[known] * (embeddings.std() / vectors[known].std())
    layer: Any  # torch types the members of a list of modules too narrowly
    for layer in model.roberta.encoder.layer:
        value = layer.attention.self.value.weight.data
        value.normal_(std=width**-0.5)
        layer.attention.output.dense.weight.data.copy_(value.T)


def pointwise_mutual_information(
    documents: Iterable[list[int]], vocabulary_size: int, special_tokens: int
) -> tuple[Tensor, Tensor]:
    """Return log p(a, b) / (p(a) p(b)) for tokens of one document, shape ``[V, V]``, and which tokens occur ``[V]``."""
    together = torch.zeros(vocabulary_size, vocabulary_size)
    for document in documents:
        ids = torch.tensor(sorted({token for token in document if token >= special_tokens}))
        together[ids[:, None], ids] += 1
    together.fill_diagonal_(0)
    counts = together.sum(dim=1)
    information = (together * together.sum() / (counts[:, None] * counts)).log().clamp(LOWEST, HIGHEST)
    known = counts > 0
    return torch.where(known[:, None] & known, information, 0.0), known
