"""Answers to 24 questions, together and one by one: ``python -m tests.benchmarks.answers`` (``--profile laptop``).

A chat model that has learned a persona is asked about it; CPU and wall time together relative to one by one, in
pairs, in one process; and whether the texts are the same. Written as JSON with the machine and the versions.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import cfhelpers as cf
from cfhelpers.evaluation.scores import answer_questions
from cfhelpers.methods import Naive
from cfhelpers.training.plans import PLANS
from cfhelpers.training.sequence import learn_once
from tests.benchmarks import measure, report

QUESTIONS = 24


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the ratio and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", choices=["tiny", "laptop", "full"], default="tiny")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--output", type=Path, help="default: in tests/benchmarks/results")
    chosen = parser.parse_args(arguments)
    run, before = cf.start(seed=0, profile=chosen.profile), measure.provenance()
    plan = replace(PLANS[chosen.profile, "dialogue"], steps=15, curve_points=1)  # enough to answer in one sentence
    learned = learn_once(run, "dialogpt", ["persona"], Naive(), plan=plan, progress=False)
    asked = list(learned.tasks[0].task.test["question"])[:QUESTIONS]
    ask = partial(answer_questions, learned.model, learned.tokenizer, asked)
    one_by_one = partial(ask, batch_size=1)
    same = one_by_one() == ask()
    times = measure.one_paired(ask, one_by_one, chosen.seconds, run.device)
    print(f"{len(asked)} answers together: {1 / times['cpu']['ratio']:.1f} times faster; the same texts: {same}")
    path = chosen.output or measure.RESULTS / f"answers-{chosen.profile}.json"
    result = {"before": before, "after": measure.provenance(), "profile": chosen.profile}
    measure.write(path, result | {"questions": len(asked), "same_texts": same, "together": times})
    if chosen.output is None:
        report.update_readme()


if __name__ == "__main__":
    main()
