"""What the site's two figures without a kernel act on: stored records, as small as a page can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cfhelpers.course import results
from cfhelpers.metrics import mean_and_interval
from cfhelpers.training.records import Record

TASKS = ["persona", "workplace"]
AXES = {"x": "learned: recall of the workplace, %", "y": "kept: recall of the persona, %"}
# Chapters that learn these two tasks with chapter 3's plan; the plan of each record is compared all the same.
_CHAPTERS = ("03", "02", "05", "07", "08")
# What a curve goes along; settings that differ in nothing else are joined.
_KNOBS = ("strength", "share", "learning_rate")
_NAMES = {
    "naive": "naive training (no protection)",
    "joint": "joint training (all data)",
    "ewc": "elastic weight consolidation",
    "l2sp": "L2 towards the old weights",
    "replay": "replay",
    "derpp": "DER++",
    "agem": "A-GEM",
    "generative_replay": "generative replay",
    "lora": "LoRA",
    "orthogonal_lora": "orthogonal LoRA",
    "wise_ft": "WiSE-FT",
    "lwf": "learning without forgetting",
    "self_distillation": "self-distillation on own texts",
}


def strengths() -> dict[str, Any]:
    """Return chapter 3's stored sweep over λ and what it is compared with."""
    records = results.load("03", profile="tiny")
    reported = [record for record in records if record.extra["stage"] == "report"]
    sweep = sorted((r for r in reported if r.method["name"] == "ewc"), key=lambda record: record.method["strength"])
    bounds = {r.method["name"]: r for r in reported if r.method["name"] in ("naive", "joint")}
    chosen = bounds | results.chosen(reported)
    best = chosen["ewc"].method["strength"]
    others = [chosen[name] for name in ("naive", "l2sp", "replay", "joint") if name in chosen]
    return {
        "sweep": [{"name": f"{record.method['strength']:g}", **_point(record)} for record in sweep],
        "others": [{"name": record.method["name"], **_point(record)} for record in others],
        "start": next(place for place, record in enumerate(sweep) if record.method["strength"] == best),
        **AXES,
        "alternative": "What is kept of the persona against what is learned of the workplace, for every strength of "
        "elastic weight consolidation, with naive and joint training and two other methods.",
    }


def methods() -> dict[str, Any]:
    """Return all methods measured on one pair of tasks, with their settings, on the retention–learning plane.

    All records have the same tasks, steps, batch size and five seeds; settings that lie on one curve have its number.
    """
    groups: dict[str, list[Record]] = {}
    for record in _comparable():
        groups.setdefault(_name(record.method), []).append(record)
    return {
        "methods": [{"name": name, "settings": _settings(group)} for name, group in sorted(groups.items(), key=_order)],
        "start": "elastic weight consolidation",
        **AXES,
        "alternative": "The retention–learning plane: what is kept of the persona against what is learned of the "
        f"workplace, one point for each of {sum(map(len, groups.values()))} settings of {len(groups)} methods. The "
        "table below has the same numbers.",
    }


def _comparable() -> list[Record]:
    """Return the reported records on the two tasks with chapter 3's plan and seeds, each setting once."""
    found: dict[str, Record] = {}
    model = next(r for r in results.load("03", profile="tiny") if r.method["name"] == "naive")
    for chapter in _CHAPTERS:
        for record in results.load(chapter, profile="tiny"):
            same = record.tasks == TASKS and record.seeds == model.seeds and _budget(record) == _budget(model)
            if same and record.extra["stage"] in ("report", "learning rate"):
                found.setdefault(f"{sorted(record.method.items())} {_rate(record)}", record)
    return list(found.values())


def _budget(record: Record) -> tuple[Any, ...]:
    """Return what must be equal of two plans; a method may have its own learning rate."""
    return tuple(record.plan.get(name) for name in ("steps", "batch_size", "size", "new_size", "new_steps"))


def _rate(record: Record) -> float:
    return float(record.method.get("learning_rate") or record.plan["learning_rate"])


def _name(method: dict[str, Any]) -> str:
    if "methods" in method:
        return " with ".join(_name(each) for each in method["methods"])
    name = str(_NAMES.get(method["name"]) or method["name"].replace("_", " "))
    return name if method.get("variant") in (None, "sample") else f"{name}, {method['variant']} Fisher"


def _order(group: tuple[str, list[Record]]) -> tuple[int, str]:
    """Sort the two bounds to the top."""
    bounds = (_NAMES["naive"], _NAMES["joint"])
    return (bounds.index(group[0]) if group[0] in bounds else len(bounds), group[0].lower())


def _settings(group: Sequence[Record]) -> list[dict[str, Any]]:
    """Describe each setting of a method by what differs between them, or by everything if there is one only."""
    told = [_told(record) for record in group]
    names = dict.fromkeys(name for settings in told for name in settings)
    differing = [name for name in names if len({settings.get(name) for settings in told}) > 1] or list(names)
    curves: dict[str, list[tuple[list[float], dict[str, Any]]]] = {}
    for record, settings in zip(group, told, strict=True):
        text = ", ".join(settings[name] for name in differing if name in settings)
        knobs = [float(record.method.get(name) or 0) for name in _KNOBS[:-1]] + [_rate(record)]
        rest = str({name: text for name, text in settings.items() if name not in _KNOBS})
        point = {"name": text, "chosen": bool(record.extra["chosen"]), **_point(record)}
        curves.setdefault(rest, []).append((knobs, point))
    return [
        {"curve": number, **point}
        for number, curve in enumerate(curves.values())
        for _, point in sorted(curve, key=lambda each: each[0])
    ]


def _told(record: Record) -> dict[str, str]:
    """Return a record's settings in words, by name."""
    settings = {name: value for name, value in record.method.items() if name not in ("name", "methods", "seed")}
    settings |= {"learning_rate": _rate(record)}
    told = {}
    for name, value in settings.items():
        words = name.replace("_", " ")
        if value is True:
            told[name] = words
        elif value is not None and value is not False:
            told[name] = f"{words} {value:g}" if isinstance(value, int | float) else f"{words} {value}"
    return told


def _point(record: Record) -> dict[str, float]:
    found = {}
    for name, task in (("kept", record.tasks[0]), ("learned", record.tasks[-1])):
        interval = mean_and_interval(100 * record.scores(task))
        found |= {name: round(interval.mean, 2), f"{name}_by": round(interval.high - interval.mean, 2)}
    return found
