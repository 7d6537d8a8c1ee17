"""Which parameters a model has, under the names they carry when nothing is wrapped around it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

_FSDP1 = "_fsdp_wrapped_module"


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model inside ``DistributedDataParallel``, ``DataParallel`` and ``torch.compile``."""
    while True:
        if "_orig_mod" in model._modules:
            model = model.get_submodule("_orig_mod")
        elif isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        else:
            return model


def canonical_name(name: str) -> str:
    """Strip ``_orig_mod.`` anywhere (compiled parts) and a leading ``module.`` (distributed wrappers)."""
    return _strip_compiled(name).removeprefix("module.")


def named_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Map canonical names to parameters; a tied weight appears once, under its first name.

    Adapters keep the names of the peft model's own ``named_parameters()``.

    Raises:
        ValueError: A parameter is sharded over processes (FSDP); its squares cannot be formed locally.
    """
    unwrapped = unwrap_model(model)
    parameters = {_strip_compiled(name): parameter for name, parameter in unwrapped.named_parameters()}
    refuse_sharded(parameters)
    return parameters


def refuse_sharded(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors of which this process has only a part.

    Raises:
        ValueError: There are some: a ``DTensor`` (FSDP2, tensor parallelism), or names that FSDP's first version makes.
    """
    sharded = [name for name, each in tensors.items() if hasattr(each, "device_mesh") or _FSDP1 in name]
    if sharded:
        raise ValueError(
            f"{len(sharded)} parameters are sharded over processes (FSDP, DTensor), {sharded[0]!r} for one, and each "
            "process has only a part of them. Do this before the model is sharded; or gather the weights "
            "(torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True) and load them "
            "into a model that is not; or use DistributedDataParallel, which keeps whole copies."
        )


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters with ``requires_grad``, by canonical name.

    Raises:
        ValueError: Nothing is trainable.
    """
    trainable = {name: parameter for name, parameter in named_parameters(model).items() if parameter.requires_grad}
    if not trainable:
        adapted = any(".lora_" in name or name.startswith("base_model.model.") for name, _ in model.named_parameters())
        raise ValueError(
            "the model has no trainable parameters: every requires_grad is False. "
            "Unfreeze the parameters whose importance you want before estimating it."
            + (" An adapter of peft is loaded frozen unless is_trainable=True is given." if adapted else "")
        )
    return trainable


def _strip_compiled(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
