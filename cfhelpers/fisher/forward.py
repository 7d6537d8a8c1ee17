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
        warned_of_padding: Whether the caller was told that the model reads padding.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.warned_of_padding = False
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
            patched = (
                " Its forward was replaced on the object: `del model.forward` brings the class's own back."
                if "forward" in vars(self.model) or "forward" in vars(self.base)
                else ""
            )
            raise ValueError(
                f"the model must return logits of shape [B, T, V] or [B, C] with B = {len(batch)}, got {shape}."
                f"{patched}"
            )
        return logits

    @torch.no_grad()
    def shifts_labels(self, batch: Batch) -> bool:
        """Whether position t of the logits predicts label t + 1, as in a causal language model.

        Decided by the model's own loss on two rows of ``batch``, once per class of model: how it changes when labels
        are changed is compared with both conventions. What else the loss holds (a mixture of experts' balancing) does
        not depend on labels and plays no part. A model that computes no loss is taken to be causal when its logits are
        ``[B, T, V]``, unless it has an encoder and a decoder.

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
        logits, arguments = self(batch), self.arguments(batch)
        align(logits, batch.labels, shift=False)  # that the shapes belong together
        classes = logits.shape[-1]
        if int(batch.labels.max()) >= classes:
            raise ValueError(f"label {int(batch.labels.max())} is no class of this model, which has {classes}.")
        if "labels" not in self.accepted:
            return None
        answers = _label_sets(logits, batch)
        losses = [_loss_of(self.model(**arguments, labels=labels)) for labels in answers]
        if any(loss is None or not torch.isfinite(loss) for loss in losses):
            return None
        found = torch.stack([loss.detach() for loss in losses if loss is not None])
        errors = {shift: _mismatch(found, logits, answers, shift) for shift in (True, False)}
        if errors[True] == errors[False]:
            return None
        nearest = min(errors, key=lambda shift: errors[shift])
        if errors[nearest] > 0.02:
            raise ValueError(
                f"the loss of {type(self.base).__name__} does not change with its labels as their cross-entropy does, "
                "so it is not clear which log-likelihood to differentiate; return plain cross-entropy, or no loss at "
                "all."
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

    Hugging Face models take any ``**kwargs`` and mostly ignore them, so an open signature alone accepts nothing. A
    ``forward`` that was put on the object may hand them to the one of its class.
    """
    names: set[str] = set()
    is_open = False
    for forward in {model.forward, *([type(model).forward] if "forward" in vars(model) else [])}:
        parameters = inspect.signature(forward).parameters.values()
        variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        names |= {parameter.name for parameter in parameters if parameter.kind not in variable}
        is_open |= any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    for child in model.children() if is_open else ():
        inner = _accepted_names(child)
        if "input_ids" in inner or "inputs_embeds" in inner:
            names |= inner
    return names - {"self"}


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
    return output[0] if isinstance(output, tuple | list) and len(output) > 0 else None


def _loss_of(output: Any) -> Tensor | None:
    return output.get("loss") if hasattr(output, "get") else getattr(output, "loss", None)


def _label_sets(logits: Tensor, batch: Batch) -> list[Tensor]:
    """Labels ``[B, T]`` among which the loss is to change: the data's, and others that the logits make likely or not.

    The first position's label is asked about by itself, because a causal model never predicts it.
    """
    labels = batch.labels
    here = labels != IGNORED
    likely, unlikely = (_fitted(chosen(-1), labels) for chosen in (logits.argmax, logits.argmin))
    first, best = labels.clone(), labels.clone()
    worst = torch.where(here, unlikely, labels)
    best[here] = likely[here]
    first[:, 0] = torch.where(labels[:, 0] == unlikely[:, 0], likely[:, 0], unlikely[:, 0])
    same_places = labels.clone()
    same_places[:, 0] = likely[:, 0]  # as many targets as in `first`
    return [labels, best, worst, same_places, first]


def _fitted(classes: Tensor, labels: Tensor) -> Tensor:
    """Classes at the labels' positions, without those that a soft prompt puts before them."""
    return classes[:, classes.shape[1] - labels.shape[1] :]


def _mismatch(losses: Tensor, logits: Tensor, answers: list[Tensor], shift: bool) -> float:
    """How far changes of the loss are from those of a mean (or summed) cross-entropy under one convention, relative."""
    terms = [_cross_entropy(logits, labels, shift) for labels in answers]
    pairs = ((0, 1), (0, 2), (3, 4))
    rounding = 4 * torch.finfo(losses.dtype).eps * float(losses.abs().max())
    losses = losses.float()
    found = torch.stack([losses[one] - losses[other] for one, other in pairs])
    errors = []
    for divided in (True, False):
        each = torch.stack([total / count if divided else total for total, count in terms])
        wanted = torch.stack([each[one] - each[other] for one, other in pairs])
        scale = float(torch.maximum(wanted.abs().max(), found.abs().max()).clamp(min=1e-12))
        errors.append(max(float((found - wanted).abs().max()) - rounding, 0.0) / scale)
    return min(errors)


def _cross_entropy(logits: Tensor, labels: Tensor, shift: bool) -> tuple[Tensor, Tensor]:
    """The sum of the cross-entropy under one convention, and the number of targets."""
    logits, labels = align(logits, labels, shift)
    flat = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return flat, (labels != IGNORED).sum().clamp(min=1)
