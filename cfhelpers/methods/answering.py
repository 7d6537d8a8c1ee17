"""A model that answers in a state that it is put into for the moment: another adapter, interpolated weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn


class AnswersWithin(nn.Module):
    """Runs a model inside a context that is entered for each call and left after it.

    Training can go on between two calls as if nothing had happened.

    Args:
        model: What answers; everything else about it (heads, configuration) is found as on itself.
        state: Returns the context.
    """

    def __init__(self, model: nn.Module, state: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self.model = model
        self.state = state

    def __getattr__(self, name: str) -> Any:
        """Find what the wrapper does not have on the model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self._within(self.model, *args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Let the model write."""
        return self._within(self.model.generate, *args, **kwargs)  # pyright: ignore[reportArgumentType]  # a method

    def features(self, *args: Any, **kwargs: Any) -> Any:
        """Return a classifier's pooled features."""
        return self._within(self.model.features, *args, **kwargs)  # pyright: ignore[reportArgumentType]  # a method

    def _within(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.state():
            return call(*args, **kwargs)
