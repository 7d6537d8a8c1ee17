"""Fronts over learning rates: every point where its record says, rates as numbers, reading between points."""

import math

import pytest

from cfhelpers import plots, tables
from cfhelpers.course import widgets
from cfhelpers.course.experiments.peft_benchmark import PEFT_BENCHMARK
from cfhelpers.training.records import Record


def record(rate, kept, learned, *, name="lora", metric="recall", **settings):
    """Return a record of two seeds around these scores; naive training takes its rate from the plan."""
    method = {"name": name, **settings} | ({"learning_rate": rate} if name == "lora" else {})
    results = [[[0.9, 0.1], [kept + d, learned + d]] for d in (-0.01, 0.01)]
    return Record(
        role="dialogpt", profile="tiny", tasks=["persona", "workplace"], method=method,
        plan={"learning_rate": rate if name == "naive" else 9.0, "steps": 10}, metrics=[metric] * 2,
        higher_is_better=[metric == "recall"] * 2, chance=[0, 0], ceiling=[1, 1], seeds=[0, 1], results=results,
        seconds=[4.0, 6.0], stored_bytes=4000,
    )  # fmt: skip


FRONTS = {
    "full": [record(3e-4, 0.5, 0.8, name="naive"), record(1e-4, 0.7, 0.6, name="naive")],
    "LoRA": [record(4e-3, 0.2, 0.9), record(1e-3, 0.6, 0.5), record(2e-3, 0.4, 0.7)],
}


def test_a_front_joins_a_methods_rates_in_their_order():
    ax = plots.rate_fronts(FRONTS)
    lines = {container.get_label(): container.lines[0] for container in ax.containers}
    assert list(lines["LoRA"].get_xdata()) == pytest.approx([50, 70, 90])
    assert list(lines["LoRA"].get_ydata()) == pytest.approx([60, 40, 20])
    assert list(lines["full"].get_xdata()) == pytest.approx([60, 80])
    assert [text.get_text() for text in ax.texts] == ["0.0001", "0.0003", "0.001", "0.002", "0.004"]
    assert "workplace" in ax.get_xlabel()
    assert not ax.xaxis_inverted()


def test_of_a_perplexity_the_best_corner_is_still_up_and_right():
    ax = plots.rate_fronts({"LoRA": [record(1e-3, 2.0, 1.5, metric="perplexity")]})
    assert ax.xaxis_inverted()
    assert ax.yaxis_inverted()
    with pytest.raises(ValueError, match="cannot share an axis"):
        plots.rate_fronts({"a": [record(1e-3, 2.0, 1.5, metric="perplexity")], "b": FRONTS["LoRA"]})


@pytest.mark.parametrize(("learned", "kept"), [(0.5, 0.6), (0.6, 0.5), (0.85, 0.25), (0.95, math.nan), (0.4, 0.6)])
def test_a_front_is_read_between_its_points_and_not_beyond(learned, kept):
    assert plots.kept_at(FRONTS["LoRA"], learned) == pytest.approx(kept, nan_ok=True)
    beaten = [*FRONTS["LoRA"], record(9e-3, 0.1, 0.65)]
    assert plots.kept_at(beaten, learned) == pytest.approx(kept, nan_ok=True)


def test_the_benchmark_is_drawn_with_every_name_where_its_numbers_say():
    ax = plots.benchmark_front(PEFT_BENCHMARK)
    assert [text.get_text() for text in ax.texts] == [row["method"] for row in PEFT_BENCHMARK]
    offsets = [tuple(map(float, each.get_offsets()[0])) for each in ax.collections]
    assert offsets == [pytest.approx((100 * row["accuracy"], row["loss_rise"])) for row in PEFT_BENCHMARK]
    assert ax.yaxis_inverted()


def test_the_bill_counts_what_is_trained_and_kept_for_one_task():
    rows = {
        "full": record(1e-4, 0.5, 0.5, name="naive"),
        "shared": record(1e-3, 0.5, 0.5, rank=2, mode="shared"),
        "told": record(1e-3, 0.5, 0.5, rank=2, mode="told"),
    }
    table = tables.adapter_bill(rows, 20_000)
    assert list(table["trained parameters"]) == ["20,000", "1,000", "500"]
    assert list(table["share of the model"]) == ["100.0%", "5.0%", "2.5%"]
    assert list(table["kept per task, kB"]) == ["80", "4", "2"]
    assert list(table["gradients and moments, MB"]) == ["0.24", "0.01", "0.01"]
    assert list(table["ms per step"]) == ["250", "250", "250"]


def test_the_widget_follows_method_and_rate():
    widget = widgets.rates(FRONTS)
    assert "full, rate 0.0003: kept 50.0, learned 80.0" in widget.output.value
    widget.controls["number"].value = 3
    assert "full, rate 0.0003" in widget.output.value  # it has but two
    widget.controls["method"].value = "LoRA"
    assert "LoRA, rate 0.004: kept 20.0, learned 90.0" in widget.output.value
    widget.controls["number"].value = 1
    assert "LoRA, rate 0.001: kept 60.0, learned 50.0" in widget.output.value


def test_bars_stand_at_the_final_scores_with_their_intervals():
    ax = plots.final_scores({"full": record(3e-4, 0.5, 0.8, name="naive"), "LoRA": record(4e-3, 0.2, 0.9)})
    bars = [
        [bar.get_height() for bar in container]
        for container in ax.containers
        if container.get_label() in ("full", "LoRA")
    ]
    assert bars == [[pytest.approx(50), pytest.approx(80)], [pytest.approx(20), pytest.approx(90)]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["persona", "workplace"]
    half = 12.706 * 1.0  # Student's t with one degree of freedom, times the standard error of 49 and 51
    (segments,) = [each.get_segments() for each in ax.collections[:1]]
    assert segments[0][:, 1] == pytest.approx([50 - half, 50 + half], abs=0.01)
    first, second = (container for container in ax.containers if container.get_label() in ("full", "LoRA"))
    assert first[1].get_x() + first[1].get_width() < second[1].get_x() + 1e-9
