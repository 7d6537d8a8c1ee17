"""The benchmarks run, and the README shows what they stored and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from tests.benchmarks import answers, course, fisher, measure, methods, peers, penalty, report, workloads


def test_the_readmes_show_the_stored_measurements_and_no_others() -> None:
    for path, expected in ((report.README, report.short_table()), (report.DETAILS, report.tables())):
        shown = path.read_text(encoding="utf-8").partition(report.BEGIN)[2].partition(report.END)[0]
        assert expected.strip()
        assert shown.strip() == expected.strip(), "python -m tests.benchmarks.report writes the tables"


def test_a_table_is_written_between_its_markers_or_not_at_all(tmp_path: Path) -> None:
    path, details = tmp_path / "README.md", tmp_path / "details.md"
    for each in (path, details):
        each.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nb\n")
    report.update_readme(path, details)
    for each in (path, details):
        text = each.read_text(encoding="utf-8")
        assert text.startswith(f"a\n{report.BEGIN}\n")
        assert text.endswith(f"{report.END}\nb\n")
        assert "old" not in text
    assert len(path.read_text()) < len(details.read_text())
    path.write_text("nothing")
    with pytest.raises(ValueError, match="no lines"):
        report.update_readme(path, details)


@pytest.mark.parametrize("benchmark_", [fisher, penalty])
def test_an_unknown_workload_is_refused_by_name(benchmark_: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark_.main(["zz"])
    assert "there is no workload 'zz'; choose from a, b, c" in capsys.readouterr().err


def _run(main: Any, path: Path, *arguments: str) -> dict[str, Any]:
    main(["tiny", "--seconds", "0", "--output", str(path), *arguments])
    return json.loads(path.read_text())["workloads"]["tiny"]["methods"]


def test_both_benchmarks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher, "_memory", lambda *_: {"peak_memory_bytes": 1})  # each would start a process of its own
    found = _run(fisher.main, tmp_path / "fisher.json")
    assert found["ours"]["worst_relative_error"] < 2e-6
    assert found["batch-of-one loop, trimmed"]["worst_relative_error"] < 2e-6
    assert found["transformers tutorial"]["worst_relative_error"] > 0.1
    assert found["batch gradient squared (wrong)"]["worst_relative_error"] > 0.1
    assert found["Adam's second moment, with the step"]["worst_relative_error"] > 0.1
    assert set(_run(penalty.main, tmp_path / "penalty.json")) == {
        "training step",
        "in place (ours)",
        "through autograd",
    }


def test_one_method_can_be_measured_apart_from_those_that_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fisher, "_memory", lambda *_: {"peak_memory_bytes": 1})
    path = tmp_path / "fisher-cpu.json"
    _run(fisher.main, path, "--only", "forward + backward", "ours")
    stored = json.loads(path.read_text())
    assert list(stored["workloads"]["tiny"]["methods"]) == ["forward + backward", "ours"]
    assert "apart" not in stored
    found = _run(fisher.main, path, "--only", "batch-of-one loop, trimmed")
    after = json.loads(path.read_text())
    assert found["ours"] == stored["workloads"]["tiny"]["methods"]["ours"]
    assert found["batch-of-one loop, trimmed"]["worst_relative_error"] < 2e-6
    assert (after["before"], after["after"]) == (stored["before"], stored["after"])
    assert list(after["apart"]) == ["batch-of-one loop, trimmed"]
    shown = report.tables(tmp_path)
    assert "- measured apart, on 1 thread of" in shown
    assert ": batch-of-one loop, trimmed\n" in shown


def test_adams_second_moment_squares_batches_and_leaves_the_weights() -> None:
    workload = workloads.WORKLOADS["tiny"]()
    before = [parameter.clone() for parameter in workload.model.parameters()]
    found = peers.second_moment(workload)
    assert all(map(torch.equal, before, workload.model.parameters()))
    squares = peers.wrong(workload)
    size = sum(len(batch["labels"]) for batch in workload.batches) / len(workload.batches)
    assert found.keys() == squares.keys()
    for name, square in squares.items():  # the moment weighs later batches a little more
        torch.testing.assert_close(found[name], size * square, rtol=2e-3, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21's own
def test_each_method_has_a_step_that_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_memory", lambda *_: {"peak_memory_bytes": 1})  # each in a process of its own
    found = _run(methods.main, tmp_path / "methods-cpu.json")
    assert set(found) == set(methods.METHODS)
    assert found["kept"]["stored_bytes_per_target"] == methods.TOP_K * 8 + 4
    assert 0 <= found["kept"]["error_nats_per_target"] < found["kept"]["divergence_nats_per_target"]
    shown = report.tables(tmp_path)
    assert "| kept |" in shown
    again = _run(methods.main, tmp_path / "methods-cpu.json", "--methods", "lora")  # one row anew, the others stay
    assert {name for name in found if again[name] != found[name]} == {"lora"}
    # A prompt of ten vectors of width 16; r 8 on linear layers of 16 x 48, 16 x 16, 16 x 64 and 64 x 16.
    assert found["prompt"]["stored_bytes"] == 4 * 10 * 16
    assert found["lora"]["stored_bytes"] == 4 * 8 * ((16 + 48) + (16 + 16) + 2 * (16 + 64))
    model_bytes = json.loads((tmp_path / "methods-cpu.json").read_text())["workloads"]["tiny"]["model_bytes"]
    assert f"lora {found['lora']['stored_bytes'] / model_bytes:.3%}, prompt {640 / model_bytes:.3%}" in shown


def test_a_ratio_compares_a_call_with_the_one_just_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now, speed = [0.0], [1.0]

    def spend(seconds: float) -> None:
        now[0] += seconds * speed[0]

    def drifting() -> None:
        speed[0] *= 2  # the machine slows down from pair to pair; only a pair suffers alike
        spend(1.0)

    def broken() -> None:
        raise RuntimeError("no rule\nfor this layer")

    monkeypatch.setattr(measure.time, "process_time", lambda: now[0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    found = measure.paired({"base": drifting, "slow": lambda: spend(3.0), "broken": broken}, "base", 0.0)
    assert found["slow"]["cpu"]["ratio"] == found["slow"]["cpu"]["ratio_low"] == pytest.approx(3.0)
    assert found["slow"]["wall"]["pairs"] == measure.FEWEST_PAIRS
    assert found["broken"] == {"error": "RuntimeError: no rule"}


@pytest.mark.skipif(measure.peak_memory(int) is None, reason="only Linux tells a process's peak and lets it start anew")
def test_memory_of_the_first_call_and_of_the_next() -> None:
    sizes = iter([80_000_000, 40_000_000])
    found = measure.peak_memory(lambda: bytearray(b"1") * next(sizes))
    assert found is not None
    assert found["first_call_peak_memory_bytes"] == pytest.approx(80_000_000, rel=0.1)
    assert found["peak_memory_bytes"] == pytest.approx(40_000_000, rel=0.1)


@pytest.mark.skipif(measure.peak_memory(int) is None, reason="only Linux tells a process's peak and lets it start anew")
def test_memory_of_training_counts_what_stays_from_step_to_step_and_what_comes_and_goes() -> None:
    def make() -> Any:
        kept = [bytearray(b"1") * 60_000_000]  # a teacher, say

        def step() -> None:
            if len(kept) == 1:
                kept.append(bytearray(b"1") * 50_000_000)  # moments, from the first step on
            bytearray(b"1") * 40_000_000

        return step

    assert measure.training_memory(make) == pytest.approx(150_000_000, rel=0.1)


def test_the_versions_of_the_peers_that_are_measured_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PEERS", ("torch", "no-such-package"))
    assert list(measure.provenance()["peers"]) == ["torch"]


def write_notebook(root: Path, name: str, code: str) -> None:
    (root / "notebooks").mkdir(exist_ok=True, parents=True)
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), root / "notebooks" / f"{name}.ipynb")


def test_the_seconds_of_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = "import time\nstart = time.process_time()\nwhile time.process_time() < start + 2: pass"
    write_notebook(tmp_path, "01_busy", busy)
    write_notebook(tmp_path, "02_broken", "1 / 0")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    course.main(["--alone", "--output", str(tmp_path / "course.json")])
    found = json.loads((tmp_path / "course.json").read_text())
    assert found["before"]["cpu"] == measure.provenance()["cpu"]
    one, two = (found["notebooks"]["this commit"][name]["alone"] for name in ("01_busy", "02_broken"))
    assert one["cpu"] > two["cpu"] + 1  # the kernel's own seconds are counted
    assert one["wall"] > 2
    assert "error" not in one
    assert "ZeroDivisionError" in two["error"]
    write_notebook(tmp_path, "02_broken", "import os\nprint(os.environ['OMP_NUM_THREADS'], 'thread')")  # mended
    course.main(["02", "--alone", "--add", "--threads", "1", "--output", str(tmp_path / "course.json")])
    added = json.loads((tmp_path / "course.json").read_text())
    assert added["kernel_threads"] == 1
    assert added["notebooks"]["this commit"]["01_busy"]["alone"] == one
    assert "error" not in added["notebooks"]["this commit"]["02_broken"]["alone"]
    assert "1 thread" in (tmp_path / "build" / "course" / "tiny" / "02_broken.ipynb").read_text()
    with pytest.raises(SystemExit, match="no notebook 07; there are 01_busy, 02_broken"):
        course.main(["07"])


def test_answers_together_are_the_same_and_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "QUESTIONS", 3)
    path = tmp_path / "answers-tiny.json"
    answers.main(["--profile", "tiny", "--seconds", "0", "--output", str(path)])
    found = json.loads(path.read_text())
    assert found["questions"] == 3
    assert list(found["models"]) == ["untaught", "taught"]
    assert all(each["same_texts"] and each["together"]["cpu"]["ratio"] < 1 for each in found["models"].values())
    assert found["models"]["untaught"]["mean_tokens"] > 0
    assert "3 answers together, `tiny`, on 1 thread" in report.tables(tmp_path)
