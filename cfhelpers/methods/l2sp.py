"""Plain L2 distance to the anchor: EWC that believes every weight matters equally."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from cfhelpers.methods.anchored import AnchoredMethod


class L2SP(AnchoredMethod):
    """(λ/2) ‖θ − θ*‖², with θ* the weights after each old task (Li et al., 2018, "L2-SP", eq. 3).

    The original keeps to the pretrained weights; here the anchor moves along the sequence as EWC's does, so that the
    two differ in nothing but the importance.
    """

    name = "l2sp"

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> None:
        """Every weight matters equally, which takes no tensor to remember; the data are not looked at."""
