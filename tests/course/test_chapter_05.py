"""Chapter 5: the rates that are written down are those that its sweeps choose, and its budgets are equal."""

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_05


def chosen(experiment: str):
    records = results.load("05", profile="tiny", experiment=experiment)
    return results.chosen([record for record in records if record.extra["stage"] == "report"])


def test_fixed_rates_are_what_the_sweeps_choose():
    assert chosen("persona")["all"].method["learning_rate"] == chapter_05.RATE
    assert chosen("two tasks")["told"].method["learning_rate"] == chapter_05.ENCODER_RATE


def test_attention_mlp_and_all_layers_train_about_equally_many_numbers():
    sizes = {name: record.stored_bytes for name, record in chosen("persona").items()}
    assert sizes["attention"] == sizes["mlp"]
    assert 1 <= sizes["all"] / sizes["mlp"] <= 1.07
