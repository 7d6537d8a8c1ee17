"""The stored results of the notebooks: made by one command, read by the notebooks, run again by the tests.

``python -m cfhelpers results 03 --profile tiny`` makes a chapter's file anew. Finished runs are kept in
``build/results`` until the file is whole, so that an interrupted command goes on where it was.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from cfhelpers.course.experiments import EXPERIMENTS, REPORTED_SEEDS, SELECTION_SEEDS, Experiment
from cfhelpers.course.stored_runs import Point, kept_runs, make_method, read_records
from cfhelpers.environment import resolve_profile
from cfhelpers.methods import Naive
from cfhelpers.tasks import task_kind
from cfhelpers.training.plans import PLANS, Plan
from cfhelpers.training.records import Record, merge_seeds, save_json
from cfhelpers.training.runtime import Runtime, start
from cfhelpers.training.sequence import Learned, learn_once

REPOSITORY = Path(__file__).parents[2]
STORED = REPOSITORY / "notebooks" / "results"
PACKAGED = Path(__file__).parent / "stored_results"


def load(chapter: str, *, profile: str | None = None, experiment: str | None = None) -> list[Record]:
    """Read a chapter's stored records; those of ``tiny``, and it says so, where a profile has none yet.

    Args:
        chapter: Number, such as "03".
        profile: None takes the one that ``cf.start`` would.
        experiment: Only records of the experiment of this name.

    Raises:
        FileNotFoundError: Nothing is stored for this chapter; the message says which command makes it.
    """
    profile = resolve_profile(profile).name
    command = f"`python -m cfhelpers results {chapter} --profile {profile}` makes them."
    missing = f"No stored results for chapter {chapter} in profile {profile!r}"
    found = stored(chapter, profile)
    if found is None and (found := stored(chapter, "tiny")) is not None:
        print(f"{missing}: what is read here was measured in 'tiny', with its models. {command}")
    if found is None:
        raise FileNotFoundError(f"{missing}; {command}")
    return [each for each in found if experiment in (None, each.extra.get("experiment"))]


def stored(chapter: str, profile: str) -> list[Record] | None:
    """Return a chapter's records in this very profile, or None where there are none.

    Raises:
        UnreadableResults: The file is damaged, or from a version that wrote other things.
    """
    for path in (path for folder in (STORED, PACKAGED) for path in folder.glob(f"{chapter}_*.{profile}.json")):
        return read_records(path)
    return None


def chosen(records: Sequence[Record]) -> dict[str, Record]:
    """Return the record of each sweep's setting that was chosen on validation data with seeds that are not reported."""
    reported = (record for record in records if record.extra["stage"] == "report" and record.extra["chosen"])
    return {record.extra["sweep"]: record for record in reported}


def at_an_end(record: Record, records: Sequence[Record]) -> bool:
    """Say whether a chosen setting is the first or the last of those tried: a better one may lie beyond it.

    Args:
        record: One of ``chosen``.
        records: All of its chapter, with those by which the settings were chosen.

    Raises:
        ValueError: ``records`` does not hold the tries of this sweep.
    """
    own = [record.extra[name] for name in ("experiment", "sweep")]
    tries = [each for each in records if each.extra["stage"] == "selection"]
    tried = [each.method for each in tries if [each.extra[name] for name in ("experiment", "sweep")] == own]
    if record.method not in tried:
        raise ValueError(f"among the records there is no try of {record.label} in {' and '.join(map(repr, own))}.")
    return record.method in (tried[0], tried[-1])


def rerun(record: Record, seed: int) -> Record:
    """Run one stored point again: this record's method, plan and tasks with one of its seeds."""
    run = replace(start(seed=seed, profile=record.profile), seed=seed)
    return learn_once(run, record.role, record.tasks, make_method(record.method), plan=Plan(**record.plan)).record


