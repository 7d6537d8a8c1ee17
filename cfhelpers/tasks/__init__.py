"""Tasks by name: dialogue facts, text domains and classification, in the three profiles."""

from __future__ import annotations

from importlib import import_module

from cfhelpers.tasks.task import Kind, Task

__all__ = ["TASK_NAMES", "Task", "make_task", "task_kind"]

# Each module has a function make(name, profile, *, seed, size) -> Task.
_MODULES = {
    "persona": "cfhelpers.tasks.facts",
    "workplace": "cfhelpers.tasks.facts",
    "people": "cfhelpers.tasks.people",
    "knowledge": "cfhelpers.tasks.knowledge",
    "wikitext": "cfhelpers.tasks.domains",
    "dialogue": "cfhelpers.tasks.domains",
    "news": "cfhelpers.tasks.domains",
    "reviews": "cfhelpers.tasks.domains",
    "sst2": "cfhelpers.tasks.sentiment",
    "mnli": "cfhelpers.tasks.inference",
    "imdb": "cfhelpers.tasks.sentiment",
    "yelp": "cfhelpers.tasks.sentiment",
    "topics": "cfhelpers.tasks.topics",
}
# The kind of what a module makes, where it is not classification.
_KINDS: dict[str, Kind] = {
    "cfhelpers.tasks.facts": "dialogue",
    "cfhelpers.tasks.people": "dialogue",
    "cfhelpers.tasks.knowledge": "dialogue",
    "cfhelpers.tasks.domains": "text",
}
# These come from the hub in the full profile; the others are generated or written in every profile.
_ON_THE_HUB = ("wikitext", "dialogue", "news", "reviews", "sst2", "mnli", "imdb", "yelp", "topics")

TASK_NAMES = tuple(_MODULES)
PROFILES = ("tiny", "laptop", "full")


def make_task(name: str, profile: str, *, seed: int = 0, size: int | None = None) -> Task:
    """Make a task: the same name, profile, seed and size give the same examples.

    Args:
        name: One of :data:`TASK_NAMES`.
        profile: ``"tiny"``, ``"laptop"`` or ``"full"``.
        seed: Chooses facts, examples and splits.
        size: Number of training examples; for dialogue tasks number of facts, for ``people`` of people. None: the
            task's own default.

    Raises:
        ValueError: Unknown name or profile, or a size that the task cannot give.
        OSError: ``full`` needs the hub and it cannot be reached.
    """
    _require_known(name)
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of: {', '.join(PROFILES)}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    if profile == "full" and name in _ON_THE_HUB:
        return import_module("cfhelpers.tasks.hub").load_hub_task(name, seed=seed, size=size)
    return import_module(_MODULES[name]).make(name, profile, seed=seed, size=size)


def task_kind(name: str) -> Kind:
    """Return the kind of the task of this name, without making it.

    Raises:
        ValueError: Unknown name.
    """
    _require_known(name)
    return _KINDS.get(_MODULES[name], "classification")


def _require_known(name: str) -> None:
    if name not in _MODULES:
        raise ValueError(f"unknown task {name!r}; choose one of: {', '.join(TASK_NAMES)}")
