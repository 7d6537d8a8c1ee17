"""EWC on DialoGPT: a persona, then a workplace."""

from __future__ import annotations

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.evaluation.scores import answer_questions, evaluate_task
from cfhelpers.methods import EWC, L2SP, Joint, Naive, Replay
from cfhelpers.tasks.encoding import encode_task
from cfhelpers.training.sequence import Learned


def measure_generality(learned: Learned) -> dict[str, float]:
    """Return what is left of one fact, the favorite color, and of the rest, general knowledge and general dialogue."""
    rows = learned.run.tasks("persona")[0].test.to_list()
    color = [row for row in rows if row["fact"] == "assistant.favorite_color"]
    answers = answer_questions(learned.model, learned.tokenizer, [row["question"] for row in color])
    right = sum(answer == row["answer"] for answer, row in zip(answers, color, strict=True))
    sizes = {"knowledge": None, "dialogue": 100}  # a quarter as many dialogues are tested, which a laptop can bear
    tasks = {name: learned.run.tasks(name, size=size)[0] for name, size in sizes.items()}
    encoded = {name: encode_task(task, learned.tokenizer) for name, task in tasks.items()}
    rest = {name: evaluate_task(learned.model, task) for name, task in encoded.items()}
    return {"favorite color": right / len(color), **rest}


EXPERIMENTS = (
    Experiment(
        "03",
        "persona",
        "dialogpt",
        ("persona", "workplace"),
        (Naive(), Joint()),
        {
            "tiny": {
                "ewc": [EWC(strength, variant="sample") for strength in (3e2, 1e3, 3e3, 1e4, 3e4)],
                "l2sp": [L2SP(strength) for strength in (0.03, 0.1, 0.3, 1.0, 3.0)],
                "replay": [Replay(16, share=share) for share in (0.1, 0.25, 0.5, 0.75, 0.9)],
            },
            "laptop": {
                "ewc": [EWC(strength, variant="sample") for strength in (1e4, 1e5, 1e6)],
                "l2sp": [L2SP(strength) for strength in (0.01, 0.1, 1.0)],
            },
        },
        measure_generality,
        {"tiny": (1.5e-4, 5e-4, 1.5e-3)},
    ),
)
