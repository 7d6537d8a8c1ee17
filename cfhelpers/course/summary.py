"""The README's tables of results, written from the stored records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cfhelpers.course.experiments import EXPERIMENTS
from cfhelpers.course.results import stored
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.records import Record

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def update_readme(path: Path) -> None:
    """Write the tables of results between the README's two markers.

    Raises:
        ValueError: The markers are not there.
    """
    write_between(path, (BEGIN, END), results_tables())


def write_between(path: Path, markers: tuple[str, str], tables: str) -> None:
    """Replace what stands in a file between two markers, each on a line of its own.

    Raises:
        ValueError: The markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not (begin and end):
        raise ValueError(f"{path} has no lines {markers[0]} and {markers[1]} to write the tables between.")
    path.write_text(f"{before}{begin}\n\n{tables}\n{end}{after}", encoding="utf-8")


def results_tables() -> str:
    """Return one Markdown table for each experiment, over the profiles that have stored records."""
    tables = []
    for experiment in EXPERIMENTS:
        records = []
        for profile in ("tiny", "laptop", "full"):
            found = stored(experiment.chapter, profile) or []
            found = [record for record in found if record.extra["experiment"] == experiment.name]
            plain = {method.name for method in experiment.plain}
            records += [
                record
                for record in found
                if record.extra["stage"] == "learning rate"
                or (record.extra["stage"] == "report" and (record.extra["chosen"] or record.method["name"] in plain))
            ]
        if records:
            tables.append(_table(f"Chapter {experiment.chapter}, {experiment.name}", records))
    return "\n".join(tables)


def _table(title: str, records: Sequence[Record]) -> str:
    *earlier, last = records[0].tasks
    general = "knowledge" in records[0].extra
    columns = ["profile", "method"]
    columns += [column for task in earlier for column in (f"{task}, just learned", f"{task}, after {last}")]
    columns += [last, *(["general knowledge"] if general else []), "stored", "training"]
    percent = records[0].higher_is_better[0]
    what = f"{records[0].metrics[0]}, {'% of test questions' if percent else 'test data, lower is better'}"
    title += f": {' and then '.join([*earlier, last])} ({what}; mean ± 95 % interval over seeds):"
    lines = [title, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    by_rate = any(each.extra["stage"] == "learning rate" for each in records)  # how much is forgotten hangs on it
    for record in records:
        scores = [values for task in earlier for values in (record.scores(task, after=task), record.scores(task))]
        scores.append(record.scores(last))
        if general:
            scores.append(np.array(record.extra["knowledge"])[:, -1])
        cells = [
            f"{mean_and_interval(100 * each):.1f}" if percent else f"{mean_and_interval(each):.2f}" for each in scores
        ]
        stored = f"{record.stored_bytes / 1e6:.1f} MB"
        cells += [stored if record.method["name"] != "joint" else "all data", f"{np.mean(record.seconds):.0f} s"]
        label = record.label + (f", learning rate {record.plan['learning_rate']:g}" if by_rate else "")
        lines.append(f"| {record.profile} ({len(record.seeds)} seeds) | {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
