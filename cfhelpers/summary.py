"""The README's tables of results, written from the stored records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cfhelpers.experiments import EXPERIMENTS
from cfhelpers.metrics import mean_and_interval
from cfhelpers.records import Record
from cfhelpers.results import load

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_HEADER = "| profile | method | {first}, just learned | {first}, after {second} | {second} | {extra}stored | training |"


def update_readme(path: Path) -> None:
    """Write the tables between the README's two markers.

    Raises:
        ValueError: The markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to write the results between.")
    path.write_text(f"{before}{BEGIN}\n\n{results_tables()}\n{END}{after}", encoding="utf-8")


def results_tables() -> str:
    """Return one Markdown table for each experiment, over the profiles that have stored records."""
    tables = []
    for experiment in EXPERIMENTS:
        records = []
        for profile in ("tiny", "laptop", "full"):
            try:
                found = load(experiment.chapter, profile=profile, experiment=experiment.name)
            except FileNotFoundError:  # not made for this profile yet
                continue
            plain = {method.name for method in experiment.plain}
            records += [
                record
                for record in found
                if record.extra["stage"] == "learning rate"
                or (record.extra["stage"] == "report" and (record.extra["chosen"] or record.method["name"] in plain))
            ]
        if records:
            tables.append(_table(experiment.chapter, records))
    return "\n".join(tables)


def _table(chapter: str, records: Sequence[Record]) -> str:
    first, second = records[0].tasks
    general = "knowledge" in records[0].extra
    header = _HEADER.format(first=first, second=second, extra="general knowledge | " if general else "")
    title = f"Chapter {chapter}, {first} and then {second} ({records[0].metrics[0]}, % of test questions"
    lines = [f"{title}; mean ± 95 % interval over seeds):", "", header, "|---" * header.count(" | ") + "|---|"]
    for record in records:
        scores = [record.scores(first, after=first), record.scores(first), record.scores(second)]
        if general:
            scores.append(np.array(record.extra["knowledge"])[:, -1])
        cells = [f"{mean_and_interval(100 * values):.1f}" for values in scores]
        stored = f"{record.stored_bytes / 1e6:.1f} MB"
        cells += [stored if record.method["name"] != "joint" else "all data", f"{np.mean(record.seconds):.0f} s"]
        label = record.label
        if any(each.extra["stage"] == "learning rate" for each in records):
            label += f", learning rate {record.plan['learning_rate']:g}"  # how much is forgotten hangs on it
        lines.append(f"| {record.profile} ({len(record.seeds)} seeds) | {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
