"""The benchmarks run, and the README shows what they stored and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import fisher, penalty, report


def test_the_readme_shows_the_stored_measurements_and_no_others() -> None:
    text = report.README.read_text(encoding="utf-8")
    shown = text.partition(report.BEGIN)[2].partition(report.END)[0]
    assert report.tables().strip()
    assert shown.strip() == report.tables().strip(), "python -m tests.benchmarks.report writes the README's tables"


def test_a_table_is_written_between_its_markers_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nb\n")
    report.update_readme(path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"a\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nb\n")
    assert "old" not in text
    path.write_text("nothing")
    with pytest.raises(ValueError, match="no lines"):
        report.update_readme(path)


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
    assert set(_run(penalty.main, tmp_path / "penalty.json")) == {
        "training step",
        "in place (ours)",
        "through autograd",
    }
