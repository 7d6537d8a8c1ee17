"""Train one model through a sequence of tasks and fill the result matrix as it goes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from tqdm.auto import tqdm

from cfhelpers import environment
from cfhelpers.methods.base import Method
from cfhelpers.methods.naive import Naive
from cfhelpers.models.loading import check_role
from cfhelpers.tasks import task_kind
from cfhelpers.tasks.encoding import EncodedTask, encode_task, first_asked
from cfhelpers.tasks.task import Task
from cfhelpers.training.one_task import learn_task, remember, score_row
from cfhelpers.training.plans import LIVE_PLANS, Plan
from cfhelpers.training.records import Record, merge_seeds
from cfhelpers.training.runtime import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Measure = Callable[["Learned"], dict[str, float]]


@dataclass
class Learned:
    """A model that has learned some tasks, and the record of how.

    Attributes:
        run: Profile, device and seed.
        model: At the end of its last task.
        tokenizer: The model's.
        tasks: Every task of the sequence, encoded, learned or not.
        method: With what it remembers of the tasks.
        record: Scores of one seed; its last row of ``results`` is the present.
    """

    run: Runtime
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    tasks: list[EncodedTask]
    method: Method
    plan: Plan
    record: Record

    @property
    def n_learned(self) -> int:
        """How many of the tasks have been learned."""
        return len(self.record.results[0])

    def then(self, method: Method, *, measure: Measure | None = None, progress: bool = True) -> Learned:
        """Learn the remaining tasks with another method, leaving this object as it is.

        Most methods train the first task plainly, so they can share it: what comes out equals a run of ``method``
        from the beginning, bit for bit. One that watches that training, or trains other weights than the model's own,
        cannot share it: for it (``own_first_task``) this *is* a run from the beginning, with the same seed and plan.

        Args:
            method: A fresh method; a copy of it looks at the model and the tasks learned so far first.
            measure: As in ``learn_once``.
            progress: Show a progress bar.

        Raises:
            ValueError: More than one task was learned, or by another method than ``Naive``.
        """
        if self.n_learned != 1 or not isinstance(self.method, Naive):
            raise ValueError("Only a model that has learned one task plainly (Naive) can go on with another method.")
        if method.own_first_task:
            tasks = [task.task for task in self.tasks]
            return learn_once(
                self.run, self.record.role, tasks, method, plan=self.plan, measure=measure, progress=progress
            )
        record, method = copy.deepcopy(self.record), copy.deepcopy(method)
        record.method = {"name": method.name, **method.settings()}
        if method.restarts_from_base:
            environment.seed_everything(self.run.seed)
            model = method.prepare_model(self.run.load(record.role).model, self.tasks[0])
        else:
            model = copy.deepcopy(self.model)
        next_one = replace(self, model=model, method=method, record=record)
        remember(next_one)
        return _learn_remaining(next_one, measure, progress)


def learn_once(
    run: Runtime,
    role: str,
    tasks: Sequence[str | Task],
    method: Method,
    *,
    plan: Plan | None = None,
    stop_after: int | None = None,
    measure: Measure | None = None,
    progress: bool = True,
) -> Learned:
    """Train a fresh model through a sequence of tasks with the runtime's seed.

    Args:
        run: What ``cf.start`` returned.
        role: Of the model.
        tasks: Names (made with the runtime's seed) or tasks.
        method: Copied first; the object given stays fresh.
        plan: Steps, batch size and learning rate; None takes that of ``LIVE_PLANS`` for the profile and kind of task.
        stop_after: Learn only the first so many tasks; ``Learned.then`` goes on from there.
        measure: Called before the first task and after each; the numbers it returns are kept in ``record.extra``, by
            name as one list for each seed, and under "untouched name" those from before.
        progress: Show a progress bar.

    Returns:
        The model and its record.

    Raises:
        ValueError: No task, tasks of different kinds, an unknown name or role, a role that cannot learn these tasks,
            or a plan that trains nothing.
    """
    plan = _checked_plan(tasks, plan, run.profile)
    made = [
        task if isinstance(task, Task) else run.tasks(task, size=plan.size_of(position))[0]
        for position, task in enumerate(tasks)
    ]
    check_role(role, made[0].name, made[0].kind)
    environment.seed_everything(run.seed)
    loaded = run.load(role)
    encoded = [
        first_asked(encode_task(task, loaded.tokenizer, task_id=index, max_length=plan.max_length), plan.asked)
        for index, task in enumerate(made)
    ]
    record = Record(
        role=role,
        profile=run.profile,
        tasks=[task.name for task in made],
        method={"name": method.name, **method.settings()},
        plan=asdict(plan),
        metrics=[task.metric for task in made],
        higher_is_better=[task.higher_is_better for task in made],
        chance=[task.chance for task in made],
        ceiling=[task.ceiling for task in made],
        seeds=[run.seed],
        results=[[]],
        selection=[[]],
        seconds=[0.0],
        provenance={**_provenance(run), "model": loaded.source, "data": [task.source for task in made]},
    )
    learned = Learned(run, loaded.model, loaded.tokenizer, encoded, copy.deepcopy(method), plan, record)
    record.initial = [score_row(learned, "test")]
    record.extra = {f"untouched {name}": [value] for name, value in (measure(learned) if measure else {}).items()}
    return _learn_remaining(learned, measure, progress, stop_after)


def learn_sequence(
    run: Runtime,
    role: str,
    tasks: Sequence[str | Task],
    method: Method,
    *,
    seeds: Sequence[int] = (0,),
    plan: Plan | None = None,
    measure: Measure | None = None,
    path: str | Path | None = None,
    progress: bool = True,
) -> Record:
    """Train through a sequence of tasks, once for each seed.

    Args:
        run: What ``cf.start`` returned; its own seed is not used.
        role: Of the model.
        tasks: Names, made anew for each seed, or tasks, used as they are under every seed.
        method: Used afresh for each seed.
        seeds: Of data, order of examples and new heads.
        plan: As in ``learn_once``.
        measure: As in ``learn_once``.
        path: Keep the record here after each seed; if it is there already, go on with the seeds that are missing.
        progress: Show a progress bar for each seed.

    Returns:
        The record of all seeds.

    Raises:
        ValueError: No seeds, or ``path`` holds the record of another experiment; and as in ``learn_once``.
    """
    if not seeds:
        raise ValueError("learn_sequence needs at least one seed.")
    names = [task if isinstance(task, str) else task.name for task in tasks]
    records = []
    if path is not None and Path(path).exists():
        stored = Record.load(path)
        _check_same_experiment(stored, path, role, run.profile, names, {"name": method.name, **method.settings()}, plan)
        records = [stored]
    done = [seed for record in records for seed in record.seeds]
    for seed in seeds:
        if seed in done:
            continue
        once = learn_once(replace(run, seed=seed), role, tasks, method, plan=plan, measure=measure, progress=progress)
        records.append(once.record)
        if path is not None:
            merge_seeds(records).save(path)
    return merge_seeds(records)


def _checked_plan(tasks: Sequence[str | Task], plan: Plan | None, profile: str) -> Plan:
    if not tasks:
        raise ValueError("A sequence needs at least one task.")
    kinds = {task.kind if isinstance(task, Task) else task_kind(task) for task in tasks}
    if len(kinds) > 1:
        raise ValueError(f"One model learns tasks of one kind, but these are of several: {', '.join(sorted(kinds))}.")
    names = [task.name if isinstance(task, Task) else task for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"Each task of a sequence needs a name of its own: {', '.join(names)}.")
    plan = plan or LIVE_PLANS[profile, kinds.pop()]
    if plan.steps < 1 or plan.batch_size < 1 or plan.learning_rate <= 0:
        raise ValueError(f"A plan needs at least one step, one example a batch and a positive learning rate: {plan}.")
    return plan


def _check_same_experiment(
    stored: Record,
    path: str | Path,
    role: str,
    profile: str,
    tasks: list[str],
    method: dict[str, Any],
    plan: Plan | None,
) -> None:
    wanted: dict[str, Any] = {"role": role, "profile": profile, "tasks": tasks, "method": method}
    if plan is not None:
        wanted["plan"] = asdict(plan)
        stored = replace(stored, plan=asdict(Plan(**stored.plan)))  # older records lack what plans had not then
    for name, value in wanted.items():
        if getattr(stored, name) != value:
            raise ValueError(f"{path} holds another experiment: {name} is {getattr(stored, name)}, not {value}.")


def _provenance(run: Runtime) -> dict[str, Any]:
    return {
        "versions": environment.versions(),
        "git_revision": environment.git_revision(),
        "device": environment.device_name(run.device),
        "threads": run.threads,
        "date": datetime.now(UTC).date().isoformat(),
    }


def _learn_remaining(
    learned: Learned, measure: Measure | None, progress: bool, stop_after: int | None = None
) -> Learned:
    environment.reset_peak_memory(learned.run.device)
    last = len(learned.tasks) if stop_after is None else stop_after
    total = sum(
        learned.method.training_steps(learned.plan.steps_of(index), learned.tasks[:index])
        for index in range(learned.n_learned, last)
    )
    with tqdm(total=total, desc=learned.method.name, disable=not progress) as bar:
        while learned.n_learned < last:
            learn_task(learned, bar)
            if learned.n_learned < len(learned.tasks):
                remember(learned)
            for name, value in (measure(learned) if measure else {}).items():
                learned.record.extra.setdefault(name, [[]])[0].append(value)
    record = learned.record
    record.peak_memory_bytes = environment.peak_memory(learned.run.device)
    record.stored_bytes = learned.method.stored_bytes()
    record.selection = [score_row(learned, "validation")]
    return learned
