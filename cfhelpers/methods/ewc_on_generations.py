"""Elastic weight consolidation when the old data are gone: the model's own texts stand in for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cfhelpers.evaluation.generation import own_texts
from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.fisher.storage import Storage
from cfhelpers.methods.ewc import EWC


class EWCOnGenerations(EWC):
    """:class:`EWC` whose Fisher is estimated from texts that the model writes itself before it learns the next task.

    No old data are looked at or kept. The model can only be asked about what it still says: what it never writes is
    not protected. ``EWCOnGenerations.from_data(model, None, strength=…)`` needs no batches.
    (Pseudo-rehearsal, Robins, 1995, trains on such items; here they only tell which weights matter.)

    Args:
        strength: λ; see :class:`EWC`.
        n_texts: Texts to write.
        length: Longest text in tokens.
        seed: Of the draws.
        storage: As for :class:`EWC`.
    """

    name = "ewc_on_generations"

    def __init__(
        self, strength: float, *, n_texts: int = 128, length: int = 64, seed: int = 0, storage: Storage = "float32"
    ) -> None:
        super().__init__(strength, seed=seed, storage=storage)
        self.n_texts, self.length = n_texts, length

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Importance:
        """Return the Fisher information of the model's own distribution of texts; ``batches`` are not looked at."""
        texts = own_texts(model, self.n_texts, length=self.length, seed=self.seed)
        return fisher_diagonal(model, texts, progress=False)

    def settings(self) -> dict[str, Any]:
        """Return λ, how many texts of which length are written, and how F is kept if that is not in float32."""
        kept = {} if self.storage == "float32" else {"storage": self.storage}
        return {"strength": self.strength, "n_texts": self.n_texts, "length": self.length, **kept}
