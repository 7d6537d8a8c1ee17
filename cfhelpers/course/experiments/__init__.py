"""The experiments whose results the notebooks show, one file per chapter."""

from cfhelpers.course.experiments import (
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
)
from cfhelpers.course.experiments.experiment import REPORTED_SEEDS, SELECTION_SEEDS, Experiment

__all__ = ["EXPERIMENTS", "REPORTED_SEEDS", "SELECTION_SEEDS", "Experiment"]

EXPERIMENTS: tuple[Experiment, ...] = (
    *chapter_01.EXPERIMENTS,
    *chapter_02.EXPERIMENTS,
    *chapter_03.EXPERIMENTS,
    *chapter_04.EXPERIMENTS,
    *chapter_05.EXPERIMENTS,
    *chapter_06.EXPERIMENTS,
    *chapter_07.EXPERIMENTS,
    *chapter_08.EXPERIMENTS,
)
