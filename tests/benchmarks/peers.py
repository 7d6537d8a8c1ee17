"""The ways to get a Fisher diagonal that are compared: ours, the peers, and what one ordinary training step costs."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812, the name everybody reads
from torch import Tensor, nn

from cfhelpers.fisher import fisher_diagonal
from tests.benchmarks.workloads import Workload

Squares = dict[str, Tensor]
Batch = dict[str, Tensor]
Method = Callable[[Workload], Squares | None]


def forward_backward(workload: Workload) -> None:
    """The floor: one ordinary forward and backward pass over the same batches."""
    for batch in workload.batches:
        workload.model.zero_grad(set_to_none=True)
        workload.model(**batch).loss.backward()
    workload.model.zero_grad(set_to_none=True)


def ours(workload: Workload) -> Squares:
    """The library."""
    return dict(fisher_diagonal(workload.model, workload.batches, progress=False))


def tutorial(workload: Workload) -> Squares:
    """What tutorials with ``transformers`` do: batches of one, padding included, the model's own loss (a mean)."""
    model = workload.model
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    count = sum(len(batch["labels"]) for batch in workload.batches)
    for batch in workload.batches:
        for row in range(len(batch["labels"])):
            model.zero_grad()
            model(**{name: value[row : row + 1] for name, value in batch.items()}).loss.backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    total[name] += parameter.grad.data**2 / count
    model.zero_grad(set_to_none=True)
    return total


def trimmed_loop(workload: Workload) -> Squares:
    """Batches of one, each cut to its true length: the mean of the squared gradients of summed log-likelihoods."""
    model, rows = workload.model, workload.examples
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for row in rows:
        model.zero_grad(set_to_none=True)
        loss = model(**row).loss
        labels = row["labels"]
        targets = int((labels[:, 1:] != -100).sum()) if labels.dim() == 2 else 1
        (loss * targets).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                total[name].addcmul_(parameter.grad, parameter.grad)
    model.zero_grad(set_to_none=True)
    return {name: value.div_(len(rows)) for name, value in total.items()}


def wrong(workload: Workload) -> Squares:
    """The square of each batch's mean gradient: cheap, and not the Fisher."""
    model = workload.model
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for batch in workload.batches:
        model.zero_grad(set_to_none=True)
        (model(**batch).loss * _targets_of_an_example(batch["labels"])).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                total[name].addcmul_(parameter.grad, parameter.grad)
    model.zero_grad(set_to_none=True)
    return {name: value.div_(len(workload.batches)) for name, value in total.items()}


