"""What a chapter's stored file holds: read whole, or refused with what is wrong in it and what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfhelpers import methods
from cfhelpers.methods import Method
from cfhelpers.training.plans import Plan
from cfhelpers.training.records import Record, load_json, split_seeds

_LABELS = ("experiment", "stage", "sweep", "chosen")


class UnreadableResults(ValueError):
    """A stored file is damaged, or from a version that wrote other things."""


def read_records(path: Path) -> list[Record]:
    """Read all records of a stored file.

    Raises:
        UnreadableResults: It cannot be opened, is cut off, or holds something else than records of today's form.
    """
    try:
        found: Any = load_json(path)
        records = found["records"] if isinstance(found, dict) else None
    except (OSError, ValueError, KeyError) as error:
        raise UnreadableResults(_explained(path, _reason(error))) from error
    if not isinstance(records, list):
        raise UnreadableResults(_explained(path, 'it should be an object whose "records" is a list'))
    return [_record(path, number, values, len(records)) for number, values in enumerate(records, start=1)]


def _record(path: Path, number: int, values: Any, of: int) -> Record:
    """Make one record.

    Raises:
        UnreadableResults: It is none, or of another version.
    """
    where = f"record {number} of {of}: "
    try:
        record = Record.from_dict(values)
        Plan(**record.plan)
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableResults(_explained(path, where + _reason(error))) from error
    lacking = [name for name in _LABELS if name not in record.extra]
    if lacking or "name" not in record.method:
        raise UnreadableResults(_explained(path, where + f"it does not say its {' and '.join(lacking or ['method'])}"))
    return record


def _explained(path: Path, reason: str) -> str:
    chapter, profile = path.name.partition("_")[0], path.name.split(".")[-2]
    return (
        f"{path} cannot be read: {reason}. It is left as it is. `git checkout -- {path}` brings a committed one back; "
        f"`python -m cfhelpers results {chapter} --profile {profile}`, without --keep, computes it anew."
    )


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def make_method(method: Mapping[str, Any]) -> Method:
    """Return a fresh method from its name and settings as they stand in a record.

    Raises:
        ValueError: There is no method of this name.
    """
    settings = {name: value for name, value in method.items() if name != "name"}
    if "methods" in settings:  # several, combined
        settings["methods"] = [make_method(each) for each in settings["methods"]]
    for kind in (getattr(methods, name) for name in methods.__all__):
        if kind.name == method["name"]:
            return kind(**settings)
    raise ValueError(f"There is no method named {method['name']!r}.")


@dataclass(frozen=True)
class Point:
    """One method with one setting and one plan, run with some seeds.

    Attributes:
        stage: "selection" and "rate selection" (seeds that are not reported), "report", or "learning rate" (reported
            seeds, another rate than the plan's).
        sweep: Name of the sweep it belongs to, or "".
    """

    stage: str
    method: Method
    seeds: tuple[int, ...]
    plan: Plan
    sweep: str = ""

    def file(self, seed: int) -> str:
        """Return a file name that another method, setting, plan or seed would not have."""
        identity = repr((self.method.name, sorted(self.method.settings().items()), asdict(self.plan), seed))
        return f"{self.method.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}-{seed}.json"


def kept_runs(path: Path, experiments: Collection[str]) -> dict[str, dict[str, Record]]:
    """Return the single runs of a stored file by experiment and by ``Point.file``, and say what will not be kept.

    Args:
        path: Of a file that is there.
        experiments: Those that the chapter has today.

    Raises:
        UnreadableResults: The file cannot be read, or holds a method that cannot be made any more.
    """
    kept: dict[str, dict[str, Record]] = {}
    records = read_records(path)
    gone = sorted({record.extra["experiment"] for record in records} - set(experiments))
    if gone:
        print(f"Note: the chapter has no experiment {' or '.join(map(repr, gone))} any more: its runs are left out.")
    for record in (each for each in records if each.extra["experiment"] in experiments):
        try:
            point = Point(record.extra["stage"], make_method(record.method), (), Plan(**record.plan))
        except (ValueError, TypeError) as error:
            raise UnreadableResults(_explained(path, f"{record.label}: {error}")) from error
        runs = kept.setdefault(record.extra["experiment"], {})
        for single in split_seeds(record):
            runs.setdefault(point.file(single.seeds[0]), single)
    return kept
