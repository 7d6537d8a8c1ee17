"""fisher_diagonal in two processes: the result of one, errors in both, and no message sent by a wrapped model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.fisher.processes import Processes

PROCESSES = 2
WAIT = timedelta(seconds=30)  # then a process that waits for another in vain gives up, and the test fails
VOCABULARY = 13


class Toy(nn.Module):
    """A tied language model with one more layer for sequences that begin with token 7, and a head without a task."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, 6)
        self.layer = nn.Linear(6, 6)
        self.seldom = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.other_head = nn.Linear(6, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        hidden = self.embedding(input_ids)
        hidden = hidden + torch.tanh(self.layer(hidden))
        if bool((input_ids[:, 0] == 7).any()):
            hidden = hidden + self.seldom(hidden)
        return self.norm(hidden) @ self.embedding.weight.T


class Classifier(nn.Module):
    """The sum of a sequence's embeddings, classified."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCABULARY, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embedding(input_ids).sum(1))


def batches(sizes: tuple[int, ...] = (3, 4, 2, 3, 1)) -> list[dict[str, Tensor]]:
    """Padded batches; in the second one every sequence begins with token 7."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for number, size in enumerate(sizes):
        ids = torch.randint(0, 7, (size, 5 + number), generator=generator)
        if number == 1:
            ids[:, 0] = 7
        labels = ids.clone()
        labels[0, 2:] = -100
        found.append({"input_ids": ids, "labels": labels})
    return found


def examples(number: int = 11) -> list[dict[str, list[int]]]:
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(3, 9, (number,), generator=generator).tolist()
    rows = [torch.randint(0, 7, (length,), generator=generator).tolist() for length in lengths]
    return [{"input_ids": row, "labels": row} for row in rows]


def classified() -> list[dict[str, Tensor]]:
    return [{"input_ids": batch["input_ids"], "labels": torch.arange(len(batch["labels"])) % 3} for batch in batches()]


def without_targets() -> list[dict[str, Tensor]]:
    """The second batch, which is the second process's only one, has no target."""
    first, second = batches((3, 4))
    return [first, second | {"labels": torch.full_like(second["labels"], -100)}]


AGREEING: dict[str, Callable[[], Importance]] = {
    "batches": lambda: fisher_diagonal(Toy(), batches()),
    "a generator": lambda: fisher_diagonal(Toy(), (batch for batch in batches())),
    "a data set": lambda: fisher_diagonal(Toy(), examples(), batch_size=2),
    "a subset of a data set": lambda: fisher_diagonal(Toy(), examples(), batch_size=2, max_examples=7, seed=3),
    "the first examples": lambda: fisher_diagonal(Toy(), batches(), max_examples=8),
    "drawn labels": lambda: fisher_diagonal(Toy(), batches(), variant="sample", seed=5),
    "random signs": lambda: fisher_diagonal(Toy(), examples(), batch_size=2, unit="token", draws=2),
    "batched": lambda: fisher_diagonal(Toy(), examples(), batch_size=2, variant="batched"),
    "exact": lambda: fisher_diagonal(Classifier(), classified(), variant="exact"),
    "fewer examples than processes": lambda: fisher_diagonal(Toy(), examples(1)),
    "a process without a target": lambda: fisher_diagonal(Toy(), without_targets()),
    "in float64": lambda: fisher_diagonal(Toy().double(), batches()),
}


def _spoilt() -> list[dict[str, Tensor]]:
    found = batches()
    found[1]["labels"][0, 1] = 99
    return found


def _only_on(rank: int, yes: Any, no: Any) -> Any:
    return yes if dist.get_rank() == rank else no


def _unreadable() -> Iterator[dict[str, Tensor]]:
    yield from batches()
    if dist.get_rank() == 1:
        raise OSError("the disk is gone")


def _not_a_number() -> nn.Module:
    """A model that gives NaN for the second batch, which belongs to the second process."""
    model = Toy()
    nn.init.constant_(model.seldom.bias, torch.nan)
    return model


NOT_THE_SAME = "ValueError: the processes were not given the same"
# What is called, and what the first and the second process raise.
REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "a loss that is not finite": (
        lambda: fisher_diagonal(_not_a_number(), batches()),
        "ValueError: process 1 of 2 failed: ValueError: the loss is not finite on example 3",
        "ValueError: the loss is not finite on example 3",
    ),
    "a label outside the vocabulary": (
        lambda: fisher_diagonal(Toy(), _spoilt()),
        "ValueError: process 1 of 2 failed: ValueError: label 99 is no class",
        "ValueError: label 99 is no class",
    ),
    "data that cannot be read": (
        lambda: fisher_diagonal(Toy(), _unreadable()),
        "RuntimeError: process 1 of 2 failed: OSError: the disk is gone",
        "OSError: the disk is gone",
    ),
    "an empty loader in one process": (
        lambda: fisher_diagonal(Toy(), _only_on(0, [], batches())),
        "ValueError: batches is empty",
        "ValueError: process 0 of 2 failed: ValueError: batches is empty",
    ),
    "a frozen model in one process": (
        lambda: fisher_diagonal(Toy().requires_grad_(_only_on(1, False, True)), batches()),
        "ValueError: process 1 of 2 failed: ValueError: the model has no trainable parameters",
        "ValueError: the model has no trainable parameters",
    ),
    "each process its own shard": (
        lambda: fisher_diagonal(Toy(), batches((3, 3, 3, 3))[dist.get_rank() :: 2]),
        f"{NOT_THE_SAME} data",
        f"{NOT_THE_SAME} data",
    ),
    "each process its own order": (
        lambda: fisher_diagonal(Toy(), batches((3, 3, 3, 3))[:: _only_on(0, 1, -1)]),
        f"{NOT_THE_SAME} data",
        f"{NOT_THE_SAME} data",
    ),
    "each process its own part of a data set": (
        lambda: fisher_diagonal(Toy(), _only_on(0, examples(8)[:4], examples(8)[4:])),
        f"{NOT_THE_SAME} data",
        f"{NOT_THE_SAME} data",
    ),
    "another model": (
        lambda: fisher_diagonal(_only_on(0, Classifier(), Classifier().double()), classified()),
        f"{NOT_THE_SAME} model",
        f"{NOT_THE_SAME} model",
    ),
    "another seed": (
        lambda: fisher_diagonal(Toy(), batches(), variant="sample", seed=dist.get_rank()),
        f"{NOT_THE_SAME} settings",
        f"{NOT_THE_SAME} settings",
    ),
    "no target anywhere": (
        lambda: fisher_diagonal(Toy(), [without_targets()[1]] * 3),
        "ValueError: none of the 12 examples has a target",
        "ValueError: none of the 12 examples has a target",
    ),
}


