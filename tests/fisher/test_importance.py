"""Importance: a mapping that is stored, merged and accumulated, and refuses what does not belong together."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from cfhelpers import environment
from cfhelpers.fisher import Importance, fisher_diagonal
from tests.fisher.test_fisher import batches_for, causal_model, oracle, relative_error


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


def wide(seed: int = 0) -> torch.Tensor:
    """Squared gradients of a tensor, as they are spread in practice: over ten decades."""
    return 1e-6 * torch.exp(
        3 * torch.randn(100_000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )


def median_relative_error(found: torch.Tensor, truth: torch.Tensor) -> float:
    return float(((found.double() - truth) / truth).abs().median())


def test_half_precision_keeps_small_values() -> None:
    truth = wide()
    plain = importance(tensors={"a": truth})
    half, brain = plain.stored(dtype="float16"), plain.stored(dtype="bfloat16")
    assert (half.dtype, brain.dtype, plain.dtype) == (torch.float16, torch.bfloat16, torch.float32)
    assert {each["a"].dtype for each in (half, brain, plain)} == {torch.float32}
    assert 1.2e-3 < median_relative_error(brain["a"], truth) < 1.6e-3
    assert 1.5e-4 < median_relative_error(half["a"], truth) < 2e-4
    assert not bool(brain["a"].eq(0).any())
    assert float(half["a"].eq(0).double().mean()) < 1e-4
    # Without a scale, float16 would lose a tenth of the entries.
    assert 0.1 < float(truth.half().eq(0).double().mean()) < 0.17


@pytest.mark.parametrize("largest", [0.0, 1e-44, 1e-38, 1e-20, 1.0, 65504.0, 65535.0, 1e6, 3e38])
def test_scaled_float16_neither_overflows_nor_loses_the_largest(largest: float) -> None:
    stored = importance(tensors={"a": torch.tensor([largest, largest / 1000, 0.0])}).stored(dtype="float16")
    assert bool(torch.isfinite(stored["a"]).all())
    tolerance = 1e-45 if largest < 1e-30 else 0.0
    torch.testing.assert_close(stored["a"], torch.tensor([largest, largest / 1000, 0.0]), rtol=1e-3, atol=tolerance)


def test_storing_again_rounds_nothing_more() -> None:
    half = importance(tensors={"a": wide()}).stored(dtype="float16")
    for again in (half.stored(), half.stored(dtype="float16"), half.stored(dtype="float32").stored(dtype="float16")):
        assert torch.equal(again["a"], half["a"])
    assert half.stored(dtype="float32").dtype == torch.float32
    assert importance().stored(device="cpu").device == torch.device("cpu")
    assert (half.n_examples, half.n_targets, half.unused) == (4, 9, ("a.bias",))
    with pytest.raises(ValueError, match="unknown dtype 'int8'; choose one of float32, bfloat16, float16"):
        half.stored(dtype="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_file_keeps_the_storage(dtype: Any, tmp_path: Path) -> None:
    plain = importance(tensors={"a": wide(), "b": 1e4 * wide(1), "c": torch.zeros(3)})
    stored = plain.stored(dtype=dtype)
    plain.save(tmp_path / "plain")
    stored.save(tmp_path / "stored")
    read = Importance.load(tmp_path / "stored")
    assert read.dtype == stored.dtype
    assert all(torch.equal(read[name], stored[name]) for name in plain)
    assert (tmp_path / "stored").stat().st_size < 0.51 * (tmp_path / "plain").stat().st_size


def test_combining_stored_ones_gives_float32() -> None:
    stored = importance().stored(dtype="float16")  # holds these numbers exactly
    for found in (stored.merge(stored), stored.accumulate(stored, decay=0.0)):
        assert found.dtype == torch.float32
        assert all(torch.equal(found[name], importance()[name]) for name in found)


class Loaded(torch.nn.Module):
    """Has what the importance of these tests names, and more."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.a = torch.nn.Linear(width, 2)
        self.a.bias = torch.nn.Parameter(torch.zeros(3))
        self.head = torch.nn.Linear(2, 2)


def test_loading_for_a_model_refuses_others_before_tensors_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import safe_open

    read: list[str] = []

    class Watched:
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            self.file = safe_open(*arguments, **settings)

        def __enter__(self) -> Watched:
            self.file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def get_tensor(self, name: str) -> torch.Tensor:
            read.append(name)
            return self.file.get_tensor(name)

    path = tmp_path / "fisher"
    importance().save(path)
    monkeypatch.setattr("safetensors.safe_open", Watched)
    with pytest.raises(ValueError, match=r"'a.weight' \(\(2, 3\) in the importance, \(2, 5\).*vocabulary was resized"):
        Importance.load(path, Loaded(5))
    with pytest.raises(ValueError, match=r"no parameter named 'a.bias', 'a.weight'.*another model"):
        Importance.load(path, torch.nn.Linear(1, 1))
    wrapped = torch.nn.ModuleDict({"base_model": torch.nn.ModuleDict({"model": Loaded()})})
    with pytest.raises(ValueError, match="has adapters of peft in it"):
        Importance.load(path, wrapped)
    assert read == []
    assert torch.equal(Importance.load(path, Loaded())["a.weight"], importance()["a.weight"])
    assert sorted(read) == ["a.bias", "a.weight"]


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


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory from Linux")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_file_is_written_and_read_without_a_second_copy_in_memory(tmp_path, dtype):
    side = 1024
    tensors = {f"weight {index}": torch.rand(side, side) for index in range(48)}
    found = Importance(tensors, n_examples=1, variant="exact").stored(dtype=dtype)
    del tensors
    size = 48 * side * side * (2 if dtype == "bfloat16" else 4)

    def growth(work):
        gc.collect()
        environment.reset_peak_memory()
        before = environment.peak_memory()
        kept = work()
        return kept, environment.peak_memory() - before

    _, written = growth(lambda: found.save(tmp_path / "importance.safetensors"))
    assert written < 0.25 * size
    loaded, read = growth(lambda: Importance.load(tmp_path / "importance.safetensors"))
    assert read < 1.25 * size
    assert torch.equal(loaded["weight 47"], found["weight 47"])
