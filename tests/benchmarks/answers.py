"""Answers to 24 questions, together and one by one: ``python -m tests.benchmarks.answers`` (``--profile laptop``).

A chat model is asked about a persona before it learns one, when it talks at length, and afterwards, when it answers in
a few words. CPU and wall time together relative to one by one, in pairs, in one process; whether the texts are the
same; how long they are. Written as JSON with the machine and the versions.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import cfhelpers as cf
from cfhelpers.evaluation.scores import answer_questions
from cfhelpers.methods import Naive
from cfhelpers.training.plans import PLANS
from cfhelpers.training.sequence import learn_once
from tests.benchmarks import measure, report

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
    models = {"untaught": run.load("dialogpt").model, "taught": learned.model}
    moments = {}
    for name, model in models.items():
        ask = partial(answer_questions, model, learned.tokenizer, asked)
        moments[name] = _measured(ask, learned.tokenizer, chosen.seconds, run.device)
        times = 1 / moments[name]["together"]["cpu"]["ratio"]
        print(f"{name}: {times:.1f} times faster together; the same texts: {moments[name]['same_texts']}")
    path = chosen.output or measure.RESULTS / f"answers-{chosen.profile}.json"
    result = {"before": before, "after": measure.provenance(), "profile": chosen.profile}
    measure.write(path, result | {"questions": len(asked), "models": moments})
    if chosen.output is None:
        report.update_readme()


def _measured(
    ask: partial[list[str]], tokenizer: PreTrainedTokenizerBase, seconds: float, device: str
) -> dict[str, Any]:
    one_by_one = partial(ask, batch_size=1)
    together = ask()
    lengths = [len(tokenizer(text)["input_ids"]) for text in together]
    return {
        "same_texts": one_by_one() == together,
        "mean_tokens": mean(lengths),
        "together": measure.one_paired(ask, one_by_one, seconds, device),
    }


if __name__ == "__main__":
    main()
