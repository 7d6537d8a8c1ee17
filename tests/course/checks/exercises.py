"""All exercises of the course, by number."""

from cfhelpers.course import checks
from cfhelpers.course.checks.exercise import Exercise

CHAPTERS = (
    checks.starting,
    checks.demonstrating,
    checks.fisher,
    checks.ewc,
    checks.language,
    checks.adapters,
    checks.prompts,
    checks.replay,
    checks.distillation,
)
EXERCISES: dict[str, Exercise] = {
    exercise.number: exercise
    for chapter in CHAPTERS
    for exercise in sorted((getattr(chapter, name) for name in chapter.__all__), key=lambda each: each.number)
}
