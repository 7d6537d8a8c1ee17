"""Exercise 2.2: the diagonal of a classifier's Fisher information, with the expectation over all classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfhelpers.course.checks.exercise import CheckFailed, Exercise, Mistake, Numbers, tensors
from cfhelpers.course.checks.fisher.estimates import (
    fisher_of,
    gradients,
    of_a_square_matrix,
    over_classes,
    over_the_wrong_dimension,
    piled_up,
)
from cfhelpers.course.checks.toys import Observations, Unharmed, require_evaluation_mode
from cfhelpers.fisher import fisher_diagonal

# Case: examples, inputs, hidden units, classes.
_CASES = {"5 examples, 4 classes": (5, 3, 3, 4), "7 examples, 3 classes": (7, 4, 2, 3)}


class ToyNetwork(nn.Module):
    """Two layers with dropout between them: inputs ``[N, D]`` to logits ``[N, C]``."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(11)
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, classes)
        self.dropout = nn.Dropout(0.5)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.observed = Observations()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``[N, C]``."""
        self.observed.append({"training": self.training})
        return self.second(self.dropout(torch.tanh(self.first(inputs))))


def _examine(answer: Callable[..., Any]) -> Numbers:
    numbers = _numbers(answer)
    torch.manual_seed(1)  # the first run began with another seed
    again = _numbers(answer)
    if any(name in again and not np.array_equal(numbers[name], again[name], equal_nan=True) for name in numbers):
        raise CheckFailed(
            "the numbers differ from one run to the next. Drawing labels from the model estimates the Fisher (the "
            "variant “sample”); exact goes through every class and weights it with its probability."
        )
    if numbers and max(float(np.abs(array).max()) for array in numbers.values()) < 1e-9:
        raise CheckFailed(
            "your Fisher is zero everywhere, but for rounding. Was the expected gradient squared? The expectation of "
            "∂ log p is zero whatever the weights do: square each class's gradient, then take the expectation."
        )
    return numbers


def _numbers(answer: Callable[..., Any]) -> Numbers:
    return {f"{case}: {name}": array for case in _CASES for name, array in _numbers_of(answer, case).items()}


def _numbers_of(answer: Callable[..., Any], case: str) -> Numbers:
    examples, inputs, hidden, classes = _CASES[case]
    model = ToyNetwork(inputs, hidden, classes).train()
    unharmed = Unharmed(model)
    fisher = answer(model, torch.randn(examples, inputs, generator=torch.Generator().manual_seed(12)))
    require_evaluation_mode(model.observed)
    unharmed.check()
    numbers = tensors(fisher, "the Fisher")
    for name, tensor in fisher.items():
        if tensor.requires_grad:
            raise CheckFailed(
                f"{name} still hangs on a graph: detach the probabilities. Importances are plain numbers."
            )
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise CheckFailed(
                f"{name} is {tensor.dtype}: squares of small gradients vanish in it. Accumulate in float32."
            )
    negative = [name for name, array in numbers.items() if (array < 0).any()]
    if negative:
        raise CheckFailed(
            f"{negative[0]} has negative entries, but a mean of squares cannot be negative: a gradient is not squared, "
            "or is weighted with something negative, such as a log-probability."
        )
    return numbers


def _of_entropy(log_p: list[Tensor], p: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    together = torch.stack(log_p)
    return [each.square() for each in gradients((together.exp() * together).sum(), parameters)]


def _of_the_batch(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    model.eval()
    parameters = dict(model.named_parameters())
    log_p = model(inputs).log_softmax(-1)
    p = log_p.detach().exp().mean(0)
    total = [torch.zeros_like(parameter) for parameter in parameters.values()]
    for label in range(log_p.shape[1]):
        found = gradients(log_p[:, label].mean(), list(parameters.values()))
        total = [one + p[label] * other.square() for one, other in zip(total, found, strict=True)]
    return dict(zip(parameters, total, strict=True))


_ALL_CLASSES = over_classes(lambda g, p: (p * g.square()).sum(0))


def _by_classes(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    classes = model.eval()(inputs[:1]).shape[-1]
    return fisher_of(_ALL_CLASSES, divisor=lambda n: classes)(model, inputs)


def _last_of_all(divided: bool) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    """Return the last example's last class's weighted square, perhaps divided by the number of examples."""
    last = fisher_of(over_classes(lambda g, p: (p * g.square())[-1]))
    return lambda model, inputs: {
        name: each / (len(inputs) if divided else 1) for name, each in last(model, inputs[-1:]).items()
    }


def _twice(n: int) -> float:
    return 2 * n


def _p_log_p(logits: Tensor) -> Tensor:
    return logits.softmax(-1) * logits.log_softmax(-1)


def _sigmoid_squares(log_p: list[Tensor], p: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    probabilities = torch.stack(log_p).detach().exp()
    return over_classes(lambda g, p: (p * g.square()).sum(0))(log_p, probabilities, parameters)


def _of_own_guesses(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    logits = model.eval()(inputs)
    loss = nn.functional.cross_entropy(logits, logits.argmax(-1))
    found = gradients(loss, list(model.parameters()))
    return {name: each.square() for (name, _), each in zip(model.named_parameters(), found, strict=True)}


def _of_the_weighted_batch(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    log_p = model.eval()(inputs).log_softmax(-1)
    means = (log_p.detach().exp() * log_p).mean(0)
    by_class = [gradients(mean, list(model.parameters())) for mean in means]
    squares = [torch.stack(each).square().sum(0) for each in zip(*by_class, strict=True)]
    return {name: each for (name, _), each in zip(model.named_parameters(), squares, strict=True)}


class _AsHuggingFace(nn.Module):
    """Gives the exercise's model the form that the library takes, with its own parameter names."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        return self.model(features)


