"""Tables that compare records: a row per method or setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cfhelpers import metrics
from cfhelpers.metrics import Interval, mean_and_interval
from cfhelpers.tables.cells import cell, megabytes, unique_names
from cfhelpers.training.records import Record

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[Record] | Mapping[str, Record]


def comparison(records: Records) -> pd.DataFrame:
    """Return what each method kept and learned, and what that cost.

    Args:
        records: One per method, of the same tasks; a mapping gives the rows their names.

    Returns:
        For each old task its score when just learned and at the end, the last task's score, and the costs.

    Raises:
        ValueError: There is no record, they are of different tasks, or two have the same name.
    """
    import pandas as pd

    named = _named(records)
    tasks = next(iter(named.values())).tasks
    rows = {}
    for name, record in named.items():
        row = {}
        for task, metric in zip(tasks[:-1], record.metrics, strict=False):
            row[f"{task}, just learned"] = cell(mean_and_interval(record.scores(task, after=task)), metric)
            row[f"{task}, at the end"] = cell(mean_and_interval(record.scores(task)), metric)
        row[tasks[-1]] = cell(mean_and_interval(record.scores(tasks[-1])), record.metrics[-1])
        rows[name] = row | _costs(record)
    return pd.DataFrame.from_dict(rows, orient="index")


def costs(records: Records) -> pd.DataFrame:
    """Return what each method costs: training seconds, stored bytes, peak memory.

    Raises:
        ValueError: There is no record, they are of different tasks, or two have the same name.
    """
    import pandas as pd

    rows = {
        name: {**_costs(record), "peak memory, MB": f"{record.peak_memory_bytes / 1e6:.0f}"}
        for name, record in _named(records).items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def transfer(records: Records, *, single_task: ArrayLike | None = None, joint: ArrayLike | None = None) -> pd.DataFrame:
    """Return average score, backward transfer and forgetting; with a reference, forward transfer and intransigence.

    Args:
        records: One per method, of the same tasks with one metric.
        single_task: Shape ``[T]`` or ``[S, T]``: scores of models that learned one task each, for forward transfer.
        joint: Shape ``[T]`` or ``[S, T]``: scores of joint training, for intransigence.

    Returns:
        Shares in percentage points, perplexities as they are; positive transfer is a gain, positive forgetting and
        intransigence are a loss.

    Raises:
        ValueError: No record, different tasks, or scores of another shape.
    """
    import pandas as pd

    rows = {}
    for name, record in _named(records).items():
        found: dict[str, list[float]] = {}
        if len(set(record.metrics)) == 1:
            found["average"] = _over_seeds(metrics.average_accuracy, record)
        found["backward transfer"] = _over_seeds(metrics.backward_transfer, record)
        found["forgetting"] = _over_seeds(metrics.forgetting, record)
        if single_task is not None:
            found["forward transfer"] = _over_seeds(metrics.forward_transfer, record, _per_seed(single_task, record))
        if joint is not None:
            found["intransigence"] = _over_seeds(metrics.intransigence, record, _per_seed(joint, record))
        rows[name] = {title: cell(mean_and_interval(values), record.metrics[0]) for title, values in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _over_seeds(measure: Callable[..., float], record: Record, *references: np.ndarray) -> list[float]:
    return [
        measure(matrix, *(reference[seed] for reference in references), higher_is_better=record.higher_is_better)
        for seed, matrix in enumerate(record.results)
    ]


def differences(records: Records, base: str) -> pd.DataFrame:
    """Return by how much each record ends above or below one of them, task by task and seed by seed.

    Args:
        records: One per method, of the same tasks and seeds.
        base: The name of the one that the others are compared with.

    Returns:
        Shares in percentage points, perplexities in nats per token (the difference of their logarithms), "mean" over
        the tasks where all have one metric. A star marks an interval without zero: a difference that these seeds show.

    Raises:
        ValueError: No record, different tasks or seeds, or none of this name.
    """
    import pandas as pd

    named = _named(records)
    if base not in named:
        raise ValueError(f"There is no record named {base!r}; there are: {', '.join(named)}")
    if any(record.seeds != named[base].seeds for record in named.values()):
        raise ValueError("a difference seed by seed needs records of the same seeds")
    rows = {}
    for name, record in named.items():
        gaps = {task: _units(record, task) - _units(named[base], task) for task in record.tasks}
        if len(set(record.metrics)) == 1:
            gaps["mean"] = np.mean(list(gaps.values()), axis=0)
        digits = 3 if "perplexity" in record.metrics else 1
        rows[f"{name} − {base}"] = {task: _signed(mean_and_interval(gap), digits) for task, gap in gaps.items()}
    del rows[f"{base} − {base}"]
    return pd.DataFrame.from_dict(rows, orient="index")


def _units(record: Record, task: str) -> np.ndarray:
    """Return a task's final scores [S] in units that may be subtracted: percent, or nats per token."""
    scores = record.scores(task)
    return np.log(scores) if record.metrics[record.tasks.index(task)] == "perplexity" else 100 * scores


def _signed(interval: Interval, digits: int) -> str:
    return f"{interval:+.{digits}f}" + (" *" if interval.low > 0 or interval.high < 0 else "")


def measured(records: Records, name: str, metric: str) -> pd.DataFrame:
    """Return a number that was measured beside the tasks, before the first of them and after each.

    Args:
        records: One per method, of the same tasks, with this number in ``extra``.
        name: Of the number, such as "knowledge".
        metric: "recall" or "accuracy" (shown in percent), or "perplexity".

    Raises:
        ValueError: No record, different tasks, or a record without this number.
    """
    import pandas as pd

    rows = {}
    for row, record in _named(records).items():
        if name not in record.extra:
            raise ValueError(f"{row} was not measured for {name!r}; there are: {', '.join(sorted(record.extra))}")
        along = np.array(record.extra[name], dtype=np.float64)  # [S, T]
        moments = {"untouched": np.array(record.extra[f"untouched {name}"], dtype=np.float64)}
        moments |= {f"after {task}": along[:, place] for place, task in enumerate(record.tasks)}
        rows[row] = {moment: cell(mean_and_interval(values), metric) for moment, values in moments.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def sweep(records: Sequence[Record], setting: str) -> pd.DataFrame:
    """Return one method's settings in rising order: what each kept of the old tasks and learned of the last.

    Args:
        records: Of one method, one per setting.
        setting: Its name, for instance "strength".

    Raises:
        ValueError: There is no record, they are of different tasks, or two have the same name.
        KeyError: A method has no such setting.
    """
    ordered = sorted(records, key=lambda record: record.method[setting])
    table = comparison({f"{record.method[setting]:g}": record for record in ordered})
    table.index.name = setting
    return table


def _costs(record: Record) -> dict[str, str]:
    stored = "all data" if record.method["name"] == "joint" else megabytes(record.stored_bytes)
    return {"stored, MB": stored, "training, s": f"{np.mean(record.seconds):.0f}"}


def _named(records: Records) -> dict[str, Record]:
    if isinstance(records, Mapping):
        named = dict(records)
    else:
        names = unique_names(list(records))
        if len(set(names)) < len(names):
            raise ValueError(f"two records have the same name: give a mapping from names to records. Names: {names}")
        named = dict(zip(names, records, strict=True))
    if len({tuple(record.tasks) for record in named.values()}) != 1:
        raise ValueError("the records must be at least one and of the same tasks in the same order")
    return named


def _per_seed(scores: ArrayLike, record: Record) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64)
    return np.broadcast_to(values, (len(record.seeds), len(record.tasks)))
