"""Exercises of chapter 7: a reservoir, the loss of dark experience replay, the projection of A-GEM."""

from cfhelpers.course.checks.replay.dark import dark_loss
from cfhelpers.course.checks.replay.projection import project
from cfhelpers.course.checks.replay.streams import reservoir

__all__ = ["dark_loss", "project", "reservoir"]
