"""Exercise 6.2: prompts that grow, newest first, old ones frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors

_LENGTHS = {"two prompts": [(3, 2), 4], "four prompts": [(1, 3, 2, 2), 5]}


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers: Numbers = {}
    for case, (lengths, width) in _LENGTHS.items():
        generator = torch.Generator().manual_seed(62)
        prompts: Any = answer()
        if not isinstance(prompts, nn.Module):
            raise CheckFailed(f"the class must be a torch.nn.Module, not {type(prompts).__name__}.")
        for number, length in enumerate(cast("tuple[int, ...]", lengths), start=1):
            start = torch.randn(length, cast("int", width), generator=generator)
            table = nn.Parameter(start.clone())  # such as rows of the model's embedding
            cast("Any", prompts).add_prompt(table)
            after = f"{case}, after prompt {number}"
            numbers[f"{after}: as added"] = _vectors(prompts)
            trainable = [parameter for parameter in prompts.parameters() if parameter.requires_grad]
            numbers[f"{after}: trainable numbers"] = tensors(
                {"n": torch.tensor(float(sum(parameter.numel() for parameter in trainable)))}, "it"
            )["n"]
            _step(prompts, list(prompts.parameters()))
            if not torch.equal(table, start):
                raise CheckFailed(
                    "learning changed the tensor that add_prompt was given, which is the model's embedding: the prompt "
                    "shares its memory. Make a copy: vectors.detach().clone()."
                )
            numbers[f"{after}: as learned"] = _vectors(prompts)
    return numbers


def _vectors(prompts: Any) -> Any:
    found = prompts()
    return tensors({"vectors": found}, "what forward returned")["vectors"]


def _step(prompts: nn.Module, parameters: list[nn.Parameter]) -> None:
    """Take one step of gradient descent on the sum of squares, whose gradient is different at every vector."""
    out: Any = prompts()
    if not out.requires_grad:
        raise CheckFailed(
            "nothing of what forward returned can be trained. The newest prompt must be an nn.Parameter that requires "
            "gradients, and forward must not detach it."
        )
    prompts.zero_grad()
    out.square().sum().backward()
    with torch.no_grad():
        for parameter in parameters:
            if parameter.requires_grad and parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    prompts.zero_grad()


class _Growing(nn.Module):
    """The right class; subclasses make one mistake each."""

    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ParameterList()

    def add_prompt(self, vectors: Tensor) -> None:
        self.freeze_old()
        self.list.append(nn.Parameter(vectors.detach().clone()))

    def freeze_old(self) -> None:
        for prompt in self.list:
            prompt.requires_grad_(False)

    def forward(self) -> Tensor:
        return torch.cat(list(reversed(list(self.list))))


class _Library(nn.Module):
    """The library's soft prompts under the exercise's signature."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts = nn.ModuleList()

    def add_prompt(self, vectors: Tensor) -> None:
        from cfhelpers.models.soft_prompt import SoftPrompt

        self.prompts.requires_grad_(False)
        self.prompts.append(SoftPrompt(vectors))

    def forward(self) -> Tensor:
        return torch.cat([prompt() for prompt in reversed(list(self.prompts))])


def _with(**methods: Callable[..., Any]) -> type[_Growing]:
    return cast("type[_Growing]", type("Imitation", (_Growing,), methods))


def _freeze_newest_too(self: _Growing, vectors: Tensor) -> None:
    if len(self.list):
        self.list.requires_grad_(False)
    self.list.append(nn.Parameter(vectors.detach().clone()))
    if len(self.list) > 1:
        self.list[0].requires_grad_(True)
        self.list[-1].requires_grad_(False)


def _in_a_plain_list(self: Any) -> None:
    nn.Module.__init__(self)
    self.list = []


def _started(make: Callable[[Tensor], Tensor]) -> Callable[[_Growing, Tensor], None]:
    def add_prompt(self: _Growing, vectors: Tensor) -> None:
        self.freeze_old()
        self.list.append(nn.Parameter(make(vectors.detach())))

    return add_prompt


def _only_last_frozen(self: _Growing) -> None:
    if len(self.list):
        first = self.list[0]
        for prompt in self.list:
            prompt.requires_grad_(True)
        self.list[-1].requires_grad_(False)
        if len(self.list) == 1:
            first.requires_grad_(False)


growing_prompts = Exercise(
    number="6.2",
    reread="One prompt after the other",
    verified="prompts are copies, the newest stands first, and only it learns",
    reference=_Growing,
    library=_Library,
    examine=_examine,
    mistakes=[
        Mistake(
            "earlier prompts are still being trained: the old tasks read them, and would be forgotten. Call "
            "requires_grad_(False) on every earlier one.",
            _with(freeze_old=lambda self: None),
        ),
        Mistake(
            "the oldest prompt stands first. The newest does: [P_k, …, P_1].",
            _with(forward=lambda self: torch.cat(list(self.list))),
        ),
        Mistake(
            "the oldest prompt stands first, and earlier ones are still being trained.",
            _with(forward=lambda self: torch.cat(list(self.list)), freeze_old=lambda self: None),
        ),
        Mistake(
            "only the newest prompt is returned. That is prompt tuning, one prompt per task; here the old ones stand "
            "behind it.",
            _with(forward=lambda self: 1 * self.list[-1]),
        ),
        Mistake(
            "the order of the vectors inside the prompts is turned round too. Turn the list, not the tensor.",
            _with(forward=lambda self: torch.cat(list(self.list)).flip(0)),
        ),
        Mistake(
            "no optimizer would find the prompts: parameters() of your module yields none. A plain list or dictionary "
            "hides them; use torch.nn.ParameterList.",
            _with(__init__=_in_a_plain_list),
        ),
        Mistake(
            "the newest prompt stands first, but the older ones behind it in the order in which they came: "
            "[P_k, P_1, …]. Newest first, all the way: [P_k, P_(k−1), …, P_1].",
            _with(forward=lambda self: torch.cat([self.list[-1], *list(self.list)[:-1]])),
        ),
        Mistake(
            "only the newest two prompts are returned. All of them are, the newest first.",
            _with(forward=lambda self: torch.cat(list(reversed(list(self.list)[-2:])))),
        ),
        Mistake(
            "the first prompt is left out. All of them are returned, the newest first.",
            _with(forward=lambda self: torch.cat(list(reversed(list(self.list)[1:] or list(self.list))))),
        ),
        Mistake(
            "the new prompt starts as zeros. It starts as the vectors that add_prompt is given.",
            _with(add_prompt=_started(torch.zeros_like)),
        ),
        Mistake(
            "only the prompt before the newest is frozen, and the ones before that learn again. Freeze all of them.",
            _with(freeze_old=_only_last_frozen),
        ),
        Mistake(
            "the first prompt is the one that learns and the newest is frozen. It is the other way round.",
            _with(add_prompt=_freeze_newest_too),
        ),
        Mistake(
            "earlier prompts are detached in forward, but still require gradients, so that an optimizer goes on "
            "holding them (and moves them, if it has momentum or weight decay). Call requires_grad_(False) on them.",
            _with(
                freeze_old=lambda self: None,
                forward=lambda self: torch.cat(
                    [self.list[-1], *(each.detach() for each in reversed(list(self.list)[:-1]))]
                ),
            ),
        ),
    ],
)
