"""What the stored records say, for people: the README's short table, and long tables and a picture beside the records.

``python -m cfhelpers results NN`` writes all three anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfhelpers import plots
from cfhelpers.course.experiments import EXPERIMENTS
from cfhelpers.course.results import stored
from cfhelpers.metrics import mean_and_interval
from cfhelpers.tables.cells import cell, megabytes
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
DETAILS, PICTURE = Path("notebooks/results/README.md"), Path("notebooks/results/overview.png")

# The README's rows, all of persona and then workplace: what a reader calls the method, and where it stands in the
# records: chapter, experiment, and the sweep or the plain method. Where a profile has none there, ``ELSEWHERE`` says
# which other chapter measured it with the same plan and seeds.
ELSEWHERE = {
    ("03", "persona", "replay"): ("07", "persona", "replay"),
    ("07", "how little", "derpp"): ("07", "persona", "derpp"),
}
HEADLINE = {
    "naive fine-tuning": ("03", "persona", "naive"),
    "EWC": ("03", "persona", "ewc"),
    "L2 to the old weights": ("03", "persona", "l2sp"),
    "one LoRA adapter for both": ("05", "persona", "all"),
    "replay of 16 dialogues": ("03", "persona", "replay"),
    "DER++: 13 dialogues and old logits": ("07", "how little", "derpp"),
    "distillation from the old model": ("08", "persona", "lwf"),
    "joint training on all data": ("03", "persona", "joint"),
}


def update_readme(path: Path) -> None:
    """Write the README's short table between its two markers; below its folder, the long tables and the picture.

    Args:
        path: Of the README; the others lie at ``DETAILS`` and ``PICTURE``, seen from its folder.

    Raises:
        ValueError: The markers are not there.
    """
    write_between(path, (BEGIN, END), headline_table())
    write_between(path.parent / DETAILS, (BEGIN, END), results_tables())
    # No date and no version in the file: it changes when the records do.
    picture().savefig(path.parent / PICTURE, dpi=90, metadata={"Software": None})


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


def headline_table() -> str:
    """Return the README's table: what each method keeps, learns and costs, in ``tiny`` and ``laptop``."""
    found = {profile: _headline_records(profile) for profile in ("tiny", "laptop")}
    naive = {profile: records["naive fine-tuning"] for profile, records in found.items()}
    first = naive["tiny"]
    seeds = " and ".join(f"{len(record.seeds)} in `{profile}`" for profile, record in naive.items())
    columns = [f"{what}, `{profile}`" for profile in found for what in ("kept", "learned")]
    lines = [
        f"Recall of {first.tasks[0]} (kept) and {first.tasks[1]} (learned) at the end, % of test questions, "
        f"mean ± 95 % interval over seeds ({seeds}); costs as `tiny` / `laptop`:",
        "",
        f"| method | {' | '.join(columns)} | stored, MB | training, × naive |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for name in HEADLINE:
        records = [(found[profile].get(name), naive[profile]) for profile in found]
        scores = [text for record, _ in records for text in _kept_and_learned(record)]
        stored = " / ".join(_stored(record) for record, _ in records)
        times = [f"{np.mean(r.seconds) / np.mean(plain.seconds):.1f}" if r else "–" for r, plain in records]
        lines.append(f"| {name} | {' | '.join(scores)} | {stored} | {' / '.join(times)} |")
    return "\n".join([*lines, ""])


def picture() -> Figure:
    """Draw the README's picture: forgetting along naive training, and what each method keeps and learns."""
    from matplotlib.figure import Figure

    records = _headline_records("tiny")
    figure = Figure(figsize=(10.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.learning_curves(records["naive fine-tuning"], ax=left)
    left.set_title("a chat model learns who it is, then where it works", pad=22, fontsize=10)
    bounds = ("naive", "joint")  # the figure has names of its own for these
    named = [
        record if record.method["name"] in bounds else replace(record, extra={**record.extra, "sweep": name})
        for name, record in records.items()
    ]
    plots.retention_against_learning(named, ax=right)
    right.set_title("what each method keeps and learns (best: upper right)", fontsize=10)
    return figure


def _headline_records(profile: str) -> dict[str, Record]:
    """Return the reported records of the README's rows that this profile has, by the row's name."""
    found = {}
    for name, place in HEADLINE.items():
        record = _shown_record(place, profile)
        if record is None and place in ELSEWHERE:
            record = _shown_record(ELSEWHERE[place], profile)
        if record is not None:
            found[name] = record
    return found


def _shown_record(place: tuple[str, str, str], profile: str) -> Record | None:
    """Return the reported record at a place of ``HEADLINE``: of a sweep the chosen one, or none."""
    chapter, experiment, key = place
    found = []
    for record in stored(chapter, profile) or []:
        own = record.extra["sweep"] or record.method["name"]
        if (record.extra["stage"], record.extra["experiment"], own) == ("report", experiment, key):
            found.append(record)
    plain = next((record for record in found if not record.extra["sweep"]), None)
    return next((record for record in found if record.extra["chosen"]), plain)


def _kept_and_learned(record: Record | None) -> list[str]:
    if record is None:
        return ["–", "–"]
    return [cell(mean_and_interval(record.scores(task)), record.metrics[0]) for task in record.tasks]


def _stored(record: Record | None) -> str:
    if record is None:
        return "–"
    return "all data" if record.method["name"] == "joint" else megabytes(record.stored_bytes)


def results_tables() -> str:
    """Return one Markdown table for each experiment, over the profiles that have stored records."""
    tables = []
    for chapter, name in dict.fromkeys((each.chapter, each.name) for each in EXPERIMENTS):
        same = [each for each in EXPERIMENTS if (each.chapter, each.name) == (chapter, name)]  # one for each profile
        plain = {method.name for each in same for method in each.plain}
        records = []
        for profile in ("tiny", "laptop", "full"):
            found = [record for record in stored(chapter, profile) or [] if record.extra["experiment"] == name]
            records += [
                record
                for record in found
                if record.extra["stage"] == "learning rate"
                or (record.extra["stage"] == "report" and (record.extra["chosen"] or record.method["name"] in plain))
            ]
        if records:
            tables.append(_table(f"Chapter {chapter}, {name}", records))
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
