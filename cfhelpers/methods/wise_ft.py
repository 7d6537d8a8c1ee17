"""Go back part of the way after each task (WiSE-FT; Wortsman et al., 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.methods.answering import AnswersWithin
from cfhelpers.methods.base import Method, copy_state
from cfhelpers.tasks.encoding import EncodedTask


class WiSEFT(Method):
    """Fine-tune, then interpolate: θ = (1 − share) · θ_before + share · θ_after (Wortsman et al., 2022, eq. 1).

    "Before" are the weights at which the task began, from the second task on: the first has nothing of ours to keep.
    The next task begins at the interpolated weights. Weights that were not there before, such as a new head, stay.

    Args:
        share: Of the way that is gone, 0 (nothing of the new task) to 1 (plain fine-tuning).

    Raises:
        ValueError: A share outside [0, 1].
    """

    name = "wise_ft"

    def __init__(self, share: float = 0.5) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}.")
        self.share = share
        self.before: dict[str, Tensor] = {}

    @contextmanager
    def interpolated(self, model: nn.Module) -> Iterator[None]:
        """Give the model its interpolated weights for a while; the trained ones come back bit for bit."""
        parameters = {name: each for name, each in model.named_parameters() if name in self.before}
        trained = {name: each.data for name, each in parameters.items()}
        try:
            for name, parameter in parameters.items():
                before = self.before[name].to(parameter.device)
                parameter.data = torch.lerp(before, trained[name], self.share)
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data = trained[name]

    def after_task(self, model: nn.Module, task: EncodedTask) -> None:
        """Keep the interpolated weights, in the model and as the place where the next task begins."""
        with self.interpolated(model):
            self.before = copy_state(dict(model.named_parameters()))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.before[name])

    def prediction_model(self, model: nn.Module, task: EncodedTask) -> nn.Module:
        """Return the model as it answers with interpolated weights."""
        return AnswersWithin(model, lambda: self.interpolated(model)) if self.before else model

    def settings(self) -> dict[str, Any]:
        """Return the share of the way."""
        return {"share": self.share}

    def state_dict(self) -> dict[str, Any]:
        """Return the weights at which the present task began."""
        return {"before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the weights at which the present task began."""
        self.before = state["before"]
