"""Texts beside points: in the drawn figure they touch no other text, no mark, no legend and no edge."""

from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from cfhelpers import plots
from cfhelpers.course import results
from cfhelpers.course.experiments.peft_benchmark import PEFT_BENCHMARK
from cfhelpers.plots.labels import label_points
from tests.plots.test_plots import make_record

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def drawn_boxes(ax: Any) -> dict[str, Bbox]:
    """Draw the figure as a notebook does; return the box of every text beside a point, without its line."""
    ax.figure.canvas.draw()
    return {f"{number}: {text.get_text()}": Text.get_window_extent(text) for number, text in enumerate(ax.texts)}


def assert_apart(ax: Any, points) -> None:
    """Assert that no text touches another one, the inner half of a mark, the legend, or the edge of the axes."""
    boxes = drawn_boxes(ax)
    assert boxes
    touching = [(one, other) for one, other in combinations(boxes, 2) if boxes[one].overlaps(boxes[other])]
    assert not touching
    half = 2 * ax.figure.dpi / 72
    for place in ax.transData.transform(np.array(points, dtype=float)):
        assert not [name for name, box in boxes.items() if box.overlaps(Bbox([place - half, place + half]))], place
    if ax.get_legend() is not None:
        legend = ax.get_legend().get_window_extent()
        assert not [name for name, box in boxes.items() if box.overlaps(legend)]
    assert all(ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max) for box in boxes.values())


def means(records) -> list[tuple[float, float]]:
    return [plots.kept_and_learned(record)[::-1] for record in records]


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.4])
def test_labels_of_a_crowd_touch_nothing(spread):
    import matplotlib.pyplot as plt

    points = np.random.default_rng(0).normal(0.5, spread, (10, 2))
    ax = plt.subplots(figsize=(6, 4.5), layout="constrained")[1]
    ax.plot(*points.T, "o-")
    ax.set_xlim(-0.5, 1.5)
    ax.set_ylim(-0.5, 1.5)
    ax.set_ylabel("two lines,\nfor which the layout makes room")
    label_points(ax, [(f"{number} of ten", *point, "black") for number, point in enumerate(points)])
    apart = drawn_boxes(ax)
    assert not [pair for pair in combinations(apart.values(), 2) if pair[0].overlaps(pair[1])]
    assert [text.get_text() for text in ax.texts] == [f"{number} of ten" for number in range(10)]
    assert [tuple(text.xy) for text in ax.texts] == [pytest.approx(tuple(point)) for point in points]


def test_a_text_far_from_its_point_has_a_line_to_it_and_a_near_one_has_none():
    import matplotlib.pyplot as plt

    ax = plt.subplots()[1]
    label_points(
        ax, [("alone", 0.8, 0.8, "black"), *((f"one of many {number}", 0.3, 0.3, "red") for number in range(9))]
    )
    lines = [text.arrow_patch is not None for text in ax.texts]
    assert not lines[0]
    assert any(lines[1:])
    assert_apart(ax, [(0.8, 0.8)])


@pytest.mark.parametrize("sweeps", [("all",), ("attention", "mlp", "all", "all, rank 16")])
def test_the_rates_of_chapter_5_can_be_read(sweeps):
    tried = results.load("05", profile="tiny", experiment="persona")
    by_name = {
        sweep: [each for each in tried if each.extra["sweep"] == sweep and each.extra["stage"] == "selection"]
        for sweep in sweeps
    }
    ax = plots.rate_fronts(by_name)
    assert_apart(ax, means(each for records in by_name.values() for each in records))


def test_how_many_people_were_learned_can_be_read_in_chapter_7():
    import matplotlib.pyplot as plt

    shown: dict[str, list[Any]] = {"naive": [], "replay": [], "ewc": []}
    for record in results.load("07", profile="tiny"):
        if record.extra["stage"] == "report" and record.extra["experiment"].endswith(" people"):
            shown[record.method["name"]].append(record)
    assert [len(records) for records in shown.values()] == [3, 3, 3]
    ax: Any = plt.subplots(figsize=(6.4, 4.6), layout="constrained")[1]
    ax.set_title("beside each point: how many people were learned first", fontsize=10)
    plots.fronts(shown, lambda record: record.plan["size"], ax)
    assert_apart(ax, means(each for records in shown.values() for each in records))
    assert sorted(text.get_text() for text in ax.texts) == ["16"] * 3 + ["256"] * 3 + ["64"] * 3
    for line, records in zip(ax.get_legend().get_texts(), shown.items(), strict=True):
        assert line.get_text() == records[0]
    drawn = [container.lines[0].get_xydata() for container in ax.containers]
    for name, line in zip(shown, drawn, strict=True):
        ordered = sorted(shown[name], key=lambda record: record.plan["size"])
        np.testing.assert_allclose(line, means(ordered))


def test_the_strengths_of_chapter_8_can_be_read():
    import matplotlib.pyplot as plt

    sweeps: dict[str, list[Any]] = {}
    for record in results.load("08", profile="tiny", experiment="persona"):
        if record.extra["stage"] == "selection":
            sweeps.setdefault(record.extra["sweep"], []).append(record)
    ax: Any = plt.subplots(figsize=(7, 5), layout="constrained")[1]
    plots.fronts(sweeps, lambda r: (r.method if "strength" in r.method else r.method["methods"][1])["strength"], ax)
    assert_apart(ax, means(each for records in sweeps.values() for each in records))


def test_the_names_of_the_benchmark_can_be_read():
    assert_apart(plots.benchmark_front(PEFT_BENCHMARK), [(100 * r["accuracy"], r["loss_rise"]) for r in PEFT_BENCHMARK])


def test_a_close_up_fits_the_crowd_and_names_what_lies_far_off_with_its_numbers():
    crowd = {
        f"method {number}": make_record(old=0.8 + 0.01 * number, new=0.95 - 0.02 * (number % 2), name=f"m{number}")
        for number in range(6)
    }
    ax: Any = plots.close_up({**crowd, "ruined": make_record(old=0.3, new=0.6, name="ruined")})
    assert ax.get_xlim()[0] > 70
    assert ax.get_ylim()[0] > 50
    assert [text.get_text() for text in ax.texts[:6]] == list(crowd)
    assert [tuple(text.xy) for text in ax.texts[:6]] == [pytest.approx(point) for point in means(crowd.values())]
    (far,) = (text for text in ax.texts[6:])
    assert "ruined" in far.get_text()
    assert "61.0" in far.get_text()  # 60 plus the mean of the seeds' noise, which the new task has turned round
    assert "29.0" in far.get_text()
    assert far.xy == pytest.approx((ax.get_xlim()[0], ax.get_ylim()[0]))
    assert_apart(ax, means(crowd.values()))
    with pytest.raises(ValueError, match="perplexit"):
        plots.close_up({"text": make_record(metric="perplexity")})


def test_of_four_tasks_every_name_can_be_read():
    for experiment in ("four tasks", "four tasks, other order"):
        records = results.load("05", profile="tiny", experiment=experiment)
        reported = [record for record in records if record.extra["stage"] == "report"]
        shown = {f"{each.method['name']} at {plots.rate_of(each):g}, {n}": each for n, each in enumerate(reported)}
        ax: Any = plots.close_up(shown)
        assert len(ax.texts) == len(shown)
        near = [text.xy for text in ax.texts if not text.get_text().startswith("off")]
        assert_apart(ax, near)
        assert len(near) >= len(shown) - 2
