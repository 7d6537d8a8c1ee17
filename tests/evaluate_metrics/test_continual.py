"""The measures as evaluate metrics: same numbers as the functions, and no connection is ever attempted."""

import socket

import pytest

from cfhelpers import evaluate_metrics, metrics

RESULTS = [[0.9, float("nan"), float("nan")], [0.6, 0.8, float("nan")], [0.5, 0.7, 0.95]]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a metric from a local file must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ["average_accuracy", "backward_transfer", "forgetting"])
def test_measures_of_the_matrix_alone(name):
    assert evaluate_metrics.load(name).compute(results=RESULTS) == {name: getattr(metrics, name)(RESULTS)}


def test_measures_that_need_reference_scores():
    alone, joint = [0.9, 0.75, 0.9], [0.9, 0.85, 0.95]
    forward = evaluate_metrics.load("forward_transfer").compute(results=RESULTS, single_task=alone)
    resistance = evaluate_metrics.load("intransigence").compute(results=RESULTS, joint=joint)
    assert forward == {"forward_transfer": metrics.forward_transfer(RESULTS, alone)}
    assert resistance == {"intransigence": metrics.intransigence(RESULTS, joint)}


def test_direction_is_passed_on():
    result = evaluate_metrics.load("backward_transfer").compute(results=RESULTS, higher_is_better=False)
    assert result == {"backward_transfer": metrics.backward_transfer(RESULTS, higher_is_better=False)}


def test_perplexity_collects_totals_over_batches():
    metric = evaluate_metrics.load("perplexity")
    metric.add_batch(nats=[6.0], tokens=[2])
    metric.add_batch(nats=[8.0], tokens=[8])
    assert metric.compute() == {"perplexity": pytest.approx(metrics.perplexity(14.0, 10))}


def test_accuracy_is_the_share_of_equal_labels():
    metric = evaluate_metrics.load("accuracy")
    assert metric.compute(predictions=[0, 2, 1, 1], references=[0, 2, 1, 0]) == {"accuracy": 0.75}


def test_all_names_load_and_others_do_not():
    assert {evaluate_metrics.load(name).config_name for name in evaluate_metrics.NAMES} == set(evaluate_metrics.NAMES)
    with pytest.raises(ValueError, match=r"no metric named 'f1'; there are accuracy, .*perplexity"):
        evaluate_metrics.load("f1")
