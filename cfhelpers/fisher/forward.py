"""Calling a Hugging Face model for its logits, and finding out how it sets labels against them."""

from __future__ import annotations

import inspect
from collections.abc import Hashable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn

from cfhelpers.fisher.data import IGNORED, Batch

_known_shifts: dict[Hashable, bool] = {}


class Forward:
    """Calls a model with the part of a batch that its ``forward`` names, never with the labels.

    Leaving the labels out spares the model its own loss; the likelihood is formed from the logits.

    Attributes:
        structure: What two models share if they can be treated alike.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
        self.accepted = _accepted_names(model)
        config = getattr(self.base, "config", None)
        self.encoder_decoder = bool(getattr(config, "is_encoder_decoder", False))
        self.structure = _structure_of(model)

    def arguments(self, batch: Batch) -> dict[str, Any]:
        """What the model is called with: known names, no cache, and the decoder's inputs of a sequence-to-sequence."""
        inputs = {name: value for name, value in batch.inputs.items() if name in self.accepted}
        if "use_cache" in self.accepted:
            inputs["use_cache"] = False
        if self.encoder_decoder and "decoder_input_ids" not in inputs and "decoder_inputs_embeds" not in inputs:
            shift = getattr(self.base, "prepare_decoder_input_ids_from_labels", None)
            if shift is None:
                raise ValueError(f"{type(self.base).__name__} needs decoder_input_ids in every batch.")
            inputs["decoder_input_ids"] = shift(labels=batch.labels)
        return inputs

    def __call__(self, batch: Batch) -> Tensor:
        """Logits ``[B, T, V]`` or ``[B, C]``.

        Raises:
            ValueError: The model returns no logits of such a shape.
        """
        logits = _logits_of(self.model(**self.arguments(batch)))
        if not isinstance(logits, Tensor) or logits.dim() not in (2, 3) or logits.shape[0] != len(batch):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"the model must return logits of shape [B, T, V] or [B, C] with B = {len(batch)}, got {shape}."
            )
        return logits

    @torch.no_grad()
    def shifts_labels(self, batch: Batch) -> bool:
        """Whether position t of the logits predicts label t + 1, as in a causal language model.

        Decided by the model's own loss on two rows of ``batch``, once per class of model: it is compared with both
        conventions. A model that computes no loss is taken to be causal when its logits are ``[B, T, V]``, unless it
        has an encoder and a decoder.

        Raises:
            ValueError: A label is no class of the model, or the model's own loss is the cross-entropy of its labels
                under neither convention.
        """
        if batch.labels.dim() == 1:
            return False
        if self.structure not in _known_shifts:
            shift = self._compare_with_loss(_rows_that_tell(batch))
            if shift is None:
                return not self.encoder_decoder
            _known_shifts[self.structure] = shift
        return _known_shifts[self.structure]

    def _compare_with_loss(self, batch: Batch) -> bool | None:
        """The convention, None if the model's loss does not tell."""
        classes = self(batch).shape[-1]
        if int(batch.labels.max()) >= classes:
            raise ValueError(f"label {int(batch.labels.max())} is no class of this model, which has {classes}.")
        if "labels" not in self.accepted:
            return None
        output = self.model(**self.arguments(batch), labels=batch.labels)
        loss = output.get("loss") if hasattr(output, "get") else getattr(output, "loss", None)
        if loss is None or not torch.isfinite(loss):
            return None
        logits = _logits_of(output)
        errors = {shift: _distance(loss, logits, batch.labels, shift) for shift in (True, False)}
        nearest = min(errors, key=lambda shift: errors[shift])
        if errors[nearest] > 0.02:
            raise ValueError(
                f"the loss of {type(self.base).__name__} is not the cross-entropy of its labels, so it is not clear "
                "which log-likelihood to differentiate; return plain cross-entropy, or no loss at all."
            )
        return nearest


def align(logits: Tensor, labels: Tensor, shift: bool) -> tuple[Tensor, Tensor]:
    """Logits as ``[B, T, V]`` and the label that each position predicts as ``[B, T]``, -100 where none.

    A classifier has T = 1. Positions put before the sequence by a soft prompt predict nothing.

    Raises:
        ValueError: The shapes of logits and labels do not belong together.
    """
    if labels.dim() == 1 and logits.dim() == 2:
        return logits[:, None, :], labels[:, None]
    if labels.dim() != 2 or logits.dim() != 3 or logits.shape[1] < labels.shape[1]:
        raise ValueError(
            f"labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}: [B] goes with [B, C], "
            "[B, T] with [B, T, V]. Question and answer belong in one sequence."
        )
    labels = F.pad(labels, (logits.shape[1] - labels.shape[1], 0), value=IGNORED)
    if shift:
        labels = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
    return logits, labels


def _accepted_names(model: nn.Module) -> set[str]:
    """The names that a model's ``forward`` takes, itself or by handing ``**kwargs`` to the model inside it.

    Hugging Face models take any ``**kwargs`` and mostly ignore them, so an open signature alone accepts nothing.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    names = {parameter.name for parameter in parameters if parameter.kind not in variable}
    if any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        for child in model.children():
            inner = _accepted_names(child)
            if "input_ids" in inner or "inputs_embeds" in inner:
                names |= inner
    return names


def _structure_of(model: nn.Module) -> Hashable:
    """The configuration, and every module's class and settings, and hooks or a ``forward`` of its own."""
    as_json = getattr(getattr(model, "config", None), "to_json_string", None)
    modules = []
    for name, module in model.named_modules():
        plain = [(key, value) for key, value in vars(module).items() if isinstance(value, bool | int | float | str)]
        settings = tuple(pair for pair in plain if pair[0] != "training")
        changed = ("forward" in vars(module), *module._forward_pre_hooks, *module._forward_hooks)
        modules.append((name, type(module), settings, changed))
    return as_json() if callable(as_json) else None, tuple(modules)


def _rows_that_tell(batch: Batch) -> Batch:
    """Two rows with a target behind the first position, where the conventions differ; any two if there are none."""
    rows = (batch.labels[:, 1:] != IGNORED).any(1).nonzero().squeeze(1).tolist()
    return batch.select(rows[:2]) if rows else batch.rows(0, 2)


def _logits_of(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, dict):
        return output.get("logits")
    return output[0] if isinstance(output, tuple) else None


def _distance(loss: Tensor, logits: Tensor, labels: Tensor, shift: bool) -> float:
    """Relative distance of ``loss`` from the mean (or the sum) of the cross-entropy under one convention."""
    logits, labels = align(logits, labels, shift)
    flat = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    count = (labels != IGNORED).sum().clamp(min=1)
    return min(float((loss - ours).abs() / ours.abs().clamp(min=1e-12)) for ours in (flat / count, flat))
