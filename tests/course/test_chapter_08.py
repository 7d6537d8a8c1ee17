"""What chapter 8's experiments measure, on toys."""

import copy

import pytest
import torch

from cfhelpers.course import results
from cfhelpers.course.experiments import chapter_08
from cfhelpers.methods import EWC, Combined, LwF, Naive, Replay
from cfhelpers.training.plans import Plan
from cfhelpers.training.sequence import learn_once
from tests import toys

PLAN = Plan(steps=4, batch_size=2, learning_rate=1e-2, curve_points=1)


@pytest.fixture(scope="module")
def runs():
    measure = chapter_08.Closeness()
    tasks = ["persona", "workplace"]
    first = learn_once(
        toys.runtime(), "dialogpt", tasks, Naive(), plan=PLAN, stop_after=1, measure=measure, progress=False
    )
    return first, first.then(Naive(), measure=measure, progress=False)


def test_every_predictor_is_measured_once_after_the_second_task(runs):
    first, last = runs
    assert first.record.extra == {}
    assert set(last.record.extra) == set(chapter_08.PREDICTORS)
    assert all(len(values) == 1 and values[0][0] > 0 for values in last.record.extra.values())


def test_the_distance_of_the_weights_is_the_norm_of_their_change(runs):
    first, last = runs
    old = dict(first.model.named_parameters())
    squares = sum(float((p - old[name]).detach().square().sum()) for name, p in last.model.named_parameters())
    assert last.record.extra["distance of the weights"][0][0] == pytest.approx(squares**0.5, rel=1e-5)


def test_a_lesson_and_the_rest_share_no_fact(runs):
    task = runs[0].tasks[0]
    lesson, others = chapter_08.split_facts(task, 1, seed=0)
    parts = [[row["input_ids"] for row in each.test] for each in (lesson, others)]
    assert len(lesson.test) == 1
    assert not any(row in parts[1] for row in parts[0])
    assert sorted(parts[0] + parts[1]) == sorted(row["input_ids"] for row in task.test)


def test_relearning_teaches_a_copy(runs):
    last = runs[1]
    before = copy.deepcopy(last.model.state_dict())
    lesson, _ = chapter_08.split_facts(last.tasks[0], 1, seed=0)
    student = chapter_08.relearned(last.model, lesson, last, steps=5, learning_rate=1e-2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in last.model.state_dict().items())
    batch = next(iter(lesson.batches("train")))
    with torch.no_grad():
        assert student(**batch).loss < last.model.eval()(**batch).loss


def test_a_combination_is_made_again_from_its_record():
    method = Combined([EWC(3.0), Replay(2, share=0.25), LwF(0.3, direction="reverse")])
    made = results.make_method({"name": method.name, **method.settings()})
    assert isinstance(made, Combined)
    assert made.settings() == method.settings()