def _wrapped() -> dict[str, Any]:
    """Wrapped, unused and idle: the estimate, what was sent meanwhile, and whether training goes on in step."""
    model = nn.parallel.DistributedDataParallel(Toy(), find_unused_parameters=True)
    sent: list[int] = []

    def send(state, bucket):  # torch reads annotations here, and takes strings for wrong ones
        sent.append(1)
        return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda future: future.value()[0])

    model.register_comm_hook(None, send)
    first, second = batches()[: dist.get_world_size()]
    mine = first if dist.get_rank() == 0 else second
    estimate = fisher_diagonal(model, batches())
    meanwhile = len(sent)
    clean = all(parameter.grad is None for parameter in model.parameters())
    model(mine["input_ids"]).square().sum().backward()
    return {
        "estimate": estimate,
        "meanwhile": meanwhile,
        "later": len(sent),
        "clean": clean,
        "gradient": model.module.layer.weight.grad,
    }


def _process(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=PROCESSES, timeout=WAIT)
    found: dict[str, Any] = {name: _plain(estimate()) for name, estimate in AGREEING.items()}
    for name, (estimate, *_) in REFUSED.items():
        try:
            estimate()
            found[name] = "nothing was raised"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    found["wrapped"] = _wrapped()
    found["wrapped"]["estimate"] = _plain(found["wrapped"]["estimate"])
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _plain(estimate: Importance) -> tuple[dict[str, Tensor], tuple[Any, ...]]:
    return dict(estimate), (estimate.n_examples, estimate.n_targets, estimate.variant, estimate.unit, estimate.unused)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process found: everything in one start, because a start takes seconds."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(_process, (str(folder),), PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def _assert_equal(estimate: tuple[dict[str, Tensor], tuple[Any, ...]], truth: Importance) -> None:
    tensors, rest = estimate
    assert rest == _plain(truth)[1]
    assert list(tensors) == list(truth)
    for name, value in truth.items():
        assert float((tensors[name] - value).norm()) <= 1e-6 * float(value.norm()), name


@pytest.mark.parametrize("case", AGREEING)
def test_every_process_returns_what_one_alone_returns(case: str, found: list[dict[str, Any]]) -> None:
    truth = AGREEING[case]()
    for rank in range(PROCESSES):
        _assert_equal(found[rank][case], truth)


def test_a_layer_that_one_process_reaches_is_not_unused(found: list[dict[str, Any]]) -> None:
    *_, unused = found[0]["batches"][1]
    assert unused == ("other_head.weight", "other_head.bias")


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_in_one_process_is_raised_in_all(case: str, found: list[dict[str, Any]]) -> None:
    _, *messages = REFUSED[case]
    for rank, message in enumerate(messages):
        assert found[rank][case].startswith(message)


def test_a_wrapped_model_sends_nothing_and_trains_on(found: list[dict[str, Any]]) -> None:
    truth = fisher_diagonal(Toy(), batches())
    for rank in range(PROCESSES):
        wrapped = found[rank]["wrapped"]
        _assert_equal(wrapped["estimate"], truth)
        assert wrapped["meanwhile"] == 0
        assert wrapped["clean"]
        assert wrapped["later"] > 0
    assert torch.equal(found[0]["wrapped"]["gradient"], found[1]["wrapped"]["gradient"])


def test_batches_are_dealt_once_each_and_evenly() -> None:
    processes = [Processes() for _ in range(3)]
    for rank, process in enumerate(processes):
        process.rank, process.count = rank, 3
    owned = [[number for number in range(12) if process.owns(number)] for process in processes]
    assert sorted(itertools.chain(*owned)) == list(range(12))
    # With lengths that fall evenly, all have the same amount of work.
    assert len({sum(numbers) for numbers in owned}) == 1


def test_alone_nothing_is_dealt() -> None:
    assert all(Processes().owns(number) for number in range(5))
