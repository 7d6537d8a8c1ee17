"""One batched backward pass, watched by hooks: every example's squared gradient at the price of one batch.

With the weights frozen, autograd computes no weight gradients of its own. Each layer's input is kept from the forward
pass; in the backward pass a hook on its output receives the output's gradient and squares, per example, what the two
make of each parameter (Goodfellow, 2015, "Efficient per-example gradient computations", for linear layers; the other
layers and tied weights are this library's rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cfhelpers.fisher.contributions import NotPerExampleError, Outer, per_example
from cfhelpers.fisher.data import Batch
from cfhelpers.fisher.forward import Forward
from cfhelpers.fisher.objective import Objective
from cfhelpers.fisher.provenance import tokens_instead_of_examples
from cfhelpers.fisher.rules import Rule, embedding, rule_for
from cfhelpers.fisher.spans import ActiveSpans
from cfhelpers.fisher.squares import ParameterSum


@dataclass
class Layer:
    """A module with a rule.

    Attributes:
        name: Its name in the model.
        module: Itself.
        rule: Its rule.
        parameters: The trainable parameters under the rule: attribute name to the parameter's name in the model.
    """

    name: str
    module: nn.Module
    rule: Rule
    parameters: dict[str, str]


@dataclass
class Use:
    """One call of a layer: what the rule needs to know about its forward pass."""

    layer: Layer
    inputs: Tensor | None
    version: int
    problem: str | None = None


class Hooks:
    """Watches the layers of a model and squares per-example gradients.

    Args:
        forward: Calls the model.
        parameters: The parameters to cover, by name; those without a rule are in :attr:`without_rule`.
        sums: Where the squares go, by name.

    Attributes:
        reached: Names of the parameters that got a gradient.
        refused: Names of parameters that turned out not to be covered, with the reason.
        mixed: Those of them of which nothing was added either.
        unverified: Names that no example of the self-check reached; their gradients are left out.
        late: Those of them that a batch reached, for which it is still to be added.
        expand: Whether a look-up made once for the whole batch, ``[1, T]``, is repeated for each example; the model
            must then not repeat it itself.
    """

    def __init__(self, forward: Forward, parameters: Mapping[str, nn.Parameter], sums: Mapping[str, Tensor]) -> None:
        self.forward = forward
        self.parameters = dict(parameters)
        self.layers = _layers(forward.model, self.parameters)
        covered = {name for layer in self.layers for name in layer.parameters.values()}
        uncovered = _uncovered(forward.model, self.parameters, self.layers)
        self.without_rule = [name for name in self.parameters if name not in covered or name in uncovered]
        self.states = {name: ParameterSum(sums[name]) for name in covered if name not in uncovered}
        self.reached: set[str] = set()
        self.refused: dict[str, str] = {}
        self.mixed: set[str] = set()
        self.unverified: set[str] = set()
        self.late: set[str] = set()
        self.expand = True
        self._batch: Batch | None = None
        self._spans = ActiveSpans()
        self._last_pass = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have the hooks in place; they do nothing outside of :meth:`add`."""
        handles: list[Any] = []
        try:
            for layer in self.layers:
                layer.parameters = {a: name for a, name in layer.parameters.items() if name in self.states}
                handles.append(layer.module.register_forward_pre_hook(partial(self._freeze, layer)))
                handles.append(layer.module.register_forward_hook(partial(self._called, layer), with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def drop(self, names: Iterable[str]) -> None:
        """Cover these parameters no longer."""
        names = set(names)
        for layer in self.layers:
            layer.parameters = {a: name for a, name in layer.parameters.items() if name not in names}
        for name in names:
            self.states.pop(name, None)

    def add(self, batch: Batch, objective: Objective) -> None:
        """Add the squared (or absolute) gradients of every example of a batch.

        Afterwards :attr:`refused` names the parameters for which this was not possible.
        """
        self.refused, self.mixed = {}, set()
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.states)
            parameter.grad = None
        for state in self.states.values():
            state.forget(objective.power)
        self._batch = batch
        try:
            logits = self.forward(batch)
            last = objective.passes(logits) - 1
            for step, gradient in enumerate(objective.gradients(logits, batch.labels, batch.indices)):
                self._backward(logits, gradient, step == last)
        finally:
            self._batch = None
        for name in self.states:
            if self.parameters[name].grad is not None:
                self.parameters[name].grad = None
                if name in self.unverified:
                    self.late.add(name)
                else:
                    self.refused[name] = "its weight is used outside of its own forward"
                    self.mixed.discard(name)

    def _backward(self, logits: Tensor, gradient: Tensor, last: bool) -> None:
        if not logits.requires_grad:
            return
        self._last_pass, self._spans = last, ActiveSpans()
        # Autocast would round the per-example products to half precision.
        with torch.autocast(logits.device.type, enabled=False):
            logits.backward(gradient, retain_graph=not last)
            for state in self.states.values():
                state.finish()

    def _freeze(self, layer: Layer, module: nn.Module, _: Any) -> None:
        """Keep autograd from a weight while its own layer uses it; any other use still leaves a trace in ``.grad``."""
        if self._batch is not None:
            for attribute in layer.parameters:
                module.get_parameter(attribute).requires_grad = False

    def _called(
        self, layer: Layer, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        if self._batch is None or not layer.parameters:
            return None
        for attribute in layer.parameters:
            module.get_parameter(attribute).requires_grad = True
        inputs = args[0] if args else next(iter(kwargs.values()))
        if isinstance(module, nn.Embedding):
            inputs, output, expanded = self._with_batch_dimension(inputs, output)
            kept = embedding.rows_touched(module, inputs)
        else:
            kept, expanded = inputs, False
        use = Use(layer, kept, kept._version)
        if kept.dim() == 2 and kept.is_floating_point() and len(kept) == len(self._batch):
            use.problem = tokens_instead_of_examples(kept, len(self._batch))
        for name in layer.parameters.values():
            self._expect(name, use)
        watched = output
        if not output.requires_grad:
            # The first tracked output becomes a leaf; a copy of it goes on, because a leaf must not be edited in place.
            watched = output.requires_grad_() if not expanded else output.clone().requires_grad_()
            output = watched.clone()
        watched.register_hook(partial(self._received, use))
        return output

    def _with_batch_dimension(self, ids: Tensor, output: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Repeat positions that the model looks up once for all examples: ``[1, T]`` becomes ``[B, T]``."""
        batch = self._batch
        assert batch is not None
        if self.expand and ids.dim() == 2 and ids.shape[0] == 1 and len(batch) > 1:
            return ids.expand(len(batch), -1), output.expand(len(batch), -1, -1), True
        return ids, output, False

    def _expect(self, name: str, use: Use) -> None:
        state = self.states[name]
        if self.parameters[name].dim() == 2 and not isinstance(use.layer.module, nn.Embedding):
            state.expected_outer += 1
            return
        state.expected_other += 1
        if use.inputs is not None and isinstance(use.layer.module, nn.Embedding):
            state.ids.append(use.inputs)

    def _received(self, use: Use, gradient: Tensor) -> None:
        batch, layer = self._batch, use.layer
        if batch is None or use.inputs is None:
            return
        self.late |= self.unverified.intersection(layer.parameters.values())
        if self.unverified.issuperset(layer.parameters.values()):
            return
        try:
            if use.inputs._version != use.version:
                raise NotPerExampleError("its input was changed in place after the call")
            if use.problem:
                raise NotPerExampleError(use.problem)
            inputs = use.inputs
            if isinstance(layer.module, nn.Embedding):
                _require_rows(inputs, len(batch))
                gradient = gradient.reshape(*inputs.shape, gradient.shape[-1])
            else:
                inputs, gradient = per_example(inputs, len(batch)), per_example(gradient, len(batch))
        except NotPerExampleError as error:
            names = set(layer.parameters.values()) - self.unverified
            self.refused |= dict.fromkeys(names, str(error))
            self.mixed |= names
            for name in names:
                self.states[name].spoil()
            return
        with torch.no_grad():
            found = layer.rule(layer.module, inputs.detach() if inputs.is_floating_point() else inputs, gradient)
            spans = self._spans.of(gradient) if any(isinstance(each, Outer) for each in found.values()) else None
            for attribute, name in layer.parameters.items():
                if name in self.unverified:
                    continue
                self.reached.add(name)
                self.states[name].receive(found[attribute], spans if isinstance(found[attribute], Outer) else None)
        if self._last_pass:
            use.inputs = None


def _layers(model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> list[Layer]:
    names = {id(parameter): name for name, parameter in parameters.items()}
    found = []
    for name, module in model.named_modules():
        rule = rule_for(module)
        if rule is None:
            continue
        own = {
            a: names[id(p)] for a, p in module._parameters.items() if a in rule[1] and p is not None and id(p) in names
        }
        if own:
            found.append(Layer(name, module, rule[0], own))
    return found


def _uncovered(model: nn.Module, parameters: Mapping[str, nn.Parameter], layers: list[Layer]) -> set[str]:
    """Parameters that some module holds without a rule, or that layers of unlike kinds share."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    covered = {(id(layer.module), attribute) for layer in layers for attribute in layer.parameters}
    bare = {
        names[id(p)]
        for module in model.modules()
        for attribute, p in module._parameters.items()
        if p is not None and id(p) in names and (id(module), attribute) not in covered
    }
    kinds: dict[str, set[str]] = {}
    for layer in layers:
        for name in layer.parameters.values():
            kinds.setdefault(name, set()).add(
                "Linear" if isinstance(layer.module, (nn.Linear, nn.Embedding)) else type(layer.module).__name__
            )
    return bare | {name for name, kind in kinds.items() if len(kind) > 1 and parameters[name].dim() == 2}


def _require_rows(ids: Tensor, examples: int) -> None:
    if ids.dim() != 2 or ids.shape[0] != examples:
        raise NotPerExampleError(f"shape {tuple(ids.shape)} has no batch dimension of {examples}")
