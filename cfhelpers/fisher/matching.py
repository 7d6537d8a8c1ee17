"""Whether an importance belongs to a model: by names and by shapes, and if not, why."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from cfhelpers.fisher.naming import canonical_name


def check_match(owner: str, importance: Mapping[str, torch.Size], other: Mapping[str, torch.Size]) -> None:
    """Compare names and shapes.

    Args:
        owner: What ``other`` is called in a message, such as "model".
        importance: Name to shape.
        other: Likewise; it may have more names.

    Raises:
        ValueError: ``other`` lacks one of the names, or a shape differs.
    """
    missing = [name for name in importance if name not in other]
    if missing:
        raise ValueError(f"the {owner} has no parameter named {shown(missing)}. {_cause(missing, importance, other)}")
    different = [name for name in importance if importance[name] != other[name]]
    if different:
        name = different[0]
        pair = f"{tuple(importance[name])} in the importance, {tuple(other[name])} in the {owner}"
        raise ValueError(
            f"shapes differ for {shown(different)} ({pair}). If the vocabulary was resized (a new pad token), "
            "estimate the importance again after resizing, or leave the embedding's size as it was."
        )


def shown(names: list[str], most: int = 5) -> str:
    """The first names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _cause(missing: list[str], importance: Collection[str], other: Collection[str]) -> str:
    """The likeliest reason for missing names."""
    if _has_adapters(importance) != _has_adapters(other):
        return (
            "One of the two has adapters of peft in it (LoRA: its names hold base_model.model., base_layer or lora_), "
            "the other has not: estimate the importance on the very model that is trained, after get_peft_model or "
            "add_adapter."
        )
    if any(canonical_name(name) in other for name in missing) or any(
        canonical_name(name) in importance for name in other if name not in importance
    ):
        return "A wrapper's prefix (module., _orig_mod.) is in the way: take names from the unwrapped model."
    if any(name.startswith("base_model.model.") for name in (*importance, *other)):
        return (
            "Both have adapters of peft in them, but other ones, or put in another way (get_peft_model or "
            "add_adapter): use the same for both."
        )
    return "Was the importance estimated on another model, or was a tied weight untied?"


def _has_adapters(names: Collection[str]) -> bool:
    return any(
        name.startswith("base_model.model.")
        or ".base_layer." in name
        or ".lora_" in name
        or ".modules_to_save." in name
        or name.startswith("prompt_encoder.")
        for name in names
    )
