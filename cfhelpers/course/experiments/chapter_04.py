"""EWC on GPT-2: one text domain after the other, two and three of them."""

from __future__ import annotations

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.methods import EWC, L2SP, MAS, EWCOnGenerations, Joint, Naive, OnlineEWC, SynapticIntelligence

EXPERIMENTS = (
    Experiment(
        "04",
        "two domains",
        "gpt2",
        ("wikitext", "dialogue"),
        (Naive(), Joint()),
        {
            "tiny": {
                "ewc": [EWC(strength, variant="sample") for strength in (1.0, 3.0, 10.0, 30.0, 100.0)],
                "l2sp": [L2SP(strength) for strength in (0.1, 0.3, 1.0, 3.0, 10.0)],
                "synaptic_intelligence": [
                    SynapticIntelligence(strength) for strength in (30.0, 100.0, 300.0, 1e3, 3e3)
                ],
                "mas": [MAS(strength) for strength in (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)],
            },
            # Weaker than in tiny: in so short a training this model loses little that could be protected. Of L2 the
            # weakest is chosen, which is naive training but for a trace; still weaker ones could only repeat it.
            "laptop": {
                "ewc": [EWC(strength, variant="sample") for strength in (1.0, 1e1, 1e2)],
                "l2sp": [L2SP(strength) for strength in (1e-3, 0.01, 0.1)],
            },
        },
        learning_rates={"tiny": (1e-4, 3e-4, 1e-3)},
        curves=("ewc", "l2sp"),
    ),
    # Own texts in place of the old data, with the strength that EWC chooses above: the Fisher asked for is the same.
    Experiment(
        "04",
        "own texts",
        "gpt2",
        ("wikitext", "dialogue"),
        (EWCOnGenerations(10.0),),
        profiles=("tiny",),
        curves=(),
    ),
    # The Fisher kept in half the bytes beside itself, at one time, with the strength that EWC chooses above.
    Experiment(
        "04",
        "half the bytes",
        "gpt2",
        ("wikitext", "dialogue"),
        (EWC(10.0, variant="sample"), EWC(10.0, variant="sample", storage="bfloat16")),
        profiles=("tiny",),
        curves=(),
    ),
    # The other way round: what the second domain comes to when it is learned first, without any before it.
    Experiment("04", "other order", "gpt2", ("dialogue", "wikitext"), (Naive(),), profiles=("tiny",), curves=()),
    Experiment(
        "04",
        "three domains",
        "gpt2",
        ("wikitext", "dialogue", "reviews"),
        # With the strengths that two domains choose, where online EWC does not differ from EWC.
        (Naive(), Joint(), EWC(10.0, variant="sample"), OnlineEWC(10.0, variant="sample"), L2SP(1.0)),
        profiles=("tiny",),
        curves=(),
    ),
)
