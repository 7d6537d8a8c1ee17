"""Chapter 5: the rates that are written down are those that its sweeps choose, and its budgets are equal."""

import json
from pathlib import Path

import numpy as np

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_05
from cfhelpers.plots import rate_of

REPOSITORY = Path(__file__).parents[2]


def chosen(experiment: str):
    records = results.load("05", profile="tiny", experiment=experiment)
    return results.chosen([record for record in records if record.extra["stage"] == "report"])


def test_fixed_rates_are_what_the_sweeps_choose():
    assert chosen("persona")["all"].method["learning_rate"] == chapter_05.RATE
    assert chosen("two tasks")["told"].method["learning_rate"] == chapter_05.ENCODER_RATE


def test_on_four_tasks_each_method_has_the_rate_that_it_prefers_in_both_orders():
    preferred = {name: rate_of(record) for name, record in chosen("four tasks").items()}
    tried = [record for record in results.load("05", profile="tiny") if record.seeds == list(chapter_05.CHOOSING)]
    by_weights = {
        rate_of(each): np.mean(each.selection) for each in tried if "all weights at" in each.extra["experiment"]
    }
    assert sorted(by_weights) == sorted(chapter_05.WEIGHT_RATES)
    assert preferred == chapter_05.FOUR_RATES
    for named in chapter_05.by_order(results.load("05", profile="tiny")).values():
        assert {name: rate_of(named[name]) for name in preferred} == preferred
        assert all(len(record.seeds) >= 5 for record in named.values())


def test_the_bill_says_what_the_benchmark_measured():
    file = REPOSITORY / "tests" / "benchmarks" / "results" / "methods-cpu-1-threads.json"
    workload = json.loads(file.read_text(encoding="utf-8"))["workloads"]["smollm2"]
    full, lora = (workload["methods"][name] for name in ("naive", "lora"))
    time, memory = lora["ratio"], lora["peak_memory_bytes"] / full["peak_memory_bytes"]
    beside = 1 - workload["model_bytes"] / lora["peak_memory_bytes"]
    text = " ".join((REPOSITORY / "notebooks" / "source" / "05_lora.py").read_text(encoding="utf-8").split())
    text = text.replace(" # ", " ")
    assert f"a step of LoRA takes {time:.2f} of the time and {memory:.2f} of the peak memory" in text
    assert f"{beside:.0%} of LoRA's peak".replace("%", " %") in text


def test_attention_mlp_and_all_layers_train_about_equally_many_numbers():
    sizes = {name: record.stored_bytes for name, record in chosen("persona").items()}
    assert sizes["attention"] == sizes["mlp"]
    assert 1 <= sizes["all"] / sizes["mlp"] <= 1.07