def _library(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    model.eval()
    batch = {"features": inputs, "labels": torch.zeros(len(inputs), dtype=torch.long)}  # the exact variant asks none
    found = fisher_diagonal(_AsHuggingFace(model), [batch], variant="exact", progress=False)
    return {name.removeprefix("model."): each for name, each in found.items()}


exact_fisher = Exercise(
    number="2.2",
    reread="Four ways to say y",
    verified="every class counts with its probability, each gradient is squared by itself, and nothing is left behind",
    reference=fisher_of(over_classes(lambda g, p: (p * g.square()).sum(0))),
    library=_library,
    examine=_examine,
    mistakes=[
        Mistake(
            "the gradients were multiplied by the probability and then squared. The probability is a weight of the "
            "square: p · g², not (p · g)².",
            fisher_of(over_classes(lambda g, p: (p * g).square().sum(0))),
        ),
        Mistake(
            "every class counts alike. Multiply each class's square by the probability that the model gives it.",
            fisher_of(over_classes(lambda g, p: g.square().sum(0))),
        ),
        Mistake(
            "every class counts alike (a plain mean). Multiply each class's square by its probability and add up.",
            fisher_of(over_classes(lambda g, p: g.square().mean(0))),
        ),
        Mistake(
            "the classes were averaged after weighting them: the probabilities sum to 1 already.",
            fisher_of(over_classes(lambda g, p: (p * g.square()).mean(0))),
        ),
        Mistake(
            "only the most probable class was used. That is neither the Fisher nor the empirical one: all classes "
            "count, each with its probability.",
            fisher_of(over_classes(lambda g, p: g[int(p.argmax())].square())),
        ),
        Mistake(
            "you differentiated the probability, not its logarithm. Use log_softmax.",
            fisher_of(over_classes(lambda g, p: (p * g.square()).sum(0), of_probability=True)),
        ),
        Mistake(
            "you differentiated the logits, not log p: take log_softmax of them first.",
            fisher_of(over_classes(lambda g, p: (p * g.square()).sum(0)), values=lambda logits: logits),
        ),
        Mistake(
            "you differentiated the logits, not log p, and every class counts alike. Take log_softmax, and weight each "
            "class's square with its probability.",
            fisher_of(over_classes(lambda g, p: g.square().sum(0)), values=lambda logits: logits),
        ),
        Mistake(
            "you differentiated the entropy: the probabilities are weights here, detach them.",
            fisher_of(_of_entropy),
        ),
        Mistake(
            "you squared the gradient of the whole batch: go through its rows, square, then average.",
            _of_the_batch,
        ),
        *(
            Mistake(
                "log_p[:, labels] sets every example against every other's label, N × N numbers: each example has its "
                "own row. And all classes count, not only the most probable one.",
                of_a_square_matrix(reduce),
            )
            for reduce in (lambda square: square.sum(1), lambda square: square.mean(1), torch.sum, torch.mean)
        ),
        Mistake(
            "the probabilities sum to 1 over the examples: softmax(0) goes down a column of the batch. Classes are the "
            "last dimension: softmax(-1).",
            over_the_wrong_dimension,
        ),
        Mistake(
            "gradients pile up from one class to the next: call model.zero_grad() before every backward pass, or take "
            "torch.autograd.grad.",
            piled_up(over_examples=False),
        ),
        Mistake(
            "gradients pile up over classes and examples: call model.zero_grad() before every backward pass, or take "
            "torch.autograd.grad.",
            piled_up(over_examples=True),
        ),
        Mistake(
            "the squares are weighted with −log p. The weight is the probability itself.",
            fisher_of(over_classes(lambda g, p: (-p.log() * g.square()).sum(0))),
        ),
        Mistake(
            "the sum over examples was divided by the number of classes. Divide by the number of examples.",
            _by_classes,
        ),
        Mistake(
            "the sum over the examples was not divided by their number.",
            fisher_of(over_classes(lambda g, p: (p * g.square()).sum(0)), divisor=lambda n: 1),
        ),
        Mistake(
            "this divides by the number of examples minus one.",
            fisher_of(over_classes(lambda g, p: (p * g.square()).sum(0)), divisor=lambda n: n - 1),
        ),
        Mistake(
            "only the first example was looked at: is there a return inside the loop?",
            lambda model, inputs: fisher_of(_ALL_CLASSES)(model, inputs[:1]),
        ),
        Mistake(
            "only the last example was looked at, or each overwrote the one before (= for +=). Add up over all of "
            "them.",
            lambda model, inputs: fisher_of(_ALL_CLASSES)(model, inputs[-1:]),
        ),
        Mistake(
            "the last example's Fisher alone is divided by their number: each overwrote the one before (= for +=).",
            lambda model, inputs: {n: x / len(inputs) for n, x in fisher_of(_ALL_CLASSES)(model, inputs[-1:]).items()},
        ),
        *(
            Mistake(
                "the last class of the last example is all that is left: each overwrote the one before (= for +=). Add "
                "up over classes and examples.",
                _last_of_all(divided),
            )
            for divided in (True, False)
        ),
        Mistake(
            "the sum was divided by the number of examples twice.",
            fisher_of(_ALL_CLASSES, divisor=lambda n: n * n),
        ),
        Mistake("there is a factor ½ too many. It belongs to the penalty.", fisher_of(_ALL_CLASSES, divisor=_twice)),
        Mistake(
            "only the most probable class was used, weighted with its probability. All classes count.",
            fisher_of(over_classes(lambda g, p: p.max() * g[int(p.argmax())].square())),
        ),
        Mistake(
            "only the first class was used. All classes count, each with its probability.",
            fisher_of(over_classes(lambda g, p: (p * g.square())[0])),
        ),
        Mistake(
            "only the last class was used, or each overwrote the one before (= for +=). All classes count, each with "
            "its probability.",
            fisher_of(over_classes(lambda g, p: (p * g.square())[-1])),
        ),
        Mistake(
            "the squares are weighted with the root of the probability. The weight is the probability itself.",
            fisher_of(over_classes(lambda g, p: (p.sqrt() * g.square()).sum(0))),
        ),
        Mistake(
            "the squares are weighted with 1 − p. The weight is the probability itself.",
            fisher_of(over_classes(lambda g, p: ((1 - p) * g.square()).sum(0))),
        ),
        Mistake(
            "you differentiated p log p with the probability inside, class by class. The probability is a weight "
            "outside the square: detach it.",
            fisher_of(over_classes(lambda g, p: g.square().sum(0)), values=_p_log_p),
        ),
        Mistake(
            "sigmoid was taken for softmax: each class then has a probability of its own. Use log_softmax(-1).",
            fisher_of(_sigmoid_squares, values=nn.functional.logsigmoid),
        ),
        Mistake(
            "the labels are the model's own best guesses, and their mean loss over the whole batch was squared. All "
            "classes count, example by example.",
            _of_own_guesses,
        ),
        Mistake(
            "you squared the gradient of the whole batch, class by class, with p inside. Go through the rows, square "
            "each gradient of log p, weight with p, then average.",
            _of_the_weighted_batch,
        ),
        Mistake(
            "this is the square root of the mean of squares. The Fisher is the mean of squares itself.",
            lambda model, inputs: {n: each.sqrt() for n, each in fisher_of(_ALL_CLASSES)(model, inputs).items()},
        ),
        Mistake(
            "the gradients were not squared, only their absolute values taken.",
            fisher_of(over_classes(lambda g, p: (p * g.abs()).sum(0))),
        ),
    ],
)