def regenerate(chapter: str, *, profile: str | None = None, folder: Path = STORED, keep: bool = False) -> Path:
    """Run all experiments of a chapter and write their records to one file.

    Args:
        chapter: Number, such as "03".
        profile: None takes the one that ``cf.start`` would.
        folder: Where the file goes.
        keep: Run only what the file that is there lacks: methods, settings, plans or seeds that are new. What changed
            in a method, a model or a measure since then does not show.

    Returns:
        The file written.

    Raises:
        ValueError: The chapter has no experiments.
        UnreadableResults: What is to be kept cannot be read; nothing has been run or written then.
    """
    experiments = [each for each in EXPERIMENTS if each.chapter == chapter]
    if not experiments:
        chapters = sorted({each.chapter for each in EXPERIMENTS})
        raise ValueError(f"Chapter {chapter!r} has no stored results; there are {', '.join(chapters)}.")
    run = start(profile=profile)
    target = folder / f"{_slug(chapter)}.{run.profile}.json"
    kept, records = kept_runs(target, {each.name for each in experiments}) if keep and target.exists() else {}, []
    for experiment in experiments:
        if run.profile not in experiment.profiles:
            continue
        unfinished = REPOSITORY / "build" / "results" / f"{chapter}-{experiment.name.replace(' ', '-')}.{run.profile}"
        unfinished.mkdir(parents=True, exist_ok=True)
        for file, record in kept.get(experiment.name, {}).items():
            if not (unfinished / file).exists():
                record.save(unfinished / file)
        records.extend(_drawn(record, experiment) for record in _run_experiment(run, experiment, unfinished))
    save_json({"records": [asdict(record) for record in records]}, target)
    for unfinished in (REPOSITORY / "build" / "results").glob(f"{chapter}-*.{run.profile}"):
        shutil.rmtree(unfinished)
    return target


def _drawn(record: Record, experiment: Experiment) -> Record:
    """Return the record without the long parts that nobody draws."""
    return replace(record, **{name: [] for name in ("curves", "losses") if name not in experiment.traces})


def _slug(chapter: str) -> str:
    sources = sorted((REPOSITORY / "notebooks" / "source").glob(f"{chapter}_*.py"))
    if not sources:
        raise ValueError(f"There is no notebook number {chapter}.")
    return sources[0].stem


def _run_experiment(run: Runtime, experiment: Experiment, unfinished: Path) -> list[Record]:
    plan = PLANS[run.profile, task_kind(experiment.tasks[0])]
    plan = replace(plan, **experiment.changes)
    selection = experiment.selection_seeds or SELECTION_SEEDS[run.profile]
    reported = experiment.reported_seeds or REPORTED_SEEDS[run.profile]
    rates = _try_rates(run, experiment, plan, unfinished)
    sweeps = experiment.sweeps.get(run.profile, {})
    trials = [Point("selection", method, selection, plan, name) for name, sweep in sweeps.items() for method in sweep]
    found = dict(zip(trials, _run_points(run, experiment, trials, unfinished), strict=True))
    best = {name: _best([point for point in trials if point.sweep == name], found) for name in sweeps}

    # In tiny some sweeps are reported whole, for the curves; otherwise only the chosen setting is.
    whole = experiment.curves if run.profile == "tiny" else ()
    shown = [point for point in trials if point.sweep in whole or point in best.values()]
    points = [Point("report", method, reported, plan) for method in experiment.plain]
    points += [replace(point, stage="report", seeds=reported) for point in shown]
    points += [
        Point("learning rate", Naive(), reported, replace(plan, learning_rate=rate))
        for rate in experiment.learning_rates.get(run.profile, ())
        if "learning rate" in whole and rate != plan.learning_rate
    ]
    records = _run_points(run, experiment, points, unfinished)
    for point, record in zip(points, records, strict=True):
        is_best = point.stage == "report" and any(point.method is each.method for each in best.values())
        record.extra |= _labels(experiment, point, is_best)
    for point, record in found.items():
        record.extra |= _labels(experiment, point, point in best.values())
    return [*records, *found.values(), *rates]


