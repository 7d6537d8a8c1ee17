"""Fisher information: its variants, each with strengths of its own, and L2 to the anchor beside them."""

from __future__ import annotations

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.methods import EWC, L2SP

# Both experiments go on from the plans of chapters 1 and 3, where naive and joint training are reported.
EXPERIMENTS = (
    Experiment(
        "02",
        "variants on the causal model",
        "dialogpt",
        ("persona", "workplace"),
        sweeps={
            "tiny": {
                "ewc sample": [EWC(strength, variant="sample") for strength in (1e2, 3e2, 1e3, 3e3, 1e4, 3e4)],
                "ewc empirical": [EWC(strength, variant="empirical") for strength in (1e3, 3e3, 1e4, 3e4, 1e5, 3e5)],
                "ewc batched": [EWC(strength, variant="batched") for strength in (1e4, 3e4, 1e5, 3e5, 1e6, 3e6)],
                "l2sp": [L2SP(strength) for strength in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)],
            },
        },
        curves=("ewc sample", "ewc empirical", "ewc batched"),
    ),
    Experiment(
        "02",
        "variants on the encoder",
        "roberta",
        ("sst2", "mnli"),
        sweeps={
            "tiny": {
                "ewc exact": [EWC(strength, variant="exact") for strength in (1e5, 1e6, 1e7, 1e8, 1e9)],
                "ewc empirical": [EWC(strength, variant="empirical") for strength in (1e5, 1e6, 1e7, 1e8, 1e9)],
                "ewc batched": [EWC(strength, variant="batched") for strength in (1e7, 1e8, 1e9, 1e10, 1e11)],
                "l2sp": [L2SP(strength) for strength in (1e-3, 1e-2, 0.1, 1.0, 10.0)],
            },
            "laptop": {
                "ewc exact": [EWC(strength, variant="exact", max_examples=256) for strength in (1e4, 1e5, 1e6)],
                "ewc empirical": [EWC(strength, variant="empirical", max_examples=256) for strength in (1e4, 1e5, 1e6)],
                "l2sp": [L2SP(strength) for strength in (0.1, 1.0, 10.0)],
            },
        },
        curves=(),
    ),
)
