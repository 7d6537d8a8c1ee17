"""Plain L2 distance to the anchor: EWC that believes every weight matters equally."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.fisher.naming import named_parameters
from cfhelpers.methods.anchored import AnchoredMethod


class L2SP(AnchoredMethod):
    """(λ/2) ‖θ − θ*‖², with θ* the weights after each old task (Li et al., 2018, "L2-SP", eq. 3).

    The original keeps to the pretrained weights; here the anchor moves along the sequence as EWC's does, so that the
    two differ in nothing but the importance.
    """

    name = "l2sp"

    def importance(self, model: nn.Module, batches: Iterable[Any]) -> Mapping[str, Tensor]:
        """Return 1 for every trainable parameter; the data are not looked at."""
        return {
            name: torch.ones_like(parameter, dtype=torch.float32, requires_grad=False)
            for name, parameter in named_parameters(model).items()
            if parameter.requires_grad
        }
