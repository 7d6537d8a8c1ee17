"""Models by role, the classifier with one head per task, and how the bundled models were made (``pretraining``)."""

from cfhelpers.models.classifier import ClassificationHead, MultiTaskClassifier
from cfhelpers.models.copying import copy_model, frozen_copy
from cfhelpers.models.four_bits import in_four_bits, weight_bytes
from cfhelpers.models.loading import ROLES, LoadedModel, load_model

__all__ = [
    "ROLES",
    "ClassificationHead",
    "LoadedModel",
    "MultiTaskClassifier",
    "copy_model",
    "frozen_copy",
    "in_four_bits",
    "load_model",
    "weight_bytes",
]