def second_moment(workload: Workload) -> Squares:
    """Adam's second moment, bias-corrected, after a pass of training with batches as they are (a rate of zero).

    Li et al. (2025, "Fishers for Free?"): whoever has trained with Adam has it for nothing, so the time is that of the
    training step which makes it. It squares the gradient of a batch; times the batch's size it would be the Fisher if
    the examples' gradients were independent with mean zero.
    """
    model = workload.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    for batch in workload.batches:
        optimizer.zero_grad()
        (model(**batch).loss * _targets_of_an_example(batch["labels"])).backward()
        optimizer.step()
    optimizer.zero_grad()
    correction = 1 - optimizer.defaults["betas"][1] ** len(workload.batches)
    size = sum(len(batch["labels"]) for batch in workload.batches) / len(workload.batches)
    return {
        name: optimizer.state[parameter]["exp_avg_sq"] * (size / correction)
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def _targets_of_an_example(labels: Tensor) -> float:
    """How many targets an example of the batch has on average."""
    return int((labels[:, 1:] != -100).sum()) / len(labels) if labels.dim() == 2 else 1


def vmap(workload: Workload, chunk: int = 4) -> Squares:
    """``torch.func``: vmap over the gradient of one example, with a 4-D mask made by hand."""
    from torch.func import functional_call, grad
    from torch.func import vmap as mapped

    model = workload.model
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def negative_log_likelihood(weights: Squares, ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(model, weights, (), {"input_ids": ids[None], "attention_mask": mask}).logits
        if labels.dim() == 1:
            return F.cross_entropy(logits[0, :-1], labels[1:], reduction="sum", ignore_index=-100)
        return F.cross_entropy(logits[0], labels, reduction="sum")

    # The fused attention of the CPU has no batching rule.
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    per_example = mapped(grad(negative_log_likelihood), in_dims=(None, 0, 0, 0))
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for batch in workload.batches:
        masks = _additive_masks(batch)
        for start in range(0, len(batch["labels"]), chunk):
            part = slice(start, start + chunk)
            found = per_example(parameters, batch["input_ids"][part], masks[part], batch["labels"][part])
            for name, gradient in found.items():
                total[name] += gradient.square().sum(0)
    model.set_attn_implementation(usual)
    count = sum(len(batch["labels"]) for batch in workload.batches)
    return {name: value.div_(count) for name, value in total.items()}


def _additive_masks(batch: dict[str, Tensor]) -> Tensor:
    """``[B, 1, 1, T, T]``: zero where attention is allowed, a large negative number elsewhere."""
    mask = batch["attention_mask"].bool()
    allowed = mask[:, None, :].expand(-1, mask.shape[1], -1)
    if batch["labels"].dim() == 2:
        allowed = allowed & torch.ones_like(allowed[0]).tril()
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, torch.finfo(torch.float32).min)[
        :, None, None
    ]


def opacus(workload: Workload) -> Squares:
    """Opacus' GradSampleModule, given ``[B, T]`` position ids (without them its position embeddings are wrong)."""
    from opacus import GradSampleModule

    model = GradSampleModule(workload.model, strict=False, loss_reduction="sum")
    for module in workload.model.modules():
        # It watches layers in training mode only; dropout, which has no parameters, stays off.
        module.training = any(True for _ in module.parameters(recurse=False))
    try:
        total = {name: torch.zeros_like(parameter) for name, parameter in workload.model.named_parameters()}
        for batch in workload.batches:
            inputs = dict(batch)
            if batch["labels"].dim() == 2:
                rows, width = batch["input_ids"].shape
                inputs["position_ids"] = torch.arange(width, device=batch["labels"].device).expand(rows, -1)
            labels = inputs.pop("labels")
            logits = model(**inputs).logits
            if labels.dim() == 2:
                logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
            F.cross_entropy(logits, labels, reduction="sum", ignore_index=-100).backward()
            for name, parameter in workload.model.named_parameters():
                total[name] += parameter.grad_sample.square().sum(0)
                parameter.grad = parameter.grad_sample = None
        count = sum(len(batch["labels"]) for batch in workload.batches)
        return {name: value.div_(count) for name, value in total.items()}
    finally:
        model.remove_hooks()
        workload.model.eval()
        model.zero_grad(set_to_none=True)


def backpack(workload: Workload) -> None:
    """BackPACK's SumGradSquared on a copy that it can handle: Conv1D made Linear, the head untied, norms frozen.

    So it computes less than the others do, and of a tied weight each part on its own: there is no error to compare.
    """
    from backpack import backpack as extended
    from backpack import extend
    from backpack.extensions import SumGradSquared

    model = _with_linear_layers(workload.model)
    criterion = extend(nn.CrossEntropyLoss(reduction="sum", ignore_index=-100))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.requires_grad_(False)
        elif any(True for _ in module.parameters(recurse=False)):
            extend(module)
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters() if p.requires_grad}
    for batch in workload.batches:
        logits, labels = model(**{k: v for k, v in batch.items() if k != "labels"}).logits, batch["labels"]
        if labels.dim() == 2:
            logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        with extended(SumGradSquared()):
            criterion(logits, labels).backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                total[name] += parameter.sum_grad_squared
                parameter.grad = None


def kronfluence(workload: Workload) -> None:
    """kronfluence's diagonal on a copy with Conv1D made Linear, the only layers of these models that it knows.

    Without norms and embeddings, of a tied weight the head's part alone: there is no error to compare. It makes the
    whole model untrainable and replaces layers, hence the copy at every call.
    """
    from kronfluence.analyzer import prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.factor.eigen import fit_lambda_matrices_with_loader
    from kronfluence.task import Task
    from kronfluence.utils.state import State

    class SummedLoss(Task):
        def compute_train_loss(self, batch: Batch, model: nn.Module, sample: bool = False) -> Tensor:
            del sample
            loss = model(**batch).loss
            return loss * _targets_of_an_example(batch["labels"]) * len(batch["labels"])

        def compute_measurement(self, batch: Batch, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    task = SummedLoss()
    model = prepare_model(_with_linear_layers(workload.model), task)
    arguments = FactorArguments(strategy="diagonal", use_empirical_fisher=True)
    state = State(cpu=workload.batches[0]["labels"].device.type == "cpu")
    fit_lambda_matrices_with_loader(
        model,
        state,
        task,
        workload.batches,
        arguments,
        disable_tqdm=True,
    )


def _with_linear_layers(model: nn.Module) -> nn.Module:
    from transformers.pytorch_utils import Conv1D

    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, Conv1D):
                linear = nn.Linear(*child.weight.shape)
                linear.weight.data.copy_(child.weight.data.T)
                linear.bias.data.copy_(child.bias.data)
                setattr(module, name, linear)
    if hasattr(model, "lm_head"):
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


METHODS: dict[str, Method] = {
    "forward + backward": forward_backward,
    "ours": ours,
    "batch-of-one loop, trimmed": trimmed_loop,
    "transformers tutorial": tutorial,
    "torch.func vmap": vmap,
    "batch gradient squared (wrong)": wrong,
    "Adam's second moment, with the step": second_moment,
}
if importlib.util.find_spec("opacus"):
    METHODS["Opacus"] = opacus
if importlib.util.find_spec("backpack"):
    METHODS["BackPACK (norms left out)"] = backpack
if importlib.util.find_spec("kronfluence"):
    METHODS["kronfluence (linear layers only)"] = kronfluence
