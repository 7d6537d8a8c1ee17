"""Replay: how little of the old data is enough, and what else can be done with it."""

from __future__ import annotations

from dataclasses import replace

from cfhelpers.course.experiments.experiment import Experiment
from cfhelpers.methods import AGEM, EWC, L2SP, DERpp, GenerativeReplay, Joint, Method, Naive, Replay
from cfhelpers.methods.choice import Choice
from cfhelpers.training.sequence import Learned

FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
CHOICES: tuple[Choice, ...] = ("random", "lengths", "hardest", "herding")
PEOPLE = {16: 100, 64: 240, 256: 800}
"""How many people a model is taught, and in how many steps: enough that validation recall rises no more."""
TOO_MANY = {1024: 2560}
"""So many are still being learned after so many steps, which take minutes: run once, with one seed."""
KEPT = 13
"""Dialogues of the persona in a tenth of its tokens, nearly: what every method that keeps examples may keep."""


def _replay(fraction: float) -> list[Method]:
    return [Replay(fraction=fraction, share=share, by="tokens") for share in SHARES]


def _all_old(share: float) -> Replay:
    """Replay from all old data: what is small is their share of the training tokens."""
    return Replay(fraction=1.0, share=share, by="tokens", whole_buffer=True)


def count_projections(learned: Learned) -> dict[str, float]:
    """Return how many steps A-GEM has projected so far; none for other methods."""
    return {"projected": float(getattr(learned.method, "projected", 0))}


def _longer(times: int, plain: tuple[Method, ...], sweeps: dict[str, list[Method]]) -> Experiment:
    """The second task with more steps: does a penalty or replay hold for longer?"""
    return Experiment(
        "07",
        f"steps x {times}",
        "dialogpt",
        ("persona", "workplace"),
        plain,
        {"tiny": sweeps} if sweeps else {},
        profiles=("tiny",),
        changes={"new_steps": 16 * times},
        selection_seeds=(100,),
        reported_seeds=(0, 1, 2),  # the longest of them takes sixteen times as long
        curves=(),
        traces=(),
    )


_STRENGTHS: dict[str, list[Method]] = {
    "ewc": [EWC(strength, variant="sample") for strength in (3e2, 1e3, 3e3, 1e4, 3e4)],
    "l2sp": [L2SP(strength) for strength in (0.03, 0.1, 0.3, 1.0, 3.0)],
    "replay": [Replay(KEPT, share=share) for share in SHARES],
}
# Chosen at four times the steps; tests/course/test_chapter_07.py compares them with the stored records.
CHOSEN_FOR_LONG = (EWC(1e3, variant="sample"), L2SP(0.1), Replay(KEPT, share=0.25))

# The share that is chosen for the draw, for every choice: another share would hide what the choice does.
AT_ONE_SHARE = tuple(Replay(KEPT, share=0.5, choice=choice) for choice in CHOICES)


def _few(size: int) -> Experiment:
    """Few new texts: does rehearsing the old ones help to learn the new?"""
    return Experiment(
        "07",
        f"{size} new texts",
        "gpt2",
        ("wikitext", "dialogue"),
        (Naive(), _all_old(0.25), _all_old(0.5)),
        profiles=("tiny",),
        changes={"new_size": size},
        curves=(),
        traces=(),
    )


def _room(
    people: int, plain: tuple[Method, ...], sweeps: dict[str, list[Method]], seeds: tuple[int, ...] | None = None
) -> Experiment:
    """Many people, each asked by name, and then the workplace: what can be saved in a model that holds so much?"""
    return Experiment(
        "07",
        f"{people} people",
        "dialogpt",
        ("people", "workplace"),
        plain,
        {"tiny": sweeps} if sweeps else {},
        profiles=("tiny",),
        changes={
            "size": people,
            "steps": (PEOPLE | TOO_MANY)[people],
            "learning_rate": 1e-3,
            "new_size": 32,
            "new_steps": 30,
            "curve_points": 4,
        },
        reported_seeds=seeds,
        curves=(),
        traces=("curves",),
    )


_FOR_PEOPLE: dict[str, list[Method]] = {
    "replay": [Replay(fraction=0.1, share=share) for share in SHARES],
    "ewc": [EWC(strength, variant="sample", max_examples=128) for strength in (1e3, 1e4, 1e5, 1e6, 1e7)],
}


EXPERIMENTS = (
    Experiment(
        "07",
        "how little",
        "dialogpt",
        ("persona", "workplace"),
        (Naive(), Joint(), DERpp(KEPT, logit_weight=0.0), *(_all_old(share) for share in (0.01, 0.1))),
        {
            "tiny": {
                **{f"replay {fraction:.1%}": _replay(fraction) for fraction in FRACTIONS},
                "derpp": [DERpp(KEPT, logit_weight=weight) for weight in (0.1, 0.3, 1.0, 3.0, 10.0)],
                "agem": [AGEM(KEPT, batch_size=size) for size in (1, 2, 4, 8, 13)],
                "generative_replay": [
                    GenerativeReplay(128, share=share, length=32) for share in (0.1, 0.2, 0.35, 0.5, 0.7)
                ],
            }
        },
        count_projections,
        profiles=("tiny",),
        selection_seeds=(100,),
        curves=(),
        traces=(),
    ),
    Experiment(
        "07",
        "every step",
        "dialogpt",
        ("persona", "workplace"),
        (
            Naive(),
            _all_old(0.5),
            Replay(KEPT, share=0.5),
            DERpp(KEPT, logit_weight=1.0),
            AGEM(KEPT, batch_size=13),
            EWC(3e3, variant="sample"),
        ),
        profiles=("tiny",),
        changes={"curve_points": 30},
        curves=(),
        traces=("curves",),
    ),
    *(_few(size) for size in (8, 16, 32, 64)),
    *(_longer(times, (Naive(),), _STRENGTHS) for times in (1, 4)),
    _longer(16, (Naive(), *CHOSEN_FOR_LONG), {}),
    Experiment(
        "07",
        "which to keep",
        "dialogpt",
        ("persona", "workplace"),
        AT_ONE_SHARE,
        {"tiny": {choice: [Replay(KEPT, share=share, choice=choice) for share in SHARES] for choice in CHOICES}},
        profiles=("tiny",),
        changes={"curve_points": 1},
        selection_seeds=(100,),
        curves=(),
        traces=(),
    ),
    Experiment(
        "07",
        "how little, texts",
        "gpt2",
        ("wikitext", "dialogue"),
        (Naive(), Joint(), *(_all_old(share) for share in (0.01, 0.02, 0.05, 0.1, 0.2))),
        profiles=("tiny",),
        changes={"curve_points": 1},
        curves=(),
        traces=(),
    ),
    *(_room(people, (Naive(),), _FOR_PEOPLE) for people in (16, 64)),
    _room(256, (Naive(),), _FOR_PEOPLE, seeds=(0, 1, 2)),  # a minute for each seed
    *(replace(_room(people, (Naive(),), {}, seeds=(0,)), name=f"{people} people, unfinished") for people in TOO_MANY),
    # On a real language model; chapter 3 has naive and joint training, EWC and L2. The share is the one that tiny
    # chose. A weight of logits cannot be carried over: theirs are of another size.
    Experiment(
        "07",
        "persona",
        "dialogpt",
        ("persona", "workplace"),
        (Replay(16, share=0.25),),
        {"laptop": {"derpp": [DERpp(KEPT, logit_weight=weight, batch_size=8) for weight in (0.03, 0.1, 0.3, 1.0)]}},
        profiles=("laptop",),
        changes={"curve_points": 1},
    ),
)