def _labels(experiment: Experiment, point: Point, chosen: bool) -> dict[str, Any]:
    return {"experiment": experiment.name, "stage": point.stage, "sweep": point.sweep, "chosen": chosen}


def _try_rates(run: Runtime, experiment: Experiment, plan: Plan, unfinished: Path) -> list[Record]:
    """Learn with every rate and say which one teaches best and soonest: the plan should have it."""
    rates = experiment.learning_rates.get(run.profile, ())
    plans = [replace(plan, learning_rate=rate) for rate in rates]
    points = [Point("rate selection", Naive(), SELECTION_SEEDS[run.profile], each) for each in plans]
    records = _run_points(run, experiment, points, unfinished)
    best = max(records, key=learning_speed, default=None)
    for point, record in zip(points, records, strict=True):
        record.extra |= _labels(experiment, point, record is best)
    if best is not None and Plan(**best.plan) != plan:
        print(f"Note: {best.plan['learning_rate']:g} teaches best, the plan has {plan.learning_rate:g}.")
    return records


def learning_speed(record: Record) -> float:
    """Mean validation score of each task along its own training: high for what is learned well, and soon.

    What becomes of a task later does not count. Of a perplexity, minus the logarithm.
    """
    better = dict(zip(record.tasks, record.higher_is_better, strict=True))
    scores = [_rising(each["score"], better[each["task"]]) for each in record.curves if _of_its_own(each)]
    return float(np.mean(scores))


def _of_its_own(entry: Mapping[str, Any]) -> bool:
    return entry["training"] == entry["task"] and not np.isnan(entry["score"])


def _rising(score: float, higher_is_better: bool) -> float:
    return score if higher_is_better else -math.log(score)


def _best(points: Sequence[Point], found: Mapping[Point, Record]) -> Point:
    """Choose by the mean validation score over tasks and selection seeds; of a perplexity, minus the logarithm."""

    def score(point: Point) -> float:
        record = found[point]
        rows = [map(_rising, row, record.higher_is_better) for row in record.selection]
        return float(np.mean([list(row) for row in rows]))

    best = max(points, key=score)
    if best in (points[0], points[-1]):
        print(f"Note: the best {best.sweep} setting {best.method.settings()} lies at the edge of its grid.")
    return best


def _run_points(run: Runtime, experiment: Experiment, points: Sequence[Point], unfinished: Path) -> list[Record]:
    """Run what is not there yet, seed by seed so that methods share the first task, and merge the seeds."""
    plans = list(dict.fromkeys(point.plan for point in points))
    jobs = [(seed, plan) for plan in plans for seed in sorted({seed for each in points for seed in each.seeds})]
    for seed, plan in tqdm(jobs, desc=f"{experiment.name}: seeds"):
        todo = [
            point
            for point in points
            if point.plan == plan and seed in point.seeds and not (unfinished / point.file(seed)).exists()
        ]
        if todo:
            for point, record in _run_seed(replace(run, seed=seed), experiment, plan, todo):
                record.save(unfinished / point.file(seed))
    return [merge_seeds([Record.load(unfinished / point.file(seed)) for seed in point.seeds]) for point in points]


def _run_seed(
    run: Runtime, experiment: Experiment, plan: Plan, points: Sequence[Point]
) -> Iterator[tuple[Point, Record]]:
    first: Learned | None = None
    sequence, measure = (run, experiment.role, experiment.tasks), experiment.measure
    for point in points:
        if point.method.own_first_task:
            yield point, learn_once(*sequence, point.method, plan=plan, measure=measure).record
            continue
        if first is None:
            first = learn_once(*sequence, Naive(), plan=plan, stop_after=1, measure=measure)
        yield point, first.then(point.method, measure=measure).record


def stored_points(records: Sequence[Record]) -> list[tuple[Record, int]]:
    """Return every (record, seed) that ``rerun`` can repeat."""
    return [(record, seed) for record in records for seed in record.seeds]
