"""Parameters of which a process has only a part are refused by name, before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cfhelpers.fisher import Importance, fisher_diagonal
from cfhelpers.methods.penalty import QuadraticPenalty


class Uncallable(nn.Module):
    """A model that must not be run."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 4)
        self.head = nn.Linear(4, 8)

    def forward(self, input_ids: Tensor) -> Tensor:
        raise AssertionError("the model was called")


@pytest.fixture(scope="module")
def _group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    rendezvous = tmp_path_factory.mktemp("group") / "rendezvous"
    dist.init_process_group("gloo", f"file://{rendezvous}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def sharded(_group: None) -> nn.Module:
    """A model whose head is a real ``DTensor`` over one process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = Uncallable()
    fully_shard(model.head, mesh=init_device_mesh("cpu", (1,)))
    return model


def importance() -> Importance:
    tensors = {name: torch.ones(parameter.shape) for name, parameter in Uncallable().named_parameters()}
    return Importance(tensors, n_examples=1, variant="sample")


def _unread() -> Iterator[Any]:
    raise AssertionError("the data were read")
    yield


USES: dict[str, Callable[[nn.Module, Path], object]] = {
    "the estimate": lambda model, _: fisher_diagonal(model, _unread()),
    "the anchor": lambda model, _: QuadraticPenalty(importance(), model, 1.0),
    "the anchor's tensors": lambda model, _: QuadraticPenalty(importance(), dict(model.named_parameters()), 1.0),
    "the importance": lambda model, _: QuadraticPenalty(dict(model.named_parameters()), Uncallable(), 1.0),
    "the penalty's value": lambda model, _: QuadraticPenalty(importance(), Uncallable(), 1.0).value(model),
    "the penalty's gradient": lambda model, _: QuadraticPenalty(importance(), Uncallable(), 1.0).add_gradient_(model),
    "a file's model": lambda model, path: Importance.load(path, model),
}


@pytest.mark.parametrize("use", USES)
def test_sharded_parameters_are_refused_by_name(use: str, sharded: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "fisher"
    importance().save(path)
    with pytest.raises(ValueError, match=r"2 parameters are sharded .*'head.weight' for one.* before the model is"):
        USES[use](sharded, path)
    assert all(parameter.grad is None for parameter in sharded.parameters())


def test_the_first_version_of_fsdp_is_known_by_its_names() -> None:
    wrapped = nn.ModuleDict({"_fsdp_wrapped_module": Uncallable()})
    with pytest.raises(ValueError, match="3 parameters are sharded"):
        fisher_diagonal(wrapped, _unread())


def test_a_whole_copy_of_a_sharded_model_is_taken(sharded: nn.Module) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole = Uncallable()
    whole.load_state_dict(get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True)))
    assert QuadraticPenalty(importance(), whole, 1.0).value(whole).item() == 0.0
