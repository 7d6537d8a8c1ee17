"""Importance: a mapping that is stored, merged and accumulated, and refuses what does not belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cfhelpers.fisher import Importance, fisher_diagonal
from tests.test_fisher import batches_for, causal_model, oracle, relative_error


def importance(scale: float = 1.0, **changes: Any) -> Importance:
    tensors = {"a.weight": scale * torch.arange(6.0).view(2, 3), "a.bias": scale * torch.ones(3)}
    settings: dict[str, Any] = {
        "n_examples": 4,
        "variant": "sample",
        "unit": "token",
        "n_targets": 9,
        "unused": ("a.bias",),
    }
    return Importance(changes.pop("tensors", tensors), **(settings | changes))


def test_is_a_mapping_of_float32() -> None:
    found = importance(tensors={"a": torch.ones(2).double(), "b": torch.ones(1).bfloat16()})
    assert list(found) == ["a", "b"]
    assert len(found) == 2
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert dict(found).keys() == {"a", "b"}
    assert "variant='sample'" in repr(found)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fisher.safetensors"
    written = importance()
    written.save(path)
    read = Importance.load(path)
    assert all(torch.equal(read[name], written[name]) for name in written)
    assert (read.n_examples, read.n_targets, read.variant, read.unit, read.unused) == (
        4,
        9,
        "sample",
        "token",
        ("a.bias",),
    )
    assert [file.name for file in path.parent.iterdir()] == ["fisher.safetensors"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fisher.safetensors"
    importance().save(path)

    def broken(tensors: object, target: str, metadata: object) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", broken)
    with pytest.raises(KeyboardInterrupt):
        importance(2.0).save(path)
    assert torch.equal(Importance.load(path)["a.bias"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["fisher.safetensors"]


def test_load_refuses_other_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="no importance file"):
        Importance.load(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="not a safetensors file"):
        Importance.load(tmp_path / "text")
    save_file({"a": torch.ones(1)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="not an importance file"):
        Importance.load(tmp_path / "weights")


def test_merge_is_the_estimate_over_both_shards() -> None:
    model, batches = causal_model("gpt2"), batches_for("gpt2", (4, 2))
    parts = [fisher_diagonal(model, [batch]) for batch in batches]
    assert relative_error(parts[0].merge(parts[1]), oracle(model, batches)) < 1e-5
    assert parts[0].merge(parts[1]).n_examples == 6


def test_accumulate_decays_and_takes_in_new_parameters() -> None:
    later = importance(tensors={"a.weight": torch.ones(2, 3), "a.bias": torch.ones(3), "head": torch.ones(1)})
    total = importance().accumulate(later, decay=0.5)
    torch.testing.assert_close(total["a.weight"], 1 + 0.5 * torch.arange(6.0).view(2, 3))
    assert total["head"].tolist() == [1.0]
    assert total.n_examples == 8
    assert importance().accumulate(later)["a.bias"].tolist() == [2.0, 2.0, 2.0]
    assert later["head"].data_ptr() != total["head"].data_ptr()


@pytest.mark.parametrize("method", ["merge", "accumulate"])
def test_combining_what_does_not_belong_together_is_refused(method: str) -> None:
    combine = getattr(importance(), method)
    with pytest.raises(ValueError, match=r"'a.bias'"):
        combine(importance(tensors={"a.weight": torch.ones(2, 3)}))
    with pytest.raises(ValueError, match=r"shapes differ for 'a.weight': \(2, 3\) and \(5, 3\)"):
        combine(importance(tensors={"a.weight": torch.ones(5, 3), "a.bias": torch.ones(3)}))
    with pytest.raises(ValueError, match="sample/token importance with a exact/token"):
        combine(importance(variant="exact"))


def test_merge_refuses_new_names() -> None:
    more = importance(tensors={"a.weight": torch.ones(2, 3), "a.bias": torch.ones(3), "b": torch.ones(1)})
    with pytest.raises(ValueError, match="this importance has no entry for 'b'"):
        importance().merge(more)


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_decay_outside_its_range(decay: float) -> None:
    with pytest.raises(ValueError, match="decay must be between 0 and 1"):
        importance().accumulate(importance(), decay=decay)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tensors": {}}, "at least one parameter"),
        ({"n_examples": 0}, "n_examples must be at least 1"),
        ({"tensors": {"a": torch.tensor([-1.0])}}, "not negative; it is not for 'a'"),
        ({"tensors": {"a": torch.tensor([torch.nan])}}, "must be finite"),
        ({"tensors": {"a": torch.tensor([torch.inf])}}, "must be finite"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        importance(**changes)
