"""Progressive networks, small: narrow columns beside a frozen transformer (Rusu et al., 2016, arXiv 1606.04671)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.models.layers import layers_of
from cfhelpers.models.tied import drop_tied, fill_tied


class Column(nn.Module):
    """One task's column: a layer of W units beside each of the model's L layers, applied to every token by itself.

    Its layer i reads its own layer i − 1, the frozen model's state below layer i (column 0), and layer i − 1 of every
    earlier column (equation 2 of Rusu et al.):

    h_i = ReLU(W_i h_{i−1} + ∑_{j < k} U_i^{(j)} h_{i−1}^{(j)})

    What it finds is added to the frozen model's last state, from where heads and vocabulary read as they always did.
    Its tokens meet each other in the frozen model's attention only; a column of the model's own kind would cost as much
    as the model.

    Args:
        model_width: D, of the frozen model's states.
        n_layers: L.
        width: W.
        n_earlier: How many columns there were before it.
        generator: Source of the first weights. Those of the output are zero: a new column changes nothing yet.
    """

    def __init__(
        self, model_width: int, n_layers: int, width: int, n_earlier: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.from_model = nn.ModuleList(nn.Linear(model_width, width) for _ in range(n_layers))
        self.from_itself = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_layers - 1))
        self.from_columns = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_earlier)) for _ in range(n_layers - 1)
        )
        self.output = nn.Linear(width, model_width)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)
        nn.init.zeros_(self.output.weight)

    def layer(self, index: int, below: Tensor, own: Tensor | None, earlier: Sequence[Tensor]) -> Tensor:
        """Return the column's state at one layer.

        Args:
            index: Of the layer, from 0.
            below: The frozen model's states below that layer, shape ``[B, T, D]``; normalised here.
            own: The column's states one layer down, shape ``[B, T, W]``; None at the first layer.
            earlier: Those of every earlier column one layer down; empty at the first layer.
        """
        total = self.from_model[index](nn.functional.layer_norm(below, below.shape[-1:]))
        if own is not None:
            total = total + self.from_itself[index - 1](own)
            laterals: Any = self.from_columns[index - 1]  # a ModuleList, typed Tensor | Module by nn.Module
            for lateral, states in zip(laterals, earlier, strict=True):
                total = total + lateral(states)
        return torch.relu(total)


class ColumnedModel(nn.Module):
    """A frozen classifier or causal language model with columns beside it; the last column is the one that speaks.

    The columns hang on the model's layers only while a call is running, so copies of this object are whole.

    Args:
        base: A :class:`cfhelpers.models.MultiTaskClassifier` or a causal language model of transformers.
        columns: From the first task's to that of the task to answer; shared, not copied.

    Raises:
        ValueError: There is no column.
    """

    def __init__(self, base: nn.Module, columns: Sequence[Column]) -> None:
        super().__init__()
        if not columns:
            raise ValueError("A model with columns needs at least one.")
        self.base = base
        self.columns = nn.ModuleList(columns)
        self.register_state_dict_post_hook(drop_tied)
        self.register_load_state_dict_pre_hook(fill_tied)

    @property
    def config(self) -> Any:
        """The model's configuration, where the Trainer looks for it."""
        return self.base.config

    @property
    def heads(self) -> Any:
        """The classifier's heads; a causal language model has none."""
        return self.base.heads

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> Any:
        """Return what the model returns, its last states corrected by the last column; arguments as the model's."""
        with self._beside():
            return self.base(input_ids=input_ids, attention_mask=attention_mask, labels=labels, **inputs)

    def features(self, *args: Any, **inputs: Any) -> Tensor:
        """Return a classifier's pooled features ``[B, D]``, corrected by the last column."""
        base: Any = self.base
        with self._beside():
            return base.features(*args, **inputs)

    def generate(self, *args: Any, **settings: Any) -> Tensor:
        """Continue texts with the model's own ``generate``."""
        base: Any = self.base
        with self._beside():
            return base.generate(*args, **settings)

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Let the columns read every layer's input, and the last layer's output be corrected."""
        layers = layers_of(self.base)
        states: list[Tensor] = []

        def hook_of(index: int) -> Callable[..., Any]:
            def read(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
                below = args[0] if args else kwargs["hidden_states"]
                columns: Any = self.columns
                down = list(states) if index > 0 else []
                states[:] = [
                    column.layer(index, below, down[number] if down else None, down[:number])
                    for number, column in enumerate(columns)
                ]
                if index < len(layers) - 1:
                    return None
                correction = columns[-1].output(states[-1])
                return (output[0] + correction, *output[1:]) if isinstance(output, tuple) else output + correction

            return read

        handles = [layer.register_forward_hook(hook_of(index), with_kwargs=True) for index, layer in enumerate(layers)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
